/*
 * retention.h: --retention: entries older than a time are gone (storage/runs/cuts.h, a cut for all users of the shard).
 *
 * The cut moves forward in steps, each of them a record of the WAL: a sixty-fourth of the retention, from one second to
 * one hour. It is in force when its record is durable, so no crash brings back what was gone. It never moves back; with
 * a longer retention, or without one, it stays where it is.
 *
 * A clock that leaps must not erase everything. The time is that of stamps (core.h), which follow a leap only when it
 * has lasted. The cut moves at most RETENTION_RATE times as fast as the monotonic clock, at any time: a long uptime
 * saves nothing up. After the server was down for two weeks the cut catches up within hours; a clock that is a year
 * ahead has to stay so for two weeks to take a year of messages, and each hour a warning says that it does. The first
 * cut of a store is as old as the retention, seen from the time at the start or from the newest entry that recovery
 * found, whichever is older; a start makes it before anybody can log in. A shard that never had an entry makes no cut.
 *
 * What is too old by that time, and above the cut, is hidden meanwhile: from the start on, before anybody can log in,
 * and whenever the cut is late. Reads show it as little as what is cut (erasure_cut_ts). Only this process hides it: it
 * stays in the files and in no record, so a start with a corrected clock shows it again. The chain of `prev` does not
 * know it: the entry before the first one that is shown is the `first` of logins. Stamps go on above what is hidden.
 *
 * Shard's thread, but for retention_start.
 */
#ifndef CHITCHAT_DURABILITY_RETENTION_H
#define CHITCHAT_DURABILITY_RETENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log_limit.h"

struct core;
struct store_error;

#define RETENTION_RATE 24u

/* A shard's state of this module. */
struct retention {
    uint64_t limit_ts;  /* the cut goes up to it */
    uint64_t limit_us;  /* monotonic: when limit_ts was set */
    uint64_t hidden_ts; /* entries up to it are not shown; never goes back; 0: the cut alone counts */
    bool is_writing;    /* a record is in the WAL and not durable */
    uint64_t ts;        /* its cut */
    uint64_t sequence;
    struct log_limit log_limit;
};

/* In recovery, after core_start_clock: the shard does not run yet, and has given no ts to an entry. That of the newest
 * one is needed, and a wrong clock would stamp the next. The first cut of the shard is made, and is durable by a commit
 * of the manifest; what is too old above it is hidden. 0, or -errno with the reason in *error_r: there is no cut, and
 * the first tick tries again. */
int retention_start(struct core *core, struct store_error *error_r);
/* Once a second: moves the cut if it is time, and tells the store how late it is. */
void retention_tick(struct core *core);
/* All WAL batches up to `sequence` are durable. */
void retention_on_durable(struct core *core, uint64_t sequence);

#endif
