/* report.c: what was measured, for people and as JSON; and what a process uses. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

static double ticks_of(int pid)
{
    char path[64], line[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    if (fgets(line, sizeof line, file) != NULL) {
        const char *behind_name = strrchr(line, ')');
        if (behind_name == NULL
            || sscanf(behind_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
            user = system = 0;
    }
    fclose(file);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* The number behind `name` in a file of lines, 0 if it is not there. */
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

struct usage usage_of(int pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    return (struct usage){.cpu_s = ticks_of(pid), .rss_bytes = field_of(path, "VmRSS:", "%llu") * 1024};
}

uint64_t socket_memory_bytes(void)
{
    return field_of("/proc/net/sockstat", "TCP:", " inuse %*u orphan %*u tw %*u alloc %*u mem %llu") * 4096;
}

static void print_latency(const char *what, const struct histogram *histogram)
{
    if (histogram->count == 0)
        return;
    printf("%-18s p50 %llu  p90 %llu  p99 %llu  p99.9 %llu  p99.99 %llu  max %llu us   (%llu)\n", what,
           (unsigned long long)histogram_quantile(histogram, 0.5), (unsigned long long)histogram_quantile(histogram, 0.9),
           (unsigned long long)histogram_quantile(histogram, 0.99), (unsigned long long)histogram_quantile(histogram, 0.999),
           (unsigned long long)histogram_quantile(histogram, 0.9999), (unsigned long long)histogram->max_us,
           (unsigned long long)histogram->count);
}

static void print_server(const struct load *load, const struct report *report)
{
    uint64_t work = load->measured.acknowledged + load->measured.pages;
    if (load->options.server_pid == 0)
        return;
    printf("server             %.2f CPU", report->server_cpu_s / report->seconds);
    if (work > 0)
        printf(", %.2f us a %s", report->server_cpu_s * 1e6 / (double)work, load->measured.pages > 0 ? "page" : "message");
    printf(", RSS %.1f MiB, %.0f bytes a connection; kernel socket memory %.1f MiB\n",
           (double)report->server_rss_bytes / (1 << 20),
           (double)(report->server_rss_bytes - report->server_rss_idle_bytes) / load->options.connections,
           (double)report->socket_bytes / (1 << 20));
}

void report_print(const struct load *load, const struct report *report)
{
    const struct options *options = &load->options;
    const struct counts *counts = &load->measured;
    printf("%u connections, %s %u, %u bytes of text, %.1f s\n", options->connections,
           options->rate > 0 ? "open loop, sends a second:" : "closed loop, window", options->rate > 0 ? options->rate : options->window,
           options->text_bytes, report->seconds);
    if (counts->acknowledged > 0)
        printf("acknowledged       %.0f /s\n", (double)counts->acknowledged / report->seconds);
    if (counts->delivered > 0)
        printf("delivered          %.0f /s\n", (double)counts->delivered / report->seconds);
    if (counts->pages > 0)
        printf("pages              %.0f /s, %.0f messages/s\n", (double)counts->pages / report->seconds,
               (double)counts->page_messages / report->seconds);
    print_latency("send to ok", &load->ok);
    print_latency("send to delivery", &load->delivery);
    print_latency("page", &load->page);
    print_latency("connect to login", &load->login);
    if (load->ok.count > 0)
        histogram_print(&load->ok, stdout);
    print_server(load, report);
    printf("generator          %.2f CPU%s\n", report->own_cpu_s / report->seconds,
           report->own_cpu_s / report->seconds > 0.9 ? ": SATURATED, it may be what limits the figures" : "");
    printf("busy %llu, errors %llu, broken promises %llu, missing %llu\n", (unsigned long long)load->all.busy,
           (unsigned long long)load->all.errors, (unsigned long long)load->all.broken, (unsigned long long)report->missing);
    if (load->all.broken > 0)
        printf("first broken       %s\n", load->first_broken);
}

static void write_latency(FILE *file, const char *name, const struct histogram *histogram)
{
    fprintf(file, ",\"%s\":{\"count\":%llu,\"p50\":%llu,\"p90\":%llu,\"p99\":%llu,\"p999\":%llu,\"p9999\":%llu,\"max\":%llu}", name,
            (unsigned long long)histogram->count, (unsigned long long)histogram_quantile(histogram, 0.5),
            (unsigned long long)histogram_quantile(histogram, 0.9), (unsigned long long)histogram_quantile(histogram, 0.99),
            (unsigned long long)histogram_quantile(histogram, 0.999), (unsigned long long)histogram_quantile(histogram, 0.9999),
            (unsigned long long)histogram->max_us);
}

bool report_write_json(const struct load *load, const struct report *report)
{
    FILE *file = fopen(load->options.json_path, "w");
    if (file == NULL) {
        fprintf(stderr, "chitchat-load: %s: %s\n", load->options.json_path, strerror(errno));
        return false;
    }
    fprintf(file, "{\"connections\":%u,\"window\":%u,\"rate\":%u,\"text\":%u,\"seconds\":%.3f,\"acknowledged\":%llu,\"delivered\":%llu",
            load->options.connections, load->options.window, load->options.rate, load->options.text_bytes, report->seconds,
            (unsigned long long)load->measured.acknowledged, (unsigned long long)load->measured.delivered);
    fprintf(file, ",\"pages\":%llu,\"page_messages\":%llu,\"server_cpu_s\":%.3f,\"server_rss\":%llu,\"server_rss_idle\":%llu",
            (unsigned long long)load->measured.pages, (unsigned long long)load->measured.page_messages, report->server_cpu_s,
            (unsigned long long)report->server_rss_bytes, (unsigned long long)report->server_rss_idle_bytes);
    fprintf(file, ",\"own_cpu_s\":%.3f,\"busy\":%llu,\"errors\":%llu,\"broken\":%llu,\"missing\":%llu", report->own_cpu_s,
            (unsigned long long)load->all.busy, (unsigned long long)load->all.errors, (unsigned long long)load->all.broken,
            (unsigned long long)report->missing);
    write_latency(file, "ok", &load->ok);
    write_latency(file, "delivery", &load->delivery);
    write_latency(file, "page", &load->page);
    write_latency(file, "login", &load->login);
    fputs("}\n", file);
    return fclose(file) == 0;
}
