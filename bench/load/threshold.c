#include "load/threshold.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "load/baseline.h"
#include "load/metrics.h"

static bool refuse(const char *text, const char *why)
{
    fprintf(stderr, "chitchat-load: --fail-if %s: %s; see --help\n", text, why);
    return false;
}

static const char *read_comparison(const char *at, enum load_comparison *comparison_r)
{
    bool has_equal = at[1] == '=';
    *comparison_r = *at == '>' ? (has_equal ? LOAD_AT_LEAST : LOAD_ABOVE) : (has_equal ? LOAD_AT_MOST : LOAD_BELOW);
    return at + 1 + has_equal;
}

static bool read_limit(struct load_threshold *threshold, const char *at)
{
    char *end;
    threshold->limit = strtod(at, &end);
    if (end == at || !isfinite(threshold->limit))
        return false;
    threshold->is_ratio = *end == 'x';
    return end[threshold->is_ratio] == '\0';
}

bool load_threshold_parse(struct load_threshold *threshold_r, const char *text)
{
    size_t bytes = strcspn(text, "<>"), name_bytes = bytes;
    *threshold_r = (struct load_threshold){.text = text};
    if (text[bytes] == '\0')
        return refuse(text, "must be a name, then <, <=, > or >=, then a number, in quotes: 'ok_p99_ms>5'");
    while (name_bytes > 0 && text[name_bytes - 1] == ' ')
        name_bytes--;
    threshold_r->metric = load_metrics_find(text, (uint32_t)name_bytes);
    if (threshold_r->metric == UINT32_MAX) {
        fprintf(stderr, "chitchat-load: --fail-if %s: there is no figure `%.*s`. The names are:\n", text,
                (int)name_bytes, text);
        load_metrics_print_names(stderr);
        return false;
    }
    return read_limit(threshold_r, read_comparison(text + bytes, &threshold_r->comparison))
           || refuse(text, "the limit must be a number, as 5 or 0.5, or a factor to --compare, as 1.2x");
}

static bool holds(enum load_comparison comparison, double value, double limit)
{
    switch (comparison) {
    case LOAD_ABOVE: return value > limit;
    case LOAD_AT_LEAST: return value >= limit;
    case LOAD_BELOW: return value < limit;
    default: return value <= limit;
    }
}

bool load_threshold_passes(const struct load_threshold *threshold, const struct load_report *report,
                           const struct load_baseline *baseline, char *said, size_t room)
{
    struct load_metric metric = load_metrics_get(report, threshold->metric);
    double limit = threshold->limit, before = 0;
    if (!metric.is_known) {
        snprintf(said, room, "%s: this run has no such figure", threshold->text);
        return false;
    }
    if (!threshold->is_ratio) {
        snprintf(said, room, "%s: it is %.6g", threshold->text, metric.value);
        return !holds(threshold->comparison, metric.value, limit);
    }
    ASSERT(baseline != NULL);
    if (!load_baseline_metric(baseline, metric.name, &before)) {
        snprintf(said, room, "%s: the report of --compare has no such figure", threshold->text);
        return false;
    }
    snprintf(said, room, "%s: it is %.6g, and was %.6g", threshold->text, metric.value, before);
    return !holds(threshold->comparison, metric.value, limit * before);
}
