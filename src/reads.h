/*
 * reads.h: what a shard reads from its memory and its runs, merged.
 *
 * The shard looks into memory itself; what may lie in runs is read by its reader thread, since a cold page must not
 * stall a core. Memory is looked at first, then the runs as they stand after that: rows move from memory to runs, never
 * back, so nothing is missed, and what is seen twice is dropped by its ts. Logins and key checks are served before
 * history, history before replay.
 */
#ifndef CHITCHAT_READS_H
#define CHITCHAT_READS_H

#include "base/list.h"
#include "shard/worker.h"
#include "storage/memtable.h"
#include "storage/store.h"

struct core;
struct user;

enum reads_lane { READS_LOGIN, READS_HISTORY, READS_REPLAY };

/* Something that the reader's thread does. Embedded in what its owner keeps of it. */
struct reader_job {
    struct worker_job job;
    struct list link;
    struct core *core;
    uint8_t lane;
    void (*run)(
        struct reader_job *job); /* on the reader's thread; may use core->store_reader, nothing else of the core */
    void (*done)(struct reader_job *job); /* on the shard's thread */
};

/* Borrows `job` until its `done`. */
void reads_post(struct core *core, struct reader_job *job, enum reads_lane lane);

/* After a time without room: goes on with what waits. */
void reads_go_on(struct core *core);

/* What a read of `user`'s timeline may see lies below this: the mark, and all that will ever be given a ts from now on,
 * since the read may go on while entries settle out of order above the mark. */
uint64_t reads_bound(const struct core *core, const struct user *user);
/* The newest visible ts of `user` that memory holds below `before`, 0 if none. */
uint64_t reads_memory_newest(const struct core *core, struct span user, uint64_t before);
/* The entry of `user` at `ts`, if memory holds it. */
bool reads_memory_find(const struct core *core, struct span user, uint64_t ts, struct memtable_hit *hit_r);
/* Whether runs may hold anything of a ts above `after`. */
bool reads_runs_reach(const struct core *core, uint64_t after);

/* A part of a timeline. */
struct range_read;

/* Takes what memory holds of the range, which must end at the timeline's mark or before. Copies `user`. NULL: no
 * memory. */
struct range_read *range_read_open(struct core *core, struct span user, const struct store_range *range);
/* Whether runs have to be asked too: then range_read_post, else it is complete. */
bool range_read_needs_runs(const struct range_read *read);
/* `on_done` gets `context` and 0 or -errno, on the shard's thread, unless the read was closed before. */
void range_read_post(struct range_read *read, enum reads_lane lane, void (*on_done)(void *context, int result),
                     void *context);
/* The messages, ascending in ts, and whether the range holds more. They stand until close. */
const struct message *range_read_messages(struct range_read *read, uint32_t *count_r, bool *more_r);
/* At any time; what the reader still has of it is freed when it comes back. Nulls *read. */
void range_read_close(struct range_read **read);

#endif
