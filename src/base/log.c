#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

#define LINE_BYTES 1024u
/* A line in JSON: each byte may become six, and each pair gets four quotes. */
#define JSON_BYTES (8 * LINE_BYTES)

static struct {
    enum log_level level;
    enum log_format format;
    int fd;
} target = {LOG_DEBUG, LOG_LOGFMT, STDERR_FILENO};

/* Lines on their way from log_line to the thread, back to back. The mutex is never held during a write. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t filled; /* for the thread: `used`, or is_stopping */
    pthread_cond_t idle;   /* for log_flush: all was written */
    pthread_t thread;
    bool is_started;
    bool is_stopping;
    bool is_writing; /* the thread has lines that it has not written yet */
    uint32_t used;
    uint64_t dropped; /* since the last line that said so */
    char lines[LOG_QUEUE_BYTES];
} queue = {.mutex = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};

/* Lines dropped since the start. */
static atomic_ullong dropped_lines;

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG: return "debug";
    case LOG_INFO: return "info";
    case LOG_WARN: return "warn";
    case LOG_ERROR: return "error";
    }
    return "error";
}

/* -- a line -- */

static size_t head_write(char *line, size_t bytes, enum log_level level, const char *event)
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(line, bytes, "time=%Y-%m-%dT%H:%M:%S", &utc);
    int more = snprintf(line + used, bytes - used, ".%03ldZ level=%s event=%s ", now.tv_nsec / 1000000,
                        level_name(level), event);
    return used + (more > 0 ? (size_t)more : 0);
}

static size_t json_string_write(char *out, const char *text, size_t bytes)
{
    size_t used = 0;
    out[used++] = '"';
    for (size_t i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '"' || byte == '\\')
            out[used++] = '\\';
        if (byte < ' ')
            used += (size_t)sprintf(out + used, "\\u%04x", byte);
        else
            out[used++] = text[i];
    }
    out[used++] = '"';
    return used;
}

/* A whole number of JSON, small enough for every reader, or a truth value. */
static bool is_json_literal(const char *value, size_t bytes)
{
    size_t digits = strspn(value, "0123456789");
    if (digits >= bytes)
        return bytes > 0 && bytes <= 15 && (value[0] != '0' || bytes == 1);
    return (bytes == 4 && memcmp(value, "true", 4) == 0) || (bytes == 5 && memcmp(value, "false", 5) == 0);
}

/* Ends at the quote that a blank or the end of the line follows. */
static size_t quoted_bytes(const char *value)
{
    size_t bytes = 0;
    while (value[bytes] != '\0' && !(value[bytes] == '"' && (value[bytes + 1] == ' ' || value[bytes + 1] == '\0')))
        bytes++;
    return bytes;
}

/* Writes the pairs of `line` as one JSON object. Returns its bytes. */
static size_t json_write(char out[JSON_BYTES], const char *line)
{
    size_t used = 0;
    out[used++] = '{';
    for (const char *at = line + strspn(line, " "); *at != '\0'; at += strspn(at, " ")) {
        size_t key_bytes = strcspn(at, "= ");
        const char *value = at + key_bytes + (at[key_bytes] == '=');
        bool is_quoted = *value == '"';
        value += is_quoted;
        size_t bytes = is_quoted ? quoted_bytes(value) : strcspn(value, " ");
        if (used > 1)
            out[used++] = ',';
        used += json_string_write(out + used, at, key_bytes);
        out[used++] = ':';
        if (!is_quoted && is_json_literal(value, bytes)) {
            memcpy(out + used, value, bytes);
            used += bytes;
        } else {
            used += json_string_write(out + used, value, bytes);
        }
        at = value + bytes;
        at += is_quoted && *at == '"';
    }
    out[used++] = '}';
    ASSERT(used < JSON_BYTES);
    return used;
}

/* -- writing -- */

/* Writes all, whatever the kind of descriptor. False: nowhere to write to. */
static bool write_all(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, data, bytes);
        if (written < 0 && errno == EAGAIN) {
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            (void)poll(&ready, 1, -1);
            continue;
        }
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        data += written;
        bytes -= (size_t)written;
    }
    return true;
}

/* A line at a time, so that those of other processes with the same stderr do not come between. */
static void write_lines(const char *lines, size_t bytes)
{
    while (bytes > 0) {
        const char *end = memchr(lines, '\n', bytes);
        ASSERT(end != NULL);
        size_t line_bytes = (size_t)(end - lines) + 1;
        (void)write_all(target.fd, lines, line_bytes);
        lines += line_bytes;
        bytes -= line_bytes;
    }
}

/* `line` has room for a newline behind `bytes`. Returns the bytes of the final line in `out`, or in `line` itself. */
static size_t line_finish(char *line, size_t bytes, char json[JSON_BYTES], const char **out_r)
{
    *out_r = line;
    if (target.format == LOG_JSON) {
        line[bytes] = '\0';
        bytes = json_write(json, line);
        line = json;
        *out_r = json;
    }
    line[bytes++] = '\n';
    return bytes;
}

