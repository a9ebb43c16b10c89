#include "storage/record.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

/* The offsets of a record's fields in the WAL. */
enum record_offset {
    RECORD_BYTES = 0,
    RECORD_TS_FROM = 4,
    RECORD_TS_TO = 12,
    RECORD_MID = 20,
    RECORD_FROM_BYTES = RECORD_MID + LIMIT_MID_BYTES,
    RECORD_TO_BYTES,
    RECORD_KEY_BYTES,
    RECORD_TEXT_BYTES,
    RECORD_BODY = RECORD_TEXT_BYTES + 2,
};
_Static_assert(RECORD_BODY + LIMIT_RECORD_BODY_BYTES <= LIMIT_RECORD_BYTES, "a record in the WAL keeps its limit");
_Static_assert(LIMIT_USER_BYTES <= UINT8_MAX && LIMIT_KEY_BYTES <= UINT8_MAX, "names and keys have a byte of length");
_Static_assert(LIMIT_TEXT_BYTES <= UINT16_MAX, "a text has two bytes of length");

/* The offsets of the fields of a row's value. */
enum row_offset {
    ROW_ROLE = 0,
    ROW_OTHER_TS = 1,
    ROW_MID = 9,
    ROW_OTHER_BYTES = ROW_MID + LIMIT_MID_BYTES,
    ROW_KEY_BYTES,
    ROW_BODY,
};
_Static_assert(ROW_BODY + LIMIT_USER_BYTES + LIMIT_KEY_BYTES + LIMIT_TEXT_BYTES == ROW_VALUE_BYTES_MAX,
               "the largest row has the bytes that the header says");

#define KEY_TAIL_BYTES (1 + 8) /* 0x00 and ts */
/* What follows in a key: behind a ts the rest of a key of the index by peer, and behind a user the peer of marks. */
#define KEY_PEERS 0x01
#define KEY_MARKS 0x01

static bool is_user_bytes(size_t bytes)
{
    return bytes >= 1 && bytes <= LIMIT_USER_BYTES;
}

static bool is_ts(uint64_t ts)
{
    return ts >= 1 && ts <= LIMIT_TS_MAX;
}

/* Cuts `bytes` off the front of `rest`, which has them. */
static struct span cut(struct span *rest, size_t bytes)
{
    ASSERT(bytes <= rest->bytes);
    struct span front = {rest->data, bytes};
    rest->data += bytes;
    rest->bytes -= bytes;
    return front;
}

/* Copies `span`, which may be empty, and returns the place behind it. */
static uint8_t *put(uint8_t *out, struct span span)
{
    if (span.bytes > 0)
        memcpy(out, span.data, span.bytes);
    return out + span.bytes;
}

struct message record_view(const struct record *record, enum role role)
{
    bool is_received = role == ROLE_RECEIVED;
    ASSERT(role == ROLE_SENT || role == ROLE_RECEIVED || role == ROLE_SELF);
    return (struct message){
        .ts = is_received ? record->ts_to : record->ts_from,
        .other_ts = role == ROLE_SENT ? record->ts_to : record->ts_from,
        .role = role,
        .mid = record->mid,
        .from = record_from(record),
        .to = record_to(record),
        .key = is_received ? (struct span){record->body, 0} : record_key(record),
        .text = record_text(record),
    };
}

uint32_t record_encoded_bytes(const struct record *record)
{
    return RECORD_BODY + record_body_bytes(record);
}

uint32_t record_encode(const struct record *record, void *out)
{
    uint8_t *to = out;
    uint32_t bytes = record_encoded_bytes(record);
    ASSERT(bytes <= LIMIT_RECORD_BYTES);
    bytes_store_le32(to + RECORD_BYTES, bytes);
    bytes_store_le64(to + RECORD_TS_FROM, record->ts_from);
    bytes_store_le64(to + RECORD_TS_TO, record->ts_to);
    memcpy(to + RECORD_MID, record->mid, LIMIT_MID_BYTES);
    to[RECORD_FROM_BYTES] = record->from_bytes;
    to[RECORD_TO_BYTES] = record->to_bytes;
    to[RECORD_KEY_BYTES] = record->key_bytes;
    bytes_store_le16(to + RECORD_TEXT_BYTES, record->text_bytes);
    memcpy(to + RECORD_BODY, record->body, record_body_bytes(record));
    return bytes;
}

