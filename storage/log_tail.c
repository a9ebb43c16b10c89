#include "storage/log_tail.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "storage/file.h"

#define NEW_NAME LOG_TAIL_NAME ".new"

static const char magic[8] = "chitail1";

/* Little endian: magic, slot, CRC of the rest and the slot, number, generation, hash. */
enum { AT_SLOT = 8, AT_CRC = 12, AT_NUMBER = 16, AT_GENERATION = 24, AT_HASH = 32, TAIL_BYTES = 48 };

static int path_of(const char *dir, const char *name, char path[PATH_MAX])
{
    int bytes = snprintf(path, PATH_MAX, "%s/%s", dir, name);
    return bytes > 0 && bytes < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static uint32_t crc_of(const uint8_t data[TAIL_BYTES])
{
    return hash_crc32c(hash_crc32c(0, data, AT_CRC), data + AT_NUMBER, TAIL_BYTES - AT_NUMBER);
}

static int write_new(const char *path, const uint8_t data[TAIL_BYTES])
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int status = file_write(fd, data, TAIL_BYTES, 0);
    if (status == 0 && fdatasync(fd) != 0)
        status = -errno;
    close(fd);
    return status;
}

int log_tail_write(const char *dir, uint32_t slot, const struct ownership_mark *mark)
{
    char path[PATH_MAX], path_new[PATH_MAX];
    uint8_t data[TAIL_BYTES];
    memcpy(data, magic, sizeof magic);
    bytes_store_le32(data + AT_SLOT, slot);
    bytes_store_le64(data + AT_NUMBER, mark->number);
    bytes_store_le64(data + AT_GENERATION, mark->generation);
    memcpy(data + AT_HASH, mark->hash.bytes, LOG_HASH_BYTES);
    bytes_store_le32(data + AT_CRC, crc_of(data));
    int status = path_of(dir, LOG_TAIL_NAME, path);
    if (status == 0)
        status = path_of(dir, NEW_NAME, path_new);
    if (status == 0)
        status = write_new(path_new, data);
    if (status == 0 && rename(path_new, path) != 0)
        status = -errno;
    return status;
}

int log_tail_read(const char *dir, uint32_t slot, struct ownership_mark *mark_r)
{
    char path[PATH_MAX];
    uint8_t data[TAIL_BYTES + 1];
    *mark_r = (struct ownership_mark){.number = 0};
    int status = path_of(dir, LOG_TAIL_NAME, path);
    if (status != 0)
        return status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    ssize_t bytes = read(fd, data, sizeof data);
    status = bytes < 0 ? -errno : 0;
    close(fd);
    if (status != 0)
        return status;
    if (bytes != TAIL_BYTES || memcmp(data, magic, sizeof magic) != 0 || bytes_load_le32(data + AT_SLOT) != slot
        || bytes_load_le32(data + AT_CRC) != crc_of(data))
        return -EBADMSG;
    mark_r->number = bytes_load_le64(data + AT_NUMBER);
    mark_r->generation = bytes_load_le64(data + AT_GENERATION);
    memcpy(mark_r->hash.bytes, data + AT_HASH, LOG_HASH_BYTES);
    return 0;
}
