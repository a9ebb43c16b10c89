#include "storage/datadir/datadir_make.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "storage/datadir/backup_lock.h"
#include "storage/datadir/backup_names.h"
#include "storage/file.h"
#include "storage/offline/copy.h"

/* -- survey -- */

/* Calls `visit` for each entry of the directory `name` in `fd` except . and .., until `visit` returns false. 0, or -1
 * and errno. */
static int each_entry(int fd, const char *name, bool (*visit)(void *context, int dir_fd, const char *entry),
                      void *context)
{
    int dir_fd = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -1;
    DIR *dir = fdopendir(dir_fd);
    if (dir == NULL) {
        close(dir_fd);
        return -1;
    }
    struct dirent *entry;
    errno = 0;
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0
            && !visit(context, dirfd(dir), entry->d_name))
            break;
        errno = 0;
    }
    int failed = entry == NULL ? errno : 0;
    closedir(dir);
    errno = failed;
    return failed == 0 ? 0 : -1;
}

static bool note_entry(void *context, int dir_fd, const char *entry)
{
    (void)dir_fd;
    (void)entry;
    *(bool *)context = true;
    return false;
}

/* A directory that cannot be listed counts as content: the data directory is then not treated as new. */
static bool note_part(void *context, int dir_fd, const char *entry)
{
    bool *has_content = context;
    bool is_part = strcmp(entry, DATADIR_WAL) == 0 || strcmp(entry, DATADIR_RUNS) == 0;
    if (!is_part || each_entry(dir_fd, entry, note_entry, has_content) != 0)
        *has_content = true;
    return !*has_content;
}

bool datadir_is_shard(const char *name)
{
    unsigned shard;
    char made[DATADIR_NAME_BYTES];
    if (sscanf(name, DATADIR_SHARD_FORMAT, &shard) != 1 || shard >= LIMIT_SHARDS)
        return false;
    (void)snprintf(made, sizeof made, DATADIR_SHARD_FORMAT, shard);
    return strcmp(made, name) == 0;
}

static bool survey_entry(void *context, int dir_fd, const char *entry)
{
    struct datadir_survey *survey = context;
    if (strcmp(entry, DATADIR_META) == 0) {
        survey->has_meta = true;
    } else if (strcmp(entry, DATADIR_META_NEW) == 0) {
        survey->has_new_meta = true;
    } else if (strcmp(entry, DATADIR_BACKUP) == 0) {
        survey->has_backup = true;
    } else if (strcmp(entry, DATADIR_BACKUP_NEW) == 0) {
        survey->has_new_backup = true;
    } else if (strcmp(entry, DATADIR_UNFINISHED) == 0) {
        survey->has_unfinished = true;
    } else if (backup_name_number(entry) > 0) {
        survey->has_backups = true;
    } else if (datadir_is_shard(entry)) {
        survey->has_shards = true;
        if (each_entry(dir_fd, entry, note_part, &survey->has_content) != 0)
            survey->has_content = true;
    } else if (strcmp(entry, DATADIR_LOCK) != 0 && strcmp(entry, BACKUP_LOCK_NAME) != 0
               && strcmp(entry, "lost+found") != 0) {
        (void)snprintf(survey->stranger, sizeof survey->stranger, "%.63s", entry);
    }
    return true;
}

int datadir_survey(int fd, struct datadir_survey *survey_r)
{
    *survey_r = (struct datadir_survey){.has_meta = false};
    return each_entry(fd, ".", survey_entry, survey_r);
}

static const char *const parts[] = {DATADIR_WAL, DATADIR_RUNS};

bool datadir_has_shard(int fd, uint32_t shard, char name[DATADIR_NAME_BYTES])
{
    for (int i = 0; i < 2; i++) {
        struct stat stat;
        (void)snprintf(name, DATADIR_NAME_BYTES, DATADIR_SHARD_FORMAT "/%s", shard, parts[i]);
        if (fstatat(fd, name, &stat, 0) != 0 || !S_ISDIR(stat.st_mode))
            return false;
    }
    return true;
}

/* -- make -- */

