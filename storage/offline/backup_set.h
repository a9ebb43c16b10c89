/*
 * backup_set.h: a directory of backups (backup_names.h has its names): each backup is complete in itself, and runs that
 * two of them have are one file with two names. One more copies only the runs that are new since the newest backup,
 * and the WAL.
 *
 * The order: take the lock of the directory; remove what was not finished, of a backup that was killed; make the backup
 * under its final name, where BACKUP comes last (backup.h); only then remove the oldest ones. So a kill at any moment
 * leaves the earlier backups whole.
 *
 * Blocks; main's thread of a command.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_BACKUP_SET_H
#define CHITCHAT_STORAGE_OFFLINE_BACKUP_SET_H

#include "storage/datadir/backup_names.h"
#include "storage/offline/backup.h"

struct backup_set_options {
    uint64_t wall_us; /* the time, for the name and BACKUP */
    uint32_t keep;    /* so many complete backups stay, the newest ones; 0: all */
};

struct backup_set_report {
    struct backup_report made;
    char path[1024];  /* of the new backup */
    uint32_t removed; /* older backups */
};

/* Makes one more backup of `from`, which datadir_open_read has opened, in the directory `to`, which is made if it does
 * not exist. 0; or -errno with the reason in *error_r. The new backup is complete if report_r->path is not empty: then
 * the error is that an older one was not removed. Borrows all. */
int backup_set_add(const struct datadir *from, const char *to, const struct backup_set_options *options,
                   struct backup_set_report *report_r, struct backup_error *error_r);

#endif
