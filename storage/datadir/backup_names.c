#include "storage/datadir/backup_names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "storage/datadir/datadir_make.h"

#define PREFIX "backup-"
#define DIGITS_MIN 6u
#define DIGITS_MAX 9u

uint64_t backup_name_number(const char *name)
{
    if (strncmp(name, PREFIX, sizeof PREFIX - 1) != 0 || strlen(name) >= BACKUP_NAME_BYTES)
        return 0;
    const char *at = name + sizeof PREFIX - 1;
    size_t digits = strspn(at, "0123456789");
    if (digits < DIGITS_MIN || digits > DIGITS_MAX || at[digits] != '-')
        return 0;
    /* The time is for people. */
    const char *time = at + digits + 1;
    return strspn(time, "0123456789TZ") == strlen(time) && time[0] != '\0' ? strtoull(at, NULL, 10) : 0;
}

void backup_name_write(char out[BACKUP_NAME_BYTES], uint64_t number, uint64_t wall_us)
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm parts;
    ASSERT(number >= 1 && number <= BACKUP_NUMBER_MAX);
    gmtime_r(&seconds, &parts);
    int bytes = snprintf(out, BACKUP_NAME_BYTES, PREFIX "%06" PRIu64, number);
    size_t used = strftime(out + bytes, BACKUP_NAME_BYTES - (size_t)bytes, "-%Y%m%dT%H%M%SZ", &parts);
    ASSERT(used > 0);
}

static int add(struct backup_names *names, int fd, const char *name, uint64_t number)
{
    char mark[BACKUP_NAME_BYTES + sizeof "/" DATADIR_BACKUP];
    struct stat stat;
    struct backup_name *grown = realloc(names->names, (names->count + 1) * sizeof *grown);
    if (grown == NULL)
        return -ENOMEM;
    names->names = grown;
    struct backup_name *added = &grown[names->count++];
    *added = (struct backup_name){.number = number};
    (void)snprintf(added->name, sizeof added->name, "%.*s", (int)sizeof added->name - 1, name);
    (void)snprintf(mark, sizeof mark, "%s/" DATADIR_BACKUP, added->name);
    added->is_complete = fstatat(fd, mark, &stat, AT_SYMLINK_NOFOLLOW) == 0;
    return added->is_complete || errno == ENOENT ? 0 : -errno;
}

static int compare(const void *a, const void *b)
{
    const struct backup_name *x = a, *y = b;
    return x->number != y->number ? (x->number < y->number ? -1 : 1) : strcmp(x->name, y->name);
}

static int add_all(struct backup_names *names, int fd, DIR *dir)
{
    struct dirent *entry;
    int status = 0;
    for (errno = 0; status == 0 && (entry = readdir(dir)) != NULL; errno = 0) {
        uint64_t number = backup_name_number(entry->d_name);
        bool is_plain = strcmp(entry->d_name, DATADIR_BACKUP) == 0;
        if (number > 0 || is_plain)
            status = add(names, fd, is_plain ? "." : entry->d_name, number);
    }
    return status == 0 ? -errno : status;
}

int backup_names_list(struct backup_names *names, int fd)
{
    *names = (struct backup_names){NULL, 0};
    int dir_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -errno;
    DIR *dir = fdopendir(dir_fd);
    if (dir == NULL) {
        close(dir_fd);
        return -ENOMEM;
    }
    int status = add_all(names, fd, dir);
    closedir(dir);
    if (names->count > 0)
        qsort(names->names, names->count, sizeof names->names[0], compare);
    return status;
}

void backup_names_fini(struct backup_names *names)
{
    free(names->names);
    *names = (struct backup_names){NULL, 0};
}

const struct backup_name *backup_names_newest(const struct backup_names *names)
{
    for (uint32_t i = names->count; i > 0; i--)
        if (names->names[i - 1].is_complete)
            return &names->names[i - 1];
    return NULL;
}
