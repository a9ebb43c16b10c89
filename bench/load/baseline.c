/* baseline.c: the report is read with jansson, as all JSON that is not the protocol's. */
#include "load/baseline.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/assert.h"
#include "load/json.h"
#include "load/metrics.h"
#include "load/report.h"

struct load_baseline {
    const char *path; /* borrowed */
    json_t *report;   /* owned */
    json_t *metrics;  /* borrows report */
};

bool load_baseline_read(struct load_baseline **baseline_r, const char *path, char *why, size_t room)
{
    json_error_t error;
    json_t *report = json_load_file(path, 0, &error);
    json_t *metrics = json_object_get(report, "metrics");
    if (report == NULL)
        snprintf(why, room, "--compare %s: %s%s", path, error.text, error.line > 0 ? "; give a report of --json" : "");
    else if (!json_is_object(metrics))
        snprintf(why, room, "--compare %s: it has no `metrics`, so it is no report of --json of this version", path);
    if (!json_is_object(metrics)) {
        json_decref(report);
        return false;
    }
    struct load_baseline *baseline = calloc(1, sizeof *baseline);
    ASSERT(baseline != NULL);
    *baseline = (struct load_baseline){path, report, metrics};
    *baseline_r = baseline;
    return true;
}

void load_baseline_close(struct load_baseline **baseline)
{
    if (*baseline != NULL)
        json_decref((*baseline)->report);
    free(*baseline);
    *baseline = NULL;
}

bool load_baseline_metric(const struct load_baseline *baseline, const char *name, double *value_r)
{
    json_t *metric = json_object_get(baseline->metrics, name);
    *value_r = json_number_value(metric);
    return json_is_number(metric);
}

static void print_value(FILE *out, json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    fputs(text != NULL ? text : "none", out);
    free(text);
}

/* Runs with other options measure something else: each difference is named. */
static void print_differences(const struct load_baseline *baseline, const struct load_report *report, FILE *out)
{
    char *text = NULL;
    size_t bytes = 0;
    const char *name;
    json_t *options, *value;
    FILE *file = open_memstream(&text, &bytes);
    ASSERT(file != NULL);
    load_json_options(file, report->options);
    fclose(file);
    options = json_loadb(text, bytes, 0, NULL);
    ASSERT(options != NULL);
    const char *separator = "the runs differ: ";
    json_object_foreach(options, name, value)
    {
        json_t *before = json_object_get(baseline->report, name);
        if (json_equal(before, value))
            continue;
        fprintf(out, "%s%s ", separator, name);
        print_value(out, before);
        fputs(" -> ", out);
        print_value(out, value);
        separator = ", ";
    }
    if (*separator == ',')
        fputc('\n', out);
    json_decref(options);
    free(text);
}

void load_baseline_print(const struct load_baseline *baseline, const struct load_report *report, FILE *out)
{
    fprintf(out, "\ncompared with %s:\n", baseline->path);
    print_differences(baseline, report, out);
    fprintf(out, "  %-28s %14s %14s %8s\n", "figure", "before", "now", "ratio");
    for (uint32_t i = 0; i < load_metrics_count(); i++) {
        struct load_metric metric = load_metrics_get(report, i);
        double before;
        if (!metric.is_known || !load_baseline_metric(baseline, metric.name, &before)
            || (before == 0 && metric.value == 0))
            continue;
        fprintf(out, "  %-28s %14.6g %14.6g ", metric.name, before, metric.value);
        if (before > 0)
            fprintf(out, "%8.3f\n", metric.value / before);
        else
            fprintf(out, "%8s\n", "-");
    }
}
