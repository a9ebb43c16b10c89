#include <stdio.h>

#include "api/api.h"
#include "server/core.h"

void api_livez(struct core *core, struct exchange *exchange, const struct http_request *request)
{
    uint32_t shard;
    char message[96];
    (void)request;
    if (health_is_alive(core->server, core_now_s(core), &shard)) {
        exchange_answer_json(core, exchange, 200, SPAN_LITERAL("{\"status\":\"live\"}"));
        return;
    }
    (void)snprintf(message, sizeof message, "shard %u takes no turns: restart the server, and keep a core dump", shard);
    exchange_refuse(core, exchange, &(struct http_refusal){.status = 503, .code = "stuck", .message = message});
}

void api_readyz(struct core *core, struct exchange *exchange, const struct http_request *request)
{
    struct health_report report = health_report(core->server);
    (void)request;
    if (report.state == HEALTH_READY)
        exchange_answer_json(core, exchange, 200, SPAN_LITERAL("{\"status\":\"ready\"}"));
    else
        exchange_refuse(core, exchange,
                        &(struct http_refusal){.status = 503, .code = report.name, .message = report.message});
}
