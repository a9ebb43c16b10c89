/*
 * recovery.h: makes cores that may serve from the files of a data directory. Opens every shard's runs, replays every
 * shard's WAL into the memtables of both users of each record, cuts torn tails, and begins new WALs. On main's thread,
 * before the shards start; blocks.
 *
 * Damage (what a crash alone cannot have done) is refused for the whole server, with file, offset and what to do.
 * No segment is removed before all WALs have been replayed. A segment is never continued: a new one, whose durable
 * header names the earlier ones and the lengths at which they were cut, separates what was recovered from what comes.
 *
 * A full disk does not keep the server from starting. What cannot go to a run stays in memory, where it fits. Without
 * room for a new segment the WAL has none until the recycler can make one (event no_room_at_start): sends get `busy`,
 * all else is served.
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
    uint64_t torn_tails; /* cut: a crash leaves them of writes that were not acknowledged; damage may look the same */
};

/* Opens heap, memtable, store, store_reader, wal and recycler of all cores of `server`, which own them from now on, and
 * sets their last_ts. In a cluster it returns when this node owns all slots (recovery_standby.h), maybe after days. 0
 * and *report_r; -ERESTART: the process has to begin anew; -EINTR: it was asked to stop; or -errno and *error_r: the
 * caller closes what the cores have by then. */
int recovery_run(struct server *server, struct recovery_report *report_r, struct recovery_error *error_r);

#endif