uint32_t record_encode_cut(struct span user, uint64_t ts, void *out)
{
    _Static_assert(RECORD_BODY + LIMIT_USER_BYTES == RECORD_CUT_BYTES_MAX, "a cut has the bytes that the header says");
    uint8_t *to = out;
    ASSERT(user.bytes <= LIMIT_USER_BYTES);
    ASSERT(ts > 0 && ts <= LIMIT_TS_MAX);
    memset(to, 0, RECORD_BODY);
    bytes_store_le32(to + RECORD_BYTES, (uint32_t)(RECORD_BODY + user.bytes));
    bytes_store_le64(to + RECORD_TS_TO, ts);
    to[RECORD_TO_BYTES] = (uint8_t)user.bytes;
    put(to + RECORD_BODY, user);
    return (uint32_t)(RECORD_BODY + user.bytes);
}

uint32_t record_encode_mark(const struct record_mark *mark, void *out)
{
    _Static_assert(RECORD_BODY + 2 * LIMIT_USER_BYTES == RECORD_MARK_BYTES_MAX,
                   "a mark has the bytes that the header says");
    uint8_t *to = out;
    ASSERT(is_user_bytes(mark->user.bytes) && is_user_bytes(mark->peer.bytes));
    ASSERT(is_ts(mark->ts) && is_ts(mark->peer_ts));
    uint32_t bytes = (uint32_t)(RECORD_BODY + mark->user.bytes + mark->peer.bytes);
    memset(to, 0, RECORD_BODY);
    bytes_store_le32(to + RECORD_BYTES, bytes);
    bytes_store_le64(to + RECORD_TS_FROM, mark->peer_ts);
    bytes_store_le64(to + RECORD_TS_TO, mark->ts);
    memcpy(to + RECORD_MID, mark->mid, LIMIT_MID_BYTES);
    to[RECORD_TO_BYTES] = (uint8_t)mark->user.bytes;
    to[RECORD_KEY_BYTES] = (uint8_t)mark->peer.bytes;
    put(put(to + RECORD_BODY, mark->user), mark->peer);
    return bytes;
}

static int decode_mark(const uint8_t *in, size_t bytes, struct record_fields *fields_r)
{
    uint32_t record_bytes = bytes_load_le32(in + RECORD_BYTES);
    uint8_t user_bytes = in[RECORD_TO_BYTES], peer_bytes = in[RECORD_KEY_BYTES];
    const char *body = (const char *)in + RECORD_BODY;
    struct record_fields fields = {.data = in,
                                   .is_mark = true,
                                   .ts_from = bytes_load_le64(in + RECORD_TS_FROM),
                                   .ts_to = bytes_load_le64(in + RECORD_TS_TO),
                                   .mid = in + RECORD_MID,
                                   .from = {body, 0},
                                   .to = {body, user_bytes},
                                   .key = {body + user_bytes, peer_bytes},
                                   .text = {body + user_bytes + peer_bytes, 0}};
    if (!is_user_bytes(user_bytes) || !is_user_bytes(peer_bytes) || !is_ts(fields.ts_from) || !is_ts(fields.ts_to)
        || bytes_load_le16(in + RECORD_TEXT_BYTES) != 0)
        return -EBADMSG;
    if (record_bytes != (uint32_t)(RECORD_BODY + user_bytes + peer_bytes) || record_bytes > bytes)
        return -EBADMSG;
    *fields_r = fields;
    return (int)record_bytes;
}

