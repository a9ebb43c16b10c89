#include "load_proc.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* By the process's clock: /proc counts in hundredths of a second. */
static double cpu_of(int pid)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return 0;
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* The number that `format` finds behind `name`, at the beginning of a line. */
static uint64_t field_of(const char *path, const char *name, const char *format)
{
    char line[512];
    unsigned long long value = 0;
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0 && sscanf(line + strlen(name), format, &value) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return value;
}

struct load_proc load_proc_read(int pid)
{
    char path[64];
    struct load_proc proc = {0};
    uint64_t pages = field_of("/proc/net/sockstat", "TCP:", " inuse %*u orphan %*u tw %*u alloc %*u mem %llu");
    proc.kernel_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE) + field_of("/proc/meminfo", "Slab:", "%llu") * 1024;
    if (pid == 0)
        return proc;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    proc.cpu_s = cpu_of(pid);
    proc.rss_bytes = field_of(path, "VmRSS:", "%llu") * 1024;
    return proc;
}
