/*
 * datadir_make.h: what stands in a data directory, and how an empty one becomes one (see datadir.h for the layout).
 * Blocks: main's thread, holding the lock for datadir_make.
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
#define DATADIR_SHARD_FORMAT "shard-%04u"
#define DATADIR_WAL "wal"
#define DATADIR_RUNS "runs"
/* Room for shard-NNNN/runs. */
#define DATADIR_NAME_BYTES 32u

/* Of an open one. */
const struct datadir_meta *datadir_meta(const struct datadir *dir);

struct datadir_survey {
    bool has_meta;
    bool has_new_meta;
    bool has_backup;
    bool has_new_backup;
    bool has_shards;
    bool has_content;  /* a shard directory holds more than an empty wal and an empty runs */
    char stranger[64]; /* the name of something that is not of chitchat, cut; "": none */
};

/* Looks at the directory `fd`. 0, or -1 and errno. */
int datadir_survey(int fd, struct datadir_survey *survey_r);

/* Whether both directories of the shard are there; if not, `name` says which is missing. */
bool datadir_has_shard(int fd, uint32_t shard, char name[DATADIR_NAME_BYTES]);

/* Makes the empty directories of `shards` shards. Durable but for the names of the shards in `fd`. 0 or -errno. */
int datadir_make_shards(int fd, uint32_t shards);

/* Makes the directory's own name durable. 0 or -errno. */
int datadir_sync_name(int fd);

/* A new epoch. 0 or -errno. */
int datadir_draw_epoch(struct datadir_meta *meta);

/* Writes a file of at most DATADIR_BACKUP_BYTES whole and durably, its name included, and reads it back. 0 or -errno
 * (-EIO: it does not hold what was written). */
int datadir_write_file(int fd, const char *name, const char *text, size_t bytes);

/* Makes a data set of `shards` shards with new seeds in `fd`, which was surveyed as empty or half made. Durable when it
 * returns 0; -errno otherwise: half made. */
int datadir_make(int fd, uint32_t shards, struct datadir_meta *meta_r);

/* Puts the names in `fd`, and its own, on the disk: META may have got its name from a process that was killed before it
 * could. 0 or -errno. */
int datadir_sync(int fd);

#endif