/* A record with from_bytes 0. */
static int decode_cut(const uint8_t *in, size_t bytes, struct record_fields *fields_r)
{
    uint32_t record_bytes = bytes_load_le32(in + RECORD_BYTES);
    uint64_t ts = bytes_load_le64(in + RECORD_TS_TO);
    uint8_t wanted[RECORD_CUT_BYTES_MAX];
    if (in[RECORD_TO_BYTES] > LIMIT_USER_BYTES || ts == 0 || ts > LIMIT_TS_MAX || record_bytes > bytes)
        return -EBADMSG;
    struct span user = {(const char *)in + RECORD_BODY, in[RECORD_TO_BYTES]};
    if (RECORD_BODY + user.bytes != record_bytes || record_encode_cut(user, ts, wanted) != record_bytes
        || memcmp(in, wanted, record_bytes) != 0)
        return -EBADMSG;
    *fields_r = (struct record_fields){.data = in, .is_cut = true, .ts_to = ts, .mid = in + RECORD_MID, .to = user};
    fields_r->from = fields_r->key = fields_r->text = (struct span){user.data + user.bytes, 0};
    return (int)record_bytes;
}

int record_decode(const void *data, size_t bytes, struct record_fields *fields_r)
{
    const uint8_t *in = data;
    if (bytes < RECORD_BODY)
        return -EBADMSG;
    uint32_t record_bytes = bytes_load_le32(in + RECORD_BYTES);
    uint8_t from_bytes = in[RECORD_FROM_BYTES];
    uint8_t to_bytes = in[RECORD_TO_BYTES];
    uint8_t key_bytes = in[RECORD_KEY_BYTES];
    uint16_t text_bytes = bytes_load_le16(in + RECORD_TEXT_BYTES);
    if (from_bytes == 0)
        return key_bytes == 0 ? decode_cut(in, bytes, fields_r) : decode_mark(in, bytes, fields_r);
    if (!is_user_bytes(from_bytes) || !is_user_bytes(to_bytes))
        return -EBADMSG;
    if (key_bytes > LIMIT_KEY_BYTES || text_bytes > LIMIT_TEXT_BYTES)
        return -EBADMSG;
    uint32_t body_bytes = (uint32_t)from_bytes + to_bytes + key_bytes + text_bytes;
    if (record_bytes != RECORD_BODY + body_bytes || record_bytes > bytes)
        return -EBADMSG;
    struct span body = {(const char *)in + RECORD_BODY, body_bytes};
    fields_r->data = data;
    fields_r->is_cut = fields_r->is_mark = false;
    fields_r->ts_from = bytes_load_le64(in + RECORD_TS_FROM);
    fields_r->ts_to = bytes_load_le64(in + RECORD_TS_TO);
    fields_r->mid = in + RECORD_MID;
    fields_r->from = cut(&body, from_bytes);
    fields_r->to = cut(&body, to_bytes);
    fields_r->key = cut(&body, key_bytes);
    fields_r->text = body;
    return (int)record_bytes;
}

struct message record_fields_view(const struct record_fields *fields, enum role role)
{
    bool is_received = role == ROLE_RECEIVED;
    ASSERT(role == ROLE_SENT || role == ROLE_RECEIVED || role == ROLE_SELF);
    return (struct message){
        .ts = is_received ? fields->ts_to : fields->ts_from,
        .other_ts = role == ROLE_SENT ? fields->ts_to : fields->ts_from,
        .role = role,
        .mid = fields->mid,
        .from = fields->from,
        .to = fields->to,
        .key = is_received ? (struct span){fields->key.data, 0} : fields->key,
        .text = fields->text,
    };
}

uint32_t row_key(struct span user, uint64_t ts, uint8_t *out)
{
    ASSERT(is_user_bytes(user.bytes));
    uint8_t *tail = put(out, user);
    *tail = 0;
    bytes_store_be64(tail + 1, ts);
    return (uint32_t)user.bytes + KEY_TAIL_BYTES;
}

uint32_t row_key_index(struct span user, uint64_t ts, uint8_t *out)
{
    *out = ROW_KEY_INDEX_PREFIX;
    return 1 + row_key(user, ts, out + 1);
}

uint32_t row_key_peers(struct span user, uint64_t ts, struct span peer, uint64_t peer_ts, uint8_t *out)
{
    uint32_t bytes = row_key(user, ts, out);
    out[bytes++] = KEY_PEERS;
    return peer.bytes == 0 ? bytes : bytes + row_key(peer, peer_ts, out + bytes);
}

