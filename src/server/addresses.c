#include "server/addresses.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/rate.h"

struct entry {
    uint32_t connections;
    uint32_t used_s;    /* when a connection last came or went, monotonic seconds */
    struct rate accept; /* new connections */
    struct rate login;  /* failed logins */
};

/* An entry of zeros is one that was never used. It is idle, it is the oldest, and its buckets are full, so it needs no
 * mark, and it serves the address with the key 0 as well. */
struct set {
    uint64_t keys[ADDRESSES_WAYS];
    struct entry entries[ADDRESSES_WAYS];
};

/* A mutex of its own cache line: shards that lock different ones do not disturb each other. */
struct lock {
    _Alignas(64) pthread_mutex_t mutex;
};

struct addresses {
    /* Set by open, then only read. */
    struct address_limits limits;
    struct hash_key seed;
    uint32_t set_count;
    uint64_t bytes; /* mapped */

    /* Shared. Set i is under lock i modulo ADDRESSES_LOCKS. */
    struct lock locks[ADDRESSES_LOCKS];
    struct set sets[];
};

/* At most half of the entries have connections at a time. With all connections from different addresses a set of 16 has
 * 8 on average, and more than 16 in one of 270 cases. */
static uint32_t set_count_of(uint32_t connections)
{
    return connections / (ADDRESSES_WAYS / 2) + 1;
}

uint64_t addresses_bytes(uint32_t connections)
{
    return sizeof(struct addresses) + (uint64_t)set_count_of(connections) * sizeof(struct set);
}

