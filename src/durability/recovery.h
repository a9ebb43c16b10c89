/*
 * recovery.h: from the files of a data directory to cores that may serve: opens every shard's runs, replays every
 * shard's log into the memtables of both owners of each record, cuts torn tails, and begins new logs. On main's thread,
 * before the shards start; blocks.
 *
 * What is damaged (and not merely torn by a crash) is refused for the whole server, with file, offset and what to do.
 * Nothing of a log is dropped before all logs have been replayed. A log is never continued: a new segment, whose
 * durable header names the earlier ones and the lengths at which they were cut, stands between what was recovered and
 * what comes.
 */
#ifndef CHITCHAT_DURABILITY_RECOVERY_H
#define CHITCHAT_DURABILITY_RECOVERY_H

#include <stdint.h>

struct server;

struct recovery_error {
    char text[1024]; /* one line: what is wrong, where, and what to do */
};

struct recovery_report {
    uint64_t records;    /* replayed */
    uint64_t torn_tails; /* cut: none of their records was ever acknowledged */
};

/* Fills heap, memtable, store, reader, wal and recycler of all cores. 0; or -errno and *error_r: the cores are closed
 * by the caller as far as they are there. */
int recovery_run(struct server *server, struct recovery_report *report_r, struct recovery_error *error_r);

#endif
