#include "storage/log_engine.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int complain(struct log_engine_error *error_r, int status, const char *text)
{
    (void)snprintf(error_r->text, sizeof error_r->text, "%s", text);
    return status;
}

static const char *plug_in_of(const char *uris)
{
    uris += strspn(uris, " \t\n");
    if (strncmp(uris, "postgresql://", strlen("postgresql://")) == 0
        || strncmp(uris, "postgres://", strlen("postgres://")) == 0)
        return "chitchat-log-pg.so";
    return NULL;
}

/* In the directory of this program or, once installed, in ../lib/chitchat beside it. */
static void *plug_in_open(const char *plug_in, char *why, size_t why_bytes)
{
    static const char *const places[] = {"", "../lib/chitchat/"};
    char program[PATH_MAX], path[PATH_MAX + 64];
    ssize_t bytes = readlink("/proc/self/exe", program, sizeof program - 1);
    void *handle = NULL;
    (void)snprintf(why, why_bytes, "the path of this program is not known");
    if (bytes <= 0)
        return NULL;
    program[bytes] = '\0';
    *(strrchr(program, '/') + 1) = '\0';
    for (size_t i = 0; handle == NULL && i < sizeof places / sizeof places[0]; i++) {
        (void)snprintf(path, sizeof path, "%s%s%s", program, places[i], plug_in);
        if (access(path, F_OK) != 0) {
            (void)snprintf(why, why_bytes, "%s is not installed beside this program (package chitchat-postgresql)",
                           plug_in);
            continue;
        }
        handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (handle == NULL) {
            (void)snprintf(why, why_bytes, "%s", dlerror());
            return NULL;
        }
    }
    return handle;
}

int log_engine_load(const char *uris, const struct log_engine **engine_r, struct log_engine_error *error_r)
{
    const char *plug_in = plug_in_of(uris);
    if (plug_in == NULL)
        return complain(error_r, -EINVAL, "the URI of a log server begins with postgresql://");
    void *handle = plug_in_open(plug_in, error_r->text, sizeof error_r->text);
    if (handle == NULL)
        return -ENOENT;
    const struct log_engine *engine = dlsym(handle, LOG_ENGINE_SYMBOL);
    if (engine == NULL || engine->version != LOG_ENGINE_VERSION) {
        (void)snprintf(error_r->text, sizeof error_r->text,
                       "%s is of another version of chitchat: install the one of this program", plug_in);
        return -EPROTO;
    }
    *engine_r = engine;
    return 0;
}
