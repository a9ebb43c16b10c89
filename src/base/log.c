#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

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

void log_line(enum log_level level, const char *event, const char *format, ...)
{
    char line[1024];
    size_t used = head_write(line, sizeof line, level, event);
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(line + used, sizeof line - used, format, arguments);
    va_end(arguments);
    used += more > 0 ? (size_t)more : 0;
    if (used >= sizeof line)
        used = sizeof line - 1;
    line[used++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, used);
    (void)ignored;
}
