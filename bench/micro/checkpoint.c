/* micro_checkpoint DIR: what does a checkpoint cost (a frozen memtable is written as a run below DIR, synced and
 * committed), and a merge of six runs? Elapsed time per row. */
#include "micro/store.h"

#define RECORDS 200000u
#define USERS 100000u
#define FEW_USERS 100u /* with long parts of timelines, which get an index by peer */
#define MERGED 6u

static double write_run(struct micro_store *store, uint32_t users)
{
    struct memtable *table = micro_store_fill(store, users, RECORDS);
    double begun = times_now_s();
    micro_store_write(store, table);
    double ns = (times_now_s() - begun) * 1e9 / (2 * RECORDS);
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
        ns[i] = write_run(&store, USERS);
    micro_add(&micro, "write a run of 400,000 rows, 100,000 users, per row", ns, MICRO_REPEATS);
    for (uint32_t i = MICRO_REPEATS; i < MERGED; i++)
        write_run(&store, USERS);
    double begun = times_now_s();
    ASSERT(store_merge_is_due(store.store));
    micro_must(store_merge_run(store.store, NULL, NULL, &error));
    ns[0] = (times_now_s() - begun) * 1e9 / (2 * RECORDS * MERGED);
    micro_add(&micro, "merge 6 such runs, per row", ns, 1);
    struct store_info info;
    store_info(store.store, &info);
    fprintf(stderr, "bytes a row: %.1f by checkpoints, %.1f by the merge\n",
            (double)info.run_bytes / (2.0 * RECORDS * MERGED), (double)info.merge_bytes / (2.0 * RECORDS * MERGED));
    for (uint32_t i = 0; i < MICRO_REPEATS; i++)
        ns[i] = write_run(&store, FEW_USERS);
    micro_add(&micro, "write a run of 400,000 rows, 100 users, per row", ns, MICRO_REPEATS);
    micro_store_close(&store);
    micro_end(&micro);
    return 0;
}
