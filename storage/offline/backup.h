/*
 * backup.h: makes a consistent copy of a data directory, also while a server runs on it, and restores it.
 *
 * While the backup has the backup lock (backup_lock.h), the server recycles no segment and removes no run. The backup
 * notes the oldest live segment of each WAL. Then it reads every manifest, and links the runs that it names, or opens
 * and locks those that cannot be linked (copy.h). Then it copies the segments of every WAL, from the noted one to the
 * newest, each up to its last whole batch. Then it gives the lock back, copies the runs that it opened, and writes the
 * manifests. The flock on an opened run keeps the file whole until it is copied (run_remove.h says why that is enough).
 * The WAL needs no such locks, because it is copied under the backup lock.
 *
 * Everything that is copied is checked. Each copied file is read back from the disk and compared in length and CRC32C
 * with what was read from its source. A copied run must have the length in its manifest, and its rows are checked
 * against their checksum as verify does. Of a WAL only what the CRCs of its batches cover is copied. A manifest is
 * opened again and compared. After that BACKUP or META is written. A linked run is the server's own file: only its
 * length is checked, because all runs together may be the whole store. verify checks all files, of a backup as of a
 * data directory.
 *
 * So each copied WAL has all that its manifest lacks, and all that any other shard's manifest lacks of the other
 * timeline: a segment is released only when both rows of each of its records are in runs whose manifests are committed.
 * A batch may be read while it is written: bytes behind the last whole batch are not copied. The copied WAL ends with a
 * segment that has only a header, which names the other segments and their lengths, as recovery leaves it. So nothing
 * in a backup is torn, and every difference from what was written is damage.
 *
 * The lock is taken for the time that it takes to copy the WALs (a few times the size of the memtables). Runs that the
 * server merges stay on the disk until the backup has copied them: at most the size of the store when the backup began.
 *
 * Blocks; main's thread of a command.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_BACKUP_H
#define CHITCHAT_STORAGE_OFFLINE_BACKUP_H

#include "storage/datadir/datadir.h"
#include "storage/offline/copy.h"

struct backup_error {
    char text[4096]; /* one line: what is wrong, and what to do */
};

struct backup_report {
    struct copy_report files;
    uint64_t runs;     /* linked or copied */
    uint64_t shared;   /* runs: those among the linked ones that are linked to the backup before */
    uint64_t segments; /* copied */
};

struct backup_options {
    uint64_t wall_us;   /* the time, for the text of BACKUP */
    const char *before; /* an earlier backup of the same epoch, whose runs are not copied again; NULL: none */
};

/* Copies `from`, which datadir_open_read has opened, to the directory `to`, which is made or must be empty. 0; or
 * -errno with the reason in *error_r: then BACKUP.new marks what is in `to` as unfinished. Borrows all.
 *
 * A run never changes, and its number is not used again within an epoch. So a run that cannot be linked to the source
 * is linked to the file in `before`, if the manifest there has the same entry for it: number, counts, times and size.
 */
int backup_make(const struct datadir *from, const char *to, const struct backup_options *options,
                struct backup_report *report_r, struct backup_error *error_r);

/* Makes a data directory with a new epoch from the backup `from`, in `to`, which is made or must be empty. 0; or -errno
 * with the reason in *error_r: then `to` has no META, and a server refuses it. Borrows all. */
int backup_restore(const struct datadir *from, const char *to, struct backup_report *report_r,
                   struct backup_error *error_r);

#endif
