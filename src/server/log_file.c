#include "server/log_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

/* Why `path` cannot be opened, and what to do. */
static const char *advice(int status)
{
    switch (status) {
    case -ENOENT:
    case -ENOTDIR: return "make its directory";
    case -EACCES:
    case -EPERM: return "let the user of the server write it, and enter its directory";
    case -EISDIR: return "name a file, not a directory";
    case -ENXIO: return "nothing reads this pipe: start its reader first, or name a file";
    case -ENOSPC:
    case -EDQUOT: return "make room on that disk";
    case -EROFS: return "name a file on a disk that can be written";
    default: return "choose another file";
    }
}

static void explain(const char *path, int status, char *text, size_t text_bytes)
{
    (void)snprintf(text, text_bytes, "--log-file %s cannot be opened: %s: %s", path, strerror(-status), advice(status));
}

static void open_again(void *context, enum reload_cause cause)
{
    char text[1024];
    const struct config *config = context;
    if (cause != RELOAD_ASKED)
        return;
    int status = log_open(config->log_file);
    if (status == 0) {
        log_line(LOG_INFO, "log_file_opened", "signal=SIGHUP");
        return;
    }
    explain(config->log_file, status, text, sizeof text);
    log_quotable(text);
    log_line(LOG_ERROR, "log_file_kept", "error=\"%s\" hint=\"lines go on into the old file; then send SIGHUP\"", text);
}

bool log_file_open(const struct config *config, struct reloads *reloads, char *text, size_t text_bytes)
{
    log_configure(config->log_level, config->log_format);
    if (config->log_file == NULL)
        return true;
    int status = log_open(config->log_file);
    if (status != 0) {
        explain(config->log_file, status, text, text_bytes);
        return false;
    }
    reload_add(reloads, open_again, (void *)(uintptr_t)config);
    return true;
}

void log_file_note_failure(const char *text)
{
    char copy[1024];
    if (!log_is_file())
        return;
    (void)snprintf(copy, sizeof copy, "%s", text);
    log_quotable(copy);
    log_line(LOG_ERROR, "start_failed", "error=\"%s\"", copy);
}