/* Mapped apart: aligned, and taken from the system only as far as it is touched. NULL: no memory. */
static void *map_zeros(uint64_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

int addresses_open(struct addresses **addresses_r, const struct address_limits *limits, uint32_t connections,
                   struct hash_key seed)
{
    ASSERT(limits->rate <= RATE_PER_SECOND_MAX && limits->login_rate <= RATE_PER_SECOND_MAX);
    struct addresses *addresses = map_zeros(addresses_bytes(connections));
    *addresses_r = addresses;
    if (addresses == NULL)
        return -ENOMEM;
    addresses->limits = *limits;
    addresses->seed = seed;
    addresses->set_count = set_count_of(connections);
    addresses->bytes = addresses_bytes(connections);
    for (uint32_t i = 0; i < ADDRESSES_LOCKS; i++)
        pthread_mutex_init(&addresses->locks[i].mutex, NULL);
    return 0;
}

void addresses_close(struct addresses **addresses_p)
{
    struct addresses *addresses = *addresses_p;
    *addresses_p = NULL;
    if (addresses == NULL)
        return;
    for (uint32_t i = 0; i < ADDRESSES_LOCKS; i++)
        pthread_mutex_destroy(&addresses->locks[i].mutex);
    munmap(addresses, addresses->bytes);
}

/* -- addresses -- */

/* The bytes of `address` that count: for IPv6 the first eight; for IPv4 the last eight of ::ffff:a.b.c.d, which no
 * IPv6 address begins with, since 0000::/8 is reserved. */
static uint64_t key_of(const struct address *address)
{
    uint64_t key;
    memcpy(&key, address_is_ipv4(address) ? address->bytes + 8 : address->bytes, sizeof key);
    return key;
}

static bool has_limits(const struct addresses *addresses, const struct address *address)
{
    const struct address_limits *limits = &addresses->limits;
    if (limits->connections == 0 && limits->rate == 0 && limits->login_rate == 0)
        return false;
    return address_is_known(address) && (limits->has_loopback || !address_is_loopback(address));
}

/* -- sets -- */

/* Set number `index`, locked. */
static struct set *set_lock(struct addresses *addresses, uint32_t index)
{
    ASSERT(index < addresses->set_count);
    pthread_mutex_lock(&addresses->locks[index % ADDRESSES_LOCKS].mutex);
    return &addresses->sets[index];
}

static void set_unlock(struct addresses *addresses, uint32_t index)
{
    pthread_mutex_unlock(&addresses->locks[index % ADDRESSES_LOCKS].mutex);
}

static uint32_t set_of(const struct addresses *addresses, uint64_t key)
{
    uint64_t hash = hash_siphash13(addresses->seed, (struct span){(const char *)&key, sizeof key});
    return (uint32_t)(((hash >> 32) * addresses->set_count) >> 32);
}

/* The entry of `key`, or else the idle one that was used longest ago, made empty. ADDRESSES_WAYS: neither is there. */
static uint32_t way_of(struct set *set, uint64_t key)
{
    uint32_t oldest = ADDRESSES_WAYS;
    for (uint32_t way = 0; way < ADDRESSES_WAYS; way++) {
        if (set->keys[way] == key)
            return way;
        if (set->entries[way].connections == 0
            && (oldest == ADDRESSES_WAYS || set->entries[way].used_s < set->entries[oldest].used_s))
            oldest = way;
    }
    if (oldest < ADDRESSES_WAYS) {
        set->keys[oldest] = key;
        set->entries[oldest] = (struct entry){.connections = 0};
    }
    return oldest;
}

static enum address_verdict entry_enter(const struct address_limits *limits, struct entry *entry, uint64_t now_us)
{
    uint32_t ignored;
    if (limits->connections != 0 && entry->connections >= limits->connections)
        return ADDRESS_TOO_MANY;
    if (!rate_take(&entry->accept, limits->rate, now_us, &ignored))
        return ADDRESS_TOO_FAST;
    entry->connections++;
    entry->used_s = (uint32_t)(now_us / 1000000);
    return ADDRESS_WITHIN;
}

enum address_verdict addresses_enter(struct addresses *addresses, const struct address *address, uint64_t now_us,
                                     uint32_t *entry_r)
{
    *entry_r = ADDRESS_NO_ENTRY;
    if (!has_limits(addresses, address))
        return ADDRESS_WITHIN;
    uint64_t key = key_of(address);
    uint32_t index = set_of(addresses, key);
    enum address_verdict verdict = ADDRESS_UNCOUNTED;
    struct set *set = set_lock(addresses, index);
    uint32_t way = way_of(set, key);
    if (way < ADDRESSES_WAYS)
        verdict = entry_enter(&addresses->limits, &set->entries[way], now_us);
    set_unlock(addresses, index);
    if (verdict == ADDRESS_WITHIN)
        *entry_r = 1 + index * ADDRESSES_WAYS + way;
    return verdict;
}

static uint32_t set_of_entry(uint32_t number)
{
    ASSERT(number != ADDRESS_NO_ENTRY);
    return (number - 1) / ADDRESSES_WAYS;
}

/* The entry, with its set locked. */
static struct entry *entry_lock(struct addresses *addresses, uint32_t number)
{
    struct set *set = set_lock(addresses, set_of_entry(number));
    struct entry *entry = &set->entries[(number - 1) % ADDRESSES_WAYS];
    ASSERT(entry->connections > 0);
    return entry;
}

void addresses_leave(struct addresses *addresses, uint32_t number, uint64_t now_us)
{
    if (number == ADDRESS_NO_ENTRY)
        return;
    struct entry *entry = entry_lock(addresses, number);
    entry->connections--;
    entry->used_s = (uint32_t)(now_us / 1000000);
    set_unlock(addresses, set_of_entry(number));
}

bool addresses_may_log_in(struct addresses *addresses, uint32_t number, uint64_t now_us, uint32_t *retry_after_ms_r)
{
    if (number == ADDRESS_NO_ENTRY || addresses->limits.login_rate == 0)
        return true;
    struct rate rate = entry_lock(addresses, number)->login;
    set_unlock(addresses, set_of_entry(number));
    return rate_take(&rate, addresses->limits.login_rate, now_us, retry_after_ms_r);
}

void addresses_count_failed_login(struct addresses *addresses, uint32_t number, uint64_t now_us)
{
    uint32_t ignored;
    if (number == ADDRESS_NO_ENTRY)
        return;
    struct entry *entry = entry_lock(addresses, number);
    (void)rate_take(&entry->login, addresses->limits.login_rate, now_us, &ignored);
    set_unlock(addresses, set_of_entry(number));
}

uint64_t addresses_count(struct addresses *addresses)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < addresses->set_count; i++) {
        const struct set *set = set_lock(addresses, i);
        for (uint32_t way = 0; way < ADDRESSES_WAYS; way++)
            count += set->entries[way].connections;
        set_unlock(addresses, i);
    }
    return count;
}
