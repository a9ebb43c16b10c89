#include "storage/runs/run_place.h"

#include <string.h>

#include "base/fault.h"
#include "storage/runs/run_page_format.h"

#define LINE_BYTES 64u
#define LINES_OF_ROW 3u /* most rows */
/* So many branches and large values are passed over on the way to the next leaf. */
#define PAGES_BETWEEN_MAX 8u
/* Over so many leaves a search goes one by one. */
#define SEARCH_PAGES_MAX 16u

static const uint8_t *page_begin(const void *at)
{
    return (const uint8_t *)((uintptr_t)at & ~(uintptr_t)(RUN_PAGE_BYTES - 1));
}

static struct page_header read_header(const uint8_t *page)
{
    struct page_header header;
    memcpy(&header, page, sizeof header);
    return header;
}

void run_map_find(struct run_map *map_r, const void *key, uint64_t bytes)
{
    const uint8_t *page = page_begin(key);
    struct page_header header = read_header(page);
    uint64_t count = bytes / RUN_PAGE_BYTES;
    *map_r = (struct run_map){NULL, 0};
    if (header.kind == PAGE_LEAF && header.number < count)
        *map_r = (struct run_map){page - header.number * RUN_PAGE_BYTES, count};
}

/* The page of a place; NULL: there is none in the map. */
static const uint8_t *page_of(const struct run_map *map, uint64_t place)
{
    uint64_t number = place / RUN_PLACE_SLOTS;
    return number < map->count ? map->pages + number * RUN_PAGE_BYTES : NULL;
}

static const uint8_t *slot_of(const uint8_t *page, uint64_t place)
{
    return page + PAGE_HEADER_BYTES + place % RUN_PLACE_SLOTS * sizeof(uint16_t);
}

/* The node of the slot, with at least a header on the page; NULL: there is none. */
static const uint8_t *node_of(const uint8_t *page, uint64_t place)
{
    struct page_header header = read_header(page);
    const uint8_t *slot = slot_of(page, place);
    uint16_t at;
    if (header.kind != PAGE_LEAF || header.lower > RUN_PAGE_BYTES || slot + sizeof at > page + header.lower)
        return NULL;
    memcpy(&at, slot, sizeof at);
    return at <= RUN_PAGE_BYTES - NODE_HEADER_BYTES ? page + at : NULL;
}

/* The value on pages of its own. */
static bool value_elsewhere(const struct run_map *map, const uint8_t *number_at, struct span *value)
{
    uint64_t number, pages = OVERFLOW_PAGES(value->bytes);
    memcpy(&number, number_at, sizeof number);
    if (number >= map->count || pages > map->count - number)
        return false;
    const uint8_t *page = map->pages + number * RUN_PAGE_BYTES;
    value->data = (const char *)page + PAGE_HEADER_BYTES;
    return read_header(page).kind == PAGE_OVERFLOW;
}

/* The key of the node, which is in its page. */
static bool key_of(const uint8_t *page, const uint8_t *node, struct span *key_r)
{
    struct node_header header;
    memcpy(&header, node, sizeof header);
    *key_r = (struct span){(const char *)node + NODE_HEADER_BYTES, header.key_bytes};
    return header.key_bytes <= (size_t)(page + RUN_PAGE_BYTES - node) - NODE_HEADER_BYTES;
}

/* The value of the node, whose key is in its page. */
static bool value_of(const struct run_map *map, const uint8_t *page, const uint8_t *node, struct span *value_r)
{
    struct node_header header;
    memcpy(&header, node, sizeof header);
    const uint8_t *value = node + NODE_HEADER_BYTES + header.key_bytes;
    size_t room = (size_t)(page + RUN_PAGE_BYTES - value);
    *value_r = (struct span){(const char *)value, header.low | (size_t)header.middle << 16};
    if ((header.high & NODE_VALUE_ELSEWHERE) != 0)
        return room >= sizeof(uint64_t) && value_elsewhere(map, value, value_r);
    return header.high == 0 && value_r->bytes <= room;
}

