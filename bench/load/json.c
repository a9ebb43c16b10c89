#include "load/json.h"

#include <stdio.h>

#include "load/metrics.h"
#include "load/usage.h"

static void write_latency(FILE *file, const char *name, const struct load_histogram *histogram)
{
    static const struct {
        const char *name;
        double fraction;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"p9999", 0.9999}};
    fprintf(file, ",\n\"%s\":{\"count\":%llu", name, (unsigned long long)histogram->count);
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++)
        fprintf(file, ",\"%s\":%llu", quantiles[i].name,
                (unsigned long long)load_histogram_quantile(histogram, quantiles[i].fraction));
    fprintf(file, ",\"max\":%llu}", (unsigned long long)histogram->max_us);
}

static void write_points(FILE *file, const struct load_report *report)
{
    fputs(",\n\"points\":[", file);
    for (uint32_t i = 0; i < report->point_count; i++) {
        const struct load_point *point = &report->points[i];
        fprintf(file, "%s\n{\"at\":%.3f,\"acknowledged_per_s\":%.0f,\"delivered_per_s\":%.0f,\"pages_per_s\":%.0f",
                i > 0 ? "," : "", point->at_s, point->acknowledged_per_s, point->delivered_per_s, point->pages_per_s);
        fprintf(file, ",\"logins_per_s\":%.0f,\"marks_per_s\":%.0f,\"typed_per_s\":%.0f", point->logins_per_s,
                point->marks_per_s, point->typed_per_s);
        fprintf(file, ",\"p50\":%llu,\"p99\":%llu,\"max\":%llu}", (unsigned long long)point->p50_us,
                (unsigned long long)point->p99_us, (unsigned long long)point->max_us);
    }
    fputs("]", file);
}

/* The same figures under the names of metrics.h, with their units. */
static void write_metrics(FILE *file, const struct load_report *report)
{
    const char *separator = "";
    fputs(",\n\"metrics\":{", file);
    for (uint32_t i = 0; i < load_metrics_count(); i++) {
        struct load_metric metric = load_metrics_get(report, i);
        if (!metric.is_known)
            continue;
        fprintf(file, "%s\n\"%s\":%.9g", separator, metric.name, metric.value);
        separator = ",";
    }
    fputs("}", file);
}

static void write_options(FILE *file, const struct load_options *options)
{
    static const char *const targets[] = {
        [LOAD_TO_RANDOM] = "random", [LOAD_TO_PARTNER] = "partner", [LOAD_TO_ZIPF] = "zipf"};
    fprintf(file,
            "\"protocol\":\"%s\",\"scenario\":\"%s\",\"loop\":\"%s\",\"connections\":%u,\"users\":%u,\"recipients\":%"
            "u,\"threads\":%u,"
            "\"window\":%u,\"rate\":%u",
            load_options_protocol(options), load_options_scenario(options), options->rate > 0 ? "open" : "closed",
            options->connections, options->users, options->recipients, options->threads, options->window,
            options->rate);
    fprintf(file, ",\"tls\":%s,\"tokens\":%s", options->has_tls ? "true" : "false",
            load_options_has_tokens(options) ? "true" : "false");
    fprintf(file, ",\"text\":%u,\"keys\":%s,\"seed\":%llu,\"to\":\"%s\"", options->text_bytes,
            options->has_keys ? "true" : "false", (unsigned long long)options->seed, targets[options->to]);
    if (load_options_fills(options))
        fprintf(file, ",\"fill\":%u,\"limit\":%u", options->fill, options->limit);
    fprintf(file, ",\"seen_share\":%.6g,\"with\":%s", options->seen_share, options->has_with ? "true" : "false");
}

void load_json_options(FILE *file, const struct load_options *options)
{
    fputc('{', file);
    write_options(file, options);
    fputc('}', file);
}

static void write_proc(FILE *file, const char *suffix, const struct load_proc *proc)
{
    fprintf(file, ",\"server_rss%s\":%llu,\"kernel%s\":%llu,\"kernel_tcp%s\":%llu,\"kernel_slab%s\":%llu", suffix,
            (unsigned long long)proc->rss_bytes, suffix, (unsigned long long)(proc->tcp_bytes + proc->slab_bytes),
            suffix, (unsigned long long)proc->tcp_bytes, suffix, (unsigned long long)proc->slab_bytes);
}

