#include "storage/runs/run_place.h"

#include <string.h>

#include "base/fault.h"
#include "storage/runs/run_page_format.h"

#define LINE_BYTES 64u
#define LINES_OF_ROW 3u /* most rows */

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

/* Its page; NULL: there is none in the map. */
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

/* Whether the node has the key, and its value may follow it. */
static bool has_key(const uint8_t *node, uint16_t key_bytes, size_t room, struct span key)
{
    if (key_bytes != key.bytes || key.bytes > room)
        return false;
    return FAULT(PLACE_NOT_CHECKED) || memcmp(node + NODE_HEADER_BYTES, key.data, key.bytes) == 0;
}

bool run_place_get(const struct run_map *map, uint64_t place, struct span key, struct span *value_r)
{
    const uint8_t *page = page_of(map, place);
    const uint8_t *node = page == NULL ? NULL : node_of(page, place + FAULT(PLACE_NOT_CHECKED));
    struct node_header header;
    if (node == NULL)
        return false;
    memcpy(&header, node, sizeof header);
    size_t room = (size_t)(page + RUN_PAGE_BYTES - node) - NODE_HEADER_BYTES;
    if (!has_key(node, header.key_bytes, room, key))
        return false;
    const uint8_t *value = node + NODE_HEADER_BYTES + key.bytes;
    room -= key.bytes;
    *value_r = (struct span){(const char *)value, header.low | (size_t)header.middle << 16};
    if ((header.high & NODE_VALUE_ELSEWHERE) != 0)
        return room >= sizeof(uint64_t) && value_elsewhere(map, value, value_r);
    return header.high == 0 && value_r->bytes <= room;
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
