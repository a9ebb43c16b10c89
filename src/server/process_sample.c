#include "server/process_sample.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "auth/token_keys.h"
#include "base/log.h"
#include "connection/tls_context.h"
#include "server/core.h"

static void sample_memory(struct server_metrics *metrics)
{
    char line[256];
    unsigned long long kib;
    FILE *file = fopen("/proc/self/status", "re");
    if (file == NULL)
        return;
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "VmSize: %llu kB", &kib) == 1)
            metric_set(&metrics->virtual_bytes, kib << 10);
        else if (sscanf(line, "VmRSS: %llu kB", &kib) == 1)
            metric_set(&metrics->resident_bytes, kib << 10);
        else if (sscanf(line, "RssAnon: %llu kB", &kib) == 1)
            metric_set(&metrics->anonymous_bytes, kib << 10);
    }
    fclose(file);
}

/* Since Linux 6.2 the size of the directory is the number of descriptors. Before, the entries are counted, which is
 * slow where there are very many: then only in each 16th sample. */
static void sample_descriptors(struct server_metrics *metrics)
{
    struct stat status;
    uint64_t count = 0;
    if (stat("/proc/self/fd", &status) != 0)
        return;
    if (status.st_size > 0) {
        metric_set(&metrics->open_fds, (uint64_t)status.st_size);
        return;
    }
    metric_add(&metrics->samples, 1);
    if (metric_read(&metrics->open_fds) > 1000 && metric_read(&metrics->samples) % 16 != 0)
        return;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    metric_set(&metrics->open_fds, count - 1); /* without that of `dir` */
}

static uint64_t timeval_us(struct timeval time)
{
    return seconds_us((uint64_t)time.tv_sec) + (uint64_t)time.tv_usec;
}

static void sample_limits(struct server_metrics *metrics)
{
    struct rusage usage;
    struct rlimit limit;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        metric_set(&metrics->cpu, timeval_us(usage.ru_utime) + timeval_us(usage.ru_stime));
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        metric_set(&metrics->max_fds, limit.rlim_cur);
}

static void sample_disk(struct server_metrics *metrics, const char *dir)
{
    struct statvfs disk;
    if (statvfs(dir, &disk) != 0)
        return;
    metric_set(&metrics->disk_free_bytes, (uint64_t)disk.f_bavail * disk.f_frsize);
    metric_set(&metrics->disk_bytes, (uint64_t)disk.f_blocks * disk.f_frsize);
}

static void sample_server(struct server *server)
{
    struct server_metrics *metrics = &server->metrics;
    metric_set(&metrics->store_failed, atomic_load_explicit(&server->store_failed, memory_order_relaxed));
    metric_set(&metrics->log_dropped, log_dropped());
    if (server->tls_context != NULL)
        metric_set(&metrics->certificate_expiry, tls_context_expiry_us(server->tls_context));
    if (server->token_keys != NULL)
        metric_set(&metrics->token_keys, token_keys_count(server->token_keys));
}

/* A reload_function. */
static void sample(void *context, enum reload_cause cause)
{
    struct server *server = context;
    (void)cause;
    sample_memory(&server->metrics);
    sample_descriptors(&server->metrics);
    sample_limits(&server->metrics);
    sample_disk(&server->metrics, datadir_path(server->datadir));
    sample_server(server);
}

void process_sample_start(struct server *server)
{
    struct server_metrics *metrics = &server->metrics;
    metric_set(&metrics->start_time, clock_wall_us(server->clock));
    metric_set(&metrics->memory_max, budget_total(server->config, server->core_count));
    metric_set(&metrics->connections_max, server->config->connections);
    sample(server, RELOAD_ASKED);
    reload_add_look(&server->reloads, sample, server);
}
