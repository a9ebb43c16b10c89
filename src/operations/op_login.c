#include <stdlib.h>

#include "operations/handover.h"
#include "operations/login.h"
#include "operations/ops.h"
#include "operations/tokens.h"
#include "server/core.h"

/* Copies what the request asks for. The caller owns it. NULL: no memory. */
static struct login *login_make(const struct core *core, const struct request *request, struct span user)
{
    struct login *login = calloc(1, sizeof *login);
    if (login == NULL)
        return NULL;
    const struct request_login *asked = &request->login;
    struct span epoch = span_of(datadir_epoch(core->server->datadir));
    login->id = request->id;
    login->has_after = asked->has_after;
    login->after = asked->after;
    login->has_max = asked->has_max;
    login->max = asked->max;
    login->is_other_epoch = asked->has_epoch && !span_equal(asked->epoch, epoch);
    login->user_bytes = (uint8_t)user.bytes;
    memcpy(login->user, user.data, user.bytes);
    return login;
}

/* `user` is who logs in: by the token, or, with --auth none, as the request says. */
static void log_in(struct core *core, struct conn *conn, const struct request *request, struct span user)
{
    struct login *login = login_make(core, request, user);
    if (login == NULL) {
        conn_close(core, conn, 1011, "no memory: reconnect later");
        return;
    }
    ASSERT(conn->state == CONN_OPEN);
    struct conn_work *work = conn_work(core, conn);
    ASSERT(work->login == NULL);
    work->login = login;
    if (core_shard_of(core, user) == core->index)
        login_begin(core, conn);
    else
        handover_begin(core, conn);
}

static void refuse_token(struct core *core, struct conn *conn, const struct request_id *id, const char *reason)
{
    metric_add(&core->metrics.logins[METRICS_LOGIN_REFUSED], 1);
    refusal_note(core, REFUSAL_TOKEN, &conn_cold(core, conn)->address, reason);
    admission_on_failed_login(core, conn);
    conn_reply_error(core, conn, id, ERROR_BAD_TOKEN, reason, 0);
    conn_close(core, conn, 4101, "bad token: get a new one");
}

/* The token is verified before a handover: it says which shard the user is on. */
static void log_in_by_token(struct core *core, struct conn *conn, const struct request *request)
{
    struct token_claims claims;
    const char *reason = tokens_check(core, &request->login, &claims);
    struct span user = {claims.user, claims.user_bytes};
    bool is_again = conn_is_logged_in(conn);
    if (reason == NULL && is_again && !span_equal(user, user_name(conn->user)))
        reason = "the token is for another user than the one who is logged in: open another connection";
    if (reason != NULL) {
        refuse_token(core, conn, &request->id, reason);
        return;
    }
    uint32_t expires_s = tokens_expiry_s(core, &claims);
    if (is_again) {
        login_extend(core, conn, &request->id, expires_s);
        return;
    }
    conn_cold(core, conn)->expires_s = expires_s;
    log_in(core, conn, request, user);
}

void op_login(struct core *core, struct conn *conn, const struct request *request)
{
    if (tokens_are_wanted(core))
        log_in_by_token(core, conn, request);
    else
        log_in(core, conn, request, request->login.user);
}
