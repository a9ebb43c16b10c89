/*
 * record.h: one message as the storage keeps it, in its three shapes.
 *
 * `struct record` is a message in memory: made once, kept by references and holders (record_heap.h), and only read
 * once it has been given to a timeline. The count and the memory belong to one shard's thread; other threads may read a
 * record only while that thread keeps it for them (a reference of a job, a frozen memtable).
 *
 * In the log it is one unit, little endian, `record_encode` and `record_decode`:
 *
 *     u32 bytes of all   u64 ts_from   u64 ts_to   15 mid   u8 from_bytes   u8 to_bytes   u8 key_bytes
 *     u16 text_bytes     from   to   key   text
 *
 * In a run (LMDB) it is a row in one timeline, `row_key`, `row_encode` and `row_decode`:
 *
 *     key    user 0x00 ts (big endian, 8)
 *     value  u8 role   u64 other ts   15 mid   u8 other_bytes   u8 key_bytes   other   key   text
 *
 * where `other` is the other user (absent for a message to oneself); the recipient's row has no key.
 *
 * `struct message` (base/message.h) is the view that readers share, its spans borrowed from a record or from a row.
 */
#ifndef CHITCHAT_STORAGE_RECORD_H
#define CHITCHAT_STORAGE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/message.h"
#include "base/span.h"

struct record {
    /* Owned by the shard's thread. */
    uint32_t refs;
    uint32_t block; /* record_heap: which block it lies in */

    /* Set while it is made, then only read. ts_from is set by the sender's shard, ts_to by the recipient's. */
    uint64_t ts_from;
    uint64_t ts_to;
    uint8_t mid[LIMIT_MID_BYTES];
    uint8_t from_bytes;
    uint8_t to_bytes;
    uint8_t key_bytes; /* 0: sent without a key */
    uint16_t text_bytes;
    char body[]; /* from, to, key, text */
};

static inline struct span record_from(const struct record *record)
{
    return (struct span){record->body, record->from_bytes};
}

static inline struct span record_to(const struct record *record)
{
    return (struct span){record->body + record->from_bytes, record->to_bytes};
}

static inline struct span record_key(const struct record *record)
{
    return (struct span){record->body + record->from_bytes + record->to_bytes, record->key_bytes};
}

static inline struct span record_text(const struct record *record)
{
    return (struct span){record->body + record->from_bytes + record->to_bytes + record->key_bytes, record->text_bytes};
}

static inline uint32_t record_body_bytes(const struct record *record)
{
    return (uint32_t)record->from_bytes + record->to_bytes + record->key_bytes + record->text_bytes;
}

/* Asks for a record's memory, which nothing has touched lately: most lie in two or three lines. */
static inline void record_prefetch(const struct record *record)
{
    for (size_t at = 0; at < 192; at += 64)
        __builtin_prefetch((const char *)record + at);
}

static inline bool record_is_to_self(const struct record *record)
{
    return span_equal(record_from(record), record_to(record));
}

/* The view of `record` in the timeline of its sender (ROLE_SENT or, to oneself, ROLE_SELF) or recipient. Borrows. */
struct message record_view(const struct record *record, enum role role);

/* Bytes that record_encode writes. */
uint32_t record_encoded_bytes(const struct record *record);

/* Writes the log form to `out`, which has room for record_encoded_bytes(); returns the bytes written. */
uint32_t record_encode(const struct record *record, void *out);

/* What record_decode found: fixed fields by value, spans borrowed from `data`. */
struct record_fields {
    const void *data; /* the record itself, as given */
    uint64_t ts_from;
    uint64_t ts_to;
    const uint8_t *mid;
    struct span from;
    struct span to;
    struct span key;
    struct span text;
};

/* The view of a decoded record, as record_view has it. Borrows what `fields` borrows. */
struct message record_fields_view(const struct record_fields *fields, enum role role);

/* Reads one record at `data`, which may be anything. Returns the bytes it takes, or -EBADMSG if they are no
 * record (lengths out of range, names that are no user names' lengths, running past `bytes`). */
int record_decode(const void *data, size_t bytes, struct record_fields *fields_r);

/* Keys of rows. A timeline row is `user 0x00 ts`; a row of the key index (below) has 0x01 before it. */
#define ROW_KEY_BYTES_MAX (1 + LIMIT_USER_BYTES + 1 + 8)
#define ROW_KEY_INDEX_PREFIX 0x01

/* Writes the key of (user, ts) to `out` (ROW_KEY_BYTES_MAX); returns its bytes. */
uint32_t row_key(struct span user, uint64_t ts, uint8_t *out);

/* The same in the key index: rows of keyed sends, whose value is the 8-byte hash (little endian) of the key. */
uint32_t row_key_index(struct span user, uint64_t ts, uint8_t *out);

/* Takes a row's key apart, of either kind. Returns 0 or -EBADMSG. Borrows `key`. */
int row_key_parse(struct span key, struct span *user_r, uint64_t *ts_r, bool *is_index_r);

#define ROW_VALUE_BYTES_MAX (26u + LIMIT_USER_BYTES + LIMIT_KEY_BYTES + LIMIT_TEXT_BYTES)

/* Bytes of, and the value of, the row of `message`. */
uint32_t row_encoded_bytes(const struct message *message);
uint32_t row_encode(const struct message *message, void *out);

/* Reads a row's value; `user` and `ts` come from its key. Returns 0 or -EBADMSG. Borrows both. */
int row_decode(struct span user, uint64_t ts, struct span value, struct message *message_r);

#endif
