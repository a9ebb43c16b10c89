#include "load/histogram.h"

#include <string.h>

#include "base/assert.h"

#define BAR_CHARS 50u
#define SUB_BITS 6u
#define ROWS 64u

_Static_assert(LOAD_HISTOGRAM_SUB == 1u << SUB_BITS, "the bits behind the highest choose the bucket");

/* Below 64 each microsecond has its bucket; above, the power of two and the six bits behind the highest choose it. */
uint32_t load_histogram_bucket(uint64_t us)
{
    if (us < LOAD_HISTOGRAM_SUB)
        return (uint32_t)us;
    uint32_t power = 63u - (uint32_t)__builtin_clzll(us);
    uint32_t sub = (uint32_t)(us >> (power - SUB_BITS)) & (LOAD_HISTOGRAM_SUB - 1);
    uint32_t bucket = (power - SUB_BITS + 1) * LOAD_HISTOGRAM_SUB + sub;
    return bucket < LOAD_HISTOGRAM_BUCKETS ? bucket : LOAD_HISTOGRAM_BUCKETS - 1;
}

uint64_t load_histogram_bucket_end(uint32_t bucket)
{
    ASSERT(bucket < LOAD_HISTOGRAM_BUCKETS);
    if (bucket < LOAD_HISTOGRAM_SUB)
        return bucket;
    uint32_t shift = bucket / LOAD_HISTOGRAM_SUB - 1;
    uint64_t begin = (uint64_t)(LOAD_HISTOGRAM_SUB + bucket % LOAD_HISTOGRAM_SUB) << shift;
    return begin + (UINT64_C(1) << shift) - 1;
}

void load_histogram_add(struct load_histogram *histogram, uint64_t us)
{
    histogram->count++;
    histogram->sum_us += us;
    histogram->buckets[load_histogram_bucket(us)]++;
    if (us > histogram->max_us)
        histogram->max_us = us;
}

void load_histogram_merge(struct load_histogram *into, const struct load_histogram *from)
{
    if (from->count == 0)
        return;
    into->count += from->count;
    into->sum_us += from->sum_us;
    if (from->max_us > into->max_us)
        into->max_us = from->max_us;
    for (uint32_t i = 0; i < LOAD_HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

void load_histogram_clear(struct load_histogram *histogram)
{
    if (histogram->count > 0)
        memset(histogram, 0, sizeof *histogram);
}

uint64_t load_histogram_quantile(const struct load_histogram *histogram, double fraction)
{
    double wanted = fraction * (double)histogram->count;
    uint64_t seen = 0;
    ASSERT(fraction >= 0 && fraction <= 1);
    if (histogram->count == 0)
        return 0;
    for (uint32_t i = 0; i < LOAD_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen == 0 || (double)seen < wanted)
            continue;
        uint64_t end = load_histogram_bucket_end(i);
        return end < histogram->max_us ? end : histogram->max_us;
    }
    return histogram->max_us;
}

static void print_row(uint32_t row, uint64_t count, uint64_t most, uint64_t all, FILE *out)
{
    char bar[BAR_CHARS + 1];
    uint32_t chars = (uint32_t)(count * BAR_CHARS / most);
    memset(bar, '#', chars);
    bar[chars] = '\0';
    fprintf(out, "  < %12.3f ms %6.2f %%  %s\n", (double)(2ULL << row) / 1000, 100.0 * (double)count / (double)all,
            bar);
}

void load_histogram_print(const struct load_histogram *histogram, FILE *out)
{
    uint64_t rows[ROWS] = {0}, most = 1;
    uint32_t first = ROWS, last = 0;
    for (uint32_t i = 0; i < LOAD_HISTOGRAM_BUCKETS; i++) {
        uint64_t end = load_histogram_bucket_end(i);
        uint32_t row = end == 0 ? 0 : 63u - (uint32_t)__builtin_clzll(end);
        rows[row] += histogram->buckets[i];
        if (histogram->buckets[i] == 0)
            continue;
        first = row < first ? row : first;
        last = row;
        most = rows[row] > most ? rows[row] : most;
    }
    for (uint32_t row = first; row <= last; row++)
        print_row(row, rows[row], most, histogram->count, out);
}
