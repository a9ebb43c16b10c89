/*
 * store.h: a store for the programs that measure it. Each of its runs is written from a memtable of messages between
 * random users, two rows a message. One thread.
 */
#ifndef CHITCHAT_BENCH_MICRO_STORE_H
#define CHITCHAT_BENCH_MICRO_STORE_H

#include "micro/micro.h"
#include "micro/record.h"
#include "storage/memtable/memtable.h"
#include "storage/runs/store.h"

struct micro_store {
    struct record_heap *heap;
    struct store *store;
    char *dir;
    uint64_t ts; /* of the next message */
    uint64_t generation;
};

static inline void micro_store_open(struct micro_store *store, int argc, char **argv)
{
    static const struct store_options options = {.runs_max = 64, .fan_out = 6};
    struct store_error error;
    *store = (struct micro_store){.dir = micro_make_dir(argc, argv), .ts = 1763900000000000};
    micro_must(record_heap_open(&store->heap, UINT64_C(512) << 20));
    micro_must(store_open(&store->store, store->dir, &options, &error));
}

static inline void micro_store_close(struct micro_store *store)
{
    store_close(&store->store);
    record_heap_close(&store->heap);
    micro_remove_dir(store->dir);
}

/* A frozen memtable of `records` messages; the caller closes it. */
static inline struct memtable *micro_store_fill(struct micro_store *store, uint64_t users, uint64_t records)
{
    struct memtable *table;
    micro_must(memtable_open(&table, store->heap, (struct hash_key){1, 2}, (struct hash_key){3, 4}));
    for (uint64_t i = 0; i < records; i++) {
        uint64_t from = (store->ts * UINT64_C(0x9e3779b97f4a7c15) >> 20) % users;
        uint64_t to = (store->ts * UINT64_C(0xbf58476d1ce4e5b9) >> 20) % (users - 1);
        struct record *record = micro_record(store->heap, from, to < from ? to : to + 1, store->ts);
        micro_must(memtable_insert(table, record, ROLE_SENT));
        micro_must(memtable_insert(table, record, ROLE_RECEIVED));
        record_heap_unref(store->heap, &record);
        store->ts += 2;
    }
    memtable_freeze(table);
    return table;
}

/* Writes the memtable as a run. */
static inline void micro_store_write(struct micro_store *store, const struct memtable *table)
{
    struct run_source *source;
    struct store_error error;
    struct store_position applied = {++store->generation, 4096};
    micro_must(memtable_source_open(&source, table));
    micro_must(store_add_run(store->store, source, applied, store->ts, &error));
    run_source_close(&source);
}

#endif
