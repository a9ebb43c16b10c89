#include "protocol/reply.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "protocol/json_put.h"
#include "protocol/ws.h"

/* In the frame, escapes counted. */
#define ERROR_MESSAGE_BYTES_MAX 512u

/* The parts of the longest reply: header, field names, id, user, epoch, numbers, and the message of an error. */
_Static_assert(WS_HEADER_BYTES_MAX + 256 + LIMIT_ESCAPED_BYTES(LIMIT_ID_BYTES) + LIMIT_USER_BYTES + LIMIT_EPOCH_CHARS
                       + 6 * JSON_UNSIGNED_BYTES_MAX + ERROR_MESSAGE_BYTES_MAX
                   <= REPLY_BYTES_MAX,
               "any reply has room");

/* -- frames -- */

/* Most frames have a header of 4 bytes: the payload is written after that room, and moved if the header differs. */
#define HEADER_BYTES_USUAL 4u

static char *payload_of(char *out)
{
    return out + HEADER_BYTES_USUAL;
}

/* Puts the header before the payload, which ends at `end`; returns the bytes of the frame. */
static size_t frame_end(char *out, const char *end)
{
    uint8_t header[WS_HEADER_BYTES_MAX];
    ASSERT(end > payload_of(out));
    size_t payload_bytes = (size_t)(end - payload_of(out));
    uint32_t header_bytes = ws_header_write(header, WS_TEXT, payload_bytes);
    if (header_bytes != HEADER_BYTES_USUAL)
        memmove(out + header_bytes, payload_of(out), payload_bytes);
    memcpy(out, header, header_bytes);
    return header_bytes + payload_bytes;
}

/* -- fields -- */

static char *put_id(char *at, const struct request_id *id)
{
    switch (id->kind) {
    case REQUEST_ID_INTEGER:
        at = JSON_PUT(at, ",\"id\":");
        if (id->integer < 0)
            *at++ = '-';
        return json_put_unsigned(at, (uint64_t)(id->integer < 0 ? -id->integer : id->integer));
    case REQUEST_ID_STRING:
        ASSERT(id->bytes <= LIMIT_ID_BYTES);
        at = JSON_PUT(at, ",\"id\":\"");
        at = json_put_escaped(at, (struct span){id->string, id->bytes});
        return JSON_PUT(at, "\"");
    default: ASSERT(id->kind == REQUEST_ID_NONE); return at;
    }
}

static char *put_ok(char *at, const struct request_id *id)
{
    at = JSON_PUT(at, "{\"op\":\"ok\"");
    return put_id(at, id);
}

static char *put_mid(char *at, const uint8_t *mid)
{
    at = JSON_PUT(at, ",\"mid\":\"");
    reply_write_mid(at, mid);
    return JSON_PUT(at + LIMIT_MID_CHARS, "\"");
}

/* User names have no character to escape (PROTOCOL.md). */
static char *put_users(char *at, const struct message *message)
{
    ASSERT(message->from.bytes <= LIMIT_USER_BYTES);
    ASSERT(message->to.bytes <= LIMIT_USER_BYTES);
    at = JSON_PUT(at, ",\"from\":\"");
    at = json_put_span(at, message->from);
    at = JSON_PUT(at, "\",\"to\":\"");
    at = json_put_span(at, message->to);
    return JSON_PUT(at, "\"");
}

static char *put_body(char *at, const struct message *message)
{
    ASSERT(message->key.bytes <= LIMIT_KEY_BYTES);
    ASSERT(message->text.bytes <= LIMIT_TEXT_BYTES);
    if (message->key.bytes > 0) {
        at = JSON_PUT(at, ",\"key\":\"");
        at = json_put_escaped(at, message->key);
        at = JSON_PUT(at, "\"");
    }
    at = JSON_PUT(at, ",\"text\":\"");
    at = json_put_escaped(at, message->text);
    return JSON_PUT(at, "\"}");
}

/* -- mids: base64url (RFC 4648, 5), all letters at once -- */

