#include "operations/tokens.h"

#include "base/log.h"
#include "server/core.h"

/* What one signature costs, in units of TURN_INPUT: by the figures of docs/PERFORMANCE.md. RSA counts as 4,096 bits. */
static const uint32_t frames_of[TOKEN_ALGORITHMS] = {
    [TOKEN_HS256] = 16,
    [TOKEN_RS256] = 300,
    [TOKEN_ES256] = 300,
    [TOKEN_EDDSA] = 500,
};
_Static_assert(TOKEN_TRIES_HS256 * 16 <= TURN_TOKEN_FRAMES && TOKEN_TRIES_RS256 * 300 <= TURN_TOKEN_FRAMES
                   && TOKEN_TRIES_ES256 * 300 <= TURN_TOKEN_FRAMES && TOKEN_TRIES_EDDSA * 500 <= TURN_TOKEN_FRAMES,
               "turn.h says what a token takes at most");

/* A connection may outlive a token of any length; but its end must fit 32 bits. */
#define EXPIRY_S_MAX (UINT32_MAX / 2)

_Static_assert(CONFIG_TOKEN_AUDIENCES_MAX <= TOKEN_AUDIENCES_MAX, "the rules of a verifier have all audiences");

int tokens_open(struct core *core, struct token_keys *keys)
{
    const struct config *config = core->server->config;
    if (config->auth != CONFIG_AUTH_TOKEN)
        return 0;
    ASSERT(keys != NULL);
    core->tokens.rules = (struct token_rules){.user_claim = span_of(config->token_claim)};
    if (config->admin_claim != NULL)
        core->tokens.rules.admin_claim = span_of(config->admin_claim);
    core->tokens.rules.audience_count = config->token_audience_count;
    for (uint32_t i = 0; i < config->token_audience_count; i++)
        core->tokens.rules.audiences[i] = span_of(config->token_audiences[i]);
    if (config->token_issuer != NULL)
        core->tokens.rules.issuer = span_of(config->token_issuer);
    return token_verifier_open(&core->tokens.verifier, keys, &core->tokens.rules);
}

void tokens_close(struct core *core)
{
    struct token_keys *next = atomic_exchange_explicit(&core->tokens.next, NULL, memory_order_acquire);
    token_keys_unref(&next);
    token_verifier_close(&core->tokens.verifier);
}

void tokens_post(struct tokens *tokens, struct token_keys *keys)
{
    struct token_keys *unread = atomic_exchange_explicit(&tokens->next, token_keys_ref(keys), memory_order_acq_rel);
    token_keys_unref(&unread);
}

bool tokens_are_wanted(const struct core *core)
{
    return core->server->config->auth == CONFIG_AUTH_TOKEN;
}

/* The old verifier stays if there is no memory for another one. */
static void take_next(struct core *core)
{
    struct tokens *tokens = &core->tokens;
    struct token_verifier *verifier;
    if (atomic_load_explicit(&tokens->next, memory_order_relaxed) == NULL)
        return;
    struct token_keys *next = atomic_exchange_explicit(&tokens->next, NULL, memory_order_acquire);
    ASSERT(next != NULL);
    if (token_verifier_open(&verifier, next, &tokens->rules) == 0) {
        token_verifier_close(&tokens->verifier);
        tokens->verifier = verifier;
    } else {
        log_line(LOG_ERROR, "token_keys_kept", "shard=%u reason=\"no memory for the new keys\" hint=\"send SIGHUP\"",
                 core->index);
    }
    token_keys_unref(&next);
}

const char *tokens_check_bearer(struct core *core, struct span token, struct token_claims *claims_r)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(tokens_are_wanted(core));
    take_next(core);
    struct token_result result =
        token_verify(core->tokens.verifier, token, shard_wall_us(core->shard) / 1000000, claims_r);
    turn_spend(&core->turn, TURN_INPUT, result.tries * frames_of[result.algorithm]);
    return result.reason;
}

const char *tokens_check(struct core *core, const struct request_login *login, struct token_claims *claims_r)
{
    if (!login->has_token)
        return "this server wants a token: give it as token, a string";
    const char *reason = tokens_check_bearer(core, login->token, claims_r);
    if (reason != NULL)
        return reason;
    if (login->has_user && !span_equal(login->user, (struct span){claims_r->user, claims_r->user_bytes}))
        return "the token is for another user than the login's user: leave user out";
    return NULL;
}

uint32_t tokens_expiry_s(const struct core *core, const struct token_claims *claims)
{
    uint64_t now_s = shard_wall_us(core->shard) / 1000000;
    uint64_t ends_s = claims->expires_s + TOKEN_LEEWAY_S;
    uint64_t left_s = ends_s > now_s ? ends_s - now_s : 0;
    uint64_t expiry_s = core_now_s(core) + left_s;
    return (uint32_t)(expiry_s < EXPIRY_S_MAX ? expiry_s : EXPIRY_S_MAX);
}
