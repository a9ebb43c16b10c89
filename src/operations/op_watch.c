#include "ephemeral/watch.h"
#include "operations/ops.h"

void op_watch(struct core *core, struct conn *conn, const struct request *request)
{
    watch_ask(core, conn, request);
}
