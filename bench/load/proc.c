#include "load/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "times.h"

/* Measured with 1 to 4 shards: a server without connections has 0.25 to 0.45 MiB for each of its threads; one that has
 * served 50 connections for a second has 1 MiB or more. The constant part is for threads that have not started yet. */
#define FRESH_BYTES UINT64_C(2097152)
#define FRESH_BYTES_PER_THREAD UINT64_C(524288)
#define LISTENERS_MAX 64u /* one for each shard */
#define TCP_LISTEN 0x0Au

/* By the clock of the process: /proc counts in hundredths of a second. */
static double cpu_of(int pid)
{
    clockid_t clock;
    return clock_getcpuclockid(pid, &clock) == 0 ? times_clock_s(clock) : 0;
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
    proc.tcp_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    proc.slab_bytes = field_of("/proc/meminfo", "Slab:", "%llu") * 1024;
    if (pid == 0)
        return proc;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    proc.cpu_s = cpu_of(pid);
    proc.rss_bytes = field_of(path, "VmRSS:", "%llu") * 1024;
    proc.own_bytes = field_of(path, "RssAnon:", "%llu") * 1024;
    proc.threads = (uint32_t)field_of(path, "Threads:", "%llu");
    return proc;
}

bool load_proc_was_used(const struct load_proc *proc)
{
    return proc->own_bytes > FRESH_BYTES + proc->threads * FRESH_BYTES_PER_THREAD;
}

struct load_proc_time load_proc_thread(int tid)
{
    char path[64];
    unsigned long long run_ns = 0, waited_ns = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", tid);
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        if (fscanf(file, "%llu %llu", &run_ns, &waited_ns) != 2)
            run_ns = waited_ns = 0;
        fclose(file);
    }
    return (struct load_proc_time){(double)run_ns / 1e9, (double)waited_ns / 1e9};
}

double load_proc_own_cpu_s(void)
{
    return times_clock_s(CLOCK_PROCESS_CPUTIME_ID);
}

/* Adds the inodes of sockets that listen at the port, from /proc/net/tcp or tcp6; returns their new number. */
static uint32_t add_listeners(const char *path, uint16_t port, unsigned long *inodes, uint32_t count)
{
    char line[512];
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL && count < LISTENERS_MAX) {
        unsigned at, state;
        unsigned long inode;
        if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*u %*u %lu", &at, &state, &inode)
                == 3
            && at == port && state == TCP_LISTEN)
            inodes[count++] = inode;
    }
    if (file != NULL)
        fclose(file);
    return count;
}

static bool has_socket(const char *pid, const unsigned long *inodes, uint32_t count)
{
    char path[300], link[600], target[64];
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *files = opendir(path);
    bool is_found = false;
    for (struct dirent *one; files != NULL && !is_found && (one = readdir(files)) != NULL;) {
        unsigned long inode;
        snprintf(link, sizeof link, "%s/%s", path, one->d_name);
        ssize_t bytes = readlink(link, target, sizeof target - 1);
        target[bytes > 0 ? bytes : 0] = '\0';
        if (sscanf(target, "socket:[%lu]", &inode) == 1)
            for (uint32_t i = 0; i < count && !is_found; i++)
                is_found = inodes[i] == inode;
    }
    if (files != NULL)
        closedir(files);
    return is_found;
}

int load_proc_listener(uint16_t port)
{
    unsigned long inodes[LISTENERS_MAX];
    uint32_t count = add_listeners("/proc/net/tcp", port, inodes, 0);
    count = add_listeners("/proc/net/tcp6", port, inodes, count);
    DIR *processes = count > 0 ? opendir("/proc") : NULL;
    int pid = 0;
    for (struct dirent *one; processes != NULL && pid == 0 && (one = readdir(processes)) != NULL;)
        if (isdigit((unsigned char)one->d_name[0]) && has_socket(one->d_name, inodes, count))
            pid = atoi(one->d_name);
    if (processes != NULL)
        closedir(processes);
    return pid;
}

uint64_t load_proc_raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return UINT64_MAX;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_max;
}
