#include "load/usage.h"

#include <stdio.h>

#define SATURATED_SHARE 0.9
#define MIB (1 << 20)

bool load_usage_is_saturated(const struct load_report *report)
{
    return report->busiest_share + report->busiest_waited_share > SATURATED_SHARE;
}

static void print_cost(const char *what, double cpu_s, uint64_t count)
{
    if (count > 0)
        printf(", %.2f us %s", cpu_s * 1e6 / (double)count, what);
}

bool load_usage_knows_server(const struct load_report *report)
{
    return report->idle.rss_bytes > 0 && report->after.rss_bytes > 0;
}

static double each(const struct load_report *report, uint64_t before, uint64_t after)
{
    uint32_t connections = report->options->connections;
    return connections >= LOAD_USAGE_CONNECTIONS_MIN && after > before ? (double)(after - before) / connections : 0;
}

double load_usage_rss_each(const struct load_report *report)
{
    /* Of idle connections the RSS at the end. Else that would contain what was sent too, or be another process's. */
    bool stays = report->options->scenario == LOAD_IDLE && !load_options_kills(report->options);
    return each(report, report->idle.rss_bytes, (stays ? &report->after : &report->logged_in)->rss_bytes);
}

double load_usage_kernel_each(const struct load_report *report)
{
    return each(report, report->idle.tcp_bytes + report->idle.slab_bytes,
                report->logged_in.tcp_bytes + report->logged_in.slab_bytes);
}

double load_usage_login_us(const struct load_report *report)
{
    return (report->logged_in.cpu_s - report->idle.cpu_s) * 1e6 / report->options->connections;
}

static void print_rss(const struct load_report *report)
{
    double rss = load_usage_rss_each(report);
    printf("  RSS %.1f MiB before, %.1f MiB with all logged in, %.1f MiB at the end",
           (double)report->idle.rss_bytes / MIB, (double)report->logged_in.rss_bytes / MIB,
           (double)report->after.rss_bytes / MIB);
    if (report->options->connections < LOAD_USAGE_CONNECTIONS_MIN)
        printf("; with %u or more connections, also what one takes\n", LOAD_USAGE_CONNECTIONS_MIN);
    else if (rss == 0)
        printf("; memory of earlier connections was used again: restart the server to see what one takes\n");
    else
        printf(": %.0f bytes a connection\n", rss);
    if (rss > 0 && load_usage_was_used(report))
        printf("  USED: before the first connection the server had %.1f MiB of its own, more than one that has just\n"
               "  started: it uses freed memory again, so a connection seems to take less than it does\n",
               (double)report->idle.own_bytes / MIB);
}

bool load_usage_was_used(const struct load_report *report)
{
    return report->options->protocol == LOAD_CHITCHAT && load_proc_was_used(&report->idle);
}

/* Figures of the whole system: what a few connections take is lost in the noise. */
static void print_kernel(const struct load_report *report)
{
    const struct load_proc *idle = &report->idle, *logged_in = &report->logged_in, *after = &report->after;
    double grown = load_usage_kernel_each(report);
    printf(
        "kernel, whole system: TCP buffers %.1f MiB before, %.1f with all logged in, %.1f at the end; slab %.1f, %.1f, "
        "%.1f MiB\n",
        (double)idle->tcp_bytes / MIB, (double)logged_in->tcp_bytes / MIB, (double)after->tcp_bytes / MIB,
        (double)idle->slab_bytes / MIB, (double)logged_in->slab_bytes / MIB, (double)after->slab_bytes / MIB);
    if (grown > 0)
        printf("  %.0f bytes a connection for both of its ends\n", grown);
}

static void print_server(const struct load_report *report)
{
    const uint64_t *counts = report->measured.counts;
    double cpu_s = report->after.cpu_s - report->before.cpu_s;
    if (report->idle.rss_bytes == 0)
        return;
    if (report->after.rss_bytes == 0) {
        printf("server: it has ended, so there are no figures of its CPU and memory\n");
        return;
    }
    printf("server: %.*f cores of CPU", cpu_s / report->seconds < 0.1 ? 5 : 2, cpu_s / report->seconds);
    print_cost("a send", cpu_s, counts[LOAD_ACKNOWLEDGED]);
    print_cost("an entry delivered", cpu_s, counts[LOAD_DELIVERED] + counts[LOAD_REPLAYED]);
    print_cost("a page", cpu_s, counts[LOAD_PAGES]);
    print_cost("a page of conversations", cpu_s, counts[LOAD_PEERS_PAGES]);
    print_cost("a typing", cpu_s, counts[LOAD_TYPED]);
    if (report->options->scenario == LOAD_LOGINS_AGAIN)
        print_cost("a login", cpu_s, counts[LOAD_LOGINS]);
    printf("\n  %.2f us of CPU for each connect, upgrade and login at the start\n", load_usage_login_us(report));
    print_rss(report);
}

static void print_own(const struct load_report *report)
{
    printf("generator: %.2f cores of CPU, its busiest loop %.0f %% of one", report->own_cpu_s / report->seconds,
           report->busiest_share * 100);
    if (report->busiest_waited_share >= 0.01)
        printf(", and it waited %.0f %% for a core", report->busiest_waited_share * 100);
    printf("%s\n",
           load_usage_is_saturated(report) ? ": SATURATED, so these figures may be its limit, not the server's" : "");
}

void load_usage_print(const struct load_report *report)
{
    printf("\n");
    print_server(report);
    print_kernel(report);
    print_own(report);
}
