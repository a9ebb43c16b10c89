/*
 * record.h: one message as the storage keeps it, in its three shapes.
 *
 * `struct record` is a message in memory. References and groups (record_heap.h) keep it. Once it is in a timeline it is
 * only read. The count and the memory belong to one shard's thread; another thread may read a record only while that
 * shard keeps it: a job has a reference, or a frozen memtable has it.
 *
 * In the WAL a message is one record, little endian (`record_encode`, `record_decode`):
 *
 *     u32 bytes of all   u64 ts_from   u64 ts_to   15 mid   u8 from_bytes   u8 to_bytes   u8 key_bytes
 *     u16 text_bytes     from   to   key   text
 *
 * No user has a name without bytes. So a record with from_bytes 0 is of another kind, which versions before it refuse
 * as damage: a cut (`record_encode_cut`), with the user in `to`, maybe none, and zeros in all but u32 bytes, ts_to and
 * to_bytes; or, with key_bytes above 0, a mark (`record_encode_mark`): the user `to` has seen a message, with its ts
 * and mid, from the user in `key`. A mark is in the WAL of the shard of `to`.
 *
 * In a run (LMDB) a message is a row in each of its timelines (`row_key`, `row_encode`, `row_decode`):
 *
 *     key    user 0x00 ts (big endian, 8)
 *     value  u8 role   u64 other ts   15 mid   u8 other_bytes   u8 key_bytes   other   key   text
 *
 * where `other` is the other user (absent for a message to oneself); the recipient's row has no key. Other rows:
 *
 *     0x01 user 0x00 ts                     the key index: a send with a key (`row_key_index`)
 *     user 0x00 ts 0x01 [peer 0x00 ts]      the index by peer of the entries up to `ts`
 *     user 0x00 ts 0x01 0xff                its filter
 *     user 0x01 peer                        the marks of a conversation (`row_key_marks`, `row_encode_marks`)
 *
 * A name has printable characters of ASCII only, so all that belongs to the timeline of a user is in one place: each
 * part of the index by peer behind the entries that it indexes, and the marks behind the last entry.
 *
 * `struct message` (base/message.h) is the view that all readers use; its spans borrow from a record or a row.
 *
 * All functions here are pure; any thread that may read the record.
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
    uint32_t block; /* of the record heap: the block that it lies in */

    /* Set before it is in a timeline, then only read. The sender's shard sets ts_from, the recipient's sets ts_to. */
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

/* What the memtable counts for one of its entries. */
static inline uint32_t record_entry_bytes(const struct record *record)
{
    return (uint32_t)sizeof *record + record_body_bytes(record);
}

/* Prefetches a record that nothing has touched lately: most lie in two or three cache lines. */
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

/* The bytes that record_encode writes: at most LIMIT_RECORD_BYTES. */
uint32_t record_encoded_bytes(const struct record *record);

/* Writes the WAL's form to `out`, which has room for record_encoded_bytes(). Returns the bytes written. */
uint32_t record_encode(const struct record *record, void *out);

/* Writes a cut (cuts.h) in the WAL's form to `out` (RECORD_CUT_BYTES_MAX): the entries of `user` up to `ts` are gone;
 * no user: those of all users of the shard. Returns the bytes written. */
#define RECORD_CUT_BYTES_MAX (40u + LIMIT_USER_BYTES)
uint32_t record_encode_cut(struct span user, uint64_t ts, void *out);

/* How far the two users of a conversation have seen it, as ts of one user's timeline; 0: nothing. Marks never go back.
 */
struct seen_marks {
    uint64_t seen;    /* up to which the user has seen what the other user sent */
    uint64_t seen_by; /* of the newest message of the user that the other user has seen */
};

/* Raises the marks to those of `other` that are greater. */
static inline void seen_marks_raise(struct seen_marks *marks, struct seen_marks other)
{
    marks->seen = other.seen > marks->seen ? other.seen : marks->seen;
    marks->seen_by = other.seen_by > marks->seen_by ? other.seen_by : marks->seen_by;
}

/* A mark: `user` has seen the messages from `peer` up to `ts`. The spans and the pointer are borrowed. */
struct record_mark {
    struct span user;
    struct span peer;
    uint64_t ts;        /* in the timeline of `user` */
    uint64_t peer_ts;   /* of the newest of these messages, in the timeline of `peer` */
    const uint8_t *mid; /* its mid, LIMIT_MID_BYTES */
};

/* Writes a mark in the WAL's form to `out` (RECORD_MARK_BYTES_MAX). Returns the bytes written. */
#define RECORD_MARK_BYTES_MAX (40u + 2 * LIMIT_USER_BYTES)
uint32_t record_encode_mark(const struct record_mark *mark, void *out);

