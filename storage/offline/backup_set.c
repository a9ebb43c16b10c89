#include "storage/offline/backup_set.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "storage/datadir/datadir_make.h"
#include "storage/offline/backup_private.h"
#include "storage/offline/remove.h"

struct set {
    const struct datadir *from;
    const char *path;
    int fd;
    int lock_fd;
    struct backup_names names;
    bool has_rest; /* of a backup in the directory itself, whose removal was interrupted */
    struct backup_error *error;
};

static int refuse_errno(const struct set *set, const char *what)
{
    int code = -errno;
    ASSERT(code < 0);
    return backup_refuse(set->error, code, "cannot %s %s: %s", what, set->path, strerror(-code));
}

/* -- open -- */

static int check_content(struct set *set)
{
    struct datadir_survey survey;
    if (datadir_survey(set->fd, &survey) != 0)
        return refuse_errno(set, "list");
    if (survey.has_meta)
        return backup_refuse(set->error, -EEXIST, "%s is a data directory: name another one for its backups",
                             set->path);
    if (survey.stranger[0] != '\0')
        return backup_refuse(set->error, -ENOTEMPTY,
                             "%s is not empty, and %s in it is no backup: name a directory of backups, one that is "
                             "empty, or one that is not there yet",
                             set->path, survey.stranger);
    bool is_unfinished = survey.has_new_backup || (survey.has_shards && !survey.has_backup);
    set->has_rest = is_unfinished && survey.has_backups;
    if (is_unfinished && !survey.has_backups)
        return backup_refuse(set->error, -EEXIST,
                             "%s has a backup that was not finished: remove it, and make another one", set->path);
    return 0;
}

