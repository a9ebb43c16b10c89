#include "timeline/key_window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* A removed send stays in the ring until it is at an end or the ring is full. The slots beyond LIMIT_KEYS see to it
 * that the ring, which costs a pass over all sends to compact, is compacted only after as many removals. */
#define SLOTS_FIRST 16u
#define SLOTS_MAX (LIMIT_KEYS + LIMIT_KEYS / 8)
#define NO_SLOT UINT16_MAX
_Static_assert(SLOTS_MAX < NO_SLOT, "a slot's number has 16 bits");

/* Bit of a slot's ts: the send was removed. */
#define REMOVED (UINT64_C(1) << 63)

struct slot {
    uint64_t ts;
    uint64_t hash;
};

struct key_window {
    struct key_memory *memory;
    uint32_t slot_count;
    uint32_t bucket_mask;
    uint32_t oldest;    /* slot of the oldest in the ring */
    uint32_t used;      /* slots in the ring, those of removed sends included */
    uint32_t live;      /* sends that are not removed */
    struct slot *slots; /* one block of memory with the two below */
    uint16_t *older;    /* for each slot, the next one of its chain; chains go from new to old */
    uint16_t *buckets;  /* first slot of each chain, or NO_SLOT */
};

static uint32_t bucket_count(uint32_t slot_count)
{
    uint32_t count = SLOTS_FIRST;
    while (count < slot_count && count < 8192)
        count *= 2;
    return count;
}

static size_t block_bytes(uint32_t slot_count)
{
    return slot_count * (sizeof(struct slot) + sizeof(uint16_t)) + bucket_count(slot_count) * sizeof(uint16_t);
}

/* The slot of the send that has `index` older ones in the ring. */
static uint32_t slot_at(const struct key_window *window, uint32_t index)
{
    ASSERT(index < window->slot_count);
    uint32_t slot = window->oldest + index;
    return slot < window->slot_count ? slot : slot - window->slot_count;
}

static uint64_t ts_at(const struct key_window *window, uint32_t index)
{
    return window->slots[slot_at(window, index)].ts & ~REMOVED;
}

static bool is_removed(const struct slot *slot)
{
    return (slot->ts & REMOVED) != 0;
}

static uint16_t *bucket_of(const struct key_window *window, uint64_t hash)
{
    return &window->buckets[hash & window->bucket_mask];
}

static void clear_buckets(struct key_window *window)
{
    memset(window->buckets, 0xff, (window->bucket_mask + 1) * sizeof *window->buckets);
}

/* Gives `window` a new block and no sends; an old block stays the caller's. 0 or -ENOMEM. */
static int take_block(struct key_window *window, uint32_t slot_count)
{
    char *block = malloc(block_bytes(slot_count));
    if (block == NULL)
        return -ENOMEM;
    window->slots = (struct slot *)(void *)block;
    window->older = (uint16_t *)(void *)(block + slot_count * sizeof(struct slot));
    window->buckets = window->older + slot_count;
    window->slot_count = slot_count;
    window->bucket_mask = bucket_count(slot_count) - 1;
    window->oldest = window->used = window->live = 0;
    clear_buckets(window);
    return 0;
}

static bool memory_take(struct key_memory *memory, uint64_t bytes)
{
    if (memory->bytes + bytes > memory->bytes_max)
        return false;
    memory->bytes += bytes;
    return true;
}

static void memory_give(struct key_memory *memory, uint64_t bytes)
{
    ASSERT(memory->bytes >= bytes);
    memory->bytes -= bytes;
}

int key_window_open(struct key_window **window_r, struct key_memory *memory)
{
    uint64_t bytes = sizeof **window_r + block_bytes(SLOTS_FIRST);
    if (!memory_take(memory, bytes))
        return -ENOMEM;
    struct key_window *window = malloc(sizeof *window);
    if (window == NULL)
        goto give_bytes;
    window->memory = memory;
    if (take_block(window, SLOTS_FIRST) != 0)
        goto free_window;
    *window_r = window;
    return 0;

free_window:
    free(window);
give_bytes:
    memory_give(memory, bytes);
    return -ENOMEM;
}