/* What record_decode found. The pointers and spans borrow `data`. */
struct record_fields {
    const void *data; /* where the record begins */
    bool is_cut;      /* a cut of `to` at ts_to, and all else is empty or 0 */
    bool is_mark;     /* of `to`, who has seen the messages from `key` up to ts_to, the newest of which is `mid`, for
                         `key` at ts_from; from and text are empty. Neither: a message */
    uint64_t ts_from;
    uint64_t ts_to;
    const uint8_t *mid;
    struct span from;
    struct span to;
    struct span key;
    struct span text;
};

/* The view of a decoded record, as record_view makes it. Borrows what `fields` borrows. */
struct message record_fields_view(const struct record_fields *fields, enum role role);

/* Reads one record at `data`, which may be any `bytes` bytes. Returns the bytes of the record, or -EBADMSG if there is
 * none: a length is out of range, or the record would end behind `bytes`. */
int record_decode(const void *data, size_t bytes, struct record_fields *fields_r);

/* Keys of rows. */
enum row_kind {
    ROW_ENTRY, /* of a timeline */
    ROW_KEYED, /* of the key index */
    ROW_PEERS, /* of the index by peer */
    ROW_MARKS, /* of a conversation */
};
#define ROW_KEY_BYTES_MAX (1 + LIMIT_USER_BYTES + 1 + 8)
#define ROW_KEY_PEERS_BYTES_MAX (ROW_KEY_BYTES_MAX + LIMIT_USER_BYTES + 1 + 8)
#define ROW_KEY_INDEX_PREFIX 0x01
/* No name begins with this byte, which is never in UTF-8; the keys of a run that are no rows do. */
#define ROW_KEY_OTHER_PREFIX 0xff

/* Writes the key of (user, ts) to `out` (ROW_KEY_BYTES_MAX). Returns its bytes. */
uint32_t row_key(struct span user, uint64_t ts, uint8_t *out);

/* The same for the key index, which has a row for each send with a key: its value is the hash of the key, 8 bytes,
 * little endian. */
uint32_t row_key_index(struct span user, uint64_t ts, uint8_t *out);

/* The same for the index by peer: a row of the part that ends with the entry at `ts`. `peer` empty: the first row; else
 * the first peer of the row, and the oldest entry of theirs in it. `out` has ROW_KEY_PEERS_BYTES_MAX. */
uint32_t row_key_peers(struct span user, uint64_t ts, struct span peer, uint64_t peer_ts, uint8_t *out);

/* The same for the filter of that part (ROW_KEY_PEERS_BYTES_MAX). */
uint32_t row_key_peers_filter(struct span user, uint64_t ts, uint8_t *out);

/* The same for the marks of (user, peer). `peer` empty: where the marks of the user begin. `out` has
 * ROW_KEY_PEERS_BYTES_MAX. */
uint32_t row_key_marks(struct span user, struct span peer, uint8_t *out);

/* What row_key_parse found. The spans borrow the key. */
struct row_key_fields {
    enum row_kind kind;
    struct span user;
    uint64_t ts;      /* not of ROW_MARKS */
    struct span peer; /* of ROW_PEERS, where it may be empty, and ROW_MARKS */
    uint64_t peer_ts; /* of ROW_PEERS with a peer */
    bool is_filter;   /* of ROW_PEERS: row_key_peers_filter */
};

/* Reads the key of a row of any kind. 0 or -EBADMSG. */
int row_key_parse(struct span key, struct row_key_fields *fields_r);

/* The value of a row of marks: u64 seen, u64 seen_by. */
#define ROW_MARKS_BYTES 16u
void row_encode_marks(struct seen_marks marks, uint8_t out[ROW_MARKS_BYTES]);
/* 0 or -EBADMSG. */
int row_decode_marks(struct span value, struct seen_marks *marks_r);

#define ROW_VALUE_BYTES_MAX (26u + LIMIT_USER_BYTES + LIMIT_KEY_BYTES + LIMIT_TEXT_BYTES)

/* Writes the value of the row of `message` to `out` (ROW_VALUE_BYTES_MAX). Returns its bytes. */
uint32_t row_encode(const struct message *message, void *out);

/* Role and other user of a row's value, without a check of the rest; the other is empty for a message to oneself. 0 or
 * -EBADMSG. *other_r borrows `value`. */
int row_decode_peer(struct span value, enum role *role_r, struct span *other_r);

/* Reads the value of a row whose key has `user` and `ts`. 0 or -EBADMSG. *message_r borrows `user` and `value`. */
int row_decode(struct span user, uint64_t ts, struct span value, struct message *message_r);

#endif
