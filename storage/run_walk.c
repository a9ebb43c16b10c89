#include "storage/run_walk.h"

#include <sys/mman.h>

#define READAHEAD_BYTES ((uintptr_t)4 << 20)
#define PAGE_BYTES ((uintptr_t)4096)

/* By addresses: LMDB does not tell where the map begins. Behind its end there is nothing to read. */
void run_read_ahead(uintptr_t *ahead, const void *row)
{
    uintptr_t at = (uintptr_t)row / PAGE_BYTES * PAGE_BYTES;
    if (at + READAHEAD_BYTES / 2 < *ahead)
        return;
    uintptr_t begin = at > *ahead ? at : *ahead;
    (void)madvise((void *)begin, READAHEAD_BYTES, MADV_WILLNEED);
    *ahead = begin + READAHEAD_BYTES;
}

static int go(struct run_walk *walk, MDB_cursor_op op)
{
    int result = mdb_cursor_get(walk->cursor, &walk->key, &walk->value, op);
    walk->is_at_end = result != 0 || walk->key.mv_size == 0 || *(const uint8_t *)walk->key.mv_data == RUN_FILTER_PREFIX;
    if (!walk->is_at_end)
        run_read_ahead(&walk->ahead, walk->key.mv_data);
    return result == MDB_NOTFOUND ? 0 : result;
}

int run_walk_open(struct run_walk *walk, struct run *run, struct span from)
{
    *walk = (struct run_walk){.is_at_end = true};
    int result = mdb_txn_begin(run->env, NULL, MDB_RDONLY, &walk->txn);
    if (result == 0)
        result = mdb_cursor_open(walk->txn, run->dbi, &walk->cursor);
    if (result != 0)
        return result;
    if (from.bytes == 0)
        return go(walk, MDB_FIRST);
    walk->key = (MDB_val){from.bytes, (void *)(uintptr_t)from.data};
    return go(walk, MDB_SET_RANGE);
}

int run_walk_step(struct run_walk *walk)
{
    return go(walk, MDB_NEXT);
}

void run_walk_close(struct run_walk *walk)
{
    if (walk->cursor != NULL)
        mdb_cursor_close(walk->cursor);
    if (walk->txn != NULL)
        mdb_txn_abort(walk->txn);
    *walk = (struct run_walk){.is_at_end = true};
}
