#include "operations/ops.h"
#include "protocol/reply.h"
#include "server/core.h"

void op_ping(struct core *core, struct conn *conn, const struct request *request)
{
    char *out = conn_reply_begin(core, conn, REPLY_BYTES_MAX);
    conn_reply_end(core, conn, reply_write_ok(out, &request->id));
    conn_answered(core, conn);
}
