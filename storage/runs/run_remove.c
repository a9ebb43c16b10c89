#include "storage/runs/run_remove.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STEP_BYTES ((off_t)2 << 20)
#define PAUSE_NS 1000000

static int cut(int fd, off_t bytes, bool (*should_stop)(void *context), void *context)
{
    static const struct timespec pause = {.tv_nsec = PAUSE_NS};
    while (bytes > STEP_BYTES) {
        if (should_stop != NULL && should_stop(context))
            return -ECANCELED;
        bytes -= STEP_BYTES;
        if (ftruncate(fd, bytes) != 0)
            return -errno;
        nanosleep(&pause, NULL);
    }
    return 0;
}

/* The lock stays until the descriptor is closed. Without working locks a copy would not be noticed: the file is not
 * cut.
 */
static int cut_alone(int fd, off_t bytes, bool (*should_stop)(void *context), void *context)
{
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? -EBUSY : 0;
    return cut(fd, bytes, should_stop, context);
}

int run_remove(const char *path, bool (*should_stop)(void *context), void *context)
{
    struct stat file;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int status = fstat(fd, &file) == 0 ? 0 : -errno;
    if (status == 0 && file.st_nlink == 1)
        status = cut_alone(fd, file.st_size, should_stop, context);
    close(fd);
    if (status == 0 && unlink(path) != 0)
        status = -errno;
    return status;
}
