/* Every reply is read back: the frame's header by hand, its JSON by jansson. */
#include "protocol/reply.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>

#include "protocol/ws.h"

static const uint8_t mid[LIMIT_MID_BYTES] = {0, 16, 131, 16, 81, 135, 32, 146, 139, 48, 211, 143, 65, 20, 147};
#define MID_TEXT "ABCDEFGHIJKLMNOPQRST"

static const struct request_id seven = {.kind = REQUEST_ID_INTEGER, .integer = 7};

/* The payload of the one whole, unmasked text frame in `bytes` at `data`. The caller owns it. */
static json_t *read_back(const char *data, size_t bytes)
{
    const uint8_t *at = (const uint8_t *)data;
    json_error_t error;
    cr_assert_eq(at[0], 0x81);
    size_t payload = at[1], header = 2;
    if (at[1] >= 126) {
        header = at[1] == 126 ? 4 : 10;
        payload = 0;
        for (size_t i = 2; i < header; i++)
            payload = payload << 8 | at[i];
        cr_assert_geq(payload, header == 4 ? 126 : 65536, "lengths take their shortest form");
    }
    cr_assert_eq(header + payload, bytes);
    json_t *value = json_loadb(data + header, payload, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    cr_assert_not_null(value, "%s in %.*s", error.text, (int)payload, data + header);
    return value;
}

/* `wanted` in JSON with ' for ". */
static void expect(const char *data, size_t bytes, const char *wanted)
{
    char text[2048];
    json_error_t error;
    snprintf(text, sizeof text, "%s", wanted);
    for (char *at = text; *at != '\0'; at++)
        *at = *at == '\'' ? '"' : *at;
    json_t *value = read_back(data, bytes), *other = json_loads(text, 0, &error);
    cr_assert_not_null(other, "%s", error.text);
    cr_assert(json_equal(value, other), "%.*s instead of %s", (int)bytes, data, text);
    json_decref(value);
    json_decref(other);
}

Test(reply, each_kind_has_its_fields)
{
    char out[REPLY_BYTES_MAX];
    struct request_id none = {.kind = REQUEST_ID_NONE};
    expect(out, reply_write_ok(out, &seven), "{'op':'ok','id':7}");
    expect(out, reply_write_ok(out, &none), "{'op':'ok'}");
    expect(out, reply_write_live(out), "{'op':'live'}");
    expect(out, reply_write_presence(out, SPAN_LITERAL("bob"), true), "{'op':'presence','user':'bob','online':true}");
    expect(out, reply_write_presence(out, SPAN_LITERAL("bob"), false), "{'op':'presence','user':'bob','online':false}");
    struct span online[] = {SPAN_LITERAL("bob"), SPAN_LITERAL("carol")};
    expect(out, reply_write_watch(out, &seven, online, 2), "{'op':'ok','id':7,'online':['bob','carol']}");
    expect(out, reply_write_watch(out, &seven, NULL, 0), "{'op':'ok','id':7,'online':[]}");
    expect(out, reply_write_typing(out, SPAN_LITERAL("bob")), "{'op':'typing','from':'bob'}");
    expect(out, reply_write_seen(out, SPAN_LITERAL("bob"), 9), "{'op':'seen','with':'bob','ts':9}");
    expect(out, reply_write_seen_by(out, SPAN_LITERAL("alice"), 8, mid),
           "{'op':'seen_by','user':'alice','ts':8,'mid':'" MID_TEXT "'}");
    expect(out, reply_write_sent(out, &seven, 1763900000200001, 0, mid),
           "{'op':'ok','id':7,'ts':1763900000200001,'prev':0,'mid':'" MID_TEXT "'}");
    expect(out, reply_write_dup(out, &seven, 5, mid), "{'op':'ok','id':7,'ts':5,'mid':'" MID_TEXT "','dup':true}");
    expect(out, reply_write_error(out, &seven, ERROR_BUSY, "wait", 100),
           "{'op':'error','id':7,'code':'busy','message':'wait','retry_after':100}");
    expect(out, reply_write_error(out, &none, ERROR_BAD_JSON, "why", 0),
           "{'op':'error','code':'bad_json','message':'why'}");
    struct reply_login login = {.user = SPAN_LITERAL("alice"),
                                .epoch = SPAN_LITERAL("9f1c"),
                                .last = 12,
                                .first = 3,
                                .ping_s = 25,
                                .auth = SPAN_LITERAL("none")};
    expect(out, reply_write_login(out, &seven, &login),
           "{'op':'ok','id':7,'user':'alice','last':12,'first':3,'epoch':'9f1c','ping':25,'auth':'none','limits':{'"
           "text':16384,'"
           "frame':131072},"
           "'server':'chitchat/" CHITCHAT_VERSION "'}");
    login.reset = true;
    json_t *value = read_back(out, reply_write_login(out, &seven, &login));
    cr_assert(json_is_true(json_object_get(value, "reset")));
    json_decref(value);
    login.skipped_until = LIMIT_TS_MAX;
    value = read_back(out, reply_write_login(out, &seven, &login));
    cr_assert_eq(json_integer_value(json_object_get(value, "skipped_until")), (json_int_t)LIMIT_TS_MAX);
    json_decref(value);
}

Test(reply, every_error_has_the_word_of_the_protocol)
{
    static const char *const words[] = {"bad_json",          "bad_request", "unknown_op", "not_logged_in",
                                        "already_logged_in", "bad_token",   "too_large",  "key_conflict",
                                        "rate_limited",      "busy",        "unavailable"};
    for (int code = ERROR_BAD_JSON; code <= ERROR_UNAVAILABLE; code++)
        cr_assert(span_equal(error_code_name((enum error_code)code), span_of(words[code - 1])));
}

Test(reply, ids_come_back_as_they_were)
{
    char out[REPLY_BYTES_MAX];
    static const int64_t integers[] = {0, -1, 9007199254740991, -9007199254740991};
    for (int i = 0; i < 4; i++) {
        struct request_id id = {.kind = REQUEST_ID_INTEGER, .integer = integers[i]};
        json_t *value = read_back(out, reply_write_ok(out, &id));
        cr_assert_eq(json_integer_value(json_object_get(value, "id")), integers[i]);
        json_decref(value);
    }
    struct request_id text = {.kind = REQUEST_ID_STRING, .bytes = LIMIT_ID_BYTES};
    for (int i = 0; i < (int)LIMIT_ID_BYTES; i++)
        text.string[i] = (char)(i + 1); /* control characters, quotes, backslashes none */
    text.string[40] = '"';
    text.string[41] = '\\';
    json_t *value = read_back(out, reply_write_error(out, &text, ERROR_BUSY, "x", 1));
    cr_assert_eq(json_string_length(json_object_get(value, "id")), LIMIT_ID_BYTES);
    cr_assert_arr_eq(json_string_value(json_object_get(value, "id")), text.string, LIMIT_ID_BYTES);
    json_decref(value);
}

Test(reply, a_long_message_of_an_error_is_cut_and_stays_json)
{
    char out[REPLY_BYTES_MAX], message[4000];
    for (size_t i = 0; i < sizeof message - 1; i++)
        message[i] = i % 3 == 0 ? '"' : i % 3 == 1 ? '\x01' : 'x';
    message[sizeof message - 1] = '\0';
    struct request_id id = {.kind = REQUEST_ID_STRING, .bytes = LIMIT_ID_BYTES};
    memset(id.string, 1, sizeof id.string);
    size_t bytes = reply_write_error(out, &id, ERROR_UNAVAILABLE, message, UINT32_MAX);
    cr_assert_leq(bytes, sizeof out);
    json_t *value = read_back(out, bytes);
    cr_assert_gt(json_string_length(json_object_get(value, "message")), 50);
    json_decref(value);
}

/* A text of `bytes` in which every kind of character stands. */
static char *make_text(size_t bytes)
{
    static const char *const pieces[] = {"plain ", "\"", "\\",   "\x01",     "\x1F",         "\n",
                                         "\t",     "/",  "\x7F", "\xC3\xA9", "\xE2\x80\xA8", "\xF0\x9F\x98\x80"};
    char *text = malloc(bytes + 8);
    size_t at = 0;
    for (uint32_t i = 0; at + 6 < bytes; i++) {
        const char *piece = pieces[(i * 7 + i / 5) % 12];
        memcpy(text + at, piece, strlen(piece));
        at += strlen(piece);
    }
    memset(text + at, 'z', bytes - at);
    return text;
}

static struct message message_of(struct span text, struct span key)
{
    return (struct message){.ts = 1763900000200777,
                            .other_ts = 3,
                            .role = ROLE_SENT,
                            .mid = mid,
                            .from = SPAN_LITERAL("alice"),
                            .to = SPAN_LITERAL("b~[!]"),
                            .key = key,
                            .text = text};
}

Test(reply, a_mid_may_have_each_letter_at_each_place)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (unsigned first = 0; first < 64; first++) {
        uint8_t bytes[LIMIT_MID_BYTES] = {0};
        char wanted[LIMIT_MID_CHARS + 1] = "", text[LIMIT_MID_CHARS + 1] = "";
        for (unsigned i = 0; i < LIMIT_MID_CHARS; i++) {
            unsigned sextet = (first + 5 * i) % 64;
            wanted[i] = letters[sextet];
            for (unsigned bit = 0; bit < 6; bit++)
                bytes[(6 * i + bit) / 8] |= (uint8_t)((sextet >> (5 - bit) & 1) << (7 - (6 * i + bit) % 8));
        }
        reply_write_mid(text, bytes);
        cr_assert_str_eq(text, wanted);
    }
}

