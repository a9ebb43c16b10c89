#include "histogram.h"

#include <string.h>

#define BAR_CHARS 50u

/* Below 64 a bucket is a microsecond; above, the power of two and the six bits behind its first one. */
static uint32_t bucket_of(uint64_t us)
{
    if (us < HISTOGRAM_SUB)
        return (uint32_t)us;
    uint32_t power = 63u - (uint32_t)__builtin_clzll(us);
    uint32_t bucket = (power - 5) * HISTOGRAM_SUB + (uint32_t)((us >> (power - 6)) & (HISTOGRAM_SUB - 1));
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static uint64_t end_of(uint32_t bucket)
{
    if (bucket < HISTOGRAM_SUB)
        return bucket;
    uint32_t power = bucket / HISTOGRAM_SUB + 5;
    return ((UINT64_C(1) << power) | (uint64_t)(bucket % HISTOGRAM_SUB) << (power - 6)) + (UINT64_C(1) << (power - 6)) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t us)
{
    histogram->counts[bucket_of(us)]++;
    histogram->count++;
    histogram->max_us = us > histogram->max_us ? us : histogram->max_us;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->counts[i] += from->counts[i];
    into->count += from->count;
    into->max_us = from->max_us > into->max_us ? from->max_us : into->max_us;
}

uint64_t histogram_quantile(const struct histogram *histogram, double fraction)
{
    uint64_t wanted = (uint64_t)(fraction * (double)histogram->count);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS && histogram->count > 0; i++) {
        seen += histogram->counts[i];
        if (seen > wanted || seen == histogram->count)
            return end_of(i) < histogram->max_us ? end_of(i) : histogram->max_us;
    }
    return 0;
}

void histogram_print(const struct histogram *histogram, FILE *out)
{
    uint64_t rows[64] = {0}, most = 1;
    uint32_t first = 64, last = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint32_t row = end_of(i) < 2 ? 0 : 63u - (uint32_t)__builtin_clzll(end_of(i));
        rows[row] += histogram->counts[i];
    }
    for (uint32_t row = 0; row < 64; row++) {
        if (rows[row] == 0)
            continue;
        first = first == 64 ? row : first;
        last = row;
        most = rows[row] > most ? rows[row] : most;
    }
    for (uint32_t row = first; row <= last && first < 64; row++) {
        char bar[BAR_CHARS + 1];
        uint32_t chars = (uint32_t)(rows[row] * BAR_CHARS / most);
        memset(bar, '#', chars);
        bar[chars] = '\0';
        fprintf(out, "  %9llu us  %10llu  %s\n", (unsigned long long)(UINT64_C(1) << row), (unsigned long long)rows[row], bar);
    }
}
