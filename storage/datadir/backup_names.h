/*
 * backup_names.h: the names in a directory of backups, which `chitchat backup --to` fills:
 *
 *     LOCK                             has an flock while a backup is made or removed
 *     backup-000007-20261129T034405Z   a backup (datadir.h): its number, and when it was made
 *     BACKUP, shard-0000, ...          a backup in the directory itself, as versions before this one made them: it
 *                                      counts as the oldest, number 0
 *
 * The number orders the backups, so a clock that steps back does no harm. A backup is complete when it has BACKUP.
 * Blocks; any thread.
 */
#ifndef CHITCHAT_STORAGE_DATADIR_BACKUP_NAMES_H
#define CHITCHAT_STORAGE_DATADIR_BACKUP_NAMES_H

#include <stdbool.h>
#include <stdint.h>

/* Of a name, with its NUL. */
#define BACKUP_NAME_BYTES 40u
#define BACKUP_NUMBER_MAX UINT64_C(999999999)

struct backup_name {
    uint64_t number;              /* 0: the directory itself */
    char name[BACKUP_NAME_BYTES]; /* ".": the directory itself */
    bool is_complete;
};

struct backup_names {
    struct backup_name *names; /* ascending by number; owned */
    uint32_t count;
};

/* The number in a name, at least 1; 0: it is no name of a backup. */
uint64_t backup_name_number(const char *name);
/* Writes the name of backup `number`, 1 to BACKUP_NUMBER_MAX (asserted), made at `wall_us`. */
void backup_name_write(char out[BACKUP_NAME_BYTES], uint64_t number, uint64_t wall_us);

/* Lists the backups in the directory `fd`. 0, or -errno. The caller calls backup_names_fini in both cases. */
int backup_names_list(struct backup_names *names, int fd);
/* A struct of zeros is fine. */
void backup_names_fini(struct backup_names *names);
/* The newest complete one, borrowed from `names`; NULL: there is none. */
const struct backup_name *backup_names_newest(const struct backup_names *names);

#endif
