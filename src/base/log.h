/*
 * log.h: the program's messages: one line in logfmt to stderr, in one write, so that lines of several threads do not
 * mix. A line longer than 1,023 bytes is cut.
 *
 * The text of a user's message is never logged. Any thread. A failed write is ignored: there is nowhere to report it.
 *
 *     log_line(LOG_INFO, "ready", "listen=%s shards=%u", address, shards);
 *     -> time=2026-11-24T10:45:06.123Z level=info event=ready listen=127.0.0.1:8080 shards=2
 */
#ifndef CHITCHAT_BASE_LOG_H
#define CHITCHAT_BASE_LOG_H

/* LOG_DEBUG lines are only for --log-level debug: log_line writes every level, so the caller checks the option. */
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* `event` is one word; `format` gives the other key=value pairs; values with blanks are in quotes. Borrows. */
void log_line(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
