#include "server/token_watch.h"

#include <string.h>

#include "base/log.h"
#include "server/core.h"

static void look(const struct token_watch *watch, struct token_watch_mark marks[TOKEN_WATCH_FILES_MAX])
{
    memset(marks, 0, TOKEN_WATCH_FILES_MAX * sizeof *marks);
    for (uint32_t i = 0; i < 1 + watch->files.key_count; i++) {
        struct stat status;
        const char *file = i == 0 ? watch->files.secrets : watch->files.keys[i - 1];
        if (file == NULL || stat(file, &status) != 0)
            continue;
        marks[i].device = status.st_dev;
        marks[i].inode = status.st_ino;
        marks[i].bytes = status.st_size;
        /* The inode's time of change: with it a file of the same size that was given an old date is noticed, too. */
        marks[i].changed = status.st_ctim;
    }
}

static bool is_same(const struct token_watch_mark a[], const struct token_watch_mark b[])
{
    for (uint32_t i = 0; i < TOKEN_WATCH_FILES_MAX; i++)
        if (a[i].device != b[i].device || a[i].inode != b[i].inode || a[i].bytes != b[i].bytes
            || a[i].changed.tv_sec != b[i].changed.tv_sec || a[i].changed.tv_nsec != b[i].changed.tv_nsec)
            return false;
    return true;
}

/* The marks are taken first: a file that changes while it is read differs at the next look. */
static bool read_files(struct token_watch *watch, struct token_keys **keys_r, struct token_error *error_r)
{
    look(watch, watch->read);
    memcpy(watch->seen, watch->read, sizeof watch->seen);
    return token_keys_load(keys_r, &watch->files, error_r);
}

bool token_watch_open(struct token_watch *watch, struct server *server, struct token_error *error_r)
{
    const struct config *config = server->config;
    *watch = (struct token_watch){
        .server = server,
        .files = {.secrets = config->token_secrets, .keys = config->token_keys, .key_count = config->token_key_count}};
    if (config->auth != CONFIG_AUTH_TOKEN)
        return true;
    if (!read_files(watch, &server->token_keys, error_r))
        return false;
    reload_add(&server->reloads, token_watch_on_reload, watch);
    return true;
}

void token_watch_close(struct token_watch *watch)
{
    token_keys_unref(&watch->server->token_keys);
}

void token_watch_log_keys(const struct token_keys *keys)
{
    uint32_t skipped = token_keys_skipped_count(keys);
    log_line(LOG_INFO, "token_keys_loaded", "keys=%u skipped=%u%s%s%s", token_keys_count(keys), skipped,
             skipped > 0 ? " which=\"" : "", token_keys_skipped(keys), skipped > 0 ? "\"" : "");
}

static void read_again(struct token_watch *watch)
{
    struct server *server = watch->server;
    struct token_keys *keys;
    struct token_error error;
    if (!read_files(watch, &keys, &error)) {
        log_quotable(error.text);
        log_line(LOG_ERROR, "token_keys_kept", "reason=\"%s\" hint=\"the keys that were read before still count\"",
                 error.text);
        metric_set(&server->metrics.reload_failed[METRICS_RELOAD_TOKEN_KEYS], 1);
        return;
    }
    metric_set(&server->metrics.reload_failed[METRICS_RELOAD_TOKEN_KEYS], 0);
    token_keys_unref(&server->token_keys);
    server->token_keys = keys;
    for (uint32_t i = 0; i < server->core_count; i++)
        tokens_post(&server->cores[i]->tokens, keys);
    token_watch_log_keys(keys);
}

void token_watch_on_reload(void *context, enum reload_cause cause)
{
    struct token_watch *watch = context;
    struct token_watch_mark now[TOKEN_WATCH_FILES_MAX];
    if (cause == RELOAD_ASKED) {
        read_again(watch);
        return;
    }
    look(watch, now);
    if (!is_same(now, watch->read) && is_same(now, watch->seen))
        read_again(watch);
    else
        memcpy(watch->seen, now, sizeof now);
}
