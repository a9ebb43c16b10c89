#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "load_report.h"

#define BAR_CHARS 16u

void load_progress_show(const struct load_progress *progress)
{
    char bar[BAR_CHARS + 1];
    if (!isatty(STDERR_FILENO))
        return;
    double done = progress->done > 1 ? 1 : progress->done;
    memset(bar, '.', BAR_CHARS);
    memset(bar, '#', (size_t)(done * BAR_CHARS));
    bar[BAR_CHARS] = '\0';
    fprintf(stderr, "\r%-7s [%s] %llu live  %.0f %s/s  p99 %.2f ms  %llu errors\x1b[K", progress->phase, bar,
            (unsigned long long)progress->live, progress->per_s, progress->what, (double)progress->p99_us / 1000,
            (unsigned long long)progress->broken);
}

void load_progress_end(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\x1b[K", stderr);
}
