#include "load/interval.h"

#define INTERVAL_US_MIN 250000u
#define POINTS 400u /* about so many of a long run */

/* What a phase is about: what is counted, and how long it takes. */
struct subject {
    const char *text;
    enum load_count counts[2]; /* together */
    enum load_latency latency;
};

static struct subject subject_of(const struct load_interval *pulse)
{
    static const struct subject logins = {"logins", {LOAD_LOGINS, LOAD_LOGINS}, LOAD_CONNECT_TO_LOGIN};
    static const struct subject sends = {"sends", {LOAD_ACKNOWLEDGED, LOAD_ACKNOWLEDGED}, LOAD_SEND_TO_OK};
    static const struct subject pages = {"pages", {LOAD_PAGES, LOAD_PAGES}, LOAD_PAGE};
    static const struct subject entries = {"entries", {LOAD_DELIVERED, LOAD_REPLAYED}, LOAD_CONNECT_TO_LIVE};
    if (pulse->phase == LOAD_CONNECT)
        return logins;
    if (pulse->phase == LOAD_FILL || pulse->phase == LOAD_FILLED)
        return sends;
    switch (pulse->report->options->scenario) {
    case LOAD_HISTORY: return pages;
    case LOAD_REPLAY: return entries;
    case LOAD_IDLE: return logins;
    default: return sends;
    }
}

void load_interval_begin(struct load_interval *pulse, enum load_phase phase, uint64_t now_us)
{
    pulse->phase = phase;
    pulse->begun_us = pulse->interval_us = now_us;
    pulse->end_us = 0;
    load_stats_clear(&pulse->interval);
    pulse->progress = (struct load_progress){.what = subject_of(pulse).text, .per_s = -1};
}

static void add_point(struct load_interval *pulse, uint64_t now_us, double seconds)
{
    const uint64_t *counts = pulse->interval.counts;
    const struct load_histogram *latency = &pulse->interval.latencies[load_report_main_latency(pulse->report)];
    struct load_point point = {
        .at_s = (double)(now_us - pulse->begun_us) / 1e6,
        .acknowledged_per_s = (double)counts[LOAD_ACKNOWLEDGED] / seconds,
        .delivered_per_s = (double)(counts[LOAD_DELIVERED] + counts[LOAD_REPLAYED]) / seconds,
        .pages_per_s = (double)counts[LOAD_PAGES] / seconds,
        .p50_us = load_histogram_quantile(latency, 0.5),
        .p99_us = load_histogram_quantile(latency, 0.99),
        .max_us = latency->max_us,
    };
    load_report_add_point(pulse->report, &point);
}

void load_interval_end(struct load_interval *pulse, uint64_t now_us)
{
    if (now_us <= pulse->interval_us)
        return;
    double seconds = (double)(now_us - pulse->interval_us) / 1e6;
    struct subject subject = subject_of(pulse);
    uint64_t count = pulse->interval.counts[subject.counts[0]];
    if (subject.counts[1] != subject.counts[0])
        count += pulse->interval.counts[subject.counts[1]];
    const struct load_histogram *latency = &pulse->interval.latencies[subject.latency];
    pulse->progress.per_s = (double)count / seconds;
    pulse->progress.has_p99 = latency->count > 0;
    pulse->progress.p99_us = load_histogram_quantile(latency, 0.99);
    if (pulse->phase == LOAD_MEASURE)
        add_point(pulse, now_us, seconds);
    load_stats_clear(&pulse->interval);
    pulse->interval_us = now_us;
}

void load_interval_watch(struct load_interval *pulse, uint64_t end_us)
{
    pulse->end_us = end_us;
}

void load_interval_add(struct load_interval *pulse, const struct load_stats *fresh, uint64_t now_us)
{
    uint64_t length_us = INTERVAL_US_MIN;
    if (pulse->phase == LOAD_MEASURE && pulse->report->options->duration_s * 1e6 / POINTS > INTERVAL_US_MIN)
        length_us = (uint64_t)(pulse->report->options->duration_s * 1e6) / POINTS;
    load_stats_merge(&pulse->interval, &fresh[1]);
    if (pulse->phase != LOAD_MEASURE)
        load_stats_merge(&pulse->interval, &fresh[0]);
    bool leaves_enough = pulse->end_us == 0 || now_us + length_us / 2 <= pulse->end_us;
    if (now_us - pulse->interval_us >= length_us && leaves_enough)
        load_interval_end(pulse, now_us);
}

static uint64_t both(const struct load_stats *all, enum load_count count)
{
    return all[0].counts[count] + all[1].counts[count];
}

void load_interval_show(struct load_interval *pulse, const struct load_stats *all, uint64_t live, const char *phase,
                        double done)
{
    struct load_progress *progress = &pulse->progress;
    progress->phase = phase;
    progress->done = done;
    progress->live = live;
    progress->busy = both(all, LOAD_BUSY) + both(all, LOAD_RATE_LIMITED) + both(all, LOAD_UNAVAILABLE);
    progress->refused = both(all, LOAD_CONNECT_FAILED);
    progress->broken = load_stats_broken(&all[0]) + load_stats_broken(&all[1]);
    load_progress_show(progress);
}
