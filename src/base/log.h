/*
 * log.h: the program's messages: one line each, in logfmt or JSON, to stderr or to a file.
 *
 *     log_line(LOG_INFO, "ready", "listen=%s shards=%u", address, shards);
 *     -> time=2026-11-24T10:45:06.123Z level=info event=ready listen=127.0.0.1:8080 shards=2
 *     -> {"time":"2026-11-24T10:45:06.123Z","level":"info","event":"ready","listen":"127.0.0.1:8080","shards":2}
 *
 * log_line never waits for the reader of the log: between log_start and log_stop lines go through a queue of
 * LOG_QUEUE_BYTES to a thread, which writes them. A line that finds the queue full is dropped; the next line that is
 * written says how many were (`event=log_dropped`). Outside of these two calls log_line writes itself, and may block.
 *
 * A line longer than 1,023 bytes is cut, and a control character becomes a question mark. The text of a user's message
 * is never logged. A line that cannot be written, as on a full disk, counts as dropped. Any thread, but for those
 * functions that name one.
 */
#ifndef CHITCHAT_BASE_LOG_H
#define CHITCHAT_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* LOG_DEBUG lines are only for --log-level debug: the caller checks the option before it computes what they say. */
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

/* `event` is one word. `format` gives the other key=value pairs, joined by blanks; values with blanks are in quotes,
 * and have no quotes inside. Borrows. */
void log_line(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Makes `text` fit between the quotes of a value: a quote becomes an apostrophe, a backslash a question mark. */
void log_quotable(char *text);
/* The last line of a process that ends by a fault of its own, of level `fatal`: waits up to a second for the lines
 * before it, then writes, unless that would block. */
void log_fatal(const char *event, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same from the handler of a signal, which may call nothing else here: a line without a time, `event=crashed`. The
 * lines in the queue are lost. `signal_name` is without SIG. */
void log_crash(const char *signal_name);

/* From now on lines below `level` are not written, and the others are written in `format`. Main's thread, before any
 * other thread is started. At first: LOG_DEBUG and LOG_LOGFMT. */
void log_configure(enum log_level level, enum log_format format);
/* From now on lines are appended to the file `path`, which is created with mode 0640 if it does not exist; or are
 * again, after the file was renamed. 0 or -errno: lines go where they went before. Main's thread. */
int log_open(const char *path);
/* Whether lines go to a file of log_open. Main's thread. */
bool log_is_file(void);

#define LOG_QUEUE_BYTES (256u << 10)
/* Starts the thread, which inherits the signal mask. 0 or -errno: log_line goes on to write itself. Main's thread. */
int log_start(void);
/* Lines that were lost since the start: they found the queue full, or could not be written. Any thread. */
uint64_t log_dropped(void);
/* Waits up to `wait_us` until all queued lines are written. Any thread. */
void log_flush(uint64_t wait_us);
/* log_flush, then ends the thread. A thread whose write still blocks is left alone, and later lines are dropped. Main's
 * thread. */
void log_stop(uint64_t wait_us);

#endif