typedef int8_t letters __attribute__((vector_size(16)));

/* From 48 bits to eight bytes of six bits, in the order of memory. */
static uint64_t sextets_of(uint64_t bits)
{
    bits = (bits & UINT64_C(0xffffff000000)) << 8 | (bits & UINT64_C(0xffffff));
    bits = (bits & UINT64_C(0x00fff00000fff000)) << 4 | (bits & UINT64_C(0x00000fff00000fff));
    bits = (bits & UINT64_C(0x0fc00fc00fc00fc0)) << 2 | (bits & UINT64_C(0x003f003f003f003f));
    return htobe64(bits);
}

/* A to Z are 0 to 25, a to z 26 to 51, 0 to 9 52 to 61, - is 62, _ is 63: each range is a step from the one before. */
static letters letters_of(uint64_t first, uint64_t second)
{
    letters sextets = (letters)(uint64_t __attribute__((vector_size(16)))){first, second};
    return sextets + 'A' + ((sextets > 25) & ('a' - 26 - 'A')) - ((sextets > 51) & ('a' - 26 - ('0' - 52)))
           - ((sextets > 61) & ('0' - 52 - ('-' - 62))) + ((sextets > 62) & ('_' - 63 - ('-' - 62)));
}

void reply_write_mid(char out[LIMIT_MID_CHARS], const uint8_t mid[LIMIT_MID_BYTES])
{
    _Static_assert(LIMIT_MID_BYTES == 15 && LIMIT_MID_CHARS == 20, "twice six bytes and three");
    letters front = letters_of(sextets_of(bytes_load_be64(mid) >> 16), sextets_of(bytes_load_be64(mid + 6) >> 16));
    letters back = letters_of(sextets_of(bytes_load_be64(mid + 7) << 24 & UINT64_C(0xffffff000000)), 0);
    memcpy(out, &front, 16);
    memcpy(out + 16, &back, 4);
}

/* -- replies -- */

size_t reply_write_login(char *out, const struct request_id *id, const struct reply_login *login)
{
    ASSERT(login->user.bytes <= LIMIT_USER_BYTES);
    ASSERT(login->epoch.bytes <= LIMIT_EPOCH_CHARS);
    char *at = put_ok(payload_of(out), id);
    at = JSON_PUT(at, ",\"user\":\"");
    at = json_put_span(at, login->user);
    at = JSON_PUT(at, "\",\"last\":");
    at = json_put_unsigned(at, login->last);
    at = JSON_PUT(at, ",\"first\":");
    at = json_put_unsigned(at, login->first);
    at = JSON_PUT(at, ",\"epoch\":\"");
    at = json_put_span(at, login->epoch);
    at = JSON_PUT(at, "\",\"ping\":");
    at = json_put_unsigned(at, login->ping_s);
    at = JSON_PUT(at, ",\"auth\":\"");
    at = json_put_span(at, login->auth);
    at = JSON_PUT(at, "\",\"limits\":{\"text\":");
    at = json_put_unsigned(at, LIMIT_TEXT_BYTES);
    at = JSON_PUT(at, ",\"frame\":");
    at = json_put_unsigned(at, LIMIT_FRAME_BYTES);
    at = JSON_PUT(at, "},\"server\":\"chitchat/" CHITCHAT_VERSION "\"");
    if (login->reset)
        at = JSON_PUT(at, ",\"reset\":true");
    if (login->skipped_until != 0) {
        at = JSON_PUT(at, ",\"skipped_until\":");
        at = json_put_unsigned(at, login->skipped_until);
    }
    at = JSON_PUT(at, "}");
    return frame_end(out, at);
}

size_t reply_write_sent(char *out, const struct request_id *id, uint64_t ts, uint64_t prev, const uint8_t *mid)
{
    char *at = put_ok(payload_of(out), id);
    at = JSON_PUT(at, ",\"ts\":");
    at = json_put_unsigned(at, ts);
    at = JSON_PUT(at, ",\"prev\":");
    at = json_put_unsigned(at, prev);
    at = put_mid(at, mid);
    at = JSON_PUT(at, "}");
    return frame_end(out, at);
}

