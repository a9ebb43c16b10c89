#include "trim.h"

#include "core.h"

/* Slabs that a pool gives back at a time: about 10 us each. */
#define SLABS_MAX 128u

void trim_tick(struct core *core)
{
    struct pool *pools[] = {&core->conns.pool,       &core->work_pool,     &core->head_pool,    &core->chunk_pool,
                            &core->small_chunk_pool, &core->delivery_pool, &core->arrival_pool, &core->waiter_pool,
                            &core->fanout_pool,      &core->ok_pool};
    for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++)
        pool_trim(pools[i], SLABS_MAX);
    user_table_trim(&core->users, SLABS_MAX);
    record_heap_trim(core->heap);
    io_trim(shard_io(core->shard));
}
