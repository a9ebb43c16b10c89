#include <stdlib.h>

#include "api/api.h"
#include "server/core.h"
#include "server/metrics_text.h"

void api_metrics(struct core *core, struct exchange *exchange, const struct http_request *request)
{
    (void)request;
    char *text = malloc(metrics_text_bytes_max(core->server));
    if (text == NULL) {
        exchange_refuse_as(core, exchange, ERROR_BUSY, "no memory for the metrics: try again", 1000);
        return;
    }
    struct span body = {text, metrics_text_write(core->server, text)};
    exchange_answer(core, exchange, 200, METRICS_CONTENT_TYPE, body);
    free(text);
}