Test(reply, a_msg_of_any_length_is_read_back_as_it_was)
{
    for (size_t bytes = 1; bytes <= LIMIT_TEXT_BYTES; bytes = bytes < 200     ? bytes + 1
                                                              : bytes < 16000 ? bytes * 2 - 13
                                                                              : bytes + 97) {
        char *text = make_text(bytes);
        char *out = malloc(LIMIT_MSG_BYTES(bytes));
        struct message message = message_of((struct span){text, bytes}, SPAN_LITERAL("k\"\x02"));
        json_t *value = read_back(out, reply_write_msg(out, &message, 99));
        cr_assert_str_eq(json_string_value(json_object_get(value, "op")), "msg");
        cr_assert_eq(json_integer_value(json_object_get(value, "ts")), 1763900000200777);
        cr_assert_eq(json_integer_value(json_object_get(value, "prev")), 99);
        cr_assert_str_eq(json_string_value(json_object_get(value, "mid")), MID_TEXT);
        cr_assert_str_eq(json_string_value(json_object_get(value, "from")), "alice");
        cr_assert_str_eq(json_string_value(json_object_get(value, "to")), "b~[!]");
        cr_assert_str_eq(json_string_value(json_object_get(value, "key")), "k\"\x02");
        cr_assert_eq(json_string_length(json_object_get(value, "text")), bytes);
        cr_assert_arr_eq(json_string_value(json_object_get(value, "text")), text, bytes);
        json_decref(value);
        free(out);
        free(text);
    }
}

