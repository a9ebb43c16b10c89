/*
 * flushed.c: a library to be preloaded: keeps in a second directory what a process has flushed of the files below a
 * first one, so that this is what a power cut leaves at the least. CHITCHAT_FLUSHED_ROOT names the first directory,
 * CHITCHAT_FLUSHED_IMAGE the second, which begins as a copy of it; both are absolute, without links. For PostgreSQL,
 * whose processes are all forked from one.
 *
 * A flush of a file copies it, before the caller can know of the flush, and makes its name durable, as Linux file
 * systems do. A flush of a directory makes its names those of the image; a file whose content was never flushed is
 * empty there. Nothing is flushed in truth: this is quicker, and depends on no disk. What else the first directory has
 * then may be on the disk, too: tests/scenario/cluster_power.test.mjs mixes both.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES (1u << 20)
#define REMOVE_FILES 16

_Noreturn static void fail(const char *what, const char *path)
{
    fprintf(stderr, "flushed: %s %s: %s\n", what, path, strerror(errno));
    abort();
}

/* Writes the place of `path` in the image to `out`. False: the path is not below the first directory. */
static bool image_of(const char *path, char out[PATH_MAX])
{
    const char *root = getenv("CHITCHAT_FLUSHED_ROOT"), *image = getenv("CHITCHAT_FLUSHED_IMAGE");
    size_t bytes = root == NULL ? 0 : strlen(root);
    if (bytes == 0 || image == NULL || strncmp(path, root, bytes) != 0 || (path[bytes] != '/' && path[bytes] != '\0'))
        return false;
    if (snprintf(out, PATH_MAX, "%s%s", image, path + bytes) >= PATH_MAX)
        fail("too long", path);
    return true;
}

/* One flush at a time: an older copy must not replace a newer one. A file of its own each time, since a lock belongs to
 * what was opened, which forks share. */
static int lock_image(void)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s.lock", getenv("CHITCHAT_FLUSHED_IMAGE"));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    while (fd >= 0 && flock(fd, LOCK_EX) != 0)
        if (errno != EINTR)
            fail("cannot lock", path);
    return fd >= 0 ? fd : (fail("cannot open", path), -1);
}

static void make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            fail("cannot make", path);
        *slash = '/';
    }
}

static void copy(int from, int to, const char *path)
{
    for (ssize_t bytes = 1; bytes > 0;) {
        bytes = copy_file_range(from, NULL, to, NULL, COPY_BYTES, 0);
        if (bytes < 0 && errno == EINTR)
            bytes = 1;
        else if (bytes < 0)
            fail("cannot copy to", path);
    }
}

/* The new copy replaces the old one at once: a rename is atomic. */
static void keep_file(const char *path, char *image)
{
    char next[PATH_MAX];
    if (snprintf(next, sizeof next, "%s.flushing", getenv("CHITCHAT_FLUSHED_IMAGE")) >= PATH_MAX)
        fail("too long", image);
    int from = open(path, O_RDONLY | O_CLOEXEC);
    if (from < 0 && errno == ENOENT)
        return; /* removed since */
    int to = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (from < 0 || to < 0)
        fail("cannot open", from < 0 ? path : next);
    copy(from, to, next);
    close(from);
    close(to);
    make_parents(image);
    if (rename(next, image) != 0)
        fail("cannot replace", image);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status, (void)kind, (void)at;
    return remove(path);
}

static void join(char out[PATH_MAX], const char *dir, const char *name)
{
    if (snprintf(out, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
        fail("too long", dir);
}

static void keep_name(const char *dir, const char *image, const char *name)
{
    char here[PATH_MAX], there[PATH_MAX];
    struct stat status;
    join(here, dir, name);
    join(there, image, name);
    if (lstat(here, &status) != 0 || access(there, F_OK) == 0)
        return;
    int fd = S_ISREG(status.st_mode) ? open(there, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0)
        close(fd);
    else if (S_ISREG(status.st_mode) || (S_ISDIR(status.st_mode) && mkdir(there, 0700) != 0))
        fail("cannot make", there);
}

static void drop_name(const char *dir, const char *image, const char *name)
{
    char here[PATH_MAX], there[PATH_MAX];
    struct stat status;
    join(here, dir, name);
    join(there, image, name);
    if (lstat(here, &status) != 0 && nftw(there, remove_one, REMOVE_FILES, FTW_DEPTH | FTW_PHYS) != 0)
        fail("cannot remove", there);
}

/* Calls `what` for each name of the directory `listed`. */
static void each_name(const char *listed, const char *dir, const char *image,
                      void (*what)(const char *dir, const char *image, const char *name))
{
    DIR *stream = opendir(listed);
    if (stream == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            what(dir, image, entry->d_name);
    closedir(stream);
}

static void keep_names(const char *path, char *image)
{
    make_parents(image);
    if (mkdir(image, 0700) != 0 && errno != EEXIST)
        fail("cannot make", image);
    each_name(path, path, image, keep_name);
    each_name(image, path, image, drop_name);
}

static int flush(int fd)
{
    char link[64], path[PATH_MAX], image[PATH_MAX];
    struct stat status;
    int error = errno;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    if (bytes < 0 || fstat(fd, &status) != 0) {
        errno = EBADF;
        return -1;
    }
    path[bytes] = '\0';
    if (status.st_nlink > 0 && image_of(path, image)) {
        int lock = lock_image();
        if (S_ISDIR(status.st_mode))
            keep_names(path, image);
        else if (S_ISREG(status.st_mode))
            keep_file(path, image);
        close(lock);
    }
    errno = error;
    return 0;
}

int fsync(int fd)
{
    return flush(fd);
}

int fdatasync(int fd)
{
    return flush(fd);
}

/* No flush that anything here counts on: the image begins as a copy of all files. */
int syncfs(int fd)
{
    (void)fd;
    return 0;
}
