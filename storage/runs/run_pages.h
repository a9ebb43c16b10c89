/*
 * run_pages.h: writes rows in key order as the pages of an LMDB file (data format 1, LMDB 0.9: MDB_page, MDB_node and
 * MDB_meta of its mdb.c), which LMDB then opens as its own. The B+tree is built from the bottom up: a full leaf is
 * written, its first key goes into the page above it, and so on. Every page but the two meta pages is written once, in
 * order, past the page cache (a leaf that is begun before the overflow pages of its rows fill a chunk: after them).
 * LMDB's own way, MDB_APPEND in transactions, makes the same tree at a higher cost: it searches where each row goes,
 * keeps lists of dirty pages, and writes through the page cache.
 *
 * A row stays where it was put, so its place (run_place.h reads it) is known at once.
 *
 * One thread a file; blocks. After an error every later call returns that error.
 */
#ifndef CHITCHAT_STORAGE_RUNS_RUN_PAGES_H
#define CHITCHAT_STORAGE_RUNS_RUN_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "storage/file.h"

#define RUN_PAGE_BYTES FILE_BLOCK_BYTES /* so a run's map begins at a multiple of it */
#define RUN_PAGES_KEY_BYTES_MAX 511u    /* LMDB's */
#define RUN_PAGES_VALUE_BYTES_MAX 131072u

struct run_pages;

/* Makes the file, or empties it. `is_read_soon`: the kernel reads each part back into the page cache after its write,
 * which costs less than a write through the cache. 0 or -errno. The caller closes *pages_r. */
int run_pages_open(struct run_pages **pages_r, const char *path, bool is_read_soon);

/* Adds a row, whose key is above all keys before (not checked), 1 to RUN_PAGES_KEY_BYTES_MAX long, with at most
 * RUN_PAGES_VALUE_BYTES_MAX of value (asserted). Copies both. 0 or -errno. */
int run_pages_put(struct run_pages *pages, struct span key, struct span value);

/* The place of a row: its page, and its number among the rows of the page. Places rise with the keys. */
#define RUN_PLACE_SLOTS 256u /* of our keys, a page has fewer */
static inline uint64_t run_place(uint64_t page, uint32_t slot)
{
    return page * RUN_PLACE_SLOTS + (slot < RUN_PLACE_SLOTS ? slot : RUN_PLACE_SLOTS - 1);
}
/* The place of the row that was put last (asserted: there is one). */
uint64_t run_pages_place(const struct run_pages *pages);

/* Writes the rest of the tree and the meta pages, and makes the file durable, but not its name. At least one row was
 * put (asserted). 0 and the size of the file, or -errno. */
int run_pages_finish(struct run_pages *pages, uint64_t *file_bytes_r);

/* Closes the file, which LMDB cannot open unless it was finished. Nulls *pages; NULL is fine. */
void run_pages_close(struct run_pages **pages);

#endif
