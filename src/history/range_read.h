/*
 * range_read.h: a part of a timeline, read from memory and from runs, and merged by ts. Shard's thread.
 *
 * What memory holds is taken at once; if runs have to be asked too, the reader does it (reads.h says in which order,
 * and why nothing is missed). Reads that have ended are kept with their arrays, since a page of history is little work
 * beside its allocations.
 */
#ifndef CHITCHAT_HISTORY_RANGE_READ_H
#define CHITCHAT_HISTORY_RANGE_READ_H

#include "history/reads.h"

/* A part of a timeline. */
struct range_read;

/* Reads that have ended, kept for the next ones. */
struct range_reads {
    struct range_read *idle;
    uint32_t idle_count;
};

/* Frees what is kept; no read may be under way. */
void range_reads_fini(struct range_reads *reads);

/* Takes what memory holds of the range, which must end at the timeline's mark or before. Copies `user`. NULL: no
 * memory. */
struct range_read *range_read_open(struct core *core, struct span user, const struct store_range *range);
/* Whether runs have to be asked too: then range_read_post, else it is complete. */
bool range_read_needs_runs(const struct range_read *read);
/* What memory holds of a read that needs no runs, at most rows_max of it, ascending in ts, and whether the range holds
 * more; bytes_max is not kept to. Borrowed from memory like the messages below. */
const struct memtable_hit *range_read_hits(const struct range_read *read, uint32_t *count_r, bool *more_r);
/* `on_done` gets `context` and 0 or -errno, on the shard's thread, unless the read was closed before. */
void range_read_post(struct range_read *read, enum reads_lane lane, void (*on_done)(void *context, int result),
                     void *context);
/* The messages, ascending in ts, and whether the range holds more. They stand until close; those of a read that was not
 * posted borrow from memory, so that it is to be closed before the shard does anything else. */
const struct message *range_read_messages(struct range_read *read, uint32_t *count_r, bool *more_r);
/* At any time; what the reader still has of it is freed when it comes back. Nulls *read. */
void range_read_close(struct range_read **read);

#endif