bool run_place_get(const struct run_map *map, uint64_t place, struct span key, struct span *value_r)
{
    const uint8_t *page = page_of(map, place);
    const uint8_t *node = page == NULL ? NULL : node_of(page, place + FAULT(PLACE_NOT_CHECKED));
    struct span found;
    if (node == NULL || !key_of(page, node, &found) || found.bytes != key.bytes)
        return false;
    if (!FAULT(PLACE_NOT_CHECKED) && memcmp(found.data, key.data, key.bytes) != 0)
        return false;
    return value_of(map, page, node, value_r);
}

bool run_place_row(const struct run_map *map, uint64_t place, struct span *key_r, struct span *value_r)
{
    const uint8_t *page = page_of(map, place);
    const uint8_t *node = page == NULL ? NULL : node_of(page, place);
    return node != NULL && key_of(page, node, key_r) && value_of(map, page, node, value_r);
}

/* The number of rows on the page; 0: it is no leaf. */
static uint32_t rows_on(const struct run_map *map, uint64_t number)
{
    struct page_header header = read_header(map->pages + number * RUN_PAGE_BYTES);
    if (header.kind != PAGE_LEAF || header.number != number || header.lower < PAGE_HEADER_BYTES)
        return 0;
    uint32_t count = (header.lower - PAGE_HEADER_BYTES) / (uint32_t)sizeof(uint16_t);
    return count < RUN_PLACE_SLOTS ? count : 0;
}

/* The next leaf: run_pages writes them in the order of their rows, and between two of them whole pages of other kinds.
 * So what is looked at is always the beginning of a page or of a value, never what a user has written. 0: not found. */
static uint64_t next_leaf(const struct run_map *map, uint64_t number)
{
    uint64_t at = number + 1;
    for (uint32_t i = 0; i < PAGES_BETWEEN_MAX && at < map->count; i++) {
        struct page_header header = read_header(map->pages + at * RUN_PAGE_BYTES);
        if (header.number != at || (header.kind != PAGE_BRANCH && header.kind != PAGE_OVERFLOW))
            return rows_on(map, at) > 0 ? at : 0;
        at += header.kind == PAGE_BRANCH ? 1 : header.overflow_pages;
    }
    return 0;
}

uint64_t run_place_next(const struct run_map *map, uint64_t place)
{
    uint64_t number = place / RUN_PLACE_SLOTS;
    if (number < map->count && place % RUN_PLACE_SLOTS + 1 < rows_on(map, number))
        return place + 1;
    uint64_t next = next_leaf(map, number);
    return next == 0 ? 0 : run_place(next, 0);
}

/* Whether the key of the row at `place` is below `key`: 1 or 0; -1: there is no row. */
static int is_below(const struct run_map *map, uint64_t place, struct span key)
{
    struct span found;
    const uint8_t *page = page_of(map, place);
    const uint8_t *node = page == NULL ? NULL : node_of(page, place);
    return node == NULL || !key_of(page, node, &found) ? -1 : span_compare(found, key) < 0;
}

