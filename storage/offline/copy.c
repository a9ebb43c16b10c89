#include "storage/offline/copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hash.h"
#include "storage/file.h"

#define PIECE_BYTES (1u << 20)

/* The length and the CRC32C of what is in a file, or of what was written to it. */
struct content {
    uint64_t bytes;
    uint32_t crc;
};

int copy_open(const char *from)
{
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return fd;
    close(fd);
    return -EBUSY;
}

static int refuse_source(struct copy_report *report, uint64_t wanted, uint64_t found)
{
    report->difference = (struct copy_difference){.is_source = true, .bytes_wanted = wanted, .bytes_found = found};
    return -EBADMSG;
}

static int check_length(int fd, uint64_t bytes, struct copy_report *report)
{
    struct stat file;
    if (fstat(fd, &file) != 0)
        return -errno;
    return (uint64_t)file.st_size == bytes ? 0 : refuse_source(report, bytes, (uint64_t)file.st_size);
}

int copy_link(const char *from, uint64_t bytes, const char *to, struct copy_report *report)
{
    struct stat file;
    if (link(from, to) != 0)
        return -errno;
    int status = stat(to, &file) == 0 ? 0 : -errno;
    if (status == 0 && (uint64_t)file.st_size != bytes)
        status = refuse_source(report, bytes, (uint64_t)file.st_size);
    if (status != 0)
        (void)unlink(to);
    report->linked += status == 0;
    return status;
}

/* Reads `fd` to its end, piece by piece, into `content`, and writes it to `to` unless that is -1. */
static int read_pieces(int fd, int to, struct content *content)
{
    char *piece = malloc(PIECE_BYTES);
    int status = piece == NULL ? -ENOMEM : 0;
    *content = (struct content){0, 0};
    while (status == 0) {
        ssize_t bytes = pread(fd, piece, PIECE_BYTES, (off_t)content->bytes);
        if (bytes == 0)
            break;
        if (bytes < 0)
            status = -errno;
        else if (to >= 0)
            status = file_write(to, piece, (size_t)bytes, (off_t)content->bytes);
        if (status == 0) {
            content->crc = hash_crc32c(content->crc, piece, (size_t)bytes);
            content->bytes += (uint64_t)bytes;
        }
    }
    free(piece);
    return status;
}

static int new_file(const char *to)
{
    int fd = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

int copy_flush_and_drop_cache(int fd)
{
    ASSERT(fd >= 0);
    if (fsync(fd) != 0)
        return -errno;
    /* Only advice: it fails harmlessly, and a file system in memory ignores it. */
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return 0;
}

static int compare(int fd, const struct content *wanted, struct copy_report *report)
{
    struct content found;
    int status = read_pieces(fd, -1, &found);
    if (status != 0 || (found.bytes == wanted->bytes && found.crc == wanted->crc))
        return status;
    report->difference = (struct copy_difference){false, wanted->bytes, found.bytes, wanted->crc, found.crc};
    return -EBADMSG;
}

/* Makes a new file durable and compares it with what was written; after an error removes it. */
static int end_file(int fd, const char *to, int status, const struct content *given, struct copy_report *report)
{
    if (status == 0)
        status = copy_flush_and_drop_cache(fd);
    if (status == 0)
        status = compare(fd, given, report);
    if (close(fd) != 0 && status == 0)
        status = -errno;
    if (status != 0)
        (void)unlink(to);
    report->copied += status == 0;
    report->bytes += status == 0 ? given->bytes : 0;
    return status;
}

/* The file may have been cut since it was opened, so the length that was read is compared too. */
int copy_fd(int fd, uint64_t bytes, const char *to, struct copy_report *report)
{
    struct content content;
    ASSERT(fd >= 0);
    int status = check_length(fd, bytes, report);
    int file = status == 0 ? new_file(to) : status;
    if (file < 0)
        return file;
    status = read_pieces(fd, file, &content);
    if (status == 0 && content.bytes != bytes)
        status = refuse_source(report, bytes, content.bytes);
    return end_file(file, to, status, &content, report);
}

int copy_file(const char *from, const char *to, struct copy_report *report)
{
    struct stat file;
    int fd = copy_open(from);
    if (fd < 0)
        return fd;
    int status = fstat(fd, &file) == 0 ? copy_fd(fd, (uint64_t)file.st_size, to, report) : -errno;
    close(fd);
    return status;
}

int copy_bytes(const void *data, uint64_t bytes, const char *to, struct copy_report *report)
{
    int file = new_file(to);
    if (file < 0)
        return file;
    struct content content = {bytes, hash_crc32c(0, data, bytes)};
    return end_file(file, to, file_write(file, data, bytes, 0), &content, report);
}

int copy_make_dir(const char *path)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return -errno;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return -errno;
    int status = 0;
    struct dirent *entry;
    for (errno = 0; status == 0 && (entry = readdir(dir)) != NULL; errno = 0)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0
            && strcmp(entry->d_name, "lost+found") != 0)
            status = -ENOTEMPTY;
    if (status == 0)
        status = -errno;
    closedir(dir);
    return status;
}
