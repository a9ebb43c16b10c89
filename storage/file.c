#include "storage/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/assert.h"

#define NO_ROOM_BYTES (64u << 10)

int file_open_direct(const char *path, int flags)
{
    flags |= O_RDWR | O_CLOEXEC;
    int fd = open(path, flags | O_DIRECT, 0600);
    if (fd < 0 && errno == EINVAL)
        fd = open(path, flags, 0600);
    return fd < 0 ? -errno : fd;
}

int file_write(int fd, const void *data, size_t bytes, off_t offset)
{
    const char *at = data;
    ASSERT(offset >= 0);
    while (bytes > 0) {
        ssize_t written = pwrite(fd, at, bytes, offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? -errno : -EIO;
        at += written;
        bytes -= (size_t)written;
        offset += written;
    }
    return 0;
}

int file_write_zeros(int fd, size_t bytes, off_t offset)
{
    ASSERT(bytes > 0 && bytes <= FILE_ZEROS_BYTES_MAX);
    char *zeros = mmap(NULL, bytes, PROT_READ, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (zeros == MAP_FAILED)
        return -ENOMEM;
    int status = file_write(fd, zeros, bytes, offset);
    munmap(zeros, bytes);
    return status;
}

bool file_has_no_room(int status, const char *dir)
{
    struct statvfs disk;
    if (status == -ENOSPC || status == -EDQUOT)
        return true;
    return status == -EIO && statvfs(dir, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < NO_ROOM_BYTES;
}
