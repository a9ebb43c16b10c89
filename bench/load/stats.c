#include "load/stats.h"

#include <string.h>

#include "base/assert.h"

void load_stats_add_counts(struct load_stats *into, const uint64_t *counts)
{
    for (uint32_t i = 0; i < LOAD_COUNTS; i++)
        into->counts[i] += counts[i];
}

void load_stats_add_latencies(struct load_stats *into, const struct load_histogram *latencies)
{
    for (uint32_t i = 0; i < LOAD_LATENCIES; i++)
        load_histogram_merge(&into->latencies[i], &latencies[i]);
}

void load_stats_merge(struct load_stats *into, const struct load_stats *from)
{
    load_stats_add_counts(into, from->counts);
    load_stats_add_latencies(into, from->latencies);
}

void load_stats_clear(struct load_stats *stats)
{
    memset(stats->counts, 0, sizeof stats->counts);
    for (uint32_t i = 0; i < LOAD_LATENCIES; i++)
        load_histogram_clear(&stats->latencies[i]);
}

uint64_t load_stats_broken(const struct load_stats *stats)
{
    uint64_t broken = 0;
    for (uint32_t i = LOAD_BROKEN_FIRST; i < LOAD_COUNTS; i++)
        broken += stats->counts[i];
    return broken;
}

static const struct {
    const char *name;
    const char *text;
} counts[LOAD_COUNTS] = {
    [LOAD_ACKNOWLEDGED] = {"acknowledged", "sends acknowledged"},
    [LOAD_DELIVERED] = {"delivered", "deliveries"},
    [LOAD_REPLAYED] = {"replayed", "entries replayed"},
    [LOAD_PAGES] = {"pages", "pages of history"},
    [LOAD_PAGE_MESSAGES] = {"page_messages", "messages in them"},
    [LOAD_LOGINS] = {"logins", "logins"},
    [LOAD_PEERS_PAGES] = {"peers_pages", "pages of conversations"},
    [LOAD_MARKS] = {"marks", "marks (seen)"},
    [LOAD_RECEIPTS] = {"receipts", "receipts (seen_by)"},
    [LOAD_TYPED] = {"typed", "typing, answered"},
    [LOAD_TYPING_PUSHES] = {"typing_pushes", "typing, pushed"},
    [LOAD_DUPLICATE_OKS] = {"dup", "resends known by their key"},
    [LOAD_BUSY] = {"busy", "busy, tried again"},
    [LOAD_RATE_LIMITED] = {"rate_limited", "rate-limited, tried again"},
    [LOAD_UNAVAILABLE] = {"unavailable", "unavailable"},
    [LOAD_CONNECT_FAILED] = {"connect_failed", "connects refused"},
    [LOAD_HANDSHAKES] = {"handshakes", "TLS handshakes"},
    [LOAD_RESUMED] = {"resumed", "TLS handshakes that resumed a session"},
    [LOAD_CUT_OFF] = {"cut_off", "connections ended by the server"},
    [LOAD_BROKEN_CHAIN] = {"broken_chain", "prev chain"},
    [LOAD_BROKEN_CONTENT] = {"broken_content", "content"},
    [LOAD_BROKEN_ORDER] = {"broken_order", "order"},
    [LOAD_BROKEN_REPLY] = {"broken_reply", "replies"},
    [LOAD_BROKEN_RESUME] = {"broken_resume", "resuming"},
    [LOAD_BROKEN_HISTORY] = {"broken_history", "history"},
    [LOAD_BROKEN_TALKS] = {"broken_talks", "conversations"},
    [LOAD_BROKEN_TYPING] = {"broken_typing", "typing"},
    [LOAD_BROKEN_CLOSE] = {"broken_close", "closes without cause"},
    [LOAD_BROKEN_COUNT] = {"broken_count", "loss or duplicates"},
};

static const struct {
    const char *name;
    const char *text;
} latencies[LOAD_LATENCIES] = {
    [LOAD_SEND_TO_OK] = {"ok", "send to ok"},
    [LOAD_SEND_TO_DELIVERY] = {"delivery", "send to delivery"},
    [LOAD_CONNECT_TO_LOGIN] = {"login", "connect to login"},
    [LOAD_CONNECT_TO_LIVE] = {"live", "connect to live"},
    [LOAD_PAGE] = {"page", "page of history"},
    [LOAD_PEERS_PAGE] = {"peers", "page of peers"},
    [LOAD_SEEN_TO_OK] = {"seen", "seen to ok"},
    [LOAD_TYPING_TO_OK] = {"typing", "typing to ok"},
};

const char *load_stats_count_name(enum load_count count)
{
    ASSERT(count < LOAD_COUNTS);
    return counts[count].name;
}

const char *load_stats_count_text(enum load_count count)
{
    ASSERT(count < LOAD_COUNTS);
    return counts[count].text;
}

const char *load_stats_latency_name(enum load_latency latency)
{
    ASSERT(latency < LOAD_LATENCIES);
    return latencies[latency].name;
}

const char *load_stats_latency_text(enum load_latency latency)
{
    ASSERT(latency < LOAD_LATENCIES);
    return latencies[latency].text;
}
