/*
 * datadir_make.h: the names in a data directory, and how one is made (datadir.h has the layout). For datadir.c, backup
 * and restore. Blocks; main's thread. datadir_make needs the lock on LOCK.
 */
#ifndef CHITCHAT_STORAGE_DATADIR_DATADIR_MAKE_H
#define CHITCHAT_STORAGE_DATADIR_DATADIR_MAKE_H

#include <stdbool.h>

#include "storage/datadir/datadir_meta.h"

#define DATADIR_LOCK "LOCK"
#define DATADIR_META "META"
#define DATADIR_META_NEW "META.new"
#define DATADIR_BACKUP "BACKUP"
#define DATADIR_BACKUP_NEW "BACKUP.new"
/* In a directory that a command makes: present from the start until META is there. */
#define DATADIR_UNFINISHED "UNFINISHED"
#define DATADIR_SHARD_FORMAT "shard-%04u"
#define DATADIR_WAL "wal"
#define DATADIR_RUNS "runs"
/* Room for shard-NNNN/runs. */
#define DATADIR_NAME_BYTES 32u

/* The META of an open directory, borrowed from `dir`. */
const struct datadir_meta *datadir_meta(const struct datadir *dir);

struct datadir_survey {
    bool has_meta;
    bool has_new_meta;
    bool has_backup;
    bool has_new_backup;
    bool has_backups; /* directories with backups (backup_names.h) */
    bool has_unfinished;
    bool has_shards;
    bool has_content;  /* a shard directory has more than an empty wal and an empty runs, or cannot be listed */
    char stranger[64]; /* a name that is not of chitchat, cut; "": none */
};

/* Lists the directory `fd`. 0, or -1 and errno. */
int datadir_survey(int fd, struct datadir_survey *survey_r);

/* Whether `name` is that of a shard's directory. Pure. */
bool datadir_is_shard(const char *name);

/* Whether both directories of the shard exist; if not, `name` is the missing one. */
bool datadir_has_shard(int fd, uint32_t shard, char name[DATADIR_NAME_BYTES]);

/* Makes the directories of `shards` shards, if they do not exist. All is durable but the names in `fd`. 0 or -errno. */
int datadir_make_shards(int fd, uint32_t shards);

/* Makes the name of the directory `fd` durable. 0 or -errno. */
int datadir_sync_name(int fd);

/* Sets a new random epoch. 0 or -errno. */
int datadir_draw_epoch(struct datadir_meta *meta);

/* Writes the file `name` in the directory `fd` with `text` of at most DATADIR_BACKUP_BYTES (asserted), makes the file
 * and its name durable, and reads it back. 0 or -errno (-EIO: it does not have what was written). */
int datadir_write_file(int fd, const char *name, const char *text, size_t bytes);

/* Writes META.new, renames it to META, and makes that durable, with the name of the directory `fd`. 0; or -errno: META
 * is as it was, or has `meta`. */
int datadir_write_meta(int fd, const struct datadir_meta *meta);

/* New seeds and a new epoch, in the format of this program. 0 or -errno. */
int datadir_draw(uint32_t shards, struct datadir_meta *meta_r);

/* For a command that makes a data directory with what is in it: makes `path`, or takes it if it is empty, locks it, and
 * makes UNFINISHED and the directories of the shards of `meta`. No server opens it. 0, and the caller closes *dir_r; or
 * -errno and *error_r: what was made is there still (remove_data of remove.h). */
int datadir_begin(struct datadir **dir_r, const char *path, const struct datadir_meta *meta,
                  struct datadir_error *error_r);
/* Writes META, then removes UNFINISHED: now it is a data directory. 0; or -errno, and it has no META or is complete. */
int datadir_commit(struct datadir *dir);

/* Makes a data directory with `meta` in `fd`, which datadir_survey found empty or incomplete. 0, and all of it is
 * durable; or -errno, and it is incomplete. */
int datadir_make(int fd, const struct datadir_meta *meta);

/* Makes the names in `fd`, and its own name, durable: a process that renamed META may have been killed before it did
 * so. 0 or -errno. */
int datadir_sync(int fd);

#endif