size_t reply_write_dup(char *out, const struct request_id *id, uint64_t ts, const uint8_t *mid)
{
    char *at = put_ok(payload_of(out), id);
    at = JSON_PUT(at, ",\"ts\":");
    at = json_put_unsigned(at, ts);
    at = put_mid(at, mid);
    at = JSON_PUT(at, ",\"dup\":true}");
    return frame_end(out, at);
}

size_t reply_write_ok(char *out, const struct request_id *id)
{
    char *at = put_ok(payload_of(out), id);
    at = JSON_PUT(at, "}");
    return frame_end(out, at);
}

size_t reply_write_typing(char *out, struct span from)
{
    ASSERT(from.bytes <= LIMIT_USER_BYTES);
    char *at = JSON_PUT(payload_of(out), "{\"op\":\"typing\",\"from\":\"");
    at = json_put_span(at, from);
    at = JSON_PUT(at, "\"}");
    return frame_end(out, at);
}

size_t reply_write_presence(char *out, struct span user, bool is_online)
{
    ASSERT(user.bytes <= LIMIT_USER_BYTES);
    char *at = JSON_PUT(payload_of(out), "{\"op\":\"presence\",\"user\":\"");
    at = json_put_span(at, user);
    at = is_online ? JSON_PUT(at, "\",\"online\":true}") : JSON_PUT(at, "\",\"online\":false}");
    return frame_end(out, at);
}

size_t reply_write_watch(char *out, const struct request_id *id, const struct span *online, uint32_t count)
{
    char *at = put_ok(payload_of(out), id);
    at = JSON_PUT(at, ",\"online\":[");
    for (uint32_t i = 0; i < count; i++) {
        at = i == 0 ? JSON_PUT(at, "\"") : JSON_PUT(at, ",\"");
        at = json_put_span(at, online[i]);
        at = JSON_PUT(at, "\"");
    }
    at = JSON_PUT(at, "]}");
    return frame_end(out, at);
}

size_t reply_write_live(char *out)
{
    return frame_end(out, JSON_PUT(payload_of(out), "{\"op\":\"live\"}"));
}

size_t reply_write_error(char *out, const struct request_id *id, enum error_code code, const char *message,
                         uint32_t retry_after_ms)
{
    ASSERT(code != ERROR_NONE);
    char *at = JSON_PUT(payload_of(out), "{\"op\":\"error\"");
    at = put_id(at, id);
    at = JSON_PUT(at, ",\"code\":\"");
    at = json_put_span(at, error_code_name(code));
    at = JSON_PUT(at, "\",\"message\":\"");
    at = json_put_escaped(at, json_cut(span_of(message), ERROR_MESSAGE_BYTES_MAX));
    at = JSON_PUT(at, "\"");
    if (retry_after_ms > 0) {
        at = JSON_PUT(at, ",\"retry_after\":");
        at = json_put_unsigned(at, retry_after_ms);
    }
    at = JSON_PUT(at, "}");
    return frame_end(out, at);
}

size_t reply_write_msg(char *out, const struct message *message, uint64_t prev)
{
    char *at = JSON_PUT(payload_of(out), "{\"op\":\"msg\",\"ts\":");
    at = json_put_unsigned(at, message->ts);
    at = JSON_PUT(at, ",\"prev\":");
    at = json_put_unsigned(at, prev);
    at = put_mid(at, message->mid);
    at = put_users(at, message);
    at = put_body(at, message);
    return frame_end(out, at);
}

size_t reply_write_seen(char *out, struct span with, uint64_t ts)
{
    ASSERT(with.bytes <= LIMIT_USER_BYTES);
    char *at = JSON_PUT(payload_of(out), "{\"op\":\"seen\",\"with\":\"");
    at = json_put_span(at, with);
    at = JSON_PUT(at, "\",\"ts\":");
    at = json_put_unsigned(at, ts);
    return frame_end(out, JSON_PUT(at, "}"));
}

