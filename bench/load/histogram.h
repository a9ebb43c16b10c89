/*
 * histogram.h: how often each latency occurred, in microseconds. The buckets are those of HdrHistogram: 64 to each
 * power of two, so that a value of any size is known to 1.6 %. Nothing is allocated. Each thread fills its own
 * histogram, and the main thread merges them.
 */
#ifndef CHITCHAT_BENCH_LOAD_HISTOGRAM_H
#define CHITCHAT_BENCH_LOAD_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#define LOAD_HISTOGRAM_SUB 64u
/* Up to 2^38 us, three days; a longer latency falls into the last bucket. */
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

/* The smallest value that `fraction` (0 to 1) of all values do not exceed: the upper end of its bucket, at most the
 * maximum; 0 if the histogram is empty. */
uint64_t load_histogram_quantile(const struct load_histogram *histogram, double fraction);

/* The largest value of a bucket. */
uint64_t load_histogram_bucket_end(uint32_t bucket);
/* For tests: the bucket of a value. */
uint32_t load_histogram_bucket(uint64_t us);

/* Prints a row for each power of two of microseconds, in milliseconds, from the first to the last that holds a value.
 * Borrows out. */
void load_histogram_print(const struct load_histogram *histogram, FILE *out);

#endif
