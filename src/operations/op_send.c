#include "operations/ops.h"
#include "server/core.h"
#include "timeline/delivery.h"
#include "timeline/idempotency.h"

static void refuse(struct core *core, struct conn *conn, const struct request *request, enum error_code code,
                   const char *message, uint32_t retry_after_ms)
{
    metric_add(&core->metrics.sends[METRICS_SEND_REFUSED], 1);
    conn_reply_error(core, conn, &request->id, code, message, retry_after_ms);
}

void op_send(struct core *core, struct conn *conn, const struct request *request)
{
    enum error_code code;
    const char *message;
    uint32_t retry_after_ms;
    if (!core_admits_send_of(core, conn->user, conn->unanswered, &code, &message, &retry_after_ms)) {
        refuse(core, conn, request, code, message, retry_after_ms);
        return;
    }
    struct delivery *delivery = delivery_make(core, conn, &request->id, &request->send);
    if (delivery == NULL) {
        refuse(core, conn, request, ERROR_BUSY, "no room for the message: wait and send again", DELIVERY_RETRY_MS);
        return;
    }
    idempotency_take(core, delivery);
}