size_t reply_write_seen_by(char *out, struct span user, uint64_t ts, const uint8_t *mid)
{
    ASSERT(user.bytes <= LIMIT_USER_BYTES);
    char *at = JSON_PUT(payload_of(out), "{\"op\":\"seen_by\",\"user\":\"");
    at = json_put_span(at, user);
    at = JSON_PUT(at, "\",\"ts\":");
    at = json_put_unsigned(at, ts);
    at = put_mid(at, mid);
    return frame_end(out, JSON_PUT(at, "}"));
}

/* -- a page of history, or of conversations -- */

/* The header goes right before the payload, so the payload never moves. */
static char *page_payload(const struct reply_page *page)
{
    return page->out + WS_HEADER_BYTES_MAX;
}

#define PAGE_CLOSING(more) "],\"more\":" more
#define PAGE_NEXT ",\"next\":"
#define PAGE_CLOSING_BYTES_MAX                                                                                         \
    (sizeof(PAGE_CLOSING("false")) + sizeof(PAGE_NEXT) + JSON_UNSIGNED_BYTES_MAX + sizeof("}"))
/* Header and payload together are within LIMIT_PAGE_BYTES. */
#define PAGE_PAYLOAD_BYTES_MAX (LIMIT_PAGE_BYTES - WS_HEADER_BYTES_MAX)
#define PAGE_MESSAGE_FIXED_BYTES                                                                                       \
    (sizeof("{\"ts\":,\"mid\":\"\",\"from\":\"\",\"to\":\"\",\"text\":\"\"}") - 1 + LIMIT_MID_CHARS)

/* `begin` is the literal up to the id, `list` that from there to the first item. */
static void page_begin(struct reply_page *page, char *out, struct span begin, const struct request_id *id,
                       struct span list)
{
    ASSERT(out != NULL);
    *page = (struct reply_page){.out = out};
    char *at = put_id(json_put_span(page_payload(page), begin), id);
    page->used = (size_t)(json_put_span(at, list) - page_payload(page));
}

void reply_page_begin(struct reply_page *page, char *out, const struct request_id *id)
{
    page_begin(page, out, SPAN_LITERAL("{\"op\":\"history\""), id, SPAN_LITERAL(",\"messages\":["));
}

void reply_page_begin_peers(struct reply_page *page, char *out, const struct request_id *id)
{
    page_begin(page, out, SPAN_LITERAL("{\"op\":\"peers\""), id, SPAN_LITERAL(",\"peers\":["));
}

void reply_page_begin_body(struct reply_page *page, char *out)
{
    ASSERT(out != NULL);
    *page = (struct reply_page){.out = out};
    char *at = JSON_PUT(page_payload(page), "{\"messages\":[");
    page->used = (size_t)(at - page_payload(page));
}

size_t reply_page_message_bytes(const struct message *message)
{
    size_t bytes = PAGE_MESSAGE_FIXED_BYTES + json_unsigned_bytes(message->ts) + message->from.bytes + message->to.bytes
                   + json_escaped_bytes(message->text);
    if (message->key.bytes > 0)
        bytes += sizeof(",\"key\":\"\"") - 1 + json_escaped_bytes(message->key);
    return bytes;
}

size_t reply_page_message_bytes_max(const struct message *message)
{
    return PAGE_MESSAGE_FIXED_BYTES + sizeof(",\"key\":\"\"") - 1 + JSON_UNSIGNED_BYTES_MAX + message->from.bytes
           + message->to.bytes + LIMIT_ESCAPED_BYTES(message->key.bytes + message->text.bytes);
}

static bool has_page_room(const struct reply_page *page, size_t message_bytes)
{
    return page->used + (page->count > 0) + message_bytes + PAGE_CLOSING_BYTES_MAX <= PAGE_PAYLOAD_BYTES_MAX;
}