Test(reply, the_worst_msg_has_room)
{
    char *text = malloc(LIMIT_TEXT_BYTES), *out = malloc(LIMIT_MSG_BYTES(LIMIT_TEXT_BYTES));
    char name[LIMIT_USER_BYTES], key[LIMIT_KEY_BYTES];
    memset(text, 1, LIMIT_TEXT_BYTES);
    memset(name, 'n', sizeof name);
    memset(key, 1, sizeof key);
    struct message message = message_of((struct span){text, LIMIT_TEXT_BYTES}, (struct span){key, sizeof key});
    message.from = message.to = (struct span){name, sizeof name};
    message.ts = LIMIT_TS_MAX;
    size_t bytes = reply_write_msg(out, &message, LIMIT_TS_MAX);
    cr_assert_leq(bytes, LIMIT_MSG_BYTES(LIMIT_TEXT_BYTES));
    json_decref(read_back(out, bytes));
    free(text);
    free(out);
}

Test(reply, a_msg_without_a_key_has_no_such_field)
{
    char out[LIMIT_MSG_BYTES(1)];
    struct message message = message_of(SPAN_LITERAL("x"), SPAN_LITERAL(""));
    json_t *value = read_back(out, reply_write_msg(out, &message, 0));
    cr_assert_null(json_object_get(value, "key"));
    json_decref(value);
}

static json_t *read_page(struct reply_page *page, bool more, uint64_t next, size_t *bytes_r)
{
    char *frame = reply_page_end(page, more, next, bytes_r);
    cr_assert_geq(frame, page->out);
    cr_assert_leq(frame + *bytes_r, page->out + REPLY_PAGE_BYTES_MAX);
    return read_back(frame, *bytes_r);
}

Test(reply, pages_empty_and_small)
{
    char *out = malloc(REPLY_PAGE_BYTES_MAX);
    struct reply_page page;
    size_t bytes;
    reply_page_begin(&page, out, &seven);
    char *frame = reply_page_end(&page, false, 0, &bytes);
    expect(frame, bytes, "{'op':'history','id':7,'messages':[],'more':false}");
    reply_page_begin(&page, out, &seven);
    struct message message = message_of(SPAN_LITERAL("hi"), SPAN_LITERAL(""));
    cr_assert(reply_page_add(&page, &message));
    message.key = SPAN_LITERAL("k");
    cr_assert(reply_page_add(&page, &message));
    cr_assert_eq(page.count, 2);
    frame = reply_page_end(&page, true, 17, &bytes);
    expect(frame, bytes,
           "{'op':'history','id':7,'messages':[{'ts':1763900000200777,'mid':'" MID_TEXT
           "','from':'alice','to':'b~[!]','text':'hi'},"
           "{'ts':1763900000200777,'mid':'" MID_TEXT
           "','from':'alice','to':'b~[!]','key':'k','text':'hi'}],'more':true,'next':17}");
    free(out);
}

