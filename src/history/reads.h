/*
 * reads.h: what a shard reads from its memory and its runs.
 *
 * The shard's thread reads memory. Its reader thread reads runs, since a cold page must not block a core. Memory is
 * read first, then the runs as they are after that: rows go from memory to runs and never back, so no row is missed; a
 * row that is seen twice is dropped by its ts. Jobs of logins and key checks come first, then those of history, then of
 * replays. Shard's thread, where nothing else is said.
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

/* Lanes of the worker (worker.h), by priority. READS_LOGIN: logins and key checks. */
enum reads_lane { READS_LOGIN, READS_HISTORY, READS_REPLAY };

/* A shard's state of this module. */
struct reads {
    struct worker *worker;
    struct list jobs[WORKER_LANES];    /* struct reader_job: deferred */
    uint32_t jobs_out[WORKER_LANES];   /* jobs that the worker has */
    struct store_reader *store_reader; /* the reader's thread only, while it runs */
    struct log_limit log_limit;        /* the reader's thread only */
};

void reads_init(struct reads *reads);
/* Before the first turn: starts the reader's thread. */
void reads_start(struct core *core);
/* The shard ends: runs the worker's jobs to the end and joins the thread. */
void reads_finish(struct core *core);

/* A job of the reader's thread, embedded in a struct of its owner. */
struct reader_job {
    /* Set by reads_post. */
    struct worker_job job;
    struct list link; /* in core->reads.jobs */
    struct core *core;
    uint8_t lane; /* enum reads_lane */

    /* Set by the owner. */
    /* On the reader's thread. Of the core it may use core->reads.store_reader only. */
    void (*read)(struct reader_job *job);
    void (*done)(struct reader_job *job); /* on the shard's thread */
};

/* Posts `job`, now or when its lane has room. Borrows it until `done`. */
void reads_post(struct core *core, struct reader_job *job, enum reads_lane lane);

/* Backpressure ended: posts deferred jobs of history and replay. */
void reads_continue(struct core *core);

/* The exclusive upper bound for a read of `user`'s timeline: the mark, or the newest assigned ts + 1 if that is lower
 * (no entry is pending then). Entries that get their ts during the read lie above it: they may become durable out of
 * order. */
uint64_t reads_bound(const struct core *core, const struct user *user);
/* The newest ts of `user` below `before` in memory, 0 if none. */
uint64_t reads_memory_newest(const struct core *core, struct span user, uint64_t before);
/* Whether memory has the entry of `user` at `ts`; if so, *hit_r borrows it. */
bool reads_memory_find(const struct core *core, struct span user, uint64_t ts, struct memtable_hit *hit_r);
/* The marks of (user, peer) in memory: 0 is not known. `hash`: reads_pair_hash of them. */
struct seen_marks reads_memory_marks(const struct core *core, uint64_t hash, struct span user, struct span peer);
/* The hash of a pair in each generation of each shard (memtable_pair_hash). */
uint64_t reads_pair_hash(const struct core *core, struct span user, struct span peer);
/* Before questions by peer to the memtables: indexes what they have of `user`, within the turn's budget of reads. 1;
 * 0: to be called in another turn again; or -ENOMEM. */
int reads_index_peers(struct core *core, struct span user);
/* Up to which ts the timeline of `user` is cut, as far as it is visible: below reads_bound. 0: not at all. */
uint64_t reads_cut(const struct core *core, const struct user *user);
/* Whether runs may have an entry with a ts above `after`. */
bool reads_runs_reach(const struct core *core, uint64_t after);

#endif
