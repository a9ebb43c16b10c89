#include "storage/copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/file.h"

#define PIECE_BYTES (1u << 20)

int copy_link(const char *from, const char *to, struct copy_count *count)
{
    if (link(from, to) != 0)
        return -errno;
    count->linked++;
    return 0;
}

static int copy_pieces(int from, int to, struct copy_count *count)
{
    char *piece = malloc(PIECE_BYTES);
    off_t at = 0;
    int status = piece == NULL ? -ENOMEM : 0;
    while (status == 0) {
        ssize_t bytes = pread(from, piece, PIECE_BYTES, at);
        if (bytes == 0)
            break;
        status = bytes < 0 ? -errno : file_write(to, piece, (size_t)bytes, at);
        at += bytes;
        count->bytes += status == 0 ? (uint64_t)bytes : 0;
    }
    free(piece);
    return status;
}

static int new_file(const char *to)
{
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

/* Gives a new file its durability, or takes it away again. */
static int end_file(int fd, const char *to, int status, struct copy_count *count)
{
    if (status == 0 && fsync(fd) != 0)
        status = -errno;
    if (close(fd) != 0 && status == 0)
        status = -errno;
    if (status != 0)
        (void)unlink(to);
    count->copied += status == 0;
    return status;
}

int copy_fd(int fd, const char *to, struct copy_count *count)
{
    int file = new_file(to);
    return file < 0 ? file : end_file(file, to, copy_pieces(fd, file, count), count);
}

int copy_file(const char *from, const char *to, struct copy_count *count)
{
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int status = copy_fd(fd, to, count);
    close(fd);
    return status;
}

int copy_bytes(const void *data, uint64_t bytes, const char *to, struct copy_count *count)
{
    int file = new_file(to);
    if (file < 0)
        return file;
    count->bytes += bytes;
    return end_file(file, to, file_write(file, data, bytes, 0), count);
}

int copy_make_dir(const char *path)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return -errno;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return -errno;
    int status = 0;
    for (struct dirent *entry; status == 0 && (entry = readdir(dir)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0
            && strcmp(entry->d_name, "lost+found") != 0)
            status = -ENOTEMPTY;
    closedir(dir);
    return status;
}
