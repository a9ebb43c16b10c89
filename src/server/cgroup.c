#include "server/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"

/* Lines of /proc/self/cgroup: one for each hierarchy of version 1, and one of version 2. */
#define PROC_BYTES_MAX 16384u
/* Version 1 has no word for "no limit", but a number close to 2^63, cut to pages. */
#define UNLIMITED_BYTES (UINT64_C(1) << 62)

/* Reads a small file as text. False: it cannot be read. */
static bool file_read(const char *path, char *text, size_t text_bytes)
{
    size_t used = 0;
    ssize_t more = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    while (used < text_bytes - 1 && more > 0) {
        more = read(fd, text + used, text_bytes - 1 - used);
        used += more > 0 ? (size_t)more : 0;
    }
    close(fd);
    text[used] = '\0';
    return more >= 0;
}

/* The limit in `path`/`name`, if it is lower than *limit. */
static void take_file(const char *path, const char *name, struct cgroup_limit *limit)
{
    char file[CGROUP_PATH_BYTES + 32];
    char text[64];
    char *end;
    (void)snprintf(file, sizeof file, "%s/%s", path, name);
    if (!file_read(file, text, sizeof text) || text[0] < '0' || text[0] > '9')
        return; /* "max" is no limit */
    errno = 0;
    uint64_t bytes = strtoull(text, &end, 10);
    if (errno != 0 || (*end != '\0' && *end != '\n') || bytes >= UNLIMITED_BYTES)
        return;
    if (limit->bytes != 0 && bytes >= limit->bytes)
        return;
    limit->bytes = bytes > 0 ? bytes : 1;
    (void)snprintf(limit->file, sizeof limit->file, "%s", file);
}

/* The group `group` below `mount`, and all above it. */
static void take_groups(const char *mount, const char *group, bool is_v2, struct cgroup_limit *limit)
{
    char path[CGROUP_PATH_BYTES];
    size_t mount_bytes = strlen(mount);
    bool is_root = strcmp(group, "/") == 0 || strstr(group, "/..") != NULL;
    int bytes = snprintf(path, sizeof path, "%s%s", mount, is_root ? "" : group);
    if (bytes < 0 || (size_t)bytes >= sizeof path)
        return;
    for (;;) {
        take_file(path, is_v2 ? "memory.max" : "memory.limit_in_bytes", limit);
        if (is_v2)
            take_file(path, "memory.high", limit);
        char *slash = strrchr(path, '/');
        if (slash == NULL || slash < path + mount_bytes)
            return;
        *slash = '\0';
    }
}

/* Whether `name` is one of the names in `list`, which have commas between them. */
static bool list_has(const char *list, const char *name)
{
    size_t bytes = strlen(name);
    for (const char *at = list; at != NULL; at = strchr(at, ',') != NULL ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, bytes) == 0 && (at[bytes] == ',' || at[bytes] == '\0'))
            return true;
    return false;
}

void cgroup_memory_limit(const char *proc, const char *root, struct cgroup_limit *limit_r)
{
    char text[PROC_BYTES_MAX];
    char mount[CGROUP_PATH_BYTES];
    char *rest = NULL;
    ASSERT(strlen(root) + sizeof "/unified" <= sizeof mount);
    limit_r->bytes = 0;
    limit_r->file[0] = '\0';
    if (!file_read(proc, text, sizeof text))
        return;
    /* HIERARCHY:CONTROLLERS:PATH */
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char *controllers = strchr(line, ':');
        char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (path == NULL || path[1] != '/')
            continue;
        *path++ = '\0';
        controllers++;
        bool is_v2 = controllers[0] == '\0';
        if (!is_v2 && !list_has(controllers, "memory"))
            continue;
        (void)snprintf(mount, sizeof mount, "%s%s", root, is_v2 ? "" : "/memory");
        take_groups(mount, path, is_v2, limit_r);
        if (is_v2) {
            (void)snprintf(mount, sizeof mount, "%s/unified", root);
            take_groups(mount, path, true, limit_r);
        }
    }
}
