/*
 * backup_private.h: what backup.c (order, runs), backup_wal.c, backup_check.c and backup_restore.c share. build.c,
 * reshard.c and backup_set.c use its refusals and checks. No other file includes it. main's thread of a command.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_BACKUP_PRIVATE_H
#define CHITCHAT_STORAGE_OFFLINE_BACKUP_PRIVATE_H

#include "storage/offline/backup.h"
#include "storage/runs/run.h"
#include "storage/wal/segment.h"
#include "storage/wal/wal_survey.h"

struct backup_run {
    int fd;         /* open and locked until it is copied; else -1 */
    bool is_copied; /* and not linked */
};

struct backup_shard {
    uint32_t index;
    char from_wal[RUN_PATH_BYTES];
    char from_runs[RUN_PATH_BYTES];
    char to_wal[RUN_PATH_BYTES];
    char to_runs[RUN_PATH_BYTES];
    char before_runs[RUN_PATH_BYTES]; /* "": there is no backup before */

    uint64_t generation_low;      /* of the oldest segment that was live when the backup lock was taken */
    struct manifest_state state;  /* owned */
    struct manifest_state before; /* owned: of the backup before; count 0: none, or it cannot be read */
    struct backup_run *runs;      /* one for each entry; owned */
    uint32_t run_count;           /* of `runs`: those that take_run has linked or opened */
};

struct backup {
    const struct datadir *from;
    struct backup_shard *shards;
    uint32_t shard_count;
    const struct backup_options *options;
    int lock_fd;
    uint64_t overtaken; /* the number in HOLD when the lock was taken */
    struct backup_report *report;
    struct backup_error *error;
};

/* Writes the text to *error. Returns `code`, which is -errno (asserted to be below 0). */
int backup_refuse(struct backup_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The refusal for a copy or write that failed with `code`; for -EBADMSG from report->difference. `from` and `report`
 * may be NULL for a write that has no source. Returns `code`. */
int backup_refuse_copy(struct backup_error *error, const struct copy_report *report, int code, const char *from,
                       const char *to);
/* The refusal for the directory `to`, borrowed, that could not be made, by `code`. Returns `code`. */
int backup_refuse_make(struct backup_error *error, int code, const char *to);
/* Makes the directory, or checks that it is empty, and opens it: the caller closes *fd_r. 0, or -errno and *error. */
int backup_make_target(const char *to, int *fd_r, struct backup_error *error);

#define BACKUP_RUN_ADVICE                                                                                              \
    "it was copied unchanged, so the file that it was copied from is damaged: `chitchat verify` checks all files"
/* Checks the rows of the runs in `dir` with is_copied (`runs` NULL: of all), of a shard of `datadir` (asserted), as
 * verify does. `advice` ends the text of an error. 0, or -errno and *error. */
int backup_check_runs(const struct datadir *datadir, uint32_t shard, const char *dir,
                      const struct manifest_state *state, const struct backup_run *runs, const char *advice,
                      struct backup_error *error);
/* Makes the manifest of `state` in `dir`, durably, and checks it. 0, or -errno and *error. */
int backup_write_manifest(const char *dir, struct manifest_state *state, struct backup_error *error);
/* Reads the manifest in `dir` back from the disk and compares it with `state`. 0, or -errno and *error. */
int backup_check_manifest(const char *dir, const struct manifest_state *state, struct backup_error *error);
/* The refusal for a manifest that differs from what was written. Returns -EBADMSG. */
int backup_refuse_manifest(struct backup_error *error, const char *path);

/* Whether both are the same run of one data set. */
bool backup_is_same_run(const struct run_entry *a, const struct run_entry *b);

/* Sets generation_low, before any manifest is read (asserted). 0, or -errno and the error. */
int backup_note_wal(struct backup *backup, struct backup_shard *shard);
/* Copies the WAL, after all manifests were read (asserted). 0, or -errno and the error. */
int backup_copy_wal(struct backup *backup, struct backup_shard *shard);

#endif