static int lock(struct set *set)
{
    ASSERT(set->fd >= 0 && set->lock_fd < 0);
    set->lock_fd = openat(set->fd, DATADIR_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (set->lock_fd < 0)
        return refuse_errno(set, "write to");
    if (flock(set->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return refuse_errno(set, "lock");
    return backup_refuse(set->error, -EBUSY, "another backup is being made in %s, or its backup is being read: wait",
                         set->path);
}

/* Everything is checked before the directory is changed. */
static int open_set(struct set *set)
{
    if (mkdir(set->path, 0700) != 0 && errno != EEXIST)
        return backup_refuse_make(set->error, -errno, set->path);
    set->fd = open(set->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (set->fd < 0)
        return backup_refuse_make(set->error, -errno, set->path);
    int status = check_content(set);
    if (status == 0)
        status = lock(set);
    if (status == 0)
        status = check_content(set);
    if (status != 0)
        return status;
    status = backup_names_list(&set->names, set->fd);
    errno = -status;
    return status == 0 ? 0 : refuse_errno(set, "list");
}

static void close_set(struct set *set)
{
    backup_names_fini(&set->names);
    if (set->lock_fd >= 0)
        close(set->lock_fd);
    if (set->fd >= 0)
        close(set->fd);
}

/* -- the backups in it -- */

static int path_of(const struct set *set, const char *name, char out[RUN_PATH_BYTES])
{
    bool is_itself = strcmp(name, ".") == 0;
    int bytes = snprintf(out, RUN_PATH_BYTES, "%s%s%s", set->path, is_itself ? "" : "/", is_itself ? "" : name);
    return (uint32_t)bytes < RUN_PATH_BYTES
               ? 0
               : backup_refuse(set->error, -ENAMETOOLONG, "%s: the path is too long", set->path);
}

static int refuse_removal(const struct set *set, const char *path, int status)
{
    const char *why = status == -EBUSY       ? "it is being read: the next backup removes it"
                      : status == -ENOTEMPTY ? "it has a file that is not of chitchat: remove it yourself"
                                             : strerror(-status);
    return backup_refuse(set->error, status, "%s cannot be removed: %s", path, why);
}

/* The backup in the directory itself: the lock that its removal would take is held already. */
static int remove_backup(struct set *set, const struct backup_name *name)
{
    char path[RUN_PATH_BYTES];
    int status = path_of(set, name->name, path);
    if (status != 0)
        return status;
    bool is_itself = name->number == 0;
    if (is_itself) {
        close(set->lock_fd);
        set->lock_fd = -1;
    }
    status = remove_data(path, !is_itself);
    return status == 0 ? 0 : refuse_removal(set, path, status);
}

static int remove_unfinished(struct set *set)
{
    int status = set->has_rest ? remove_backup(set, &(struct backup_name){.name = "."}) : 0;
    if (status == 0 && set->has_rest)
        status = lock(set);
    for (uint32_t i = 0; i < set->names.count && status == 0; i++)
        if (!set->names.names[i].is_complete)
            status = remove_backup(set, &set->names.names[i]);
    return status;
}

/* Whether the backups are of the same data set: then *is_usable_r says if runs may be shared, which the same epoch
 * allows. A backup that cannot be read decides nothing. */
static int compare_newest(const struct set *set, const char *path, bool *is_usable_r)
{
    struct datadir *before;
    struct datadir_error why;
    *is_usable_r = false;
    int status = datadir_open_read(&before, path, false, &why);
    if (status == -EPROTO)
        return backup_refuse(set->error, status, "%s", why.text);
    if (status != 0)
        return 0;
    struct hash_key a = datadir_name_seed(before), b = datadir_name_seed(set->from);
    bool is_same_set = a.k0 == b.k0 && a.k1 == b.k1;
    *is_usable_r = is_same_set && datadir_shards(before) == datadir_shards(set->from)
                   && strcmp(datadir_epoch(before), datadir_epoch(set->from)) == 0;
    datadir_close(&before);
    return is_same_set ? 0
                       : backup_refuse(set->error, -EEXIST,
                                       "%s has backups of another data directory: name another directory for those of "
                                       "%s",
                                       set->path, datadir_path(set->from));
}

/* -- one more -- */

static int make_one(struct set *set, const struct backup_set_options *options, struct backup_set_report *report)
{
    char before[RUN_PATH_BYTES], to[RUN_PATH_BYTES], name[BACKUP_NAME_BYTES];
    struct backup_options one = {.wall_us = options->wall_us};
    const struct backup_name *newest = backup_names_newest(&set->names);
    uint32_t count = set->names.count;
    uint64_t last = count > 0 ? set->names.names[count - 1].number : 0;
    bool is_usable = false;
    int status = newest == NULL ? 0 : path_of(set, newest->name, before);
    if (status == 0 && newest != NULL)
        status = compare_newest(set, before, &is_usable);
    if (status == 0 && last >= BACKUP_NUMBER_MAX)
        status = backup_refuse(set->error, -ERANGE, "%s has no number for another backup: name another directory",
                               set->path);
    if (status == 0)
        status = remove_unfinished(set);
    if (status != 0)
        return status;
    one.before = is_usable ? before : NULL;
    backup_name_write(name, last + 1, options->wall_us);
    status = path_of(set, name, to);
    if (status == 0)
        status = backup_make(set->from, to, &one, &report->made, set->error);
    if (status == 0)
        snprintf(report->path, sizeof report->path, "%s", to);
    return status;
}

/* The new backup is one of those that stay. */
static int remove_oldest(struct set *set, uint32_t keep, struct backup_set_report *report)
{
    uint32_t complete = 0;
    for (uint32_t i = 0; i < set->names.count; i++)
        complete += set->names.names[i].is_complete;
    int first_error = 0;
    for (uint32_t i = 0; i < set->names.count && keep > 0 && complete >= keep; i++) {
        if (!set->names.names[i].is_complete)
            continue;
        int status = remove_backup(set, &set->names.names[i]);
        first_error = first_error == 0 ? status : first_error;
        report->removed += status == 0;
        complete--;
    }
    return first_error;
}

int backup_set_add(const struct datadir *from, const char *to, const struct backup_set_options *options,
                   struct backup_set_report *report_r, struct backup_error *error_r)
{
    struct set set = {.from = from, .path = to, .fd = -1, .lock_fd = -1, .error = error_r};
    *report_r = (struct backup_set_report){.removed = 0};
    if (datadir_is_backup(from))
        return backup_refuse(error_r, -EINVAL, "%s is a backup already: copy it as it is", datadir_path(from));
    int status = open_set(&set);
    if (status == 0)
        status = make_one(&set, options, report_r);
    if (status == 0)
        status = remove_oldest(&set, options->keep, report_r);
    close_set(&set);
    return status;
}
