/*
 * metric.h: numbers that one thread writes and others may read while it does: counters, gauges and histograms.
 *
 * Each has one writer. Its loads and stores are atomic, relaxed, and never locked: a write costs what it costs in a
 * plain integer. So a reader sees each number whole, but two numbers perhaps at different moments. Zeroed memory is a
 * number that is 0.
 *
 * A histogram has buckets whose upper bounds are powers of two: 2^first, 2^(first + 1), and so on; a value belongs to
 * the first bucket whose bound is not below it. What is above the last bound is in a bucket of its own. The shape is a
 * constant where a value is recorded, so that the compiler leaves a few instructions of it.
 */
#ifndef CHITCHAT_BASE_METRIC_H
#define CHITCHAT_BASE_METRIC_H

#include <stdatomic.h>
#include <stdint.h>

/* A counter or a gauge. */
struct metric {
    _Atomic uint64_t value;
};

/* Any thread. */
static inline uint64_t metric_read(const struct metric *metric)
{
    return atomic_load_explicit(&metric->value, memory_order_relaxed);
}

/* The writer. */
static inline void metric_set(struct metric *metric, uint64_t value)
{
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

/* The writer. */
static inline void metric_add(struct metric *metric, uint64_t count)
{
    metric_set(metric, metric_read(metric) + count);
}

#define HISTOGRAM_BOUNDS_MAX 20u

struct histogram {
    struct metric counts[HISTOGRAM_BOUNDS_MAX + 1]; /* by bucket, not cumulative; [bounds]: above the last bound */
    struct metric sum;
};

struct histogram_shape {
    uint8_t first;  /* the lowest bound is 2^first */
    uint8_t bounds; /* 1 to HISTOGRAM_BOUNDS_MAX */
};

/* The bucket of `value`. Pure. */
static inline uint32_t histogram_bucket(struct histogram_shape shape, uint64_t value)
{
    uint64_t above = (value - (value > 0)) >> shape.first; /* 0: within the lowest bound */
    uint32_t bucket = above == 0 ? 0 : 64 - (uint32_t)__builtin_clzll(above);
    return bucket < shape.bounds ? bucket : shape.bounds;
}

/* The writer. */
static inline void histogram_record(struct histogram *histogram, struct histogram_shape shape, uint64_t value)
{
    metric_add(&histogram->counts[histogram_bucket(shape, value)], 1);
    metric_add(&histogram->sum, value);
}

#endif
