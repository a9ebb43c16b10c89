/*
 * load_order.h: the newest count that each pair of a sender and a recipient has shown, to find two sends that changed
 * places. A cache: small sets, each a cache line, of which the pair that was not seen for longest gives way. Two sends
 * that changed places come within what can be under way; the sets are as many as that, so that less than a hundredth of
 * the pairs that are that far apart is forgotten between. One thread.
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

/* For so many entries under way; 0 or -ENOMEM. */
int load_order_open(struct load_order *order_r, uint64_t entries);
void load_order_close(struct load_order *order);
/* The pair is looked up soon: most are in no near cache. */
void load_order_prefetch(const struct load_order *order, uint64_t pair);
/* Remembers the pair's newest count, above 0, and returns the one before; 0 if it is not known. `pair` is a hash of 64
 * bits: of fewer, two pairs are soon mistaken for one. */
uint32_t load_order_swap(struct load_order *order, uint64_t pair, uint32_t seq);

#endif