/* Removes the empty directories of an incomplete attempt, which may have had more shards. */
static bool remove_shard(void *context, int dir_fd, const char *entry)
{
    (void)context;
    char name[DATADIR_NAME_BYTES];
    if (!datadir_is_shard(entry))
        return true;
    for (int i = 0; i < 2; i++) {
        (void)snprintf(name, sizeof name, "%.16s/%s", entry, parts[i]);
        if (unlinkat(dir_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
            return true;
    }
    (void)unlinkat(dir_fd, entry, AT_REMOVEDIR);
    return true;
}

static int sync_dir(int fd, const char *name)
{
    int dir_fd = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -errno;
    int result = fsync(dir_fd) == 0 ? 0 : -errno;
    close(dir_fd);
    return result;
}

static int make_shard(int fd, uint32_t shard)
{
    char name[DATADIR_NAME_BYTES];
    (void)snprintf(name, sizeof name, DATADIR_SHARD_FORMAT, shard);
    if (mkdirat(fd, name, 0700) != 0 && errno != EEXIST)
        return -errno;
    for (int i = 0; i < 2; i++) {
        (void)snprintf(name, sizeof name, DATADIR_SHARD_FORMAT "/%s", shard, parts[i]);
        if (mkdirat(fd, name, 0700) != 0 && errno != EEXIST)
            return -errno;
    }
    (void)snprintf(name, sizeof name, DATADIR_SHARD_FORMAT, shard);
    return sync_dir(fd, name);
}

/* Reads the file, of a few hundred bytes, and compares it. */
static int read_back(int file, const char *text, size_t bytes)
{
    char found[DATADIR_BACKUP_BYTES + 1];
    ssize_t count = pread(file, found, sizeof found, 0);
    if (count < 0)
        return -errno;
    return (size_t)count == bytes && memcmp(found, text, bytes) == 0 ? 0 : -EIO;
}

int datadir_write_file(int fd, const char *name, const char *text, size_t bytes)
{
    ASSERT(bytes <= DATADIR_BACKUP_BYTES);
    int file = openat(fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return -errno;
    int result = file_write(file, text, bytes, 0);
    if (result == 0)
        result = copy_flush_and_drop_cache(file);
    if (result == 0)
        result = read_back(file, text, bytes);
    if (close(file) != 0 && result == 0)
        result = -errno;
    return result == 0 ? sync_dir(fd, ".") : result;
}

static int write_new_meta(int fd, const struct datadir_meta *meta)
{
    char text[DATADIR_META_BYTES];
    return datadir_write_file(fd, DATADIR_META_NEW, text, datadir_meta_write(meta, text));
}

static int commit_new_meta(int fd)
{
    return renameat(fd, DATADIR_META_NEW, fd, DATADIR_META) == 0 ? datadir_sync(fd) : -errno;
}

int datadir_write_meta(int fd, const struct datadir_meta *meta)
{
    int result = write_new_meta(fd, meta);
    return result == 0 ? commit_new_meta(fd) : result;
}

int datadir_make_shards(int fd, uint32_t shards)
{
    int result = 0;
    for (uint32_t shard = 0; shard < shards && result == 0; shard++)
        result = make_shard(fd, shard);
    return result;
}

int datadir_draw_epoch(struct datadir_meta *meta)
{
    uint64_t random[2];
    if (getentropy(random, sizeof random) != 0)
        return -errno;
    (void)snprintf(meta->epoch, sizeof meta->epoch, "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
    return 0;
}

int datadir_draw(uint32_t shards, struct datadir_meta *meta_r)
{
    uint64_t random[4];
    if (getentropy(random, sizeof random) != 0)
        return -errno;
    *meta_r = (struct datadir_meta){
        .shards = shards,
        .name_seed = {random[0], random[1]},
        .key_seed = {random[2], random[3]},
    };
    datadir_meta_set_format(meta_r);
    return datadir_draw_epoch(meta_r);
}

int datadir_sync(int fd)
{
    int result = sync_dir(fd, ".");
    return result == 0 ? datadir_sync_name(fd) : result;
}

/* META.new comes first: it marks the empty shard directories as an incomplete attempt. Its rename is the commit point.
 */
int datadir_make(int fd, const struct datadir_meta *meta)
{
    ASSERT(meta->shards >= 1);
    ASSERT(meta->shards <= LIMIT_SHARDS);
    int result = write_new_meta(fd, meta);
    if (result == 0 && each_entry(fd, ".", remove_shard, NULL) != 0)
        result = -errno;
    if (result == 0)
        result = datadir_make_shards(fd, meta->shards);
    if (result == 0)
        result = sync_dir(fd, ".");
    return result == 0 ? commit_new_meta(fd) : result;
}

int datadir_sync_name(int fd)
{
    /* If the parent may not be read, this process cannot have made the name. */
    int result = sync_dir(fd, "..");
    return result == -EACCES ? 0 : result;
}
