/*
 * log_file.h: --log-file, --log-format and --log-level. SIGHUP opens the file again, so that a renamed one is let go
 * of. If that fails, lines go on into the old file, and one says so. Main's thread.
 */
#ifndef CHITCHAT_SERVER_LOG_FILE_H
#define CHITCHAT_SERVER_LOG_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/config.h"
#include "server/reload.h"

/* Configures log.h, opens the file if there is one, and registers it with `reloads`. Borrows `config` for as long as
 * `reloads` is used. False: `text` has one line that says what is wrong and what to do. */
bool log_file_open(const struct config *config, struct reloads *reloads, char *text, size_t text_bytes);

/* The server does not start, for the reason `text`: a line in the file, `event=start_failed`, if one is open. stderr is
 * the caller's. */
void log_file_note_failure(const char *text);

#endif
