#include "load/csv.h"

#include <stdio.h>

static void write_latency(FILE *file, const struct load_point *point, uint64_t us)
{
    if (point->max_us > 0)
        fprintf(file, ",%.3f", (double)us / 1000);
    else
        fputc(',', file);
}

static void write_rows(FILE *file, const struct load_report *report)
{
    const char *latency = load_stats_latency_name(load_report_main_latency(report));
    fprintf(file,
            "at_s,acknowledged_per_s,delivered_per_s,pages_per_s,logins_per_s,marks_per_s,typed_per_s,%s_p50_ms,%s_p99_"
            "ms,%s_max_ms\n",
            latency, latency, latency);
    for (uint32_t i = 0; i < report->point_count; i++) {
        const struct load_point *point = &report->points[i];
        fprintf(file, "%.3f,%.0f,%.0f,%.0f,%.0f,%.0f,%.0f", point->at_s, point->acknowledged_per_s,
                point->delivered_per_s, point->pages_per_s, point->logins_per_s, point->marks_per_s,
                point->typed_per_s);
        write_latency(file, point, point->p50_us);
        write_latency(file, point, point->p99_us);
        write_latency(file, point, point->max_us);
        fputc('\n', file);
    }
}

bool load_csv_write(const struct load_report *report, const char *path)
{
    return load_report_save(report, path, write_rows);
}