uint32_t row_key_peers_filter(struct span user, uint64_t ts, uint8_t *out)
{
    uint32_t bytes = row_key_peers(user, ts, (struct span){"", 0}, 0, out);
    out[bytes++] = ROW_KEY_OTHER_PREFIX;
    return bytes;
}

uint32_t row_key_marks(struct span user, struct span peer, uint8_t *out)
{
    ASSERT(is_user_bytes(user.bytes));
    ASSERT(peer.bytes <= LIMIT_USER_BYTES);
    uint8_t *tail = put(out, user);
    *tail = KEY_MARKS;
    put(tail + 1, peer);
    return (uint32_t)(user.bytes + 1 + peer.bytes);
}

/* The first byte that ends a name: with one inside, the rows of two users would be mixed. */
static size_t name_bytes(struct span key)
{
    size_t bytes = 0;
    while (bytes < key.bytes && (uint8_t)key.data[bytes] > KEY_MARKS)
        bytes++;
    return bytes;
}

/* Takes a name of `bytes` (name_bytes) and a ts off the front. False: there are none. */
static bool take_name_ts(struct span *key, size_t bytes, struct span *name_r, uint64_t *ts_r)
{
    if (!is_user_bytes(bytes) || (uint8_t)key->data[0] == ROW_KEY_OTHER_PREFIX || key->bytes < bytes + KEY_TAIL_BYTES
        || key->data[bytes] != 0)
        return false;
    *name_r = cut(key, bytes);
    cut(key, 1);
    *ts_r = bytes_load_be64(cut(key, 8).data);
    return true;
}

static int parse_marks(struct span key, size_t user_bytes, struct row_key_fields *fields_r)
{
    fields_r->kind = ROW_MARKS;
    fields_r->user = cut(&key, user_bytes);
    cut(&key, 1);
    fields_r->peer = key;
    bool is_good = is_user_bytes(user_bytes) && (uint8_t)fields_r->user.data[0] != ROW_KEY_OTHER_PREFIX
                   && is_user_bytes(key.bytes) && name_bytes(key) == key.bytes;
    return is_good ? 0 : -EBADMSG;
}

int row_key_parse(struct span key, struct row_key_fields *fields_r)
{
    *fields_r = (struct row_key_fields){.kind = ROW_ENTRY};
    if (key.bytes > 0 && key.data[0] == ROW_KEY_INDEX_PREFIX) {
        cut(&key, 1);
        fields_r->kind = ROW_KEYED;
    }
    size_t user_bytes = name_bytes(key);
    if (fields_r->kind == ROW_ENTRY && user_bytes < key.bytes && key.data[user_bytes] == KEY_MARKS)
        return parse_marks(key, user_bytes, fields_r);
    if (!take_name_ts(&key, user_bytes, &fields_r->user, &fields_r->ts))
        return -EBADMSG;
    if (key.bytes == 0)
        return 0;
    if (fields_r->kind == ROW_KEYED || cut(&key, 1).data[0] != KEY_PEERS)
        return -EBADMSG;
    fields_r->kind = ROW_PEERS;
    fields_r->is_filter = key.bytes == 1 && (uint8_t)key.data[0] == ROW_KEY_OTHER_PREFIX;
    if (key.bytes == 0 || fields_r->is_filter)
        return 0;
    bool is_good = take_name_ts(&key, name_bytes(key), &fields_r->peer, &fields_r->peer_ts);
    return is_good && key.bytes == 0 ? 0 : -EBADMSG;
}

void row_encode_marks(struct seen_marks marks, uint8_t out[ROW_MARKS_BYTES])
{
    bytes_store_le64(out, marks.seen);
    bytes_store_le64(out + 8, marks.seen_by);
}

int row_decode_marks(struct span value, struct seen_marks *marks_r)
{
    if (value.bytes != ROW_MARKS_BYTES)
        return -EBADMSG;
    *marks_r = (struct seen_marks){bytes_load_le64(value.data), bytes_load_le64(value.data + 8)};
    bool is_good = marks_r->seen <= LIMIT_TS_MAX && marks_r->seen_by <= LIMIT_TS_MAX;
    return is_good && (marks_r->seen | marks_r->seen_by) != 0 ? 0 : -EBADMSG;
}

