#include "load/interval.h"

#define INTERVAL_US_MIN 250000u
#define WRITE_US 1000000u
#define POINTS 400u /* of a long run, about */

/* What is shown of a phase: a count, and a latency. */
struct subject {
    const char *text;
    enum load_count counts[2]; /* their sum; the same one twice counts once */
    enum load_latency latency;
};

static struct subject subject_of(const struct load_interval *interval)
{
    static const struct subject logins = {"logins", {LOAD_LOGINS, LOAD_LOGINS}, LOAD_CONNECT_TO_LOGIN};
    static const struct subject sends = {"sends", {LOAD_ACKNOWLEDGED, LOAD_ACKNOWLEDGED}, LOAD_SEND_TO_OK};
    static const struct subject pages = {"pages", {LOAD_PAGES, LOAD_PAGES}, LOAD_PAGE};
    static const struct subject entries = {"entries", {LOAD_DELIVERED, LOAD_REPLAYED}, LOAD_CONNECT_TO_LIVE};
    static const struct subject peers = {"pages", {LOAD_PEERS_PAGES, LOAD_PEERS_PAGES}, LOAD_PEERS_PAGE};
    static const struct subject typing = {"typing", {LOAD_TYPED, LOAD_TYPED}, LOAD_TYPING_TO_OK};
    if (interval->phase == LOAD_CONNECT)
        return logins;
    if (interval->phase == LOAD_FILL || interval->phase == LOAD_FILLED)
        return sends;
    switch (interval->report->options->scenario) {
    case LOAD_HISTORY: return pages;
    case LOAD_REPLAY: return entries;
    case LOAD_PEERS: return peers;
    case LOAD_TYPING: return typing;
    case LOAD_IDLE:
    case LOAD_LOGINS_AGAIN: return logins;
    default: return sends;
    }
}

void load_interval_begin(struct load_interval *interval, enum load_phase phase, uint64_t now_us)
{
    interval->phase = phase;
    interval->phase_us = interval->begun_us = now_us;
    interval->end_us = 0;
    load_stats_clear(&interval->stats);
    interval->progress = (struct load_progress){.what = subject_of(interval).text, .per_s = -1};
}

static void add_point(struct load_interval *interval, uint64_t now_us, double seconds)
{
    const uint64_t *counts = interval->stats.counts;
    const struct load_histogram *latency = &interval->stats.latencies[load_report_main_latency(interval->report)];
    struct load_point point = {
        .at_s = (double)(now_us - interval->phase_us) / 1e6,
        .acknowledged_per_s = (double)counts[LOAD_ACKNOWLEDGED] / seconds,
        .delivered_per_s = (double)(counts[LOAD_DELIVERED] + counts[LOAD_REPLAYED]) / seconds,
        .logins_per_s = (double)counts[LOAD_LOGINS] / seconds,
        .pages_per_s = (double)(counts[LOAD_PAGES] + counts[LOAD_PEERS_PAGES]) / seconds,
        .marks_per_s = (double)counts[LOAD_MARKS] / seconds,
        .typed_per_s = (double)counts[LOAD_TYPED] / seconds,
        .p50_us = load_histogram_quantile(latency, 0.5),
        .p99_us = load_histogram_quantile(latency, 0.99),
        .max_us = latency->max_us,
    };
    load_report_add_point(interval->report, &point);
}

void load_interval_end(struct load_interval *interval, uint64_t now_us)
{
    if (now_us <= interval->begun_us)
        return;
    double seconds = (double)(now_us - interval->begun_us) / 1e6;
    struct subject subject = subject_of(interval);
    uint64_t count = interval->stats.counts[subject.counts[0]];
    if (subject.counts[1] != subject.counts[0])
        count += interval->stats.counts[subject.counts[1]];
    const struct load_histogram *latency = &interval->stats.latencies[subject.latency];
    interval->progress.per_s = (double)count / seconds;
    interval->progress.has_p99 = latency->count > 0;
    interval->progress.p99_us = load_histogram_quantile(latency, 0.99);
    if (interval->phase == LOAD_MEASURE)
        add_point(interval, now_us, seconds);
    load_stats_clear(&interval->stats);
    interval->begun_us = now_us;
}

void load_interval_watch(struct load_interval *interval, uint64_t end_us)
{
    interval->end_us = end_us;
}

void load_interval_add(struct load_interval *interval, const struct load_stats *fresh, uint64_t now_us)
{
    uint64_t length_us = INTERVAL_US_MIN;
    if (interval->phase == LOAD_MEASURE && interval->report->options->duration_s * 1e6 / POINTS > INTERVAL_US_MIN)
        length_us = (uint64_t)(interval->report->options->duration_s * 1e6) / POINTS;
    load_stats_merge(&interval->stats, &fresh[1]);
    if (interval->phase != LOAD_MEASURE)
        load_stats_merge(&interval->stats, &fresh[0]);
    bool leaves_enough = interval->end_us == 0 || now_us + length_us / 2 <= interval->end_us;
    if (now_us - interval->begun_us >= length_us && leaves_enough)
        load_interval_end(interval, now_us);
}

static uint64_t both(const struct load_stats *all, enum load_count count)
{
    return all[0].counts[count] + all[1].counts[count];
}

void load_interval_progress(struct load_interval *interval, const struct load_stats *all, uint64_t live,
                            const char *phase, double done)
{
    struct load_progress *progress = &interval->progress;
    progress->phase = phase;
    progress->done = done;
    progress->live = live;
    progress->busy = both(all, LOAD_BUSY) + both(all, LOAD_RATE_LIMITED) + both(all, LOAD_UNAVAILABLE);
    progress->refused = both(all, LOAD_CONNECT_FAILED);
    progress->broken = load_stats_broken(&all[0]) + load_stats_broken(&all[1]);
}

void load_interval_show(struct load_interval *interval, uint64_t now_us)
{
    if (load_progress_has_terminal()) {
        load_progress_show(&interval->progress);
    } else if (interval->report->options->has_progress && now_us - interval->written_us >= WRITE_US) {
        load_progress_write(&interval->progress, now_us);
        interval->written_us = now_us;
    }
}
