/*
 * command.h: the commands besides `serve`, each from a checked configuration to the exit code: 0; 1 for problems found
 * or a failure; 2 when the command could not begin. One line on stderr says why. Main's thread.
 */
#ifndef CHITCHAT_CLI_COMMAND_H
#define CHITCHAT_CLI_COMMAND_H

#include "cli/config.h"

/* Checks the data directory; the summary and the problems (the first 100) go to stdout. */
int command_verify(const struct config *config);
/* Writes the timelines, or that of one user, as JSON lines to stdout. */
int command_dump(const struct config *config);
/* Rewrites all runs without what was erased or is older than --retention. */
int command_compact(const struct config *config);
/* Copies the data directory, also of a running server. */
int command_backup(const struct config *config);
/* Makes a data directory from a backup. */
int command_restore(const struct config *config);

/* Makes a data directory with another number of shards. */
int command_reshard(const struct config *config);
/* Makes a data directory of the lines of a dump. */
int command_import(const struct config *config);

/* Prints a token to stdout, or makes a file with a secret. */
int command_token(const struct config *config);

/* Writes what a running server does to stdout. */
int command_status(const struct config *config);

/* Chats in a terminal, or from stdin to stdout. These three exit as talk.h says. */
int command_chat(const struct config *config);
/* Sends one message. */
int command_send(const struct config *config);
/* Writes messages to stdout. */
int command_history(const struct config *config);

/* Makes the logs of a cluster. */
int command_cluster(const struct config *config);
struct log_engine;
struct log_engine_options;
/* `cluster status`. Borrows all. */
int command_cluster_status(const struct config *config, const struct log_engine *engine,
                           const struct log_engine_options *options);
/* join and leave. */
int command_cluster_node(const struct config *config, const struct log_engine *engine,
                         const struct log_engine_options *options);

struct datadir;
/* datadir_open_read for a command, which closes *datadir_r. 0; or the exit code, and what is wrong is on stderr: also
 * that a manifest is too damaged to be read. */
int command_open_data(const char *path, bool may_be_live, struct datadir **datadir_r);

/* Prints `text` as one line on stderr, with ? for each control character; returns `code`. */
int command_complain(int code, const char *text);

#endif
