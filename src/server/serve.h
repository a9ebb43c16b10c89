/*
 * serve.h: the command `chitchat serve`, from a checked configuration to the exit code. Main's thread.
 */
#ifndef CHITCHAT_SERVER_SERVE_H
#define CHITCHAT_SERVER_SERVE_H

#include "cli/config.h"

/* Serves until SIGTERM or SIGINT. Returns the exit code: 0, or 1 if the server could not start; then one line on stderr
 * says why. Exits the process with 0 if the shards do not end within the stop time, and with 1 if a shard cannot start
 * a thread. A node of a cluster that was deposed executes the program anew with `argv`, which ends with NULL, and is a
 * standby then. Changes config->listens where a port was 0, and config->connections if the limit of descriptors is
 * lower.
 */
int serve(struct config *config, char **argv);

#endif
