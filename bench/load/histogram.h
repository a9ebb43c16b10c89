/*
 * load_histogram.h: how often which latency came, in microseconds. Buckets as HdrHistogram has them: 64 to each power
 * of two, so that a value is known to 1.6 %, whatever its size. Nothing is allocated. Each thread fills its own; they
 * are merged.
 */
#ifndef CHITCHAT_BENCH_LOAD_HISTOGRAM_H
#define CHITCHAT_BENCH_LOAD_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#define LOAD_HISTOGRAM_SUB 64u
/* Up to 2^38 us, three days; what is longer counts as that. */
#define LOAD_HISTOGRAM_BUCKETS (LOAD_HISTOGRAM_SUB * 33u)

struct load_histogram {
    uint64_t count;
    uint64_t sum_us;
    uint64_t max_us;
    uint64_t buckets[LOAD_HISTOGRAM_BUCKETS];
};

void load_histogram_add(struct load_histogram *histogram, uint64_t us);
void load_histogram_merge(struct load_histogram *into, const struct load_histogram *from);
void load_histogram_clear(struct load_histogram *histogram);

/* The smallest value that `fraction` (0 to 1) of all do not exceed, as the upper end of its bucket, never above the
 * maximum; 0 if there is none. */
uint64_t load_histogram_quantile(const struct load_histogram *histogram, double fraction);

/* The bucket of a value, and the largest value of a bucket. */
uint32_t load_histogram_bucket(uint64_t us);
uint64_t load_histogram_bucket_end(uint32_t bucket);

/* One row for each power of two, from the first to the last that holds any. Borrows out. */
void load_histogram_print(const struct load_histogram *histogram, FILE *out);

#endif
