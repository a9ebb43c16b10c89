/*
 * chat.h: the two forms of `chitchat chat`. Main's thread. Both return an exit code of talk.h.
 */
#ifndef CHITCHAT_CLI_CHAT_H
#define CHITCHAT_CLI_CHAT_H

#include "cli/config.h"

/* Lines from stdin, lines to stdout. */
int chat_pipe_run(const struct config *config);
/* stdin and stdout are a terminal. */
int chat_tty_run(const struct config *config);

#endif
