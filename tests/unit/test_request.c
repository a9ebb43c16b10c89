/* PROTOCOL, "Requests": the order of checks, each field, and jansson as the oracle over many inputs. */
#include "protocol/request.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "json_oracle.h"
#include "json_random.h"

static struct request_reader *reader;
static struct request request;
static struct request_error error;
static char *copy; /* of the frame: spans point into it */

static void open_reader(void)
{
    cr_assert_eq(request_reader_open(&reader), 0);
}

static void close_reader(void)
{
    free(copy);
    copy = NULL;
    request_reader_close(&reader);
    cr_assert_null(reader);
}

TestSuite(request, .init = open_reader, .fini = close_reader);

static bool read_frame(const char *data, size_t bytes, bool wants_token)
{
    free(copy);
    copy = malloc(bytes + 1);
    memcpy(copy, data, bytes);
    error = (struct request_error){ERROR_NONE, NULL};
    return request_read(reader, copy, bytes, &request, &error) && request_read_op(reader, &request, &error)
           && request_read_fields(reader, &request, wants_token, &error);
}

static void expect_good(const char *text)
{
    cr_assert(read_frame(text, strlen(text), false), "%s: %s", text, error.message);
}

/* Refused with `code` and a message that says `word`. */
static void expect_error(const char *text, enum error_code code, const char *word)
{
    cr_assert_not(read_frame(text, strlen(text), false), "%s", text);
    cr_assert_eq(error.code, code, "%s: %s", text, error.message);
    cr_assert_not_null(strstr(error.message, word), "%s: %s", text, error.message);
}

static bool is(struct span span, const char *text)
{
    return span_equal(span, span_of(text));
}

Test(request, each_op_is_read_with_its_fields)
{
    expect_good("{\"op\":\"login\",\"id\":1,\"user\":\"alice\",\"after\":1763900000000000,\"epoch\":\"9f1c\"}");
    cr_assert_eq(request.op, REQUEST_LOGIN);
    cr_assert(is(request.login.user, "alice") && request.login.has_after && request.login.after == 1763900000000000);
    cr_assert(request.login.has_epoch && is(request.login.epoch, "9f1c"));
    expect_good("{\"op\":\"login\",\"user\":\"alice\",\"after\":5,\"max\":10000}");
    cr_assert(request.login.has_max && request.login.max == 10000);
    expect_good("{\"op\":\"login\",\"user\":\"alice\"}");
    cr_assert(request.login.has_user && !request.login.has_after && !request.login.has_max && !request.login.has_epoch
              && !request.login.has_token);
    expect_good("{\"op\":\"send\",\"to\":\"bob\",\"text\":\"h\\u00e9\\n\",\"key\":\"k\"}");
    cr_assert_eq(request.op, REQUEST_SEND);
    cr_assert(is(request.send.to, "bob") && is(request.send.text, "h\xC3\xA9\n") && is(request.send.key, "k"));
    expect_good("{\"op\":\"send\",\"to\":\"bob\",\"text\":\"x\"}");
    cr_assert_eq(request.send.key.bytes, 0);
    expect_good("{\"op\":\"history\"}");
    cr_assert_eq(request.op, REQUEST_HISTORY);
    cr_assert(!request.history.has_after && !request.history.has_with);
    cr_assert(request.history.limit == 50 && request.history.after == 0 && request.history.before == LIMIT_TS_MAX + 1);
    expect_good("{\"op\":\"history\",\"after\":0,\"before\":9007199254740991,\"with\":\"bob\",\"limit\":1000}");
    cr_assert(request.history.has_after && request.history.has_with);
    cr_assert(request.history.before == LIMIT_TS_MAX && request.history.limit == 1000);
    expect_good("{\"op\":\"ping\"}");
    cr_assert_eq(request.op, REQUEST_PING);
    expect_good("{\"op\":\"peers\"}");
    cr_assert(request.op == REQUEST_PEERS && request.peers.limit == 50 && request.peers.before == LIMIT_TS_MAX + 1);
    expect_good("{\"op\":\"peers\",\"before\":9007199254740991,\"limit\":1000}");
    cr_assert(request.peers.limit == 1000 && request.peers.before == LIMIT_TS_MAX);
    expect_good("{\"op\":\"seen\",\"with\":\"bob\",\"ts\":1763900000200001}");
    cr_assert(request.op == REQUEST_SEEN && is(request.seen.with, "bob") && request.seen.ts == 1763900000200001);
}

