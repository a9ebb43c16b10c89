/*
 * backup_private.h: what backup.c (order, runs), backup_wal.c and backup_restore.c share. Nobody else includes it.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_BACKUP_PRIVATE_H
#define CHITCHAT_STORAGE_OFFLINE_BACKUP_PRIVATE_H

#include "storage/offline/backup.h"
#include "storage/runs/run.h"
#include "storage/wal/segment.h"
#include "storage/wal/wal_survey.h"

struct backup_run {
    int fd;         /* open to be copied, locked; -1: not, or not any more */
    bool is_copied; /* not linked */
};

struct backup_shard {
    uint32_t index;
    char from_wal[RUN_PATH_BYTES];
    char from_runs[RUN_PATH_BYTES];
    char to_wal[RUN_PATH_BYTES];
    char to_runs[RUN_PATH_BYTES];

    uint64_t generation_low;     /* of the oldest segment that was live when the server was held */
    struct manifest_state state; /* owned */
    struct backup_run *runs;     /* one for each entry */
    uint32_t run_count;
};

struct backup {
    const struct datadir *from;
    struct backup_shard *shards;
    uint32_t shard_count;
    int lock_fd;
    uint64_t overtaken; /* what HOLD said when it was taken */
    struct backup_report *report;
    struct backup_error *error;
};

int backup_refuse(struct backup_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* `from` may be NULL where nothing was read; report->difference tells of a -EBADMSG. */
int backup_refuse_copy(struct backup_error *error, const struct copy_report *report, int code, const char *from,
                       const char *to);
/* Makes the directory, or finds it empty; opens it. */
int backup_make_target(const char *to, int *fd_r, struct backup_error *error);

/* Looks at the rows of those runs in `dir` that were copied there, of `datadir`'s shard, as verify does: against their
 * checksums and their entries. 0, or -errno told. */
int backup_check_runs(const struct datadir *datadir, uint32_t shard, const char *dir,
                      const struct manifest_state *state, const struct backup_run *runs, struct backup_error *error);
/* Looks whether the manifest in `dir` says what `state` says, on the disk. 0, or -errno told. */
int backup_check_manifest(const char *dir, const struct manifest_state *state, struct backup_error *error);
int backup_refuse_manifest(struct backup_error *error, const char *path);

/* Before any manifest is read: which segment is the oldest that is live. 0, or -errno told. */
int backup_note_wal(struct backup *backup, struct backup_shard *shard);
/* After all manifests were read: copies the log. 0, or -errno told. */
int backup_copy_wal(struct backup *backup, struct backup_shard *shard);

#endif
