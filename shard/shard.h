/*
 * shard.h: how one core runs: a thread (pinned, if the options say so) with its own io loop, which takes turns:
 *
 *     call the handlers for what has arrived: completions, letters from the shards, finished jobs, timers
 *     call on_turn_end, which sends all that the turn has gathered
 *     wake each other shard and each worker that was given something, once;   sleep if nothing is left to do
 *
 * Letters are pointers. Each ordered pair of shards has one mailbox: letters arrive in order and are never lost.
 * Posting never fails: the users of a shard keep fewer than SHARD_MAILBOX_LETTERS letters in flight per pair
 * (asserted). This folder knows nothing of chat.
 *
 * main calls shard_group_open, _start, _join and _close. shard_group_shard and shard_group_signal are for any thread.
 * All other functions are for the shard's own thread, from its callbacks (ASSERT_ON_SHARD).
 */
#ifndef CHITCHAT_SHARD_SHARD_H
#define CHITCHAT_SHARD_SHARD_H

#include "base/assert.h"
#include "base/clock.h"
#include "shard/io.h"
#include "shard/timers.h"
#include "shard/worker.h"

#define SHARD_MAILBOX_LETTERS 32768u
/* How many letters of one mailbox, and how many due timers, a turn handles: some 0.5 ms of work each. The rest waits
 * for the next turn. */
#define SHARD_LETTERS_TURN_MAX 1024u
#define SHARD_TIMERS_TURN_MAX 256u

struct shard;
struct shard_group;

struct shard_handlers {
    struct io_handlers io;
    void (*on_start)(void *context); /* the first callback of the shard's thread */
    /* A letter that shard `from` posted; that may be the shard itself. */
    void (*on_letter)(void *context, uint32_t from, void *letter);
    /* May be NULL. A few letters before on_letter of the same letter: only to prefetch what on_letter will read. */
    void (*on_letter_soon)(void *context, void *letter);
    void (*on_timer)(void *context, struct timer *timer);
    /* At the end of a turn. True: there is more to do, so the shard takes the next turn without sleeping. */
    bool (*on_turn_end)(void *context);
    /* After shard_finish and the turn it was called in: the last callback of the shard's thread. */
    void (*on_finish)(void *context);
};

struct shard_options {
    uint32_t shard_count;
    bool pin;            /* shard i to the i-th CPU that the process may use, modulo their number */
    struct clock *clock; /* borrowed until shard_group_close */
    struct io_options io;
};

/* Makes the shards, without threads. Copies `options`, `handlers` and `contexts`; the callbacks of shard i are given
 * contexts[i]. 0 or -errno; the caller closes *group_r. */
int shard_group_open(struct shard_group **group_r, const struct shard_options *options,
                     const struct shard_handlers *handlers, void *const *contexts);
/* Starts the threads, and waits until on_start has returned on each. 0 or -errno: then some threads may run. */
int shard_group_start(struct shard_group *group);
/* Waits until every started shard has finished, then joins the threads. False: `timeout_us` passed, nothing is joined.
 */
bool shard_group_join(struct shard_group *group, uint64_t timeout_us);
/* Frees the shards. Before shard_group_start or after a join that returned true (asserted). Nulls *group. */
void shard_group_close(struct shard_group **group);
/* Shard `index`, which stands until shard_group_close. */
struct shard *shard_group_shard(struct shard_group *group, uint32_t index);
/* Any thread: adds the bits of `signal` to the shard_signals of each shard, and makes each shard take a turn soon. */
void shard_group_signal(struct shard_group *group, uint32_t signal);

/* For tests: the number of the shard. Any thread. */
uint32_t shard_index(const struct shard *shard);
/* The number of shards. Any thread. */
uint32_t shard_count(const struct shard *shard);

/* The shard's own thread from here on. The loop and the timers are the shard's. */
struct io *shard_io(struct shard *shard);
struct timers *shard_timers(struct shard *shard);
/* The bits of all signals so far. */
uint32_t shard_signals(struct shard *shard);
/* The clocks as they were read at the start of this turn. */
uint64_t shard_wall_us(const struct shard *shard);
uint64_t shard_monotonic_us(const struct shard *shard);
/* Puts `letter` (not NULL) into the mailbox to shard `to`. A letter to the shard itself is taken in this turn or the
 * next. The poster does not touch the letter until its receiver gives it back. */
void shard_post(struct shard *shard, uint32_t to, void *letter);
/* Prompt: a client waits for the jobs. Background: the jobs are not urgent, so the thread has a low priority. Workers
 * of both kinds run on the CPUs that have no shard, if the process has such CPUs. */
enum shard_worker_kind { SHARD_WORKER_PROMPT, SHARD_WORKER_BACKGROUND };
/* Opens a worker for this shard, which takes its finished jobs in each turn, before on_turn_end. Copies `name` (at most
 * 15 bytes). At most 8 workers a shard (asserted). 0 or -errno; the caller closes *worker_r. */
int shard_worker_open(struct shard *shard, const char *name, enum shard_worker_kind kind, struct worker **worker_r);
/* worker_close. Before on_finish returns at the latest. Nulls *worker. */
void shard_worker_close(struct shard *shard, struct worker **worker);
/* The next turn begins in `us` at the latest. Finer than a timer, and for the next turn only. */
void shard_wake_within(struct shard *shard, uint64_t us);
/* Within a turn, before long work: what it has queued so far (sends, letters, jobs of workers) leaves now, and not at
 * its end. */
void shard_flush(struct shard *shard);
/* The thread ends after this turn and on_finish. */
void shard_finish(struct shard *shard);
/* Whether the calling thread is this shard's. Any thread. The simulator's double says true. */
bool shard_is_current(const struct shard *shard);
/* For the start of functions that are for the shard's thread. */
#define ASSERT_ON_SHARD(shard) ASSERT(shard_is_current(shard))

#endif
