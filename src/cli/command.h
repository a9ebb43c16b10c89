/*
 * command.h: the commands beside `serve`, each from a checked configuration to the exit code: 0; 1 for what was found
 * or went wrong; 2 when it could not begin. One line on stderr says why. Main's thread.
 */
#ifndef CHITCHAT_CLI_COMMAND_H
#define CHITCHAT_CLI_COMMAND_H

#include "cli/config.h"

/* Checks the data directory; the summary and each problem go to stdout. */
int command_verify(const struct config *config);
/* All timelines as JSON lines to stdout. */
int command_dump(const struct config *config);
/* Copies the data directory, of a running server too. */
int command_backup(const struct config *config);
/* Makes a data directory from a backup. */
int command_restore(const struct config *config);

/* Prints `text` as the one line of stderr, whatever stands in it; returns `code`. */
int command_complain(int code, const char *text);

#endif
