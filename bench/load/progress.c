#include "load/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_CHARS 16u
#define LINE_BYTES 256u

/* Adds to a line; cuts off what has no room. */
#define ADD(...)                                                                                                       \
    do {                                                                                                               \
        size_t used = strlen(out);                                                                                     \
        snprintf(out + used, room - used, __VA_ARGS__);                                                                \
    } while (0)

void load_progress_format(const struct load_progress *progress, char *out, size_t room)
{
    char bar[BAR_CHARS + 1];
    double done = progress->done > 1 ? 1 : progress->done;
    memset(bar, '.', BAR_CHARS);
    memset(bar, '#', (size_t)(done * BAR_CHARS));
    bar[BAR_CHARS] = '\0';
    out[0] = '\0';
    ADD("%-7s [%s] %llu live  ", progress->phase, bar, (unsigned long long)progress->live);
    if (progress->per_s >= 0)
        ADD("%.0f %s/s", progress->per_s, progress->what);
    else
        ADD("- %s/s", progress->what);
    if (progress->has_p99)
        ADD("  p99 %.2f ms", (double)progress->p99_us / 1000);
    else
        ADD("  p99 -");
    ADD("  %llu broken", (unsigned long long)progress->broken);
    if (progress->busy > 0)
        ADD("  %llu busy", (unsigned long long)progress->busy);
    if (progress->refused > 0)
        ADD("  %llu refused", (unsigned long long)progress->refused);
}

bool load_progress_has_terminal(void)
{
    return isatty(STDERR_FILENO);
}

void load_progress_write(const struct load_progress *progress, uint64_t now_us)
{
    char line[LINE_BYTES];
    load_progress_format(progress, line, sizeof line);
    fprintf(stderr, "%.1f s  %s\n", (double)now_us / 1e6, line);
}

/* A line that wraps could not be written over. */
void load_progress_show(const struct load_progress *progress)
{
    char line[LINE_BYTES];
    struct winsize window = {0};
    load_progress_format(progress, line, sizeof line);
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 && window.ws_col < sizeof line)
        line[window.ws_col - 1] = '\0';
    fprintf(stderr, "\r%s\x1b[K", line);
}

void load_progress_end(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\x1b[K", stderr);
}