static void write_usage(FILE *file, const struct load_report *report)
{
    fprintf(file, ",\n\"server_cpu_s\":%.6f,\"server_login_cpu_s\":%.6f,\"server_was_used\":%s",
            report->after.cpu_s - report->before.cpu_s, report->logged_in.cpu_s - report->idle.cpu_s,
            load_usage_was_used(report) ? "true" : "false");
    write_proc(file, "_idle", &report->idle);
    write_proc(file, "", &report->logged_in);
    write_proc(file, "_end", &report->after);
    fprintf(file, ",\"own_cpu_s\":%.3f,\"own_busiest_share\":%.3f,\"own_waited_share\":%.3f,\"is_saturated\":%s",
            report->own_cpu_s, report->busiest_share, report->busiest_waited_share,
            load_usage_is_saturated(report) ? "true" : "false");
}

/* A text may hold bytes of the server: each that JSON does not allow as it is becomes a question mark. */
static void write_text(FILE *file, const char *name, const char *text)
{
    fprintf(file, ",\n\"%s\":\"", name);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', file);
        fputc(*text < ' ' || *text > '~' ? '?' : *text, file);
    }
    fputs("\"", file);
}

/* The totals, whether anything was measured or not. */
static void write_verdict(FILE *file, const struct load_report *report)
{
    for (uint32_t i = LOAD_BROKEN_FIRST; i < LOAD_COUNTS; i++)
        fprintf(file, ",\n\"%s\":%llu", load_stats_count_name((enum load_count)i),
                (unsigned long long)report->all.counts[i]);
    fprintf(file, ",\n\"broken\":%llu,\"missing\":%llu,\"unanswered\":%llu,\"pages_unanswered\":%llu",
            (unsigned long long)load_stats_broken(&report->all), (unsigned long long)report->entries_missing,
            (unsigned long long)report->sends_unanswered, (unsigned long long)report->pages_unanswered);
    write_text(file, "first_broken", report->broken_text);
    write_text(file, "ended", report->end_text);
    write_text(file, "stuck", report->stuck_text);
}

static void write_thresholds(FILE *file, const struct load_report *report)
{
    fprintf(file, ",\n\"thresholds_failed\":%u", report->thresholds_failed);
    for (uint32_t i = 0; i < report->thresholds_failed; i++) {
        char name[32];
        snprintf(name, sizeof name, "threshold_failed_%u", i + 1);
        write_text(file, name, report->threshold_texts[i]);
    }
}

static void write_figures(FILE *file, const struct load_report *report)
{
    fprintf(file, ",\n\"behind_us\":%llu,\"behind\":%llu,\"held_by_window\":%s,\"overdue\":%llu",
            (unsigned long long)report->behind_us, (unsigned long long)report->behind,
            report->is_held ? "true" : "false", (unsigned long long)report->overdue);
    fprintf(file, ",\"late_sends\":%llu,\"late_pages\":%llu,\"late_replays\":%llu",
            (unsigned long long)report->late[LOAD_SEND_TO_OK], (unsigned long long)report->late[LOAD_PAGE],
            (unsigned long long)report->late[LOAD_CONNECT_TO_LIVE]);
    for (uint32_t i = 0; i < LOAD_BROKEN_FIRST; i++)
        fprintf(file, ",\n\"%s\":%llu", load_stats_count_name((enum load_count)i),
                (unsigned long long)report->measured.counts[i]);
    write_usage(file, report);
    for (uint32_t i = 0; i < LOAD_LATENCIES; i++)
        write_latency(file, load_stats_latency_name((enum load_latency)i),
                      load_report_latency(report, (enum load_latency)i));
    write_metrics(file, report);
    write_points(file, report);
}

/* The figures are left out if nothing was measured. */
static void write_all(FILE *file, const struct load_report *report)
{
    fputs("{\"version\":\"" CHITCHAT_VERSION "\",", file);
    write_options(file, report->options);
    fprintf(file, ",\n\"good\":%s,\"has_figures\":%s,\"seconds\":%.3f,\"connect_s\":%.3f,\"kills\":%u",
            load_report_is_good(report) ? "true" : "false", load_report_has_figures(report) ? "true" : "false",
            report->seconds, report->connect_s, report->kill_count);
    fputs(",\"storms\":[", file);
    for (uint32_t i = 0; i < report->storm_count; i++)
        fprintf(file, "%s%.3f", i > 0 ? "," : "", report->storm_s[i]);
    fputs("],\"failovers\":[", file);
    for (uint32_t i = 0; i < report->failover_count; i++)
        fprintf(file, "%s%.3f", i > 0 ? "," : "", report->failover_s[i]);
    fputs("]", file);
    write_verdict(file, report);
    write_thresholds(file, report);
    if (load_report_has_figures(report))
        write_figures(file, report);
    fputs("}\n", file);
}

bool load_json_write(const struct load_report *report, const char *path)
{
    return load_report_save(report, path, write_all);
}