static void write_dropped(uint64_t dropped)
{
    char line[LINE_BYTES];
    char json[JSON_BYTES];
    const char *out;
    if (dropped == 0)
        return;
    size_t used = head_write(line, sizeof line, LOG_WARN, "log_dropped");
    used += (size_t)snprintf(line + used, sizeof line - used,
                             "count=%llu hint=\"the reader of the log is too slow, or does not read\"",
                             (unsigned long long)dropped);
    size_t bytes = line_finish(line, used, json, &out);
    write_lines(out, bytes);
}

static void *run(void *unused)
{
    static char lines[LOG_QUEUE_BYTES];
    (void)unused;
    pthread_mutex_lock(&queue.mutex);
    for (;;) {
        while (queue.used == 0 && queue.dropped == 0 && !queue.is_stopping)
            pthread_cond_wait(&queue.filled, &queue.mutex);
        uint32_t bytes = queue.used;
        uint64_t dropped = queue.dropped;
        if (bytes == 0 && dropped == 0)
            break;
        memcpy(lines, queue.lines, bytes);
        queue.used = 0;
        queue.dropped = 0;
        queue.is_writing = true;
        pthread_mutex_unlock(&queue.mutex);
        write_lines(lines, bytes);
        write_dropped(dropped);
        pthread_mutex_lock(&queue.mutex);
        queue.is_writing = false;
        pthread_cond_broadcast(&queue.idle);
    }
    pthread_mutex_unlock(&queue.mutex);
    return NULL;
}

/* False: there is no thread. */
static bool queue_add(const char *line, size_t bytes)
{
    pthread_mutex_lock(&queue.mutex);
    bool is_started = queue.is_started;
    if (is_started && queue.used + bytes <= sizeof queue.lines) {
        memcpy(queue.lines + queue.used, line, bytes);
        queue.used += (uint32_t)bytes;
        pthread_cond_signal(&queue.filled);
    } else if (is_started) {
        queue.dropped++;
        atomic_fetch_add_explicit(&dropped_lines, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&queue.mutex);
    return is_started;
}

void log_line(enum log_level level, const char *event, const char *format, ...)
{
    char line[LINE_BYTES];
    char json[JSON_BYTES];
    const char *out;
    if (level < target.level)
        return;
    size_t used = head_write(line, sizeof line, level, event);
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(line + used, sizeof line - used, format, arguments);
    va_end(arguments);
    used += more > 0 ? (size_t)more : 0;
    if (used >= sizeof line)
        used = sizeof line - 1;
    size_t bytes = line_finish(line, used, json, &out);
    if (!queue_add(out, bytes))
        write_lines(out, bytes);
}

/* -- the thread -- */

void log_configure(enum log_level level, enum log_format format)
{
    ASSERT(!queue.is_started);
    target.level = level;
    target.format = format;
}

int log_open(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0)
        return -errno;
    if (target.fd == STDERR_FILENO) {
        ASSERT(!queue.is_started);
        target.fd = fd;
        return 0;
    }
    /* The thread may be writing: its descriptor keeps its number. */
    int status = dup3(fd, target.fd, O_CLOEXEC) < 0 ? -errno : 0;
    close(fd);
    return status;
}

int log_start(void)
{
    ASSERT(!queue.is_started);
    queue.is_stopping = false;
    int status = pthread_create(&queue.thread, NULL, run, NULL);
    pthread_mutex_lock(&queue.mutex);
    queue.is_started = status == 0;
    pthread_mutex_unlock(&queue.mutex);
    return -status;
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&dropped_lines, memory_order_relaxed);
}

void log_flush(uint64_t wait_us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + wait_us % 1000000 * 1000;
    until.tv_sec += (time_t)(wait_us / 1000000 + ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock(&queue.mutex);
    bool is_waiting = queue.is_started && !pthread_equal(queue.thread, pthread_self());
    while (is_waiting && (queue.used > 0 || queue.is_writing || queue.dropped > 0))
        if (pthread_cond_clockwait(&queue.idle, &queue.mutex, CLOCK_MONOTONIC, &until) != 0)
            break;
    pthread_mutex_unlock(&queue.mutex);
}

void log_stop(uint64_t wait_us)
{
    log_flush(wait_us);
    pthread_mutex_lock(&queue.mutex);
    bool ends = queue.is_started && queue.used == 0 && !queue.is_writing && queue.dropped == 0;
    queue.is_stopping = true;
    pthread_cond_signal(&queue.filled);
    pthread_mutex_unlock(&queue.mutex);
    if (!ends)
        return;
    pthread_join(queue.thread, NULL);
    pthread_mutex_lock(&queue.mutex);
    queue.is_started = false;
    pthread_mutex_unlock(&queue.mutex);
}
