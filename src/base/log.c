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
/* How long log_fatal waits for the lines before it: the process ends even if nobody reads them. */
#define FATAL_FLUSH_US 1000000u

static struct {
    enum log_level level;
    enum log_format format;
    int fd;
    bool is_cut; /* the last write wrote a part of a line: the next line begins with a newline */
} target = {.level = LOG_DEBUG, .format = LOG_LOGFMT, .fd = STDERR_FILENO};

/* Lines that the thread is to write, back to back. The mutex is never held during a write. */
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

/* Lines lost since the start: they found the queue full, or could not be written. */
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

static size_t head_write(char *line, size_t bytes, const char *level, const char *event)
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(line, bytes, "time=%Y-%m-%dT%H:%M:%S", &utc);
    int more = snprintf(line + used, bytes - used, ".%03ldZ level=%s event=%s ", now.tv_nsec / 1000000, level, event);
    return used + (more > 0 ? (size_t)more : 0);
}

/* Bytes of the character of UTF-8 that `text` begins with; 0: it begins with none. */
static size_t character_bytes(const char *text, size_t bytes)
{
    unsigned char first = (unsigned char)text[0], second = bytes > 1 ? (unsigned char)text[1] : 0;
    size_t wanted = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (wanted == 0 || wanted > bytes)
        return 0;
    for (size_t i = 1; i < wanted; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80)
            return 0;
    bool is_overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    bool is_beyond = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
    return is_overlong || is_beyond ? 0 : wanted;
}

/* Bytes that are no UTF-8, as a path may have, become U+FFFD. */
static size_t json_string_write(char *out, const char *text, size_t bytes)
{
    size_t used = 0;
    out[used++] = '"';
    for (size_t i = 0; i < bytes;) {
        size_t character = character_bytes(text + i, bytes - i);
        if (text[i] == '"' || text[i] == '\\')
            out[used++] = '\\';
        if (character == 0)
            used += (size_t)sprintf(out + used, "\\ufffd");
        memcpy(out + used, text + i, character);
        used += character;
        i += character == 0 ? 1 : character;
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

/* Writes all, whatever the kind of descriptor. False: it cannot be written, or only a part (target.is_cut). */
static bool write_all(int fd, const char *data, size_t bytes)
{
    size_t left = bytes;
    while (left > 0) {
        ssize_t written = write(fd, data, left);
        if (written < 0 && errno == EAGAIN) {
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            (void)poll(&ready, 1, -1);
            continue;
        }
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            target.is_cut = target.is_cut || left < bytes;
            return false;
        }
        data += written;
        left -= (size_t)written;
    }
    return true;
}

/* A line at a time, so that those of other processes with the same stderr do not come between. Returns how many lines
 * were not written: the disk of a log file may be full. */
static uint64_t write_lines(const char *lines, size_t bytes)
{
    uint64_t lost = 0;
    while (bytes > 0) {
        const char *end = memchr(lines, '\n', bytes);
        ASSERT(end != NULL);
        size_t line_bytes = (size_t)(end - lines) + 1;
        if (target.is_cut && write_all(target.fd, "\n", 1))
            target.is_cut = false;
        lost += target.is_cut || !write_all(target.fd, lines, line_bytes);
        lines += line_bytes;
        bytes -= line_bytes;
    }
    return lost;
}

/* write_lines for lines of log_line: those that are lost count in log_dropped. */
static uint64_t write_counted(const char *lines, size_t bytes)
{
    uint64_t lost = write_lines(lines, bytes);
    atomic_fetch_add_explicit(&dropped_lines, lost, memory_order_relaxed);
    return lost;
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

/* Returns how many lines nobody knows of yet: `dropped`, if this line is not written either. */
static uint64_t write_dropped(uint64_t dropped)
{
    char line[LINE_BYTES];
    char json[JSON_BYTES];
    const char *out;
    if (dropped == 0)
        return 0;
    size_t used = head_write(line, sizeof line, level_name(LOG_WARN), "log_dropped");
    used += (size_t)snprintf(line + used, sizeof line - used,
                             "count=%llu hint=\"the reader of the log was too slow, or its disk was full\"",
                             (unsigned long long)dropped);
    size_t bytes = line_finish(line, used, json, &out);
    return write_lines(out, bytes) == 0 ? 0 : dropped;
}

static void *run(void *unused)
{
    static char lines[LOG_QUEUE_BYTES];
    uint64_t lost = 0;
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
        lost += write_counted(lines, bytes);
        lost = write_dropped(lost + dropped);
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

/* One line, whatever the values hold: control characters become question marks. */
static size_t pairs_write(char line[LINE_BYTES], size_t used, const char *format, va_list arguments)
{
    int more = vsnprintf(line + used, LINE_BYTES - used, format, arguments);
    size_t bytes = used + (more > 0 ? (size_t)more : 0);
    if (bytes >= LINE_BYTES)
        bytes = LINE_BYTES - 1;
    for (size_t i = used; i < bytes; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    return bytes;
}

void log_quotable(char *text)
{
    for (; *text != '\0'; text++)
        if (*text == '"')
            *text = '\'';
        else if (*text == '\\')
            *text = '?';
}

void log_line(enum log_level level, const char *event, const char *format, ...)
{
    char line[LINE_BYTES];
    char json[JSON_BYTES];
    const char *out;
    va_list arguments;
    if (level < target.level)
        return;
    size_t used = head_write(line, sizeof line, level_name(level), event);
    va_start(arguments, format);
    used = pairs_write(line, used, format, arguments);
    va_end(arguments);
    size_t bytes = line_finish(line, used, json, &out);
    if (!queue_add(out, bytes))
        (void)write_counted(out, bytes);
}

void log_fatal(const char *event, const char *format, ...)
{
    char line[LINE_BYTES];
    char json[JSON_BYTES];
    const char *out;
    va_list arguments;
    struct pollfd ready = {.fd = target.fd, .events = POLLOUT};
    log_flush(FATAL_FLUSH_US);
    size_t used = head_write(line, sizeof line, "fatal", event);
    va_start(arguments, format);
    used = pairs_write(line, used, format, arguments);
    va_end(arguments);
    size_t bytes = line_finish(line, used, json, &out);
    if (poll(&ready, 1, 0) > 0)
        (void)write_all(target.fd, out, bytes);
}

void log_crash(const char *signal_name)
{
    const char *parts[] = {target.format == LOG_JSON ? "{\"level\":\"fatal\",\"event\":\"crashed\",\"signal\":\"SIG"
                                                     : "level=fatal event=crashed signal=SIG",
                           signal_name, target.format == LOG_JSON ? "\"}\n" : "\n"};
    char line[128];
    size_t used = 0;
    struct pollfd ready = {.fd = target.fd, .events = POLLOUT};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        for (const char *at = parts[i]; *at != '\0' && used < sizeof line; at++)
            line[used++] = *at;
    if (poll(&ready, 1, 0) > 0) {
        ssize_t ignored = write(target.fd, line, used);
        (void)ignored;
    }
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
    /* A pipe that nobody reads is an error, not a wait; lines that go into one may wait. */
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0640);
    if (fd < 0)
        return -errno;
    if (fcntl(fd, F_SETFL, O_APPEND) < 0) {
        int status = -errno;
        close(fd);
        return status;
    }
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

bool log_is_file(void)
{
    return target.fd != STDERR_FILENO;
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