Test(request, a_mark_needs_a_user_and_a_ts)
{
    char text[256];
    static const char *const bad[] = {"-1", "9007199254740992", "1.0", "1e3", "\"5\"", "null", "true"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(text, sizeof text, "{\"op\":\"seen\",\"with\":\"b\",\"ts\":%s}", bad[i]);
        expect_error(text, ERROR_BAD_REQUEST, "ts");
        snprintf(text, sizeof text, "{\"op\":\"peers\",\"before\":%s}", bad[i]);
        expect_error(text, ERROR_BAD_REQUEST, "before");
    }
    expect_error("{\"op\":\"seen\",\"with\":\"b\"}", ERROR_BAD_REQUEST, "ts");
    expect_error("{\"op\":\"seen\",\"ts\":5}", ERROR_BAD_REQUEST, "with");
    expect_error("{\"op\":\"seen\",\"with\":\"a b\",\"ts\":5}", ERROR_BAD_REQUEST, "with");
    expect_good("{\"op\":\"seen\",\"with\":\"b\",\"ts\":0}");
    expect_error("{\"op\":\"peers\",\"limit\":0}", ERROR_BAD_REQUEST, "limit");
    expect_error("{\"op\":\"peers\",\"limit\":1001}", ERROR_BAD_REQUEST, "limit");
}

Test(request, what_is_not_known_is_ignored)
{
    expect_good("{\"x\":[{\"op\":1}],\"op\":\"ping\",\"user\":7,\"after\":null}");
}

Test(request, an_id_is_an_integer_or_a_string_of_64_bytes)
{
    char text[256];
    expect_good("{\"op\":\"ping\"}");
    cr_assert_eq(request.id.kind, REQUEST_ID_NONE);
    static const char *const integers[] = {"0", "-0", "7", "-9007199254740991", "9007199254740991"};
    static const int64_t values[] = {0, 0, 7, -9007199254740991, 9007199254740991};
    for (int i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "{\"op\":\"ping\",\"id\":%s}", integers[i]);
        expect_good(text);
        cr_assert(request.id.kind == REQUEST_ID_INTEGER && request.id.integer == values[i]);
    }
    expect_good("{\"op\":\"ping\",\"id\":\"\"}");
    cr_assert(request.id.kind == REQUEST_ID_STRING && request.id.bytes == 0);
    snprintf(text, sizeof text, "{\"op\":\"ping\",\"id\":\"%064d\"}", 1);
    expect_good(text);
    cr_assert(request.id.kind == REQUEST_ID_STRING && request.id.bytes == 64);
    snprintf(text, sizeof text, "{\"op\":\"ping\",\"id\":\"%065d\"}", 1);
    expect_error(text, ERROR_BAD_REQUEST, "id");
    cr_assert_eq(request.id.kind, REQUEST_ID_NONE, "the error of a bad id has none");
    static const char *const bad[] = {"null",
                                      "true",
                                      "1.0",
                                      "1e3",
                                      "9007199254740992",
                                      "-9007199254740992",
                                      "[]",
                                      "{}",
                                      "\"a\\u0000\"",
                                      "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(text, sizeof text, "{\"op\":\"ping\",\"id\":%s}", bad[i]);
        expect_error(text, ERROR_BAD_REQUEST, "id");
    }
}

Test(request, the_order_of_checks_is_json_id_op_fields)
{
    expect_error("{\"op\":\"nonsense\",\"id\":null", ERROR_BAD_JSON, "");
    expect_error("{\"op\":\"nonsense\",\"id\":null}", ERROR_BAD_REQUEST, "id");
    expect_error("{\"op\":7,\"id\":1}", ERROR_BAD_REQUEST, "op");
    expect_error("{\"id\":1}", ERROR_BAD_REQUEST, "op");
    expect_error("{\"op\":null}", ERROR_BAD_REQUEST, "op");
    expect_error("{\"op\":\"nonsense\",\"to\":1}", ERROR_UNKNOWN_OP, "op");
    expect_error("{\"op\":\"\"}", ERROR_UNKNOWN_OP, "op");
    expect_error("{\"op\":\"Ping\"}", ERROR_UNKNOWN_OP, "op");
    expect_error("{\"op\":\"send\",\"id\":5}", ERROR_BAD_REQUEST, "to");
    cr_assert(request.id.kind == REQUEST_ID_INTEGER && request.id.integer == 5, "an error in a field carries the id");
}

