/*
 * build.h: makes a new data directory from entries that come in the order of user and ts: for reshard and import. Each
 * shard gets one run and a manifest; its WAL is empty. Nothing is sent again: entries keep ts and mid.
 *
 * First the keyed sends of all users (build_put_key), in that order, then all entries (build_put), again in that order:
 * in a run the key index comes first. build_finish completes the runs, reads each back and checks it as verify does,
 * writes the manifests, and last META. Until then the directory has UNFINISHED, and no server opens it.
 *
 * Memory: half a MiB for each shard, and 8 bytes for each user.
 *
 * Blocks; main's thread of a command.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_BUILD_H
#define CHITCHAT_STORAGE_OFFLINE_BUILD_H

#include "storage/datadir/datadir_meta.h"
#include "storage/offline/backup.h"
#include "storage/record.h"

struct build;

struct build_report {
    uint64_t entries;
    uint64_t keys;
    uint64_t bytes; /* of the runs */
};

/* Begins the directory `to`, which is made or must be empty (copied), with the identity of `meta`, format and number of
 * shards (1 to LIMIT_SHARDS, asserted) included. 0, and the caller closes *build_r; or -errno and *error_r: `to` is as
 * it was. */
int build_open(struct build **build_r, const char *to, const struct datadir_meta *meta, struct backup_error *error_r);
/* Removes what was made, unless build_finish returned 0. Nulls *build; NULL is fine. */
void build_close(struct build **build);
/* The directory, for its seeds and the shard of a user; borrowed from `build`. */
const struct datadir *build_datadir(const struct build *build);

/* One keyed send of `user` at `ts`, before all entries (asserted). Borrows both. 0, or -errno and the error of
 * build_open's caller. */
int build_put_key(struct build *build, struct span user, uint64_t ts, struct span key);
/* One entry of the timeline of `user`. Borrows all. Returns as build_put_key. */
int build_put(struct build *build, struct span user, const struct message *message);
/* The marks of a conversation (record.h), behind the entries of `user` and before those of users above. Borrows both.
 * Returns as build_put_key. */
int build_put_marks(struct build *build, struct span user, struct span peer, struct seen_marks marks);
/* The next ts of `shard`, one of the directory (asserted; the same below), lies above `ts`, and above all its entries.
 */
void build_raise_floor(struct build *build, uint32_t shard, uint64_t ts);
/* The entries of `user` up to `ts` are gone (cuts.h); without bytes: of all users of `shard`. Returns as build_put_key;
 * -ENOSPC too: of one shard there are CUTS_MAX - 1 users with a cut of their own. */
int build_cut(struct build *build, uint32_t shard, struct span user, uint64_t ts);
/* Up to which ts entries of `user`, of `shard`, are gone by now. */
uint64_t build_cut_ts(const struct build *build, uint32_t shard, struct span user);
/* The level of the runs (merge_rule.h); 0 if it is not called. */
void build_set_level(struct build *build, uint32_t level);

/* Completes the directory, once (asserted). 0; or -errno and the error. */
int build_finish(struct build *build, struct build_report *report_r);

#endif
