/*
 * histogram.h: latencies in microseconds, counted in buckets of at most 1.6 % (64 to each power of two, after Gil Tene's
 * HdrHistogram). One thread; merged afterwards.
 */
#ifndef CHITCHAT_BENCH_HISTOGRAM_H
#define CHITCHAT_BENCH_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_SUB 64u
#define HISTOGRAM_BUCKETS (HISTOGRAM_SUB * 40u)

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t max_us;
};

void histogram_add(struct histogram *histogram, uint64_t us);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The upper end of the bucket in which the `fraction` (0 to 1) of all lies; 0 if there is none. */
uint64_t histogram_quantile(const struct histogram *histogram, double fraction);
/* Bars from the smallest to the largest power of two that holds any. */
void histogram_print(const struct histogram *histogram, FILE *out);

#endif
