#include "storage/wal/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "storage/file.h"

#define NAME_FORMAT "segment-%06u.wal"
#define NAME_NEW "segment.new"
#define NAME_BYTES_MAX sizeof "segment-4294967295.wal"

static int segment_path(const char *dir, uint32_t file, char out[PATH_MAX])
{
    int bytes = snprintf(out, PATH_MAX, "%s/" NAME_FORMAT, dir, file);
    return bytes < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int segment_sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int status = fsync(fd) == 0 ? 0 : -errno;
    close(fd);
    return status;
}

/* The zeros are written, not only allocated: each write into unwritten extents would cost the file system a commit. */
static int zero_fill(int fd, uint32_t segment_bytes)
{
    int status = 0;
    for (uint32_t at = 0; at < segment_bytes && status == 0; at += FILE_ZEROS_BYTES_MAX) {
        uint32_t piece = segment_bytes - at < FILE_ZEROS_BYTES_MAX ? segment_bytes - at : FILE_ZEROS_BYTES_MAX;
        status = file_write_zeros(fd, piece, at);
    }
    if (status == 0 && fsync(fd) != 0)
        status = -errno;
    return status;
}

/* Opens a file for the writes of the WAL. They are durable through the page cache too. */
static int open_for_wal(const char *path)
{
    return file_open_direct(path, O_DSYNC);
}

/* The file has another name until it is complete: so a segment that is too short was cut, and is not half-made. */
static int make_file(const char *dir, const char *path, uint32_t segment_bytes)
{
    char path_new[PATH_MAX];
    int bytes = snprintf(path_new, sizeof path_new, "%s/" NAME_NEW, dir);
    if (bytes >= PATH_MAX)
        return -ENAMETOOLONG;
    int fd = file_open_direct(path_new, O_CREAT | O_TRUNC);
    if (fd < 0)
        return fd;
    int status = zero_fill(fd, segment_bytes);
    close(fd);
    if (status == 0 && access(path, F_OK) == 0)
        status = -EEXIST;
    if (status == 0 && rename(path_new, path) != 0)
        status = -errno;
    if (status != 0)
        unlink(path_new);
    return status;
}

int segment_create(const char *dir, uint32_t file, uint32_t segment_bytes, struct wal_spare *spare_r)
{
    char path[PATH_MAX];
    ASSERT(segment_bytes > 0);
    ASSERT(segment_bytes % WAL_BLOCK_BYTES == 0);
    int status = segment_path(dir, file, path);
    if (status == 0)
        status = make_file(dir, path, segment_bytes);
    if (status != 0)
        return status;
    status = segment_sync_dir(dir);
    int fd = status == 0 ? open_for_wal(path) : status;
    if (fd < 0) {
        unlink(path);
        return fd;
    }
    *spare_r = (struct wal_spare){file, fd};
    return 0;
}

int segment_clear(struct wal_spare spare)
{
    ASSERT(spare.fd >= 0);
    char *block = aligned_alloc(WAL_BLOCK_BYTES, WAL_BLOCK_BYTES);
    if (block == NULL)
        return -ENOMEM;
    memset(block, 0, WAL_BLOCK_BYTES);
    int status = file_write(spare.fd, block, WAL_BLOCK_BYTES, 0);
    free(block);
    return status;
}

int segment_remove(const char *dir, struct wal_spare spare)
{
    char path[PATH_MAX];
    if (spare.fd >= 0)
        close(spare.fd);
    int status = segment_path(dir, spare.file, path);
    if (status == 0 && unlink(path) != 0)
        status = -errno;
    return status;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Reads the number in a segment's file name. False: it is another file, or the number is written in another way, which
 * would give the path of another file. */
static bool parse_name(const char *name, uint32_t *file_r)
{
    char again[NAME_BYTES_MAX];
    if (sscanf(name, "segment-%u.wal", file_r) != 1)
        return false;
    snprintf(again, sizeof again, NAME_FORMAT, *file_r);
    return strcmp(again, name) == 0;
}

static int add_number(uint32_t **files, uint32_t *count, uint32_t file)
{
    uint32_t *grown = realloc(*files, (*count + 1) * sizeof *grown);
    if (grown == NULL)
        return -ENOMEM;
    grown[(*count)++] = file;
    *files = grown;
    return 0;
}

int segment_list(const char *dir, uint32_t **files_r, uint32_t *count_r)
{
    uint32_t *files = NULL;
    uint32_t count = 0;
    uint32_t file;
    int status = 0;
    DIR *handle = opendir(dir);
    if (handle == NULL)
        return -errno;
    struct dirent *entry;
    for (errno = 0; status == 0 && (entry = readdir(handle)) != NULL; errno = 0)
        if (parse_name(entry->d_name, &file))
            status = add_number(&files, &count, file);
    if (status == 0)
        status = -errno;
    closedir(handle);
    if (status != 0) {
        free(files);
        return status;
    }
    if (count > 1)
        qsort(files, count, sizeof *files, compare_numbers);
    *files_r = files;
    *count_r = count;
    return 0;
}

int segment_map(const char *dir, uint32_t file, struct segment_map *map_r)
{
    char path[PATH_MAX];
    struct stat info;
    int status = segment_path(dir, file, path);
    if (status != 0)
        return status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *map_r = (struct segment_map){NULL, 0};
    if (fstat(fd, &info) != 0) {
        status = -errno;
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED)
            status = -errno;
        else
            *map_r = (struct segment_map){data, (uint64_t)info.st_size};
    }
    close(fd);
    return status;
}

void segment_unmap(struct segment_map *map)
{
    if (map->data != NULL)
        munmap((void *)(uintptr_t)map->data, map->bytes);
    *map = (struct segment_map){NULL, 0};
}

int segment_sync(const char *dir, uint32_t file)
{
    char path[PATH_MAX];
    int status = segment_path(dir, file, path);
    if (status != 0)
        return status;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    status = fdatasync(fd) == 0 ? 0 : -errno;
    close(fd);
    return status;
}