Test(request, what_is_no_object_of_rfc_8259_is_bad_json)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "null",
                                      "7",
                                      "[]",
                                      "\"x\"",
                                      "{",
                                      "{}x",
                                      "{}{}",
                                      "{\"op\":\"ping\",}",
                                      "{'op':'ping'}",
                                      "{\"op\":\"ping\" \"id\":1}",
                                      "{\"op\":\"a\",\"op\":\"ping\"}",
                                      "{\"op\":\"ping\",\"x\":{\"a\":1,\"a\":2}}",
                                      "{\"op\":\"\\ud800\"}",
                                      "{\"op\":01}",
                                      "{\"op\":\"\t\"}",
                                      "\xEF\xBB\xBF{\"op\":\"ping\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_error(bad[i], ERROR_BAD_JSON, "");
}

Test(request, nesting_goes_to_16_and_no_deeper)
{
    expect_good("{\"op\":\"ping\",\"x\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}");
    expect_error("{\"op\":\"ping\",\"x\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}", ERROR_BAD_JSON, "");
}

Test(request, user_names_are_printable_ascii_without_quotes_and_backslashes)
{
    char text[512];
    static const char *const bad[] = {"\"\"",         "\"a b\"",     "\"a\\\"b\"", "\"a\\\\b\"", "\"\\u0000\"",
                                      "\"\xC3\xA9\"", "\"\\u007f\"", "7",          "null",       "[\"a\"]"};
    static const char *const fields[] = {"\"op\":\"login\",\"user\"", "\"op\":\"send\",\"text\":\"x\",\"to\"",
                                         "\"op\":\"history\",\"with\""};
    static const char *const names[] = {"user", "to", "with"};
    for (int field = 0; field < 3; field++) {
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            snprintf(text, sizeof text, "{%s:%s}", fields[field], bad[i]);
            expect_error(text, ERROR_BAD_REQUEST, names[field]);
        }
        snprintf(text, sizeof text, "{%s:\"%0128d\"}", fields[field], 1);
        expect_good(text);
        snprintf(text, sizeof text, "{%s:\"%0129d\"}", fields[field], 1);
        expect_error(text, ERROR_BAD_REQUEST, names[field]);
        snprintf(text, sizeof text, "{%s:\"!#[]~\\u0041\"}", fields[field]);
        expect_good(text);
    }
    expect_error("{\"op\":\"login\"}", ERROR_BAD_REQUEST, "user");
}

static void expect_text(size_t bytes, enum error_code code)
{
    char *text = malloc(bytes + 128);
    int begun = sprintf(text, "{\"op\":\"send\",\"to\":\"bob\",\"text\":\"");
    memset(text + begun, 'x', bytes);
    strcpy(text + begun + bytes, "\"}");
    if (code == ERROR_NONE)
        expect_good(text);
    else
        expect_error(text, code, "text");
    free(text);
}

Test(request, a_text_is_1_byte_to_16_kib_without_zero)
{
    expect_text(0, ERROR_BAD_REQUEST);
    expect_text(1, ERROR_NONE);
    expect_text(16384, ERROR_NONE);
    expect_text(16385, ERROR_TOO_LARGE);
    expect_error("{\"op\":\"send\",\"to\":\"bob\",\"text\":\"a\\u0000b\"}", ERROR_BAD_REQUEST, "text");
    expect_error("{\"op\":\"send\",\"to\":\"bob\",\"text\":null}", ERROR_BAD_REQUEST, "text");
    expect_error("{\"op\":\"send\",\"to\":\"bob\"}", ERROR_BAD_REQUEST, "text");
}

Test(request, a_key_is_1_to_64_bytes_without_zero)
{
    char text[256];
    static const char *const bad[] = {"\"\"", "\"a\\u0000\"", "7", "null"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(text, sizeof text, "{\"op\":\"send\",\"to\":\"b\",\"text\":\"x\",\"key\":%s}", bad[i]);
        expect_error(text, ERROR_BAD_REQUEST, "key");
    }
    snprintf(text, sizeof text, "{\"op\":\"send\",\"to\":\"b\",\"text\":\"x\",\"key\":\"%064d\"}", 1);
    expect_good(text);
    snprintf(text, sizeof text, "{\"op\":\"send\",\"to\":\"b\",\"text\":\"x\",\"key\":\"%065d\"}", 1);
    expect_error(text, ERROR_BAD_REQUEST, "key");
}

