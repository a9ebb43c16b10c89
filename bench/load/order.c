#include "load/order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE_BYTES 64u
#define SETS_MIN 256u

/* The newest first. */
struct load_order_set {
    uint64_t pairs[LOAD_ORDER_WAYS];
    uint32_t seqs[LOAD_ORDER_WAYS];
    uint32_t unused;
};
_Static_assert(sizeof(struct load_order_set) == CACHE_LINE_BYTES, "a look-up touches one line");

int load_order_open(struct load_order *order_r, uint64_t entries)
{
    uint64_t sets = SETS_MIN;
    while (sets < entries && sets < LOAD_ORDER_SETS_MAX)
        sets *= 2;
    *order_r = (struct load_order){aligned_alloc(CACHE_LINE_BYTES, sets * CACHE_LINE_BYTES), sets - 1};
    if (order_r->sets == NULL)
        return -ENOMEM;
    memset(order_r->sets, 0, sets * CACHE_LINE_BYTES);
    return 0;
}

void load_order_close(struct load_order *order)
{
    free(order->sets);
    *order = (struct load_order){0};
}

static struct load_order_set *set_of(const struct load_order *order, uint64_t pair)
{
    return &order->sets[(pair >> 32) & order->mask];
}

void load_order_prefetch(const struct load_order *order, uint64_t pair)
{
    __builtin_prefetch(set_of(order, pair), 1);
}

uint32_t load_order_swap(struct load_order *order, uint64_t pair, uint32_t seq)
{
    struct load_order_set *set = set_of(order, pair);
    uint32_t at = 0;
    while (at < LOAD_ORDER_WAYS - 1 && set->pairs[at] != pair)
        at++;
    uint32_t before = set->pairs[at] == pair ? set->seqs[at] : 0;
    for (; at > 0; at--) {
        set->pairs[at] = set->pairs[at - 1];
        set->seqs[at] = set->seqs[at - 1];
    }
    set->pairs[0] = pair;
    set->seqs[0] = seq;
    return before;
}
