#include "load_proc.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static double cpu_of(int pid)
{
    char path[64], line[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    const char *behind_name = fgets(line, sizeof line, file) != NULL ? strrchr(line, ')') : NULL;
    if (behind_name == NULL
        || sscanf(behind_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        user = system = 0;
    fclose(file);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
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
