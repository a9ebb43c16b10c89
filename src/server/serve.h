/*
 * serve.h: `chitchat serve`, from a checked configuration to the exit code. Main's thread.
 */
#ifndef CHITCHAT_SERVER_SERVE_H
#define CHITCHAT_SERVER_SERVE_H

#include "cli/config.h"

/* Serves until SIGTERM or SIGINT. Returns the exit code: 0, or 1 when it could not start (one line on stderr says why).
 * Changes the texts of config->listens where a port was 0. */
int serve(struct config *config);

#endif
