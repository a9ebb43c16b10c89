#include "http/credential.h"

#include "auth/admin_tokens.h"
#include "server/core.h"

#define SCHEME "Bearer "

/* The token of an Authorization header; no bytes: there is none. */
static struct span bearer_of(struct span authorization)
{
    size_t bytes = sizeof SCHEME - 1;
    if (authorization.bytes <= bytes || strncasecmp(authorization.data, SCHEME, bytes) != 0)
        return (struct span){0};
    return span_trim((struct span){authorization.data + bytes, authorization.bytes - bytes});
}

/* The error text for the client is the reason in the log, too. */
static bool refuse(struct core *core, struct conn *conn, enum refusal cause, struct http_refusal *refusal_r,
                   uint16_t status, const char *message)
{
    refusal_note(core, cause, &conn_cold(core, conn)->address, message);
    return http_refuse(refusal_r, status, status == 401 ? "bad_token" : "forbidden", message);
}

static bool check_admin_token(struct core *core, struct conn *conn, const struct http_request_head *head,
                              struct http_refusal *refusal_r)
{
    struct span token = bearer_of(head->authorization);
    if (token.bytes == 0)
        return refuse(core, conn, REFUSAL_ADMIN_TOKEN, refusal_r, 401,
                      "this needs a token: send Authorization: Bearer and a line of the file of --admin-token-file");
    return admin_tokens_have(core->server->admin_tokens, token)
           || refuse(core, conn, REFUSAL_ADMIN_TOKEN, refusal_r, 401,
                     "the token is not in the file of --admin-token-file");
}

static bool check_loopback(struct core *core, struct conn *conn, const struct http_request_head *head,
                           struct http_refusal *refusal_r)
{
    if (head->origin.data == NULL && http_is_known_host(&core->conns.http, head->host))
        return true;
    return refuse(core, conn, REFUSAL_ADMIN_PAGE, refusal_r, 403,
                  head->origin.data != NULL ? "web pages may not use the admin address: leave Origin out, or start the "
                                              "server with --admin-token-file"
                                            : "the Host is not known: use the IP address or localhost, or start the "
                                              "server with --host NAME or --admin-token-file");
}

static bool check_claim(struct core *core, struct conn *conn, const struct http_request_head *head,
                        struct credential *credential_r, struct http_refusal *refusal_r)
{
    struct token_claims claims;
    struct span token = bearer_of(head->authorization);
    if (token.bytes == 0)
        return refuse(core, conn, REFUSAL_TOKEN, refusal_r, 401,
                      "this needs a token with the admin claim: send it as Authorization: Bearer");
    if (!admission_may_log_in(core, conn, &refusal_r->retry_after_ms)) {
        uint32_t retry_after_ms = refusal_r->retry_after_ms;
        http_refuse(refusal_r, 429, "rate_limited", "too many logins from your address have failed: wait");
        refusal_r->retry_after_ms = retry_after_ms;
        return false;
    }
    const char *reason = tokens_check_bearer(core, token, &claims);
    if (reason != NULL) {
        admission_on_failed_login(core, conn);
        return refuse(core, conn, REFUSAL_TOKEN, refusal_r, 401, reason);
    }
    if (!claims.is_admin)
        return refuse(core, conn, REFUSAL_TOKEN, refusal_r, 403,
                      "the token has no admin claim that is true: use one that the operator has made for programs");
    credential_r->actor_bytes = claims.user_bytes;
    memcpy(credential_r->actor, claims.user, claims.user_bytes);
    return true;
}

bool credential_check(struct core *core, struct conn *conn, bool is_public, const struct http_request_head *head,
                      struct credential *credential_r, struct http_refusal *refusal_r)
{
    *credential_r = (struct credential){.kind = HTTP_NOBODY};
    *refusal_r = (struct http_refusal){0};
    if (is_public) {
        credential_r->kind = HTTP_ADMIN_CLAIM;
        return check_claim(core, conn, head, credential_r, refusal_r);
    }
    if (core->server->admin_tokens != NULL) {
        credential_r->kind = HTTP_ADMIN_TOKEN;
        return check_admin_token(core, conn, head, refusal_r);
    }
    credential_r->kind = HTTP_LOOPBACK;
    return check_loopback(core, conn, head, refusal_r);
}
