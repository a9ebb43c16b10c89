#include "load/tables.h"

#include <arpa/inet.h>
#include <string.h>

#include "load/plot.h"
#include "load/usage.h"

#define MIB (1 << 20)

void load_tables_escape(FILE *file, const char *text)
{
    for (; *text != '\0'; text++)
        switch (*text) {
        case '<': fputs("&lt;", file); break;
        case '>': fputs("&gt;", file); break;
        case '&': fputs("&amp;", file); break;
        default: fputc(*text, file); break;
        }
}

static void write_late(FILE *file, const struct load_report *report)
{
    static const enum load_latency shown[] = {LOAD_SEND_TO_OK, LOAD_PAGE, LOAD_CONNECT_TO_LIVE};
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        if (report->late[shown[i]] > 0)
            fprintf(file,
                    "<p class=d>%s: %llu of the measured time came after it: they count here, not in the rates.</p>\n",
                    load_stats_latency_text(shown[i]), (unsigned long long)report->late[shown[i]]);
}

void load_tables_latencies(FILE *file, const struct load_report *report)
{
    static const double fractions[] = {0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    fputs("<div class='w f'><table><tr><th>latency<th>p50<th>p90<th>p99<th>p99.9<th>p99.99<th>max<th>count\n", file);
    for (uint32_t i = 0; i < LOAD_LATENCIES; i++) {
        const struct load_histogram *histogram = load_report_latency(report, (enum load_latency)i);
        if (histogram->count == 0)
            continue;
        fprintf(file, "<tr><td>%s", load_stats_latency_text((enum load_latency)i));
        for (size_t k = 0; k < sizeof fractions / sizeof fractions[0]; k++) {
            char text[32];
            load_plot_time(text, sizeof text, (double)load_histogram_quantile(histogram, fractions[k]) / 1000);
            fprintf(file, "<td>%s", text);
        }
        fprintf(file, "<td>%llu\n", (unsigned long long)histogram->count);
    }
    fputs("</table></div>\n", file);
    write_late(file, report);
}

void load_tables_counts(FILE *file, const struct load_report *report)
{
    bool has_figures = load_report_has_figures(report);
    fprintf(file, "<div class='w f n'><table><tr><th>counted%s<th>in all\n",
            has_figures ? "<th>while measuring<th>a second" : "");
    for (uint32_t i = 0; i < LOAD_COUNTS; i++) {
        if (report->all.counts[i] == 0)
            continue;
        fprintf(file, "<tr><td>%s%s", i >= LOAD_BROKEN_FIRST ? "broken: " : "",
                load_stats_count_text((enum load_count)i));
        if (has_figures)
            fprintf(file, "<td>%llu<td>%.0f", (unsigned long long)report->measured.counts[i],
                    (double)report->measured.counts[i] / report->seconds);
        fprintf(file, "<td>%llu\n", (unsigned long long)report->all.counts[i]);
    }
    fputs("</table></div>\n", file);
}

static void write_cost(FILE *file, const char *what, double cpu_s, uint64_t count)
{
    if (count > 0)
        fprintf(file, "<tr><td>server, %s<td>%.2f us\n", what, cpu_s * 1e6 / (double)count);
}

void load_tables_cpu(FILE *file, const struct load_report *report)
{
    const struct load_options *options = report->options;
    const uint64_t *counts = report->measured.counts;
    double cpu_s = report->after.cpu_s - report->before.cpu_s, cores = cpu_s / report->seconds;
    fputs("<div class=w><table><tr><th>CPU<th>\n", file);
    if (load_usage_knows_server(report)) {
        fprintf(file, "<tr><td>server, while measuring<td>%.*f cores\n", cores < 0.1 ? 5 : 2, cores);
        write_cost(file, "a send", cpu_s, counts[LOAD_ACKNOWLEDGED]);
        write_cost(file, "an entry delivered or replayed", cpu_s, counts[LOAD_DELIVERED] + counts[LOAD_REPLAYED]);
        write_cost(file, "a page of history", cpu_s, counts[LOAD_PAGES]);
        write_cost(file, "a page of conversations", cpu_s, counts[LOAD_PEERS_PAGES]);
        write_cost(file, "a typing", cpu_s, counts[LOAD_TYPED]);
        if (options->scenario == LOAD_LOGINS_AGAIN)
            write_cost(file, "a login", cpu_s, counts[LOAD_LOGINS]);
        write_cost(file, "a connect, upgrade and login at the start", report->logged_in.cpu_s - report->idle.cpu_s,
                   options->connections);
    }
    cores = report->own_cpu_s / report->seconds;
    fprintf(file, "<tr><td>generator, all its threads<td>%.*f cores\n", cores < 0.1 ? 5 : 2, cores);
    fprintf(file, "<tr><td>generator, its busiest loop<td>%.0f %% of a core\n", report->busiest_share * 100);
    if (report->busiest_waited_share >= 0.01)
        fprintf(file, "<tr><td>and that it waited for one<td>%.0f %%\n", report->busiest_waited_share * 100);
    fputs("</table></div>\n", file);
    if (report->idle.rss_bytes == 0)
        fputs("<p class=d>For the server's CPU and RSS, give <code>--server-pid</code>.</p>\n", file);
    else if (!load_usage_knows_server(report))
        fputs("<p class=d>The server has ended, so there are no figures of its CPU and memory.</p>\n", file);
}

static void write_memory(FILE *file, const char *what, const uint64_t *bytes)
{
    fprintf(file, "<tr><td>%s", what);
    for (uint32_t i = 0; i < 3; i++)
        fprintf(file, "<td>%.1f MiB", (double)bytes[i] / MIB);
    fputc('\n', file);
}

static void write_each(FILE *file, const char *what, double each)
{
    if (each > 0)
        fprintf(file, "<tr><td>a connection: %s<td><td><td>%.0f bytes\n", what, each);
}

/* What a reader must know about the figure of one connection, or why there is none. */
static void write_why(FILE *file, const struct load_report *report)
{
    if (load_options_kills(report->options))
        fputs("<p class=d>At the end: of the process that was started last.</p>\n", file);
    if (report->options->connections < LOAD_USAGE_CONNECTIONS_MIN)
        fprintf(file, "<p class=d>With %u or more connections, also what one takes.</p>\n", LOAD_USAGE_CONNECTIONS_MIN);
    else if (load_usage_was_used(report))
        fprintf(
            file,
            "<p class=d><b>Used:</b> before the first connection the server had %.1f MiB of its own, more than one "
            "that has just started: it uses freed memory again, so a connection seems to take less than it does.</p>\n",
            (double)report->idle.own_bytes / MIB);
    else if (load_usage_rss_each(report) <= 0)
        fputs(
            "<p class=d>Memory of earlier connections was used again: restart the server to see what one takes.</p>\n",
            file);
}

void load_tables_memory(FILE *file, const struct load_report *report)
{
    uint64_t rss[] = {report->idle.rss_bytes, report->logged_in.rss_bytes, report->after.rss_bytes};
    uint64_t tcp[] = {report->idle.tcp_bytes, report->logged_in.tcp_bytes, report->after.tcp_bytes};
    uint64_t slab[] = {report->idle.slab_bytes, report->logged_in.slab_bytes, report->after.slab_bytes};
    fputs("<div class='w f n'><table><tr><th>memory<th>before<th>all logged in<th>at the end\n", file);
    if (load_usage_knows_server(report))
        write_memory(file, "RSS of the server", rss);
    write_memory(file, "the kernel's TCP buffers, whole system", tcp);
    write_memory(file, "its slab (sockets and all else)", slab);
    if (load_usage_knows_server(report))
        write_each(file, "RSS", load_usage_rss_each(report));
    write_each(file, "the kernel, for both of its ends", load_usage_kernel_each(report));
    fputs("</table></div>\n", file);
    if (load_usage_knows_server(report))
        write_why(file, report);
}

/* A word of the command line, quoted for a shell if needed. */
static void write_word(FILE *file, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,=+@%";
    if (word[0] != '\0' && strspn(word, plain) == strlen(word)) {
        fputs(word, file);
        return;
    }
    fputc('\'', file);
    for (char text[2] = ""; *word != '\0'; word++) {
        text[0] = *word;
        load_tables_escape(file, *word == '\'' ? "'\\''" : text);
    }
    fputc('\'', file);
}

static void write_option(FILE *file, const char *name, const char *value)
{
    fprintf(file, "<tr><td>%s<td>", name);
    load_tables_escape(file, value);
    fputc('\n', file);
}

static void write_number(FILE *file, const char *name, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.15g", value);
    write_option(file, name, text);
}

static bool does_send(const struct load_options *options)
{
    return !load_options_is_silent(options);
}

static void write_who(FILE *file, const struct load_options *options)
{
    char to[32] = "random users", source[64];
    write_number(file, "connections", options->connections);
    write_number(file, "users", load_options_connected_users(options));
    if (options->to != LOAD_TO_RANDOM)
        snprintf(to, sizeof to, options->to == LOAD_TO_PARTNER ? "its partner" : "zipf:%.6g", options->zipf);
    if (options->scenario == LOAD_FANOUT)
        snprintf(to, sizeof to, "one user each");
    if (does_send(options))
        write_option(file, "each sends to (--to)", to);
    if (does_send(options) && options->recipients > options->users && options->scenario != LOAD_FANOUT)
        write_number(file, "out of this many (--recipients)", options->recipients);
    if (options->ramp > 0)
        write_number(file, "connects a second (--ramp)", options->ramp);
    if (options->source_count > 0) {
        snprintf(source, sizeof source, "%u from %s on", options->source_count, inet_ntoa(options->source_first));
        write_option(file, "addresses (--source-ips)", source);
    }
    if (options->has_tls)
        write_option(file, "TLS, sessions resumed (--tls, --tls-resume)", options->has_tls_resume ? "yes" : "no");
    write_option(file, "log in by (--token-secret-file, --token-file)",
                 load_options_has_tokens(options) ? "token" : "name");
    write_option(file, "their names begin with (--prefix)", options->prefix);
}

static void write_what(FILE *file, const struct load_options *options)
{
    if (options->rate > 0)
        write_number(file, "sends a second, open loop (--rate)", options->rate);
    if (does_send(options) && options->scenario != LOAD_REPLAY)
        write_number(file,
                     options->scenario == LOAD_HISTORY || options->scenario == LOAD_PEERS ? "pages in flight (--window)"
                                                                                          : "window",
                     options->window);
    if (does_send(options)) {
        write_number(file, "bytes of text", options->text_bytes);
        write_option(file, "keys", options->has_keys ? "yes" : "no");
    }
    if (load_options_fills(options))
        write_number(file, "sends of each before the measured time (--fill)", options->fill);
    if (options->scenario == LOAD_HISTORY)
        write_number(file, "messages of a page (--limit)", options->limit);
    if (options->scenario == LOAD_PEERS)
        write_number(file, "conversations of a page (--limit)", options->limit);
    if (options->has_with)
        write_option(file, "pages of one conversation (--with)", "yes");
    if (options->seen_share > 0)
        write_number(file, "share of what is received that is marked (--seen)", options->seen_share);
    if (options->scenario == LOAD_CHURN)
        write_number(file, "drop and come back, a second (--churn)", options->churn);
    if (options->scenario == LOAD_STORM)
        write_number(file, "storms", options->storms);
}

void load_tables_options(FILE *file, const struct load_report *report)
{
    const struct load_options *options = report->options;
    fputs("<div class=w><table class=o><tr><th>the run<th>\n", file);
    for (uint32_t i = 0; i < options->node_count; i++)
        write_option(file, i == 0 ? "server" : "the other node", options->addresses[i].text);
    write_who(file, options);
    write_what(file, options);
    write_number(file, "threads", options->threads);
    fprintf(file, "<tr><td>seed<td>%llu\n", (unsigned long long)options->seed);
    write_number(file, "seconds of warm-up", options->warmup_s);
    write_number(file, "seconds to be measured (--duration)", options->duration_s);
    for (uint32_t i = 0; i < options->kill_count; i++)
        write_option(file, i == 0 ? "the server's command (--kill-server)" : "that of the other node",
                     options->kill_commands[i]);
    if (load_options_kills(options))
        write_number(file, "seconds between kills (--kill-every)", options->kill_every_s);
    fputs("</table></div>\n<p class=d>Command line:</p>\n<pre>", file);
    for (int i = 0; i < options->word_count; i++) {
        fputs(i > 0 ? " " : "", file);
        write_word(file, options->words[i]);
    }
    fputs("</pre>\n", file);
}
