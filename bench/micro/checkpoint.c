/* micro_checkpoint DIR: what does a checkpoint cost: a frozen generation written as a run in DIR, synced and committed;
 * and a merge of six runs; per row, elapsed time. */
#include "micro/store.h"

#define RECORDS 200000u
#define USERS 100000u
#define MERGED 6u

static double write_run(struct micro_store *store)
{
    struct memtable *table = micro_store_fill(store, USERS, RECORDS);
    double begun = micro_now();
    micro_store_write(store, table);
    double ns = (micro_now() - begun) * 1e9 / (2 * RECORDS);
    memtable_close(&table);
    return ns;
}

int main(int argc, char **argv)
{
    struct micro micro = {.program = "checkpoint"};
    struct micro_store store;
    struct store_error error;
    double ns[MICRO_REPEATS];
    micro_store_open(&store, argc, argv);
    for (uint32_t i = 0; i < MICRO_REPEATS; i++)
        ns[i] = write_run(&store);
    micro_add(&micro, "write a run of 400,000 rows, 100,000 users, per row", ns, MICRO_REPEATS);
    for (uint32_t i = MICRO_REPEATS; i < MERGED; i++)
        write_run(&store);
    double begun = micro_now();
    ASSERT(store_merge_is_due(store.store));
    ASSERT(store_merge_run(store.store, NULL, NULL, &error) == 0);
    ns[0] = (micro_now() - begun) * 1e9 / (2 * RECORDS * MERGED);
    micro_add(&micro, "merge 6 such runs, per row", ns, 1);
    micro_store_close(&store);
    micro_end(&micro);
    return 0;
}
