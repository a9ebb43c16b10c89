#include "protocol/request.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "protocol/json.h"

struct request_reader {
    struct json_reader *json;
};

/* What was found of a field that may be left out. */
enum field { FIELD_ABSENT, FIELD_GOOD, FIELD_BAD };

struct span error_code_name(enum error_code code)
{
    static const char *const names[] = {
        [ERROR_NONE] = "none",
        [ERROR_BAD_JSON] = "bad_json",
        [ERROR_BAD_REQUEST] = "bad_request",
        [ERROR_UNKNOWN_OP] = "unknown_op",
        [ERROR_NOT_LOGGED_IN] = "not_logged_in",
        [ERROR_ALREADY_LOGGED_IN] = "already_logged_in",
        [ERROR_BAD_TOKEN] = "bad_token",
        [ERROR_TOO_LARGE] = "too_large",
        [ERROR_KEY_CONFLICT] = "key_conflict",
        [ERROR_RATE_LIMITED] = "rate_limited",
        [ERROR_BUSY] = "busy",
        [ERROR_UNAVAILABLE] = "unavailable",
    };
    ASSERT((size_t)code < sizeof names / sizeof names[0]);
    return span_of(names[code]);
}

int request_reader_open(struct request_reader **reader_r)
{
    struct request_reader *reader = malloc(sizeof *reader);
    if (reader == NULL)
        return -ENOMEM;
    int status = json_reader_open(&reader->json, LIMIT_FRAME_BYTES);
    if (status != 0) {
        free(reader);
        reader = NULL;
    }
    *reader_r = reader;
    return status;
}

void request_reader_close(struct request_reader **reader)
{
    if (*reader != NULL) {
        json_reader_close(&(*reader)->json);
        free(*reader);
    }
    *reader = NULL;
}

static bool refuse(struct request_error *error_r, enum error_code code, const char *message)
{
    ASSERT(code != ERROR_NONE);
    *error_r = (struct request_error){code, message};
    return false;
}

static bool refuse_field(struct request_error *error_r, const char *message)
{
    return refuse(error_r, ERROR_BAD_REQUEST, message);
}

bool request_is_user_name(struct span name)
{
    if (name.bytes < 1 || name.bytes > LIMIT_USER_BYTES)
        return false;
    for (size_t i = 0; i < name.bytes; i++) {
        char byte = name.data[i];
        if (byte < 0x21 || byte > 0x7e || byte == '"' || byte == '\\')
            return false;
    }
    return true;
}

static bool has_nul(struct span string)
{
    return string.bytes > 0 && memchr(string.data, 0, string.bytes) != NULL;
}

/* -- one field -- */

/* A string without U+0000. */
static enum field read_string(const struct request_reader *reader, struct span name, struct span *string_r)
{
    const struct json_member *member = json_find(reader->json, name);
    if (member == NULL)
        return FIELD_ABSENT;
    if (member->kind != JSON_KIND_STRING || has_nul(member->value))
        return FIELD_BAD;
    *string_r = member->value;
    return FIELD_GOOD;
}

static enum field read_user_name(const struct request_reader *reader, struct span name, struct span *user_r)
{
    enum field field = read_string(reader, name, user_r);
    return field == FIELD_GOOD && !request_is_user_name(*user_r) ? FIELD_BAD : field;
}

static enum field read_integer(const struct request_reader *reader, struct span name, uint64_t min, uint64_t max,
                               uint64_t *value_r)
{
    int64_t value;
    ASSERT(min <= max);
    const struct json_member *member = json_find(reader->json, name);
    if (member == NULL)
        return FIELD_ABSENT;
    if (!json_member_integer(member, &value) || value < 0 || (uint64_t)value < min || (uint64_t)value > max)
        return FIELD_BAD;
    *value_r = (uint64_t)value;
    return FIELD_GOOD;
}

