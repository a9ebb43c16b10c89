#include "ephemeral/typing.h"
#include "operations/ops.h"
#include "protocol/reply.h"
#include "server/core.h"

/* Whatever becomes of it, the answer is the same: `ok`, if the request has an id to answer to. */
void op_typing(struct core *core, struct conn *conn, const struct request *request)
{
    typing_take(core, conn, request->typing.to);
    if (request->id.kind != REQUEST_ID_NONE) {
        char *out = conn_reply_begin(core, conn, REPLY_BYTES_MAX);
        conn_reply_end(core, conn, reply_write_ok(out, &request->id));
    }
    conn_answered(core, conn);
}
