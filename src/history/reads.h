/*
 * reads.h: what a shard reads from its memory and its runs, merged.
 *
 * The shard looks into memory itself; what may lie in runs is read by its reader thread, since a cold page must not
 * stall a core. Memory is looked at first, then the runs as they stand after that: rows move from memory to runs, never
 * back, so nothing is missed, and what is seen twice is dropped by its ts. Logins and key checks are served before
 * history, history before replay.
 */
#ifndef CHITCHAT_HISTORY_READS_H
#define CHITCHAT_HISTORY_READS_H

#include "base/list.h"
#include "base/log_limit.h"
#include "shard/worker.h"
#include "storage/memtable/memtable.h"
#include "storage/runs/store.h"

struct core;
struct user;

enum reads_lane { READS_LOGIN, READS_HISTORY, READS_REPLAY };

/* What a shard keeps of its reader. */
struct reads {
    struct worker *worker;
    struct list jobs[WORKER_LANES]; /* struct reader_job that wait for a place */
    uint32_t jobs_out[WORKER_LANES];
    struct store_reader *store_reader; /* the reader's thread only */
    struct log_limit log_limit;        /* the reader's thread only */
};

void reads_init(struct reads *reads);
/* Before the first turn: opens the reader's thread. */
void reads_start(struct core *core);
/* The shard ends: closes it. */
void reads_finish(struct core *core);

/* Something that the reader's thread does. Embedded in what its owner keeps of it. */
struct reader_job {
    struct worker_job job;
    struct list link;
    struct core *core;
    uint8_t lane;
    /* On the reader's thread; may use core->reads.store_reader, nothing else of the core. */
    void (*read)(struct reader_job *job);
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

#endif