Test(request, bounds_are_integers_from_0_below_2_to_the_53_and_limits_1_to_1000)
{
    char text[256];
    static const char *const bad[] = {"-1", "9007199254740992", "1.0", "1e3", "\"5\"", "null", "true"};
    static const char *const names[] = {"after", "before", "limit"};
    for (int name = 0; name < 3; name++)
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            snprintf(text, sizeof text, "{\"op\":\"history\",\"%s\":%s}", names[name], bad[i]);
            expect_error(text, ERROR_BAD_REQUEST, names[name]);
        }
    expect_error("{\"op\":\"history\",\"limit\":0}", ERROR_BAD_REQUEST, "limit");
    expect_error("{\"op\":\"history\",\"limit\":1001}", ERROR_BAD_REQUEST, "limit");
    expect_error("{\"op\":\"login\",\"user\":\"a\",\"after\":-1}", ERROR_BAD_REQUEST, "after");
    expect_error("{\"op\":\"login\",\"user\":\"a\",\"after\":1,\"max\":10001}", ERROR_BAD_REQUEST, "max");
    expect_error("{\"op\":\"login\",\"user\":\"a\",\"max\":null}", ERROR_BAD_REQUEST, "max");
    expect_error("{\"op\":\"login\",\"user\":\"a\",\"epoch\":5}", ERROR_BAD_REQUEST, "epoch");
}

Test(request, with_tokens_the_user_may_be_left_out)
{
    const char *text = "{\"op\":\"login\",\"token\":\"a.b.c\"}";
    cr_assert(read_frame(text, strlen(text), true));
    cr_assert(request.login.has_token && is(request.login.token, "a.b.c") && !request.login.has_user);
    text = "{\"op\":\"login\",\"token\":7}";
    cr_assert(read_frame(text, strlen(text), true));
    cr_assert_not(request.login.has_token);
}

Test(request, without_tokens_a_token_of_any_type_is_refused_with_the_reason)
{
    expect_error("{\"op\":\"login\",\"token\":\"a.b.c\"}", ERROR_BAD_REQUEST, "takes no token");
    expect_error("{\"op\":\"login\",\"user\":\"alice\",\"token\":\"a.b.c\"}", ERROR_BAD_REQUEST, "takes no token");
    expect_error("{\"op\":\"login\",\"user\":\"alice\",\"token\":null}", ERROR_BAD_REQUEST, "takes no token");
    expect_good("{\"op\":\"ping\",\"token\":null}");
}

/* -- against jansson: what it says of a frame, judged by PROTOCOL -- */

static bool oracle_user(json_t *value)
{
    size_t bytes = json_string_length(value);
    const char *name = json_string_value(value);
    if (!json_is_string(value) || bytes < 1 || bytes > LIMIT_USER_BYTES)
        return false;
    for (size_t i = 0; i < bytes; i++)
        if (name[i] < 0x21 || name[i] > 0x7E || name[i] == '"' || name[i] == '\\')
            return false;
    return true;
}

static bool oracle_string(json_t *value, size_t min, size_t max)
{
    return json_is_string(value) && json_string_length(value) >= min && json_string_length(value) <= max
           && strlen(json_string_value(value)) == json_string_length(value);
}

static bool oracle_range(json_t *value, json_int_t min, json_int_t max)
{
    return value == NULL
           || (json_is_integer(value) && json_integer_value(value) >= min && json_integer_value(value) <= max);
}

