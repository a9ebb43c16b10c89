#include "operations/ops.h"
#include "timeline/seen.h"

void op_seen(struct core *core, struct conn *conn, const struct request *request)
{
    seen_ask(core, conn, request);
}
