/*
 * reshard.h: makes a data directory with another number of shards from one on which no server runs, or from a backup.
 * The source is only read. All entries go to the shard of their user under the new number, with their ts, mid and keys.
 * The seeds stay, so the hashes in key indexes mean the same. The order within each timeline stays, so prev and cursors
 * do too: a data directory keeps its epoch. From a backup it gets a new one, as a restore gives it.
 *
 * A new shard continues above the floor of each shard that its users come from: the newest ts that was given there. So
 * no ts is given again, also none of an entry that was refused.
 *
 * Every run of the source is checked first, as verify does: what is damaged is not given a new checksum. Then the
 * source is read twice, once for the key index and once for the entries; build.h writes. The memory does not depend on
 * the number of messages in runs (offline.h, build.h).
 *
 * Blocks; main's thread of a command, without other threads.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_RESHARD_H
#define CHITCHAT_STORAGE_OFFLINE_RESHARD_H

#include "storage/offline/build.h"

struct reshard_options {
    uint32_t shards; /* of the new directory: 1 to LIMIT_SHARDS (asserted) */
    /* Called after each tenth of the entries; NULL: not. */
    void (*on_progress)(void *context, uint64_t done, uint64_t total);
    void *context;
};

/* Makes `to`, which must be empty or not exist, from `from`, which datadir_open_read has opened. 0; or -errno with the
 * reason in *error_r: then `to` is as it was. Borrows all. */
int reshard_run(const struct datadir *from, const char *to, const struct reshard_options *options,
                struct build_report *report_r, struct backup_error *error_r);

#endif
