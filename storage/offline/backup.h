/*
 * backup.h: a consistent copy of a data directory, also while a server runs on it, and the way back.
 *
 * While the server is held from recycling segments and unlinking runs (backup_lock.h): the oldest segment that is live
 * now is noted for each log; then every manifest is read and the runs that it names are linked, or opened where they
 * cannot be; then, of every log, all segments from the noted one to the newest are copied, each up to its last whole
 * batch. Then the server goes on as it likes; the runs that are open are copied, and the manifests written anew. Such a
 * run is locked (copy.h) from before the hold is given back until it was copied, so that it stays whole (run_remove.h
 * says why that is enough); the log needs no locks, as it is copied while the server is held.
 *
 * Nothing counts as copied that was not looked at. Each copied file is read back from the disk and compared with what
 * was read for it, in length and CRC32C; a copied run has the length that its manifest records, and its rows are gone
 * over, as verify does, against the checksum recorded with them; of a log only what the CRCs of its batches cover is
 * copied; a manifest is opened again and compared. Then BACKUP or META is written. Linked runs are the server's own
 * files, which no copying can harm: only their lengths are looked at, as their rows would be all of the store. Whether
 * the disk still has what was once written there, verify says, of a backup as of a data directory.
 *
 * So each log has all that its manifest lacks, and all that any other manifest lacks of the other timeline: for a
 * segment goes only when both copies of its records are in runs whose manifests were committed before. A batch may be
 * read while it is written: what follows the last whole batch is not copied. The copied log ends with a segment of a
 * header alone that names the others and their lengths, as recovery leaves it: so in a backup nothing is torn, and
 * whatever is not as it was written is damage.
 *
 * The held time is that of copying the logs (some times the memtable). Runs that the server merges away meanwhile or
 * later stay on the disk until the backup has copied them: at most the size of the store when it began.
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
    uint64_t runs;
    uint64_t segments;
};

/* Copies `from`, opened to be read, to the directory `to`, which is made or must be empty. 0, or -errno with *error_r
 * told; `to` then holds what BACKUP.new marks as unfinished. */
int backup_make(const struct datadir *from, const char *to, uint64_t wall_us, struct backup_report *report_r,
                struct backup_error *error_r);

/* Makes the data directory `to`, which is made or must be empty, of the backup `from`, under a new epoch. 0, or -errno
 * with *error_r told; `to` then has no META, and is refused by a server. */
int backup_restore(const struct datadir *from, const char *to, struct backup_report *report_r,
                   struct backup_error *error_r);

#endif