/* A bound of a range: 0 to 2^53 - 1. */
static enum field read_ts(const struct request_reader *reader, struct span name, uint64_t *ts_r)
{
    return read_integer(reader, name, 0, LIMIT_TS_MAX, ts_r);
}

/* -- JSON, id, op -- */

static bool read_id(const struct request_reader *reader, struct request_id *id_r)
{
    const struct json_member *member = json_find(reader->json, SPAN_LITERAL("id"));
    if (member == NULL)
        return true;
    if (member->kind == JSON_KIND_STRING && member->value.bytes <= LIMIT_ID_BYTES && !has_nul(member->value)) {
        id_r->kind = REQUEST_ID_STRING;
        id_r->bytes = (uint8_t)member->value.bytes;
        if (id_r->bytes > 0)
            memcpy(id_r->string, member->value.data, id_r->bytes);
        return true;
    }
    if (!json_member_integer(member, &id_r->integer))
        return false;
    id_r->kind = REQUEST_ID_INTEGER;
    return true;
}

bool request_read(struct request_reader *reader, char *data, size_t bytes, struct request *request_r,
                  struct request_error *error_r)
{
    const char *reason;
    ASSERT(bytes <= LIMIT_FRAME_BYTES);
    request_r->id = (struct request_id){.kind = REQUEST_ID_NONE};
    if (!json_read_object(reader->json, data, bytes, &reason))
        return refuse(error_r, ERROR_BAD_JSON, reason);
    if (!read_id(reader, &request_r->id))
        return refuse_field(error_r,
                            "id must be an integer of magnitude below 2^53, without fraction and exponent, or a "
                            "string of at most 64 bytes without U+0000");
    return true;
}

bool request_read_op(struct request_reader *reader, struct request *request, struct request_error *error_r)
{
    static const struct {
        struct span name;
        enum request_op op;
    } ops[] = {
        {{"send", 4}, REQUEST_SEND}, {{"login", 5}, REQUEST_LOGIN},   {{"history", 7}, REQUEST_HISTORY},
        {{"ping", 4}, REQUEST_PING}, {{"typing", 6}, REQUEST_TYPING}, {{"peers", 5}, REQUEST_PEERS},
        {{"seen", 4}, REQUEST_SEEN}, {{"watch", 5}, REQUEST_WATCH},
    };
    struct span op;
    if (read_string(reader, SPAN_LITERAL("op"), &op) != FIELD_GOOD)
        return refuse_field(error_r, "op must be a string: login, send, history, ping, typing, peers, seen or watch");
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        if (span_equal(op, ops[i].name)) {
            request->op = ops[i].op;
            return true;
        }
    }
    return refuse(error_r, ERROR_UNKNOWN_OP,
                  "op must be one of login, send, history, ping, typing, peers, seen and watch");
}

/* -- the fields of each op -- */

static void read_token(const struct request_reader *reader, struct request_login *login)
{
    const struct json_member *member = json_find(reader->json, SPAN_LITERAL("token"));
    login->has_token = member != NULL && member->kind == JSON_KIND_STRING;
    if (login->has_token)
        login->token = member->value;
}

static bool read_login(const struct request_reader *reader, struct request_login *login, bool wants_token,
                       struct request_error *error_r)
{
    *login = (struct request_login){0};
    if (!wants_token && json_find(reader->json, SPAN_LITERAL("token")) != NULL)
        return refuse_field(error_r, "this server runs with --auth none and takes no token: log in with user");
    read_token(reader, login);
    enum field user = read_user_name(reader, SPAN_LITERAL("user"), &login->user);
    enum field after = read_ts(reader, SPAN_LITERAL("after"), &login->after);
    uint64_t replay_max = 0;
    enum field max = read_integer(reader, SPAN_LITERAL("max"), 0, LIMIT_REPLAY_MAX, &replay_max);
    enum field epoch = read_string(reader, SPAN_LITERAL("epoch"), &login->epoch);
    if (user == FIELD_BAD || (user == FIELD_ABSENT && !wants_token))
        return refuse_field(error_r,
                            "user must be a user name: a string of 1 to 128 printable ASCII characters, no blanks, "
                            "quotes or backslashes");
    if (after == FIELD_BAD)
        return refuse_field(error_r, "after must be an integer from 0 to 2^53 - 1, without fraction and exponent");
    if (max == FIELD_BAD)
        return refuse_field(error_r, "max must be an integer from 0 to 10000, without fraction and exponent");
    if (epoch == FIELD_BAD)
        return refuse_field(error_r, "epoch must be a string without U+0000, as the last login gave it");
    login->has_user = user == FIELD_GOOD;
    login->has_after = after == FIELD_GOOD;
    login->has_max = max == FIELD_GOOD;
    login->max = (uint32_t)replay_max;
    login->has_epoch = epoch == FIELD_GOOD;
    return true;
}

