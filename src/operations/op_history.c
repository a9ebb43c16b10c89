#include "history/history.h"
#include "operations/ops.h"

void op_history(struct core *core, struct conn *conn, const struct request *request)
{
    history_ask(core, conn, request);
}
