/*
 * range_read.h: reads a range of one timeline from memory and from runs, merged by ts. Shard's thread.
 *
 * The hits in memory are taken at once. If runs have to be read too, the reader's thread does it (reads.h says in which
 * order, and why nothing is missed). Closed reads are kept with their arrays for the next ones, since allocations would
 * be much of the cost of a page.
 */
#ifndef CHITCHAT_HISTORY_RANGE_READ_H
#define CHITCHAT_HISTORY_RANGE_READ_H

#include "history/reads.h"

/* A read of a range. */
struct range_read;

/* A shard's state of this module. */
struct range_reads {
    struct range_read *idle; /* closed reads, kept for the next ones; owned */
    uint32_t idle_count;
};

/* Frees the idle reads. No read may be open. */
void range_reads_fini(struct range_reads *reads);

/* Takes the hits of `range` in memory, without entries that are cut (timeline/erasure.h). range->before must be
 * reads_bound at most. `with`: only entries with that user; then reads_index_peers has returned 1 in this turn. NULL:
 * all. Copies what it borrows. The caller owns the read. NULL: no memory. */
struct range_read *range_read_open(struct core *core, struct span user, const struct store_range *range,
                                   const struct span *with);
/* Whether runs have to be read too: then the caller calls range_read_post. If not, the read is complete. */
bool range_read_needs_runs(const struct range_read *read);
/* The hits of a read that was not posted and needs no runs: at most rows_max of them, ascending in ts, and whether the
 * range has more. bytes_max does not limit them. They borrow from memory like the messages below. */
const struct memtable_hit *range_read_hits(const struct range_read *read, uint32_t *count_r, bool *more_r);
/* Posts the read to the reader. Calls `on_done` with `context` and 0 or -errno, on the shard's thread, unless the read
 * is closed before. Refs the records of the hits. */
void range_read_post(struct range_read *read, enum reads_lane lane, void (*on_done)(void *context, int result),
                     void *context);
/* The messages of a complete read, ascending in ts, and whether the range has more. They stand until range_read_close.
 * Those of a read that was not posted borrow from memory without a reference: the caller closes the read before memory
 * can change. */
const struct message *range_read_messages(struct range_read *read, uint32_t *count_r, bool *more_r);
/* After range_read_messages said that the range has more: in its order, all entries up to this ts were looked at, and
 * the next read goes on there. A read `with` a user may get so far without a message. */
uint64_t range_read_bound(const struct range_read *read);
/* At any time. If the reader still has the read, it is freed when the reader returns it. Nulls *read; NULL is fine. */
void range_read_close(struct range_read **read);

#endif
