#include "server/trim.h"

#include "server/core.h"

/* Slabs that a pool gives back at a time: about 10 us each. */
#define SLABS_MAX 64u

static struct pool *pool_at(struct core *core, uint32_t index)
{
    struct pool *const pools[] = {
        &core->conns.pool,    &core->work_pool,    &core->head_pool,   &core->chunk_pool,  &core->small_chunk_pool,
        &core->delivery_pool, &core->arrival_pool, &core->waiter_pool, &core->fanout_pool, &core->ok_pool};
    uint32_t count = sizeof pools / sizeof pools[0];
    if (index < count)
        return pools[index];
    return index - count < USER_SIZES ? &core->users.pools[index - count] : NULL;
}

void trim_tick(struct core *core)
{
    record_heap_trim(core->heap);
    io_trim(shard_io(core->shard));
    core->trims_pools = true;
}

bool trim_step(struct core *core)
{
    if (!core->trims_pools)
        return false;
    struct pool *pool = pool_at(core, core->trim_at);
    if (pool != NULL)
        pool_trim(pool, SLABS_MAX);
    core->trims_pools = pool != NULL;
    core->trim_at = pool != NULL ? core->trim_at + 1 : 0;
    return core->trims_pools;
}
