/*
 * peer_index.h: the index by peer inside a run: which entries of a user are with which peer. A page of one
 * conversation, the list of conversations and their counts are read from it, not from all entries. Pure, but for its
 * memory; one thread.
 *
 * The writer of a run (run_write.c) makes the index from the entries that it writes. So the index always has what the
 * run has: no merge, cut or import handles index rows, and a run of a version without the index gets one when it is
 * rewritten. Rows of the index lie behind the entries that they index, so a writer keeps a bounded part in memory, and
 * writes each byte once. (Keys that begin with the peer would need all entries of a user sorted before the first is
 * written.)
 *
 * The entries of a user are indexed in blocks of PEER_BLOCK_ENTRIES, the last one with what is left. Fewer than
 * PEER_BLOCK_ENTRIES_MIN are not indexed, since reading them all costs no more. Where most users have a few entries in
 * a run, the index costs nothing. Behind the entries of a block, whose last is at `ts`, stand its rows:
 *
 *     key    user 0x00 ts 0x01               the first row
 *            user 0x00 ts 0x01 peer 0x00 ts  each other: its first peer, and their oldest ts in it (big endian, 8)
 *     value  varint: from the block's oldest entry to its last
 *            varint: the place (run_place.h) of the last
 *            pieces, by peer and ts:  u8 peer_bytes   peer   varint bytes of the entries   entries
 *            entries, newest first:   varint ((time before the entry above, at first before the block's last) * 2 + 1,
 *                                     if the user received it)
 *                                     varint: from its place to that of the entry above
 *
 * Behind the rows of a block with PEER_FILTER_MIN peers is one more, key `user 0x00 ts 0x01 0xff`: the beginning of a
 * value as above, then a filter (filter.h) of the peers from whom the user received something in the block. A count of
 * unseen messages need not look for the others.
 *
 * With the places, a page of a conversation reads the row of each entry where it lies, without a search. Version 1 has
 * neither places nor filters.
 *
 * A piece has at most PEER_PIECE_WRITTEN entries, of version 1 PEER_PIECE_ENTRIES. A message to oneself is with
 * oneself, and not received. A user with a whole block has one more row behind all entries, the directory: key `user
 * 0x00 ts 0x01` with the greatest ts, value for each block u64 oldest, u64 last (little endian). Without it the user
 * has one block, which ends with their last entry, or none. Entries behind the last block of the directory are not
 * indexed.
 */
#ifndef CHITCHAT_STORAGE_RUNS_PEER_INDEX_H
#define CHITCHAT_STORAGE_RUNS_PEER_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/span.h"

/* The manifest says with which version of this format a run was written. */
#define PEER_INDEX_VERSION 2u
#define PEER_INDEX_PLACES 2u /* the first version with places and filters */

#ifdef CHITCHAT_FAULTS /* so that the simulator's few messages have all shapes of an index */
#define PEER_BLOCK_ENTRIES_MIN 3u
#define PEER_BLOCK_ENTRIES 12u
#define PEER_PIECE_ENTRIES 2u
#define PEER_PIECE_WRITTEN 2u
#define PEER_FILTER_MIN 3u
#else
#define PEER_BLOCK_ENTRIES_MIN 16u
#define PEER_BLOCK_ENTRIES 131072u
#define PEER_PIECE_ENTRIES 64u
#define PEER_PIECE_WRITTEN 48u
#define PEER_FILTER_MIN 32u
#endif
#define PEER_ROW_BYTES_MAX 768u
#define PEER_BLOCKS_MAX 8191u /* of a user in a run: the directory is one value */
#define PEER_DIRECTORY_TS UINT64_MAX

/* -- writing -- */

struct peer_index;
/* An index of `version`, 1 to PEER_INDEX_VERSION. 0, and the caller closes *index_r; -ENOMEM; or -EIO, the system gives
 * no random numbers for the hash of names. */
int peer_index_open(struct peer_index **index_r, uint64_t version);
/* Nulls *index; NULL is fine. */
void peer_index_close(struct peer_index **index);
/* The next entry of the user, in order of ts, and its place. Copies `peer`. 0 or -ENOMEM. */
int peer_index_add(struct peer_index *index, uint64_t ts, struct span peer, bool is_received, uint64_t place);
/* Whether the rows of the block have to be written now: it has PEER_BLOCK_ENTRIES. */
bool peer_index_is_full(const struct peer_index *index);
/* Begins the rows behind the entries so far: of `user` (borrowed until peer_index_next returned false), whose entries
 * end here or, with peer_index_is_full, may go on. There may be none. 0 or -ENOMEM. */
int peer_index_begin_rows(struct peer_index *index, struct span user, bool is_end);
/* The next row, borrowed until the next call. False: that was the last, and entries may be added again. */
bool peer_index_next(struct peer_index *index, struct span *key_r, struct span *value_r);

/* -- reading -- */

struct peer_block {
    uint64_t oldest;
    uint64_t last;
};

/* Block `at` of the value of a directory, which has `value.bytes` / 16. */
struct peer_block peer_directory_block(struct span value, uint32_t at);
#define PEER_DIRECTORY_BLOCK_BYTES 16u

/* What most readers pass over: its entries are decoded by those who want them. */
struct peer_piece {
    struct span peer; /* borrowed from the value */
    struct span entries;
    size_t behind; /* bytes of the row behind them: to read ahead is faster */
    uint64_t last; /* of the block */
    bool has_places;
    uint64_t last_place; /* of the block's last */
};

/* A row's pieces, one by one. */
struct peer_row {
    struct span rest; /* of the value */
    uint64_t last;    /* of the block */
    bool has_places;
    uint64_t last_place;
};

/* Begins with the value of a row of the block that ends at `last`, of an index of `version`. 0 or -EBADMSG. */
int peer_row_open(struct peer_row *row, uint64_t version, struct span value, uint64_t last, struct peer_block *block_r);
/* 1 and the next piece; 0 at the end; or -EBADMSG. */
int peer_row_next(struct peer_row *row, struct peer_piece *piece_r);

struct peer_entry {
    uint64_t ts;
    uint64_t place; /* 0: not known */
    bool is_received;
};

/* The ts of the newest entry of a piece. 0: -EBADMSG, it has none. */
uint64_t peer_piece_newest(const struct peer_piece *piece);
/* The place of that one; 0: not known. */
uint64_t peer_piece_newest_place(const struct peer_piece *piece);
/* Writes the entries of a piece to `entries_r`, newest first. Returns how many, or -EBADMSG. */
int peer_piece_read(const struct peer_piece *piece, struct peer_entry entries_r[PEER_PIECE_ENTRIES]);
/* The same of the ts alone of those which the user received, above `after`. */
int peer_piece_received(const struct peer_piece *piece, uint64_t after, uint64_t ts_r[PEER_PIECE_ENTRIES]);

#endif