static char *put_page_message(char *at, const struct message *message)
{
    at = JSON_PUT(at, "{\"ts\":");
    at = json_put_unsigned(at, message->ts);
    at = put_mid(at, message->mid);
    at = put_users(at, message);
    return put_body(at, message);
}

/* Where the next piece goes. */
static char *page_next(const struct reply_page *page)
{
    char *at = page_payload(page) + page->used;
    if (page->count > 0)
        *at++ = ',';
    return at;
}

static void page_added(struct reply_page *page, const char *end)
{
    page->used = (size_t)(end - page_payload(page));
    page->count++;
    ASSERT(page->used + PAGE_CLOSING_BYTES_MAX <= PAGE_PAYLOAD_BYTES_MAX);
}

bool reply_page_add(struct reply_page *page, const struct message *message)
{
    if (!has_page_room(page, reply_page_message_bytes_max(message))
        && !has_page_room(page, reply_page_message_bytes(message)))
        return false;
    page_added(page, put_page_message(page_next(page), message));
    return true;
}

/* Beside the message. */
#define PAGE_PEER_BYTES_MAX                                                                                            \
    (sizeof("{\"user\":\"\",\"last\":,\"unseen\":,\"seen\":,\"seen_by\":}") + LIMIT_USER_BYTES                         \
     + 3 * JSON_UNSIGNED_BYTES_MAX)
_Static_assert(LIMIT_MSG_BYTES(LIMIT_TEXT_BYTES) + PAGE_PEER_BYTES_MAX + 512 < LIMIT_PAGE_BYTES,
               "a page holds at least one conversation");

bool reply_page_add_peer(struct reply_page *page, const struct reply_peer *peer)
{
    ASSERT(peer->user.bytes <= LIMIT_USER_BYTES);
    if (!has_page_room(page, PAGE_PEER_BYTES_MAX + reply_page_message_bytes_max(peer->last))
        && !has_page_room(page, PAGE_PEER_BYTES_MAX + reply_page_message_bytes(peer->last)))
        return false;
    char *at = JSON_PUT(page_next(page), "{\"user\":\"");
    at = json_put_span(at, peer->user);
    at = JSON_PUT(at, "\",\"last\":");
    at = put_page_message(at, peer->last);
    at = JSON_PUT(at, ",\"unseen\":");
    at = json_put_unsigned(at, peer->unseen);
    at = JSON_PUT(at, ",\"seen\":");
    at = json_put_unsigned(at, peer->seen);
    at = JSON_PUT(at, ",\"seen_by\":");
    at = json_put_unsigned(at, peer->seen_by);
    page_added(page, JSON_PUT(at, "}"));
    return true;
}

char *reply_page_end_body(struct reply_page *page, bool more, uint64_t next, size_t *bytes_r)
{
    char *at = page_payload(page) + page->used;
    if (more) {
        at = JSON_PUT(at, PAGE_CLOSING("true") PAGE_NEXT);
        at = json_put_unsigned(at, next);
    } else {
        at = JSON_PUT(at, PAGE_CLOSING("false"));
    }
    at = JSON_PUT(at, "}");
    *bytes_r = (size_t)(at - page_payload(page));
    ASSERT(*bytes_r <= PAGE_PAYLOAD_BYTES_MAX);
    return page_payload(page);
}

char *reply_page_end(struct reply_page *page, bool more, uint64_t next, size_t *bytes_r)
{
    uint8_t header[WS_HEADER_BYTES_MAX];
    char *payload = reply_page_end_body(page, more, next, bytes_r);
    uint32_t header_bytes = ws_header_write(header, WS_TEXT, *bytes_r);
    memcpy(payload - header_bytes, header, header_bytes);
    *bytes_r += header_bytes;
    return payload - header_bytes;
}

size_t reply_write_line(char *out, const struct message *message)
{
    char *at = put_page_message(out, message);
    *at++ = '\n';
    return (size_t)(at - out);
}