void key_window_close(struct key_window **window)
{
    struct key_window *closing = *window;
    if (closing == NULL)
        return;
    memory_give(closing->memory, sizeof *closing + block_bytes(closing->slot_count));
    free(closing->slots);
    free(closing);
    *window = NULL;
}

static void chain_push(struct key_window *window, uint32_t slot)
{
    uint16_t *bucket = bucket_of(window, window->slots[slot].hash);
    window->older[slot] = *bucket;
    *bucket = (uint16_t)slot;
}

static void chain_remove(struct key_window *window, uint32_t slot)
{
    uint16_t *at = bucket_of(window, window->slots[slot].hash);
    while (*at != slot) {
        ASSERT(*at != NO_SLOT);
        at = &window->older[*at];
    }
    *at = window->older[slot];
}

static void ring_push(struct key_window *window, uint64_t ts, uint64_t hash)
{
    ASSERT(window->used < window->slot_count);
    uint32_t slot = slot_at(window, window->used);
    window->slots[slot] = (struct slot){ts, hash};
    chain_push(window, slot);
    window->used++;
    window->live++;
}

static void remove_slot(struct key_window *window, uint32_t slot)
{
    ASSERT(!is_removed(&window->slots[slot]));
    ASSERT(window->live > 0);
    chain_remove(window, slot);
    window->slots[slot].ts |= REMOVED;
    window->live--;
}

/* Drops removed sends from both ends of the ring. */
static void ring_trim(struct key_window *window)
{
    while (window->used > 0 && is_removed(&window->slots[window->oldest])) {
        window->oldest = slot_at(window, 1);
        window->used--;
    }
    while (window->used > 0 && is_removed(&window->slots[slot_at(window, window->used - 1)]))
        window->used--;
    ASSERT(window->live <= window->used);
    ASSERT((window->live == 0) == (window->used == 0));
}

/* Moves the live sends together, over the removed ones, and links the chains anew. */
static void ring_compact(struct key_window *window)
{
    uint32_t used = window->used;
    window->used = window->live = 0;
    clear_buckets(window);
    for (uint32_t index = 0; index < used; index++) {
        struct slot slot = window->slots[slot_at(window, index)];
        if (!is_removed(&slot))
            ring_push(window, slot.ts, slot.hash);
    }
}

/* Replaces the content of `window` by that of `next`, which window_beside made. */
static void window_become(struct key_window *window, const struct key_window *next)
{
    ASSERT(next->memory == window->memory);
    ASSERT(next->used <= next->slot_count && next->live <= LIMIT_KEYS);
    memory_give(window->memory, block_bytes(window->slot_count));
    free(window->slots);
    *window = *next;
}

/* An empty window with `slot_count` slots beside `window`, its bytes counted in the same memory. window_become follows.
 * 0 or -ENOMEM. */
static int window_beside(const struct key_window *window, uint32_t slot_count, struct key_window *next_r)
{
    uint64_t bytes = block_bytes(slot_count);
    if (!memory_take(window->memory, bytes))
        return -ENOMEM;
    next_r->memory = window->memory;
    if (take_block(next_r, slot_count) == 0)
        return 0;
    memory_give(window->memory, bytes);
    return -ENOMEM;
}

static int ring_grow(struct key_window *window)
{
    struct key_window next;
    uint32_t slot_count = window->slot_count * 2 < SLOTS_MAX ? window->slot_count * 2 : SLOTS_MAX;
    int error = window_beside(window, slot_count, &next);
    if (error != 0)
        return error;
    for (uint32_t index = 0; index < window->used; index++) {
        const struct slot *slot = &window->slots[slot_at(window, index)];
        if (!is_removed(slot))
            ring_push(&next, slot->ts, slot->hash);
    }
    window_become(window, &next);
    return 0;
}

static void oldest_drop(struct key_window *window)
{
    ASSERT(window->live > 0);
    remove_slot(window, window->oldest);
    ring_trim(window);
}

int key_window_add(struct key_window *window, uint64_t ts, uint64_t hash)
{
    ASSERT(ts <= LIMIT_TS_MAX);
    ASSERT(window->used == 0 || ts > ts_at(window, window->used - 1));
    if (window->live == LIMIT_KEYS)
        oldest_drop(window);
    if (window->used == window->slot_count) {
        if (window->slot_count == SLOTS_MAX || window->live <= window->used - window->used / 8)
            ring_compact(window);
        else if (ring_grow(window) != 0)
            return -ENOMEM;
    }
    ring_push(window, ts, hash);
    return 0;
}

