/*
 * datadir.h: the data directory, which one server at a time may open, with the number of shards and the format that it
 * was made for.
 *
 *     LOCK                    has an flock while the directory is open; the text is the server's process id
 *     META                    format version, shards, epoch, both seeds, and a CRC; only the version changes; text
 *     HOLD                    the backup lock (backup_lock.h)
 *     shard-0000/wal, runs    one for each shard
 *
 * The format version in META stands for all formats in the directory: META, WAL, runs and manifests. It rises with the
 * first release whose server writes something that the releases before cannot read. datadir_open of such a server
 * raises the number before anything else is written. So an older program refuses the directory, and names the version
 * that it needs. Reading raises nothing; a backup keeps the number of its source.
 *
 *     1    the first format
 *     2    manifests may have keys that format 1 does not know, and WALs records of cuts (storage/record.h)
 *     3    WALs have records of marks, and runs rows of marks and of the index by peer (runs/peer_index.h)
 *
 * A directory of a node of a cluster names it in META (datadir_meta.h). Its newest messages are in the log of the
 * cluster alone, so a server without --cluster refuses it, as one with --cluster refuses all others.
 *
 * META gets its name last, by a rename: so a directory with META is complete. A crash before that leaves META.new and
 * empty directories, and the next start makes the directory again. Shard directories that have files are refused
 * without META. What is refused is not changed.
 *
 * A backup is such a directory with BACKUP (one line about the backup, then META's text; written last) instead of META.
 * A backup can be read, but not served. A directory of backups (backup_names.h) stands for the newest complete one.
 *
 * datadir_open, datadir_open_read and datadir_close block: main's thread, of the server before the shards start and
 * after they end, or of a command. All other functions only read memory: any thread.
 */
#ifndef CHITCHAT_STORAGE_DATADIR_DATADIR_H
#define CHITCHAT_STORAGE_DATADIR_DATADIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/span.h"

#define DATADIR_FORMAT 3u
#define DATADIR_FORMAT_MIN 1u /* the oldest that is read */
#define DATADIR_EPOCH_CHARS LIMIT_EPOCH_CHARS
#define DATADIR_ERROR_BYTES 768u

struct datadir;

/* Why a directory is refused: one sentence that says what to do. */
struct datadir_error {
    char text[DATADIR_ERROR_BYTES];
};

/* Opens the data directory at `path`, or makes it if there is none or it is empty (its parent must exist). An older
 * format becomes DATADIR_FORMAT. `shards_wanted` 0: as stored, or `shards_default` for a new one. Both are at most
 * LIMIT_SHARDS (asserted). Copies `path`; the caller closes *dir_r. Returns 0, or -errno and *error_r: -EBUSY
 * another server or a command uses it; -EPROTO another format version; -EINVAL another number of shards; -EEXIST not
 * empty and not of chitchat, a backup, or shards without META; -EBADMSG META is damaged, or a shard directory is
 * missing; else the system's error. */
int datadir_open(struct datadir **dir_r, const char *path, uint32_t shards_wanted, uint32_t shards_default,
                 struct datadir_error *error_r);
/* Opens the data directory or backup at `path`, or the newest backup in it, for reading, without a change to it. With
 * `may_be_live` a server may run on it (datadir_is_live). Without, that is -EBUSY, and no server can start while the
 * directory is open. Returns as datadir_open; -ENOENT: neither META nor BACKUP is there. */
int datadir_open_read(struct datadir **dir_r, const char *path, bool may_be_live, struct datadir_error *error_r);
struct datadir_meta;
/* The same for a node of the cluster that `cluster` is the META of (datadir_meta.h): a new directory becomes one of it.
 * A directory of no cluster, or of another one, is -EINVAL, as one of a cluster is for datadir_open. */
int datadir_open_cluster(struct datadir **dir_r, const char *path, const struct datadir_meta *cluster,
                         struct datadir_error *error_r);
/* Whether the open directory is of a node of that cluster, or of none if `cluster` is NULL: 0; or -EINVAL. */
int datadir_check_cluster(const struct datadir *dir, const struct datadir_meta *cluster, struct datadir_error *error_r);

struct datadir_check {
    uint32_t shards;  /* 0: it would be made */
    bool is_live;     /* a server runs on it */
    char cluster[33]; /* whose node it is; "": of none, or it would be made */
};

/* Whether datadir_open would open or make `path`, but for a server that runs on it. Changes nothing. Returns as
 * datadir_open. */
int datadir_check(const char *path, uint32_t shards_wanted, struct datadir_check *check_r,
                  struct datadir_error *error_r);
/* Gives the lock back. Nulls *dir; NULL is fine. */
void datadir_close(struct datadir **dir);

uint32_t datadir_shards(const struct datadir *dir);
/* Of a node of a cluster: its name, else "". Borrowed from `dir`. */
const char *datadir_cluster(const struct datadir *dir);
/* 32 hexadecimal digits and a NUL, borrowed from `dir`. */
const char *datadir_epoch(const struct datadir *dir);
struct hash_key datadir_name_seed(const struct datadir *dir);
struct hash_key datadir_key_seed(const struct datadir *dir);
/* After datadir_open_read: whether a server ran on it then, and whether it is a backup. */
bool datadir_is_live(const struct datadir *dir);
bool datadir_is_backup(const struct datadir *dir);
/* The path as it was opened, or that of the backup in it; borrowed from `dir`. */
const char *datadir_path(const struct datadir *dir);

/* Write the path of a directory of `shard` to `out` (room for `out_bytes`). 0 or -ENAMETOOLONG. */
int datadir_wal_path(const struct datadir *dir, uint32_t shard, char *out, size_t out_bytes);
int datadir_runs_path(const struct datadir *dir, uint32_t shard, char *out, size_t out_bytes);

/* The shard that owns `user`: SipHash-1-3 under the name seed, its upper half scaled to the number of shards. A hash
 * table of one shard's users must use the lower half or another seed. */
uint32_t datadir_shard_of(const struct datadir *dir, struct span user);

#endif
