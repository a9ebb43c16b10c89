/*
 * order.h: the newest count seen of each pair of a sender and a recipient, to find two sends that changed places. One
 * thread.
 *
 * The counts stand in a cache of small sets, each a cache line; the pair of a set that was not seen for longest is
 * evicted. Two sends that changed places are no further apart than what can be in flight. There are as many sets as
 * that, so that less than a hundredth of the pairs at that distance is evicted in between.
 */
#ifndef CHITCHAT_BENCH_LOAD_ORDER_H
#define CHITCHAT_BENCH_LOAD_ORDER_H

#include <stdint.h>

#define LOAD_ORDER_WAYS 5u
#define LOAD_ORDER_SETS_MAX (1u << 17) /* 8 MiB */

struct load_order_set; /* a cache line */

struct load_order {
    struct load_order_set *sets; /* owned */
    uint64_t mask;
};

/* For at most `entries` in flight; 0 or -ENOMEM. */
int load_order_open(struct load_order *order_r, uint64_t entries);
void load_order_close(struct load_order *order);
/* Fetches the cache line of a pair that will soon be looked up: most are in no near cache. */
void load_order_prefetch(const struct load_order *order, uint64_t pair);
/* Stores the pair's newest count, above 0, and returns the one before; 0 if that is not known. `pair` is a hash of 64
 * bits: with fewer, two pairs would soon have the same hash. */
uint32_t load_order_swap(struct load_order *order, uint64_t pair, uint32_t seq);

#endif
