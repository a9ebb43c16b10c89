/*
 * datadir.h: the directory that holds a data set, guarded against a second server and against a server that does not
 * fit.
 *
 *     LOCK                    flock'ed while open; says the process that holds it
 *     META                    what never changes: format version, shards, epoch, both seeds, and a CRC; text
 *     HOLD                    see backup_lock.h
 *     shard-0000/wal, runs    one for each shard
 *
 * META is written last, by rename, so a directory that has it is complete; a crash while making leaves META.new and
 * empty directories, from which the next start makes it anew. Shard directories with anything in them but without META
 * are never taken for new: that is refused. Whatever is refused is left as it was.
 *
 * A backup is such a directory with BACKUP (META's text behind a line about the backup, written last) in place of META:
 * it can be read, but is not served.
 *
 * Everything here but the getters blocks: main's thread, before the shards start and after they end. The getters only
 * read: any thread.
 */
#ifndef CHITCHAT_STORAGE_DATADIR_DATADIR_H
#define CHITCHAT_STORAGE_DATADIR_DATADIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/span.h"

#define DATADIR_FORMAT 1u
#define DATADIR_EPOCH_CHARS LIMIT_EPOCH_CHARS
#define DATADIR_ERROR_BYTES 768u

struct datadir;

/* Why not, in one sentence that says what to do. */
struct datadir_error {
    char text[DATADIR_ERROR_BYTES];
};

/* Opens the data directory at `path`, or makes it if there is none or it is empty (its parent must be there).
 * `shards_wanted` 0: as stored, or `shards_default` for a new one. Both at most LIMIT_SHARDS. Borrows `path`; the
 * caller owns *dir_r. Returns 0, or -errno and *error_r:
 * -EBUSY in use by another server; -EPROTO another format version; -EINVAL another number of shards; -EEXIST not empty
 * and not of chitchat, or shards without META; -EBADMSG META or a shard directory is damaged or missing; else what the
 * system said. */
int datadir_open(struct datadir **dir_r, const char *path, uint32_t shards_wanted, uint32_t shards_default,
                 struct datadir_error *error_r);
/* Opens the data directory or backup at `path` to read it: nothing in it is changed. With `may_be_live` a server may
 * run on it (datadir_is_live says so); else no server can start while it is open. Returns as datadir_open does. */
int datadir_open_read(struct datadir **dir_r, const char *path, bool may_be_live, struct datadir_error *error_r);
/* Lets go of the lock. Nulls *dir; NULL is fine. */
void datadir_close(struct datadir **dir);

uint32_t datadir_shards(const struct datadir *dir);
/* 32 hexadecimal digits and a NUL; borrowed, stands while `dir` does. */
const char *datadir_epoch(const struct datadir *dir);
struct hash_key datadir_name_seed(const struct datadir *dir);
struct hash_key datadir_key_seed(const struct datadir *dir);
/* Of one opened to be read: whether a server runs on it, and whether it is a backup. */
bool datadir_is_live(const struct datadir *dir);
bool datadir_is_backup(const struct datadir *dir);
const char *datadir_path(const struct datadir *dir);

/* Write the path of a shard's directory into `out`. 0, or -ENAMETOOLONG. */
int datadir_wal_path(const struct datadir *dir, uint32_t shard, char *out, size_t out_bytes);
int datadir_runs_path(const struct datadir *dir, uint32_t shard, char *out, size_t out_bytes);

/* The shard that owns `user`: SipHash-1-3 under the name seed, its upper half scaled to the shards. Tables of
 * one shard's users must take other bits or another seed. */
uint32_t datadir_shard_of(const struct datadir *dir, struct span user);

#endif