/* The name that a row keeps: none in that of a message to oneself. */
static struct span row_other(const struct message *message)
{
    switch (message->role) {
    case ROLE_SENT: return message->to;
    case ROLE_RECEIVED: return message->from;
    case ROLE_SELF: break;
    }
    ASSERT(message->role == ROLE_SELF);
    return (struct span){message->from.data, 0};
}

static struct span message_key(const struct message *message)
{
    return message->role == ROLE_RECEIVED ? (struct span){message->text.data, 0} : message->key;
}

uint32_t row_encode(const struct message *message, void *out)
{
    struct span other = row_other(message);
    struct span key = message_key(message);
    ASSERT(other.bytes <= LIMIT_USER_BYTES);
    ASSERT(key.bytes <= LIMIT_KEY_BYTES);
    ASSERT(message->text.bytes <= LIMIT_TEXT_BYTES);
    uint8_t *to = out;
    to[ROW_ROLE] = (uint8_t)message->role;
    bytes_store_le64(to + ROW_OTHER_TS, message->other_ts);
    memcpy(to + ROW_MID, message->mid, LIMIT_MID_BYTES);
    to[ROW_OTHER_BYTES] = (uint8_t)other.bytes;
    to[ROW_KEY_BYTES] = (uint8_t)key.bytes;
    uint8_t *end = put(put(put(to + ROW_BODY, other), key), message->text);
    return (uint32_t)(end - to);
}

/* Whether a row of `role` can have these lengths of other and key. */
static bool is_row_shape(uint8_t role, uint8_t other_bytes, uint8_t key_bytes)
{
    if (role == ROLE_SELF)
        return other_bytes == 0 && key_bytes <= LIMIT_KEY_BYTES;
    if (role == ROLE_SENT)
        return is_user_bytes(other_bytes) && key_bytes <= LIMIT_KEY_BYTES;
    return role == ROLE_RECEIVED && is_user_bytes(other_bytes) && key_bytes == 0;
}

int row_decode_peer(struct span value, enum role *role_r, struct span *other_r)
{
    const uint8_t *in = (const uint8_t *)value.data;
    if (value.bytes < ROW_BODY || !is_row_shape(in[ROW_ROLE], in[ROW_OTHER_BYTES], in[ROW_KEY_BYTES])
        || value.bytes - ROW_BODY < (size_t)in[ROW_OTHER_BYTES] + in[ROW_KEY_BYTES])
        return -EBADMSG;
    *role_r = (enum role)in[ROW_ROLE];
    *other_r = (struct span){value.data + ROW_BODY, in[ROW_OTHER_BYTES]};
    return 0;
}

int row_decode(struct span user, uint64_t ts, struct span value, struct message *message_r)
{
    const uint8_t *in = (const uint8_t *)value.data;
    if (value.bytes < ROW_BODY || !is_row_shape(in[ROW_ROLE], in[ROW_OTHER_BYTES], in[ROW_KEY_BYTES]))
        return -EBADMSG;
    size_t named_bytes = (size_t)in[ROW_OTHER_BYTES] + in[ROW_KEY_BYTES];
    struct span rest = {value.data + ROW_BODY, value.bytes - ROW_BODY};
    if (rest.bytes < named_bytes || rest.bytes - named_bytes > LIMIT_TEXT_BYTES)
        return -EBADMSG;
    enum role role = (enum role)in[ROW_ROLE];
    struct span other = role == ROLE_SELF ? user : cut(&rest, in[ROW_OTHER_BYTES]);
    message_r->ts = ts;
    message_r->other_ts = bytes_load_le64(in + ROW_OTHER_TS);
    message_r->role = role;
    message_r->mid = in + ROW_MID;
    message_r->from = role == ROLE_RECEIVED ? other : user;
    message_r->to = role == ROLE_RECEIVED ? user : other;
    message_r->key = cut(&rest, in[ROW_KEY_BYTES]);
    message_r->text = rest;
    return 0;
}