Test(reply, a_page_of_peers_has_their_fields_and_ends_at_256_kib)
{
    struct reply_page page;
    size_t bytes;
    char *out = malloc(REPLY_PAGE_BYTES_MAX);
    struct span small = SPAN_LITERAL("hi");
    struct message message = message_of(small, SPAN_LITERAL(""));
    struct reply_peer peer = {.user = SPAN_LITERAL("bob"), .last = &message, .unseen = 3, .seen = 7, .seen_by = 6};
    reply_page_begin_peers(&page, out, &seven);
    cr_assert(reply_page_add_peer(&page, &peer) && reply_page_add_peer(&page, &peer));
    json_t *value = read_page(&page, true, 5, &bytes), *peers = json_object_get(value, "peers");
    cr_assert_str_eq(json_string_value(json_object_get(value, "op")), "peers");
    cr_assert_eq(json_integer_value(json_object_get(value, "id")), 7);
    cr_assert_eq(json_integer_value(json_object_get(value, "next")), 5);
    cr_assert_eq(json_array_size(peers), 2);
    json_t *second = json_array_get(peers, 1);
    cr_assert_str_eq(json_string_value(json_object_get(second, "user")), "bob");
    cr_assert_str_eq(json_string_value(json_object_get(json_object_get(second, "last"), "text")), "hi");
    cr_assert_eq(json_integer_value(json_object_get(second, "unseen")), 3);
    cr_assert_eq(json_integer_value(json_object_get(second, "seen")), 7);
    cr_assert_eq(json_integer_value(json_object_get(second, "seen_by")), 6);
    json_decref(value);

    char *text = malloc(LIMIT_TEXT_BYTES);
    memset(text, 1, LIMIT_TEXT_BYTES); /* each byte is escaped as six */
    message.text = (struct span){text, LIMIT_TEXT_BYTES};
    reply_page_begin_peers(&page, out, &seven);
    cr_assert(reply_page_add_peer(&page, &peer) && reply_page_add_peer(&page, &peer));
    cr_assert_not(reply_page_add_peer(&page, &peer), "a third one is beyond 256 KiB");
    value = read_page(&page, false, 0, &bytes);
    cr_assert_leq(bytes, LIMIT_PAGE_BYTES);
    cr_assert_eq(json_array_size(json_object_get(value, "peers")), 2);
    json_decref(value);
    free(text);
    free(out);
}

Test(reply, a_page_takes_what_fits_into_256_kib_and_says_no_to_the_next)
{
    char *out = malloc(REPLY_PAGE_BYTES_MAX);
    for (size_t length = 1; length <= LIMIT_TEXT_BYTES; length = length * 3 + 1) {
        struct reply_page page;
        size_t bytes;
        char *text = make_text(length);
        struct message message = message_of((struct span){text, length}, SPAN_LITERAL(""));
        uint32_t taken = 0;
        reply_page_begin(&page, out, &seven);
        while (taken < 5000 && reply_page_add(&page, &message))
            taken++;
        size_t one = reply_page_message_bytes(&message) + 1;
        json_t *value = read_page(&page, true, LIMIT_TS_MAX, &bytes);
        cr_assert_leq(bytes, LIMIT_PAGE_BYTES);
        if (taken < 5000)
            cr_assert_gt(bytes + one + 64, LIMIT_PAGE_BYTES, "it was full");
        cr_assert_eq(json_array_size(json_object_get(value, "messages")), taken);
        cr_assert_eq(json_integer_value(json_object_get(value, "next")), (json_int_t)LIMIT_TS_MAX);
        json_decref(value);
        free(text);
    }
    free(out);
}

Test(reply, the_bytes_of_a_message_in_a_page_are_told_exactly)
{
    char *out = malloc(REPLY_PAGE_BYTES_MAX);
    for (size_t length = 1; length < 600; length++) {
        struct reply_page page;
        char *text = make_text(length);
        struct message message =
            message_of((struct span){text, length}, length % 2 == 0 ? SPAN_LITERAL("\x01k") : SPAN_LITERAL(""));
        reply_page_begin(&page, out, &seven);
        size_t before = page.used;
        cr_assert(reply_page_add(&page, &message));
        cr_assert_eq(page.used - before, reply_page_message_bytes(&message));
        free(text);
    }
    free(out);
}
