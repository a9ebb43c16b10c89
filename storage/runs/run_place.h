/*
 * run_place.h: reads a row of a run at its place (run_pages.h), without a search: one page is touched, where a search
 * touches one of each level and compares some twenty keys. A place is a hint: what lies there counts only if its key is
 * the one that is wanted. Any thread that may read the run; the caller guards against pages that cannot be read
 * (page_guard.h).
 */
#ifndef CHITCHAT_STORAGE_RUNS_RUN_PLACE_H
#define CHITCHAT_STORAGE_RUNS_RUN_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

/* The pages of a run as LMDB has mapped them, for as long as its environment is open. */
struct run_map {
    const uint8_t *pages;
    uint64_t count; /* 0: not known, so all is searched */
};

/* Finds the map by a key in it, which is on a leaf. `bytes`: of the file. */
void run_map_find(struct run_map *map_r, const void *key, uint64_t bytes);

/* The row at `place`, if its key is `key`: *value_r is borrowed from the map. False: it is not. */
bool run_place_get(const struct run_map *map, uint64_t place, struct span key, struct span *value_r);

/* The row at `place`, whatever its key is; borrowed from the map. False: there is none. */
bool run_place_row(const struct run_map *map, uint64_t place, struct span *key_r, struct span *value_r);
/* The place of the row behind the one at `place`; 0: not found, it may have to be searched. */
uint64_t run_place_next(const struct run_map *map, uint64_t place);
/* The last row from place `first` to place `last` whose key is below `key`, where that of `first` is: a search that is
 * limited to a few neighbouring pages. 0: it has to be searched in the run. */
uint64_t run_place_below(const struct run_map *map, uint64_t first, uint64_t last, struct span key);

/* The place of the key, which is in the map; 0: not found. */
uint64_t run_place_find(const struct run_map *map, const void *key);
/* The place of the key, which is in the map, when it is the row number `slot` of its page. */
uint64_t run_place_of(const void *key, uint32_t slot);
/* Whether two keys of the map are on one page. */
bool run_place_is_same_page(const void *key, const void *other);

/* The rows behind one on its page: what lies close together is read without the steps of a cursor. */
struct run_page_rows {
    const uint8_t *page;
    uint32_t slot; /* of the row before the next */
};

/* Begins behind the row with `key`, which is in the map. */
void run_page_rows_begin(struct run_page_rows *rows, const struct run_map *map, const void *key);
/* Begins behind the row at `place`. */
void run_page_rows_begin_at(struct run_page_rows *rows, const struct run_map *map, uint64_t place);
/* The next row, borrowed from the map. False: the page has no more, or its value is elsewhere. */
bool run_page_rows_next(struct run_page_rows *rows, struct span *key_r, struct span *value_r);

/* Prefetch what run_place_get reads of many rows: first where each begins on its page, then each. */
void run_place_prefetch_page(const struct run_map *map, uint64_t place);
void run_place_prefetch_row(const struct run_map *map, uint64_t place);

#endif