static bool read_text(const struct request_reader *reader, struct span *text_r, struct request_error *error_r)
{
    const struct json_member *member = json_find(reader->json, SPAN_LITERAL("text"));
    if (member == NULL || member->kind != JSON_KIND_STRING || member->value.bytes == 0)
        return refuse_field(error_r, "text must be a string of 1 byte to 16 KiB");
    if (member->value.bytes > LIMIT_TEXT_BYTES)
        return refuse(error_r, ERROR_TOO_LARGE, "text is over 16 KiB (16384 bytes of UTF-8): send it in parts");
    if (has_nul(member->value))
        return refuse_field(error_r, "text must not hold U+0000");
    *text_r = member->value;
    return true;
}

static bool read_to(const struct request_reader *reader, struct span *to_r, struct request_error *error_r)
{
    return read_user_name(reader, SPAN_LITERAL("to"), to_r) == FIELD_GOOD
           || refuse_field(error_r,
                           "to must be a user name: a string of 1 to 128 printable ASCII characters, no blanks, "
                           "quotes or backslashes");
}

static bool read_send(const struct request_reader *reader, struct request_send *send, struct request_error *error_r)
{
    *send = (struct request_send){.key = {"", 0}};
    if (!read_to(reader, &send->to, error_r))
        return false;
    if (!read_text(reader, &send->text, error_r))
        return false;
    enum field key = read_string(reader, SPAN_LITERAL("key"), &send->key);
    if (key == FIELD_BAD || (key == FIELD_GOOD && (send->key.bytes < 1 || send->key.bytes > LIMIT_KEY_BYTES)))
        return refuse_field(error_r, "key must be a string of 1 to 64 bytes without U+0000");
    return true;
}

bool request_read_post(struct request_reader *reader, char *data, size_t bytes, struct request_post *post_r,
                       struct request_error *error_r)
{
    const char *reason;
    ASSERT(bytes <= LIMIT_FRAME_BYTES);
    if (!json_read_object(reader->json, data, bytes, &reason))
        return refuse(error_r, ERROR_BAD_JSON, reason);
    if (read_user_name(reader, SPAN_LITERAL("from"), &post_r->from) != FIELD_GOOD)
        return refuse_field(error_r,
                            "from must be a user name: a string of 1 to 128 printable ASCII characters, no blanks, "
                            "quotes or backslashes");
    return read_send(reader, &post_r->send, error_r);
}

static bool read_limit(const struct request_reader *reader, uint32_t *limit_r, struct request_error *error_r)
{
    uint64_t limit = LIMIT_PAGE_ENTRIES_DEFAULT;
    if (read_integer(reader, SPAN_LITERAL("limit"), 1, LIMIT_PAGE_ENTRIES, &limit) == FIELD_BAD)
        return refuse_field(error_r, "limit must be an integer from 1 to 1000, without fraction and exponent");
    *limit_r = (uint32_t)limit;
    return true;
}

static bool refuse_before(struct request_error *error_r)
{
    return refuse_field(error_r, "before must be an integer from 0 to 2^53 - 1, without fraction and exponent");
}