static enum error_code judge(json_t *frame)
{
    const json_int_t top = (json_int_t)LIMIT_TS_MAX;
    json_t *id = json_object_get(frame, "id");
    json_t *op = json_object_get(frame, "op");
    if (id != NULL && !oracle_string(id, 0, LIMIT_ID_BYTES) && (!json_is_integer(id) || !oracle_range(id, -top, top)))
        return ERROR_BAD_REQUEST;
    if (!oracle_string(op, 0, 1000000))
        return ERROR_BAD_REQUEST;
    const char *name = json_string_value(op);
    if (strcmp(name, "ping") == 0)
        return ERROR_NONE;
    if (strcmp(name, "typing") == 0)
        return oracle_user(json_object_get(frame, "to")) ? ERROR_NONE : ERROR_BAD_REQUEST;
    if (strcmp(name, "login") == 0)
        return oracle_user(json_object_get(frame, "user")) && oracle_range(json_object_get(frame, "after"), 0, top)
                       && oracle_range(json_object_get(frame, "max"), 0, LIMIT_REPLAY_MAX)
                       && (json_object_get(frame, "epoch") == NULL
                           || oracle_string(json_object_get(frame, "epoch"), 0, 1000000))
                   ? ERROR_NONE
                   : ERROR_BAD_REQUEST;
    if (strcmp(name, "history") == 0)
        return oracle_range(json_object_get(frame, "after"), 0, top)
                       && oracle_range(json_object_get(frame, "before"), 0, top)
                       && oracle_range(json_object_get(frame, "limit"), 1, 1000)
                       && (json_object_get(frame, "with") == NULL || oracle_user(json_object_get(frame, "with")))
                   ? ERROR_NONE
                   : ERROR_BAD_REQUEST;
    if (strcmp(name, "peers") == 0)
        return oracle_range(json_object_get(frame, "before"), 0, top)
                       && oracle_range(json_object_get(frame, "limit"), 1, 1000)
                   ? ERROR_NONE
                   : ERROR_BAD_REQUEST;
    if (strcmp(name, "seen") == 0)
        return oracle_user(json_object_get(frame, "with")) && json_object_get(frame, "ts") != NULL
                       && oracle_range(json_object_get(frame, "ts"), 0, top)
                   ? ERROR_NONE
                   : ERROR_BAD_REQUEST;
    if (strcmp(name, "send") != 0)
        return ERROR_UNKNOWN_OP;
    json_t *text = json_object_get(frame, "text");
    json_t *key = json_object_get(frame, "key");
    if (!oracle_user(json_object_get(frame, "to")))
        return ERROR_BAD_REQUEST;
    if (json_is_string(text) && json_string_length(text) > LIMIT_TEXT_BYTES)
        return ERROR_TOO_LARGE;
    return oracle_string(text, 1, LIMIT_TEXT_BYTES) && (key == NULL || oracle_string(key, 1, LIMIT_KEY_BYTES))
               ? ERROR_NONE
               : ERROR_BAD_REQUEST;
}

static void put_request(struct random_text *text)
{
    static const char *const ops[] = {"\"login\"", "\"send\"", "\"history\"", "\"ping\"", "\"typing\"",
                                      "\"peers\"", "\"seen\"", "\"other\"",   "7",        "null"};
    static const char *const fields[] = {"id",    "user", "to",    "text", "key", "after", "before",
                                         "limit", "with", "epoch", "max",  "ts",  "x"};
    static const char *const values[] = {
        "1",       "\"alice\"",   "\"b\\u006fb\"",    "0",   "1000",        "1763900000000000", "\"\"", "-1", "null",
        "\"a b\"", "\"\\u0000\"", "9007199254740992", "2.0", "\"\xC3\xA9\""};
    random_put_text(text, "{\"op\":");
    random_put_text(text, RANDOM_PICK(text, ops));
    for (uint32_t i = 0, from = random_below(text, 13); i < random_below(text, 9); i++) {
        random_put_text(text, ",\"");
        random_put_text(text, fields[(from + i) % 13]);
        random_put_text(text, "\":");
        if (random_below(text, 6) == 0)
            random_put_value(text, 14);
        else
            random_put_text(text, RANDOM_PICK(text, values));
    }
    random_put_text(text, "}");
}

Test(request, random_requests_are_judged_as_jansson_and_the_protocol_judge_them)
{
    struct random_text *text = calloc(1, sizeof *text);
    uint32_t counts[ERROR_UNAVAILABLE + 1] = {0};
    text->state = 4;
    for (uint32_t i = 0; i < 60000; i++) {
        json_t *frame = NULL;
        text->bytes = 0;
        put_request(text);
        if (random_below(text, 3) == 0)
            random_mutate(text);
        enum oracle oracle = oracle_read(text->data, text->bytes, &frame);
        bool is_good = read_frame(text->data, text->bytes, false);
        if (oracle == ORACLE_CANNOT_SAY)
            continue;
        enum error_code wanted = oracle == ORACLE_REFUSES ? ERROR_BAD_JSON : judge(frame);
        cr_assert_eq(is_good ? ERROR_NONE : error.code, wanted, "%.*s: %s", (int)text->bytes, text->data,
                     error.message);
        counts[wanted]++;
        json_decref(frame);
    }
    cr_assert(counts[ERROR_NONE] > 3000 && counts[ERROR_BAD_JSON] > 3000 && counts[ERROR_BAD_REQUEST] > 3000
              && counts[ERROR_UNKNOWN_OP] > 300);
    free(text);
}

