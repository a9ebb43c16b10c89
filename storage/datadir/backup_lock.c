#include "storage/datadir/backup_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define TAKE_STEP_MS 10
#define TAKE_STEPS 1000

static int open_file(const char *dir)
{
    char path[PATH_MAX];
    int bytes = snprintf(path, sizeof path, "%s/" BACKUP_LOCK_NAME, dir);
    if (bytes >= PATH_MAX)
        return -ENAMETOOLONG;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : fd;
}

static int lock_now(int fd, int operation)
{
    if (flock(fd, operation | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK ? -EBUSY : -errno;
}

int backup_lock_share(const char *dir)
{
    int fd = open_file(dir);
    int status = fd < 0 ? fd : lock_now(fd, LOCK_SH);
    if (fd >= 0 && status != 0)
        close(fd);
    return status == 0 ? fd : status;
}

/* The server's threads share the lock for moments; a lock that stays is another backup's. */
int backup_lock_take(const char *dir)
{
    const struct timespec step = {.tv_nsec = TAKE_STEP_MS * 1000000L};
    int fd = open_file(dir);
    if (fd < 0)
        return fd;
    int status = lock_now(fd, LOCK_EX);
    for (int i = 0; status == -EBUSY && i < TAKE_STEPS; i++) {
        nanosleep(&step, NULL);
        status = lock_now(fd, LOCK_EX);
    }
    if (status == 0)
        return fd;
    close(fd);
    return status;
}

void backup_lock_give(int fd)
{
    if (fd >= 0)
        close(fd);
}

uint64_t backup_lock_overtaken(int fd)
{
    char text[24] = "";
    return pread(fd, text, sizeof text - 1, 0) > 0 ? strtoull(text, NULL, 10) : 0;
}

int backup_lock_overtake(const char *dir)
{
    char text[24];
    int fd = open_file(dir);
    if (fd < 0)
        return fd;
    int bytes = snprintf(text, sizeof text, "%" PRIu64 "\n", backup_lock_overtaken(fd) + 1);
    ssize_t written = pwrite(fd, text, (size_t)bytes, 0);
    int status = written == bytes ? 0 : written < 0 ? -errno : -EIO;
    close(fd);
    return status;
}