static bool refuse_with(struct request_error *error_r)
{
    return refuse_field(error_r,
                        "with must be a user name: a string of 1 to 128 printable ASCII characters, no blanks, quotes "
                        "or backslashes");
}

static bool read_history(const struct request_reader *reader, struct request_history *history,
                         struct request_error *error_r)
{
    *history = (struct request_history){.before = LIMIT_TS_MAX + 1};
    enum field after = read_ts(reader, SPAN_LITERAL("after"), &history->after);
    enum field before = read_ts(reader, SPAN_LITERAL("before"), &history->before);
    enum field with = read_user_name(reader, SPAN_LITERAL("with"), &history->with);
    if (after == FIELD_BAD)
        return refuse_field(error_r, "after must be an integer from 0 to 2^53 - 1, without fraction and exponent");
    if (before == FIELD_BAD)
        return refuse_before(error_r);
    if (!read_limit(reader, &history->limit, error_r))
        return false;
    if (with == FIELD_BAD)
        return refuse_with(error_r);
    history->has_after = after == FIELD_GOOD;
    history->has_with = with == FIELD_GOOD;
    return true;
}

static bool read_peers(const struct request_reader *reader, struct request_peers *peers, struct request_error *error_r)
{
    *peers = (struct request_peers){.before = LIMIT_TS_MAX + 1};
    if (read_ts(reader, SPAN_LITERAL("before"), &peers->before) == FIELD_BAD)
        return refuse_before(error_r);
    return read_limit(reader, &peers->limit, error_r);
}

static bool read_seen(const struct request_reader *reader, struct request_seen *seen, struct request_error *error_r)
{
    if (read_user_name(reader, SPAN_LITERAL("with"), &seen->with) != FIELD_GOOD)
        return refuse_with(error_r);
    if (read_ts(reader, SPAN_LITERAL("ts"), &seen->ts) != FIELD_GOOD)
        return refuse_field(error_r, "ts must be an integer from 0 to 2^53 - 1, without fraction and exponent");
    return true;
}

static bool read_watch(const struct request_reader *reader, struct request_watch *watch, struct request_error *error_r)
{
    struct span user;
    const struct json_member *member = json_find(reader->json, SPAN_LITERAL("users"));
    if (member == NULL || member->kind != JSON_KIND_ARRAY)
        return refuse_field(error_r, "users must be an array of user names: empty to end the watch");
    *watch = (struct request_watch){.users = member->value};
    struct span left = member->value;
    while (json_array_next(&left, &user)) {
        if (!request_is_user_name(user))
            return refuse_field(error_r,
                                "users must hold user names only: strings of 1 to 128 printable ASCII characters, no "
                                "blanks, quotes or backslashes");
        watch->count++;
    }
    if (left.bytes > 0)
        return refuse_field(error_r, "users must hold strings only: user names");
    if (watch->count > LIMIT_WATCH_USERS)
        return refuse_field(error_r, "users must hold 1000 user names at most");
    return true;
}

bool request_next_user(struct span *users, struct span *user_r)
{
    return json_array_next(users, user_r);
}

bool request_read_fields(struct request_reader *reader, struct request *request, bool wants_token,
                         struct request_error *error_r)
{
    switch (request->op) {
    case REQUEST_LOGIN: return read_login(reader, &request->login, wants_token, error_r);
    case REQUEST_SEND: return read_send(reader, &request->send, error_r);
    case REQUEST_HISTORY: return read_history(reader, &request->history, error_r);
    case REQUEST_TYPING: return read_to(reader, &request->typing.to, error_r);
    case REQUEST_PEERS: return read_peers(reader, &request->peers, error_r);
    case REQUEST_SEEN: return read_seen(reader, &request->seen, error_r);
    case REQUEST_WATCH: return read_watch(reader, &request->watch, error_r);
    case REQUEST_PING: break;
    }
    ASSERT(request->op == REQUEST_PING);
    return true;
}
