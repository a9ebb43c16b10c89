#include "server/trim.h"

#include "server/core.h"

/* Slabs that one call frees, about 10 us each. */
#define SLABS_MAX 64u

static struct pool *pool_at(struct core *core, uint32_t index)
{
    struct pool *const pools[] = {&core->conns.table.pool,        &core->conns.work_pool,        &core->conns.head_pool,
                                  &core->conns.chunk_pool,        &core->conns.small_chunk_pool, &core->deliveries.pool,
                                  &core->deliveries.arrival_pool, &core->deliveries.waiter_pool, &core->fanouts.pool,
                                  &core->replays.ok_pool,         &core->typings.pool,           &core->seens.pool,
                                  &core->presence.letters,        &core->presence.subscriptions};
    uint32_t count = sizeof pools / sizeof pools[0];
    if (index < count)
        return pools[index];
    return index - count < USER_SIZES ? &core->users.pools[index - count] : NULL;
}

void trim_tick(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    record_heap_trim(core->generations.heap);
    io_trim(shard_io(core->shard));
    core->trim.is_running = true;
}

bool trim_step(struct core *core)
{
    if (!core->trim.is_running)
        return false;
    ASSERT_ON_SHARD(core->shard);
    struct pool *pool = pool_at(core, core->trim.at);
    if (pool != NULL)
        pool_trim(pool, SLABS_MAX);
    core->trim.is_running = pool != NULL;
    core->trim.at = pool != NULL ? core->trim.at + 1 : 0;
    return core->trim.is_running;
}
