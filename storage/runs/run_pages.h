/*
 * run_pages.h: rows in key order as the pages of an LMDB file (data format 1, LMDB 0.9: MDB_page, MDB_node and MDB_meta
 * of its mdb.c), which LMDB then opens as its own. The B+tree is built from the bottom up: a leaf is filled to the brim
 * and goes out, its first key goes into the page above it, and so on; every byte is written once, in order, past the
 * page cache. LMDB's own way, MDB_APPEND in transactions, gives the same tree for more: it looks for each row's place,
 * keeps lists of dirty pages and writes them through the page cache.
 *
 * One thread per file. An error stays: every later call gives it again.
 */
#ifndef CHITCHAT_STORAGE_RUNS_RUN_PAGES_H
#define CHITCHAT_STORAGE_RUNS_RUN_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "storage/file.h"

#define RUN_PAGE_BYTES FILE_BLOCK_BYTES /* the map of a run begins with one */
#define RUN_PAGES_KEY_BYTES_MAX 511u    /* LMDB's */
#define RUN_PAGES_VALUE_BYTES_MAX 131072u

struct run_pages;

/* Makes or empties the file. `is_read_soon`: what was written is asked for again at once, into the page cache: a read
 * by the device costs less there than a copy. 0 or -errno. The caller owns *pages_r. */
int run_pages_open(struct run_pages **pages_r, const char *path, bool is_read_soon);

/* The next row; its key is above all before, which is not looked at. Copies both. 0 or -errno. */
int run_pages_put(struct run_pages *pages, struct span key, struct span value);

/* Writes what is left, the root and the meta pages, and makes all of it durable, the directory excepted. At least one
 * row was put. 0 and the size of the file, or -errno. */
int run_pages_finish(struct run_pages *pages, uint64_t *file_bytes_r);

/* Unfinished, the file is nothing to LMDB. Nulls *pages. */
void run_pages_close(struct run_pages **pages);

#endif
