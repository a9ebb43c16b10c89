/*
 * token_watch.h: the files with keys of --auth token: read at the start, and again on SIGHUP and when they change.
 * Main's thread.
 *
 * A changed file is read when it has been the same for two looks, about a second apart, so that one that is still being
 * written is not. New files that are wrong change nothing: the old keys stay, and a log line says why.
 */
#ifndef CHITCHAT_SERVER_TOKEN_WATCH_H
#define CHITCHAT_SERVER_TOKEN_WATCH_H

#include <sys/stat.h>

#include "auth/token_keys.h"
#include "cli/config.h"
#include "server/reload.h"

struct server;

#define TOKEN_WATCH_FILES_MAX (1 + CONFIG_TOKEN_KEYS_MAX)

/* What tells a file from the one that was read. */
struct token_watch_mark {
    dev_t device;
    ino_t inode;
    off_t bytes;
    struct timespec changed; /* zeros: there is no file */
};

struct token_watch {
    struct server *server;
    struct token_files files;
    struct token_watch_mark read[TOKEN_WATCH_FILES_MAX]; /* when they were read last, well or not */
    struct token_watch_mark seen[TOKEN_WATCH_FILES_MAX]; /* at the last look */
};

/* Reads the files that the configuration names, into server->token_keys. Without --auth token: does nothing. False:
 * *error_r is filled. */
bool token_watch_open(struct token_watch *watch, struct server *server, struct token_error *error_r);
void token_watch_close(struct token_watch *watch);

/* Logs how many keys count, and which keys of JWKS files do not. */
void token_watch_log_keys(const struct token_keys *keys);

/* A reload_function; `context` is the watch. */
void token_watch_on_reload(void *context, enum reload_cause cause);

#endif
