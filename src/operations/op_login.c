#include <stdlib.h>

#include "operations/handover.h"
#include "operations/login.h"
#include "operations/ops.h"
#include "server/core.h"

/* Copies what the request asks for. The caller owns it. NULL: no memory. */
static struct login *login_make(const struct core *core, const struct request *request)
{
    struct login *login = calloc(1, sizeof *login);
    if (login == NULL)
        return NULL;
    const struct request_login *asked = &request->login;
    struct span epoch = span_of(datadir_epoch(core->server->datadir));
    login->id = request->id;
    login->has_after = asked->has_after;
    login->after = asked->after;
    login->is_other_epoch = asked->has_epoch && !span_equal(asked->epoch, epoch);
    login->user_bytes = (uint8_t)asked->user.bytes;
    memcpy(login->user, asked->user.data, asked->user.bytes);
    return login;
}

void op_login(struct core *core, struct conn *conn, const struct request *request)
{
    struct login *login = login_make(core, request);
    if (login == NULL) {
        conn_close(core, conn, 1011, "no memory: reconnect later");
        return;
    }
    ASSERT(conn->state == CONN_OPEN);
    struct conn_work *work = conn_work(core, conn);
    ASSERT(work->login == NULL);
    work->login = login;
    if (core_shard_of(core, request->login.user) == core->index)
        login_begin(core, conn);
    else
        handover_begin(core, conn);
}