/* The last row from `low` to `high`, of one page, whose key is below `key`, as that of `low` is. 0: damage. */
static uint64_t below_on_page(const struct run_map *map, uint64_t low, uint64_t high, struct span key)
{
    while (low < high) {
        uint64_t middle = high - (high - low) / 2;
        int below = is_below(map, middle, key);
        if (below < 0)
            return 0;
        if (below == 1)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

uint64_t run_place_below(const struct run_map *map, uint64_t first, uint64_t last, struct span key)
{
    uint64_t at = first, last_page = last / RUN_PLACE_SLOTS;
    for (uint32_t i = 0; at / RUN_PLACE_SLOTS < last_page; i++) {
        uint64_t next = i < SEARCH_PAGES_MAX ? next_leaf(map, at / RUN_PLACE_SLOTS) : 0;
        int below = next == 0 || next > last_page ? -1 : is_below(map, run_place(next, 0), key);
        if (below < 0)
            return 0;
        if (below == 0)
            break;
        at = run_place(next, 0);
    }
    uint64_t number = at / RUN_PLACE_SLOTS;
    uint32_t count = number < map->count ? rows_on(map, number) : 0;
    if (count == 0)
        return 0;
    return below_on_page(map, at, number == last_page ? last : run_place(number, count - 1), key);
}

uint64_t run_place_find(const struct run_map *map, const void *key)
{
    struct run_page_rows rows;
    run_page_rows_begin(&rows, map, key);
    if (rows.page == NULL)
        return 0;
    /* A damaged number is that of another page. */
    uint64_t number = read_header(rows.page).number;
    bool is_right = number < map->count && map->pages + number * RUN_PAGE_BYTES == rows.page;
    return is_right ? run_place(number, rows.slot) : 0;
}

uint64_t run_place_of(const void *key, uint32_t slot)
{
    return run_place(read_header(page_begin(key)).number, slot);
}

bool run_place_is_same_page(const void *key, const void *other)
{
    return page_begin(key) == page_begin(other);
}

void run_page_rows_begin(struct run_page_rows *rows, const struct run_map *map, const void *key)
{
    const uint8_t *page = page_begin(key);
    struct page_header header = read_header(page);
    uint32_t wanted = (uint32_t)((const uint8_t *)key - page) - NODE_HEADER_BYTES;
    *rows = (struct run_page_rows){.page = NULL};
    if (map->count == 0 || header.kind != PAGE_LEAF || header.lower > RUN_PAGE_BYTES)
        return;
    for (uint32_t slot = 0; rows->page == NULL && slot < RUN_PLACE_SLOTS; slot++) {
        uint32_t slot_at = PAGE_HEADER_BYTES + slot * (uint32_t)sizeof(uint16_t);
        uint16_t at;
        if (slot_at + sizeof at > header.lower)
            return;
        memcpy(&at, page + slot_at, sizeof at);
        if (at == wanted)
            *rows = (struct run_page_rows){page, slot};
    }
}

void run_page_rows_begin_at(struct run_page_rows *rows, const struct run_map *map, uint64_t place)
{
    *rows = (struct run_page_rows){page_of(map, place), place % RUN_PLACE_SLOTS};
}

bool run_page_rows_next(struct run_page_rows *rows, struct span *key_r, struct span *value_r)
{
    const uint8_t *node = rows->page == NULL ? NULL : node_of(rows->page, ++rows->slot);
    struct node_header header;
    if (node == NULL || rows->slot >= RUN_PLACE_SLOTS)
        return false;
    memcpy(&header, node, sizeof header);
    size_t room = (size_t)(rows->page + RUN_PAGE_BYTES - node) - NODE_HEADER_BYTES;
    size_t value_bytes = header.low | (size_t)header.middle << 16;
    if (header.high != 0 || header.key_bytes > room || value_bytes > room - header.key_bytes)
        return false;
    *key_r = (struct span){(const char *)node + NODE_HEADER_BYTES, header.key_bytes};
    *value_r = (struct span){key_r->data + header.key_bytes, value_bytes};
    return true;
}

void run_place_prefetch_page(const struct run_map *map, uint64_t place)
{
    const uint8_t *page = page_of(map, place);
    if (page == NULL)
        return;
    __builtin_prefetch(page);
    __builtin_prefetch(slot_of(page, place));
}

void run_place_prefetch_row(const struct run_map *map, uint64_t place)
{
    const uint8_t *page = page_of(map, place);
    const uint8_t *node = page == NULL ? NULL : node_of(page, place);
    for (uint32_t i = 0; node != NULL && i < LINES_OF_ROW; i++)
        __builtin_prefetch(node + i * LINE_BYTES);
}
