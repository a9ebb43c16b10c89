#include "auth/token_claims.h"

#include <stdlib.h>

#include "base/assert.h"
#include "protocol/json_string.h"
#include "protocol/request.h"

/* A NumericDate may have a fraction (RFC 7519, 2). */
#define DATE_CHARS_MAX 31u

static const struct json_member *find_string(const struct json_reader *json, struct span name)
{
    const struct json_member *member = json_find(json, name);
    return member != NULL && member->kind == JSON_KIND_STRING ? member : NULL;
}

/* Whole seconds since the Unix epoch, rounded down; a date beyond 2^53 counts as 2^53. False: no number. */
static bool read_date(const struct json_member *member, uint64_t *date_r)
{
    char digits[DATE_CHARS_MAX + 1];
    if (member->kind != JSON_KIND_NUMBER || member->value.bytes > DATE_CHARS_MAX)
        return false;
    memcpy(digits, member->value.data, member->value.bytes);
    digits[member->value.bytes] = '\0';
    double date = strtod(digits, NULL);
    *date_r = date < 0 ? 0 : date > (double)LIMIT_TS_MAX ? LIMIT_TS_MAX : (uint64_t)date;
    return true;
}

static const char *check_dates(const struct json_reader *json, uint64_t now_s, struct token_claims *claims_r)
{
    const struct json_member *expires = json_find(json, SPAN_LITERAL("exp"));
    const struct json_member *begins = json_find(json, SPAN_LITERAL("nbf"));
    uint64_t begins_s = 0;
    if (expires == NULL || !read_date(expires, &claims_r->expires_s))
        return "the token's exp is missing or no number";
    if (begins != NULL && !read_date(begins, &begins_s))
        return "the token's nbf is no number";
    if (claims_r->expires_s + TOKEN_LEEWAY_S <= now_s)
        return "the token has expired";
    if (begins_s > now_s + TOKEN_LEEWAY_S)
        return "the token is not valid yet: its nbf is in the future";
    return NULL;
}

/* -- aud: a string, or an array of strings -- */

static char *skip_blanks(char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

static bool is_wanted(struct span audience, const struct token_rules *rules)
{
    for (uint32_t i = 0; i < rules->audience_count; i++)
        if (span_equal(audience, rules->audiences[i]))
            return true;
    return false;
}

/* `at` is at the opening bracket of an array that the reader has found correct. False: none of it is wanted, or an
 * element is no string. */
static bool array_has(char *at, char *end, const struct token_rules *rules)
{
    struct span element;
    bool has_it = false;
    ASSERT(at < end && *at == '[');
    do {
        at = skip_blanks(at + 1, end);
        if (at == end || *at++ != '"' || json_string_read(&at, end, &element) != NULL)
            return false;
        has_it = has_it || is_wanted(element, rules);
        at = skip_blanks(at, end);
    } while (at < end && *at == ',');
    return has_it && at < end && *at == ']';
}

static bool is_audience(const struct json_member *audience, const char *text, char *plain,
                        const struct token_rules *rules)
{
    if (audience == NULL)
        return false;
    if (audience->kind == JSON_KIND_STRING)
        return is_wanted(audience->value, rules);
    if (audience->kind != JSON_KIND_ARRAY)
        return false;
    ASSERT(audience->value.data >= text);
    char *at = plain + (audience->value.data - text);
    return array_has(at, at + audience->value.bytes, rules);
}

static const char *check_issuer(const struct json_reader *json, struct span wanted, struct token_reason *reason)
{
    const struct json_member *issuer = find_string(json, SPAN_LITERAL("iss"));
    if (issuer == NULL)
        return "the token's iss is missing or no string, and the server is configured for an issuer";
    if (!span_equal(issuer->value, wanted))
        return token_reason_write(reason, "the token's iss is %s, not the issuer that the server is configured for",
                                  token_reason_value(reason, issuer->value));
    return NULL;
}

static const char *explain_audience(const struct json_member *audience, struct token_reason *reason)
{
    const char *given = "";
    if (audience != NULL && audience->kind == JSON_KIND_STRING)
        given = token_reason_value(reason, audience->value);
    else if (audience != NULL && audience->kind == JSON_KIND_ARRAY)
        given = token_reason_values(reason, audience->value);
    if (given[0] == '\0')
        return "the token's aud is missing or has no string, and the server is configured for an audience";
    return token_reason_write(reason, "the token's aud is %s, not the audience that the server is configured for",
                              given);
}

static const char *check_user(const struct json_member *user, const struct token_rules *rules,
                              struct token_reason *reason)
{
    if (user == NULL)
        return token_reason_write(reason, "the token's claim for the user, %s, is missing or no string",
                                  token_reason_value(reason, rules->user_claim));
    if (!request_is_user_name(user->value))
        return token_reason_write(reason,
                                  "the token's claim for the user is no user name: %s (1 to 128 printable ASCII "
                                  "characters, no blanks, quotes or backslashes)",
                                  token_reason_value(reason, user->value));
    return NULL;
}

const char *token_claims_read(const struct json_reader *json, const char *text, char *plain,
                              const struct token_rules *rules, uint64_t now_s, struct token_claims *claims_r,
                              struct token_reason *reason)
{
    *claims_r = (struct token_claims){0};
    ASSERT(rules->user_claim.bytes > 0);
    const struct json_member *user = find_string(json, rules->user_claim);
    const struct json_member *audience = json_find(json, SPAN_LITERAL("aud"));
    const char *error = check_dates(json, now_s, claims_r);
    if (error == NULL && find_string(json, SPAN_LITERAL("sub")) == NULL)
        error = "the token's sub is missing or no string";
    if (error == NULL && rules->issuer.bytes > 0)
        error = check_issuer(json, rules->issuer, reason);
    if (error == NULL && rules->audience_count > 0 && !is_audience(audience, text, plain, rules))
        error = explain_audience(audience, reason);
    if (error == NULL)
        error = check_user(user, rules, reason);
    if (error != NULL)
        return error;
    const struct json_member *admin = json_find(json, rules->admin_claim);
    claims_r->is_admin = rules->admin_claim.bytes > 0 && admin != NULL && admin->kind == JSON_KIND_TRUE;
    ASSERT(user->value.bytes <= sizeof claims_r->user);
    claims_r->user_bytes = (uint8_t)user->value.bytes;
    memcpy(claims_r->user, user->value.data, user->value.bytes);
    return NULL;
}
