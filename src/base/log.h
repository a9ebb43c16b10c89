/*
 * log.h: one line in logfmt to stderr, in one write, so that lines of several threads do not mix.
 *
 * Never give it the text of a message. Any thread. Errors of writing are ignored: there is nowhere to tell.
 *
 *     log_line(LOG_INFO, "ready", "listen=%s shards=%u", address, shards);
 *     -> time=2026-11-24T10:45:06.123Z level=info event=ready listen=127.0.0.1:8080 shards=2
 */
#ifndef CHITCHAT_BASE_LOG_H
#define CHITCHAT_BASE_LOG_H

/* LOG_DEBUG is for whoever asked for it (--log-level): the caller looks before it calls. */
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* `event` is one word; `format` gives the further key=value pairs, values with blanks in quotes. */
void log_line(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
