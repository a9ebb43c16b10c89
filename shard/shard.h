/*
 * shard.h: how one core runs: a thread, pinned, with its own io loop, that takes turns:
 *
 *     take in what came: completions, letters from the other shards, finished jobs, timers   -> handlers
 *     on_turn_end: all that gathered leaves at once
 *     wake each shard that was written to, once, if it sleeps;   sleep if nothing is left to do
 *
 * Letters are pointers through one mailbox per ordered pair of shards: in order, never lost. Posting never fails: the
 * users of a shard keep their letters under way within SHARD_MAILBOX_LETTERS per pair (asserted). It knows nothing of
 * chat.
 *
 * shard_group_open, _start, _stop and _close are main's; everything else is for the shard's own thread.
 */
#ifndef CHITCHAT_SHARD_SHARD_H
#define CHITCHAT_SHARD_SHARD_H

#include "base/clock.h"
#include "shard/io.h"
#include "shard/timers.h"
#include "shard/worker.h"

#define SHARD_MAILBOX_LETTERS 32768u
/* What a turn takes of one mailbox, and of the timers that are due: some 0.5 ms of work each; the rest waits for the
 * next. */
#define SHARD_LETTERS_TURN_MAX 1024u
#define SHARD_TIMERS_TURN_MAX 256u

struct shard;
struct shard_group;

struct shard_handlers {
    struct io_handlers io;
    void (*on_start)(void *context);                               /* on the shard's thread, first */
    void (*on_letter)(void *context, uint32_t from, void *letter); /* from another shard, or shard_post to itself */
    /* A few letters before its turn, in any order: what it needs may be asked for; nothing is done yet. Or NULL. */
    void (*on_letter_soon)(void *context, void *letter);
    void (*on_timer)(void *context, struct timer *timer);
    /* At the end of a turn. True: there is more to do, take the next turn without sleeping. */
    bool (*on_turn_end)(void *context);
    /* After shard_finish: the last word on this thread. */
    void (*on_finish)(void *context);
};

struct shard_options {
    uint32_t shard_count;
    bool pin;            /* shard i to the i-th CPU that the process may use, modulo their number */
    struct clock *clock; /* borrowed */
    struct io_options io;
};

/* Makes the shards; contexts[i] is handed to the callbacks of shard i (borrowed). 0 or -errno. */
int shard_group_open(struct shard_group **group_r, const struct shard_options *options,
                     const struct shard_handlers *handlers, void *const *contexts);
/* Starts the threads. 0 or -errno. */
int shard_group_start(struct shard_group *group);
/* Waits until every shard has called shard_finish, joins; false if `timeout_us` ran out (nothing joined). */
bool shard_group_join(struct shard_group *group, uint64_t timeout_us);
/* Only after a successful join, or before start. Nulls *group. */
void shard_group_close(struct shard_group **group);
struct shard *shard_group_shard(struct shard_group *group, uint32_t index);
/* Any thread: makes each shard take a turn soon, with `shard_signals` showing `signal` (bits are or-ed). */
void shard_group_signal(struct shard_group *group, uint32_t signal);

/* Shard's own thread, from callbacks. */
uint32_t shard_index(const struct shard *shard);
uint32_t shard_count(const struct shard *shard);
struct io *shard_io(struct shard *shard);
struct timers *shard_timers(struct shard *shard);
uint32_t shard_signals(struct shard *shard);            /* all signals so far */
uint64_t shard_wall_us(const struct shard *shard);      /* as of this turn */
uint64_t shard_monotonic_us(const struct shard *shard); /* as of this turn */
/* Puts a letter into the mailbox of shard `to`; to itself it is taken in the next turn. */
void shard_post(struct shard *shard, uint32_t to, void *letter);
/* Prompt: somebody waits for what it does. Background: it has time, and gives way to all others; while the process has
 * cores without a shard it runs on those. */
enum shard_worker_kind { SHARD_WORKER_PROMPT, SHARD_WORKER_BACKGROUND };
/* A worker for this shard: its finished jobs are taken in each turn, before on_turn_end. 0 or -errno. */
int shard_worker_open(struct shard *shard, const char *name, enum shard_worker_kind kind, struct worker **worker_r);
/* Before on_finish returns at the latest. */
void shard_worker_close(struct shard *shard, struct worker **worker);
/* The shard takes its next turn in `us` at the latest. Finer than a timer, and for the next turn only. */
void shard_wake_within(struct shard *shard, uint64_t us);
/* The loop ends after this turn. */
void shard_finish(struct shard *shard);
/* For ASSERT: whether the calling thread is this shard's. */
bool shard_is_current(const struct shard *shard);
#define ASSERT_ON_SHARD(shard) ASSERT(shard_is_current(shard))

#endif