/* How many sends of the ring have a ts below `ts`. */
static uint32_t rank_of(const struct key_window *window, uint64_t ts)
{
    uint32_t low = 0;
    uint32_t high = window->used;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ts_at(window, middle) < ts)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void key_window_remove(struct key_window *window, uint64_t ts)
{
    uint32_t index = rank_of(window, ts);
    if (index == window->used)
        return;
    uint32_t slot = slot_at(window, index);
    if (window->slots[slot].ts != ts)
        return;
    remove_slot(window, slot);
    ring_trim(window);
}

void key_window_expire(struct key_window *window, uint64_t now_us)
{
    while (window->live > 0 && ts_at(window, 0) + LIMIT_KEYS_US <= now_us)
        oldest_drop(window);
}

/* Goes over the sends of a window and those that were read, from new to old, each ts once. */
struct newest_first {
    const struct key_window *window;
    uint32_t left; /* slots of the ring */
    const struct memtable_keyed *keyed;
    uint32_t keyed_left;
};

/* False: no more. */
static bool newest_first_next(struct newest_first *both, struct slot *slot_r)
{
    const struct slot *ours = NULL;
    while (both->left > 0 && ours == NULL) {
        ours = &both->window->slots[slot_at(both->window, both->left - 1)];
        if (is_removed(ours)) {
            ours = NULL;
            both->left--;
        }
    }
    if (ours == NULL && both->keyed_left == 0)
        return false;
    bool is_theirs = ours == NULL || (both->keyed_left > 0 && both->keyed->ts >= ours->ts);
    if (ours != NULL && (!is_theirs || both->keyed->ts == ours->ts))
        both->left--;
    if (!is_theirs) {
        *slot_r = *ours;
        return true;
    }
    *slot_r = (struct slot){both->keyed->ts, both->keyed->hash};
    both->keyed++;
    both->keyed_left--;
    return true;
}

static uint32_t slots_for(uint32_t count)
{
    uint32_t slots = SLOTS_FIRST;
    while (slots < count)
        slots *= 2;
    return slots < SLOTS_MAX ? slots : SLOTS_MAX;
}

/* Fills the empty `next` with `count` sends from new to old, and links the chains from old to new. */
static void window_fill(struct key_window *next, struct newest_first both, uint32_t count)
{
    struct slot slot;
    ASSERT(next->used == 0 && count <= next->slot_count);
    for (uint32_t index = count; index-- > 0;) {
        bool has_next = newest_first_next(&both, &slot);
        ASSERT(has_next);
        next->slots[index] = slot;
    }
    for (uint32_t index = 0; index < count; index++)
        chain_push(next, index);
    next->used = next->live = count;
}

int key_window_load(struct key_window *window, const struct memtable_keyed *keyed, uint32_t count)
{
    if (count == 0)
        return 0;
    struct newest_first both = {window, window->used, keyed, count};
    struct newest_first counting = both;
    struct slot slot;
    uint32_t all = 0;
    uint64_t ts_before = LIMIT_TS_MAX + 1;
    while (all < LIMIT_KEYS && newest_first_next(&counting, &slot)) {
        if (slot.ts >= ts_before)
            return -EBADMSG;
        ts_before = slot.ts;
        all++;
    }
    struct key_window next;
    int error = window_beside(window, slots_for(all), &next);
    if (error != 0)
        return error;
    window_fill(&next, both, all);
    window_become(window, &next);
    return 0;
}

bool key_window_find(const struct key_window *window, uint64_t hash, uint64_t *ts_inout)
{
    for (uint16_t slot = *bucket_of(window, hash); slot != NO_SLOT; slot = window->older[slot]) {
        if (window->slots[slot].hash != hash || window->slots[slot].ts >= *ts_inout)
            continue;
        *ts_inout = window->slots[slot].ts;
        return true;
    }
    return false;
}

uint32_t key_window_count(const struct key_window *window)
{
    return window->live;
}