static bool read_post(const char *text, struct request_post *post_r)
{
    static char data[1024];
    static struct request_reader *of_posts;
    if (of_posts == NULL)
        cr_assert_eq(request_reader_open(&of_posts), 0);
    strcpy(data, text);
    return request_read_post(of_posts, data, strlen(text), post_r, &error);
}

Test(request, a_message_of_a_program_has_from_and_what_a_send_has)
{
    struct request_post post;
    cr_assert(read_post("{\"from\":\"a\",\"to\":\"b\",\"text\":\"t\",\"key\":\"k\",\"op\":7}", &post));
    cr_assert(span_equal(post.from, SPAN_LITERAL("a")) && span_equal(post.send.to, SPAN_LITERAL("b")));
    cr_assert(span_equal(post.send.text, SPAN_LITERAL("t")) && span_equal(post.send.key, SPAN_LITERAL("k")));
    cr_assert(read_post("{\"from\":\"a\",\"to\":\"b\",\"text\":\"t\"}", &post));
    cr_assert_eq(post.send.key.bytes, 0);
    static const char *const bad[] = {"{\"to\":\"b\",\"text\":\"t\"}", "{\"from\":\"a b\",\"to\":\"b\",\"text\":\"t\"}",
                                      "{\"from\":7,\"to\":\"b\",\"text\":\"t\"}", "{\"from\":\"a\",\"text\":\"t\"}",
                                      "{\"from\":\"a\",\"to\":\"b\",\"text\":\"\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_not(read_post(bad[i], &post));
        cr_assert_eq(error.code, ERROR_BAD_REQUEST, "%s", bad[i]);
    }
    cr_assert_not(read_post("{\"from\":\"a\"", &post));
    cr_assert_eq(error.code, ERROR_BAD_JSON);
}

static uint32_t users_of(const char *text)
{
    struct span left, user;
    uint32_t count = 0;
    expect_good(text);
    left = request.watch.users;
    while (request_next_user(&left, &user)) {
        cr_assert(request_is_user_name(user));
        count++;
    }
    cr_assert_eq(count, request.watch.count);
    return count;
}

Test(request, a_watch_has_a_list_of_users)
{
    struct span left, user;
    cr_assert_eq(users_of("{\"op\":\"watch\",\"users\":[]}"), 0);
    cr_assert_eq(users_of("{\"op\":\"watch\",\"users\":[ \"a\" , \"b\",\"a\"]}"), 3);
    expect_good("{\"op\":\"watch\",\"users\":[\"b\\u006fb\",\"x\\/\"]}");
    left = request.watch.users;
    cr_assert(request_next_user(&left, &user) && is(user, "bob"));
    cr_assert(request_next_user(&left, &user) && is(user, "x/"));
    cr_assert_not(request_next_user(&left, &user));
    static const char *const bad[] = {"null",
                                      "\"a\"",
                                      "{}",
                                      "[1]",
                                      "[\"a\",null]",
                                      "[[\"a\"]]",
                                      "[\"a\",[\"b\"]]",
                                      "[\"\"]",
                                      "[\"a b\"]",
                                      "[\"a\\\",\\\"b\"]",
                                      "[\"a\\u0000\"]",
                                      "[{}]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"op\":\"watch\",\"users\":%s}", bad[i]);
        expect_error(text, ERROR_BAD_REQUEST, "users");
    }
    expect_error("{\"op\":\"watch\"}", ERROR_BAD_REQUEST, "users");
    char many[8192] = "{\"op\":\"watch\",\"users\":[\"u\"";
    for (uint32_t i = 1; i < LIMIT_WATCH_USERS; i++)
        strcat(many, ",\"u\"");
    char more[8300];
    snprintf(more, sizeof more, "%s,\"u\"]}", many);
    expect_error(more, ERROR_BAD_REQUEST, "1000");
    strcat(many, "]}");
    cr_assert_eq(users_of(many), LIMIT_WATCH_USERS);
}
