#include "storage/runs/run_hints.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* A power of two: 160 KiB, for the runs of some hundred users who ask at a time. A hint has a choice of HINT_WAYS. */
#define HINTS 4096u
#define HINT_WAYS 4u

static uint64_t place_of(uint64_t run_id, uint64_t user_hash)
{
    return (user_hash + run_id * UINT64_C(0x9e3779b97f4a7c15)) >> 16 & (HINTS - HINT_WAYS);
}

static bool is_of(const struct run_hint *hint, uint64_t run_id, uint64_t user_hash)
{
    return hint->last > 0 && hint->run_id == run_id && hint->user_hash == user_hash;
}

void run_hints_fini(struct run_hints *hints)
{
    free(hints->table);
    hints->table = NULL;
}

bool run_hints_get(const struct run_hints *hints, uint64_t run_id, uint64_t user_hash, struct run_hint *hint_r)
{
    if (hints->table == NULL)
        return false;
    const struct run_hint *ways = &hints->table[place_of(run_id, user_hash)];
    for (uint32_t i = 0; i < HINT_WAYS; i++)
        if (is_of(&ways[i], run_id, user_hash)) {
            *hint_r = ways[i];
            return true;
        }
    return false;
}

void run_hints_put(struct run_hints *hints, const struct run_hint *hint)
{
    ASSERT(hint->last > 0);
    if (hints->table == NULL)
        hints->table = calloc(HINTS, sizeof *hints->table);
    if (hints->table == NULL)
        return;
    struct run_hint *ways = &hints->table[place_of(hint->run_id, hint->user_hash)];
    uint32_t at = 0;
    while (at < HINT_WAYS - 1 && !is_of(&ways[at], hint->run_id, hint->user_hash))
        at++;
    memmove(&ways[1], &ways[0], at * sizeof *ways); /* the oldest is forgotten */
    ways[0] = *hint;
}
