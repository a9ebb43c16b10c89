#include "storage/runs/run_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fault.h"
#include "storage/runs/run_page_format.h"

#define SLOT_BYTES sizeof(uint16_t)
/* LMDB's limit, so that two nodes fit into a page: a larger row has its value on overflow pages. */
#define NODE_BYTES_MAX (((RUN_PAGE_BYTES - PAGE_HEADER_BYTES) / 2 & ~1u) - SLOT_BYTES)
#define META_PAGES 2u
/* The pages of one write: a WAL write behind it waits some 0.5 ms. */
#define CHUNK_PAGES 128u
_Static_assert(OVERFLOW_PAGES(RUN_PAGES_VALUE_BYTES_MAX) < CHUNK_PAGES, "a value fits into a chunk");

/* A branch of the longest keys has seven children, one of our keys 26 and more: 2^36 pages need fewer than 13 levels.
 */
#define LEVELS_MAX 13u

struct tree {
    uint32_t pad; /* in the first of a meta page: the page size */
    uint16_t flags;
    uint16_t depth;
    uint64_t branch_pages;
    uint64_t leaf_pages;
    uint64_t overflow_pages;
    uint64_t entries;
    uint64_t root;
};

struct meta {
    uint32_t magic;
    uint32_t version;
    uint64_t address;
    uint64_t map_bytes;
    struct tree free_pages;
    struct tree rows;
    uint64_t last_page;
    uint64_t transaction;
};
#define META_MAGIC 0xBEEFC0DEu
#define META_VERSION 1u
#define TREE_INTEGER_KEYS 0x08u
#define NO_PAGE UINT64_MAX

/* The page of a level that is being filled. Its first key is kept beside it: a branch has no key for its first child.
 */
struct level {
    _Alignas(8) uint8_t page[RUN_PAGE_BYTES];
    uint8_t first_key[RUN_PAGES_KEY_BYTES_MAX];
    uint32_t first_key_bytes;
};

struct run_pages {
    uint8_t *chunk; /* CHUNK_PAGES */
    uint8_t *apart; /* behind them: a page for a leaf whose chunk was written before it was full */
    uint8_t *leaf;  /* where the leaf that is being filled goes: into the chunk, or apart */
    uint32_t chunk_count;
    uint64_t chunk_begin; /* the number of its first page */
    int fd;
    bool is_read_soon;
    int status;
    uint64_t leaf_number; /* of the leaf that is being filled: known from its first row on, so that places are */
    struct tree tree;
    struct level levels[LEVELS_MAX]; /* [0]: of the leaves; tree.depth of them are in use */
};

/* -- writes -- */

static void write_chunk(struct run_pages *pages)
{
    pages->leaf = pages->apart;
    size_t bytes = (size_t)pages->chunk_count * RUN_PAGE_BYTES;
    off_t offset = (off_t)(pages->chunk_begin * RUN_PAGE_BYTES);
    if (pages->status == 0 && bytes > 0)
        pages->status = file_write(pages->fd, pages->chunk, bytes, offset);
    if (pages->status == 0 && pages->is_read_soon)
        (void)posix_fadvise(pages->fd, offset, (off_t)bytes, POSIX_FADV_WILLNEED);
    pages->chunk_begin += pages->chunk_count;
    pages->chunk_count = 0;
}

/* Room for the next `count` pages of the file, the first of which is *number_r. */
static uint8_t *take_pages(struct run_pages *pages, uint32_t count, uint64_t *number_r)
{
    ASSERT(count > 0);
    ASSERT(count <= CHUNK_PAGES);
    if (pages->chunk_count + count > CHUNK_PAGES)
        write_chunk(pages);
    uint8_t *at = pages->chunk + (size_t)pages->chunk_count * RUN_PAGE_BYTES;
    *number_r = pages->chunk_begin + pages->chunk_count;
    pages->chunk_count += count;
    return at;
}

/* -- a page -- */

static struct page_header *header_of(struct level *level)
{
    return (struct page_header *)level->page;
}

static void clear_page(struct level *level, enum page_kind kind)
{
    *header_of(level) =
        (struct page_header){.kind = (uint16_t)kind, .lower = PAGE_HEADER_BYTES, .upper = RUN_PAGE_BYTES};
}

static uint32_t node_bytes(size_t key_bytes, size_t value_bytes)
{
    return (uint32_t)(NODE_HEADER_BYTES + key_bytes + value_bytes + 1) & ~1u;
}

static bool has_room(struct level *level, uint32_t bytes)
{
    const struct page_header *header = header_of(level);
    return (uint32_t)header->upper - header->lower >= bytes + SLOT_BYTES;
}

static uint8_t *add_node(struct level *level, uint32_t bytes, struct node_header node, struct span key)
{
    struct page_header *header = header_of(level);
    ASSERT(has_room(level, bytes));
    header->upper = (uint16_t)(header->upper - bytes);
    memcpy(level->page + header->lower, &header->upper, SLOT_BYTES);
    header->lower = (uint16_t)(header->lower + SLOT_BYTES);
    uint8_t *at = level->page + header->upper;
    at[bytes - 1] = 0; /* maybe padding */
    memcpy(at, &node, sizeof node);
    memcpy(at + sizeof node, key.data, key.bytes);
    return at + sizeof node + key.bytes;
}

static void keep_first_key(struct level *level, struct span key)
{
    memcpy(level->first_key, key.data, key.bytes);
    level->first_key_bytes = (uint32_t)key.bytes;
}

/* -- branches -- */

static void put_child(struct run_pages *pages, uint32_t height, struct span key, uint64_t child);

/* Copies the page of a level to `out`. The level is empty afterwards. */
static void copy_page(struct level *level, enum page_kind kind, uint64_t number, uint8_t *out)
{
    struct page_header *header = header_of(level);
    header->number = number;
    memcpy(out, level->page, header->lower);
    memset(out + header->lower, 0, (size_t)(header->upper - header->lower));
    memcpy(out + header->upper, level->page + header->upper, RUN_PAGE_BYTES - header->upper);
    clear_page(level, kind);
}

static void finish_leaf(struct run_pages *pages)
{
    uint8_t *out = pages->leaf;
    copy_page(&pages->levels[0], PAGE_LEAF, pages->leaf_number, out);
    if (out == pages->apart && pages->status == 0)
        pages->status = file_write(pages->fd, out, RUN_PAGE_BYTES, (off_t)(pages->leaf_number * RUN_PAGE_BYTES));
    pages->tree.leaf_pages++;
}

/* Writes the page of a level, which is empty afterwards. */
static void finish_page(struct run_pages *pages, uint32_t height, uint64_t *number_r)
{
    if (height == 0) {
        *number_r = pages->leaf_number;
        finish_leaf(pages);
        return;
    }
    uint8_t *out = take_pages(pages, 1, number_r);
    copy_page(&pages->levels[height], PAGE_BRANCH, *number_r, out);
    pages->tree.branch_pages++;
}

/* Writes the page of a level, and puts it into the branch above it. */
static void hand_up(struct run_pages *pages, uint32_t height)
{
    const struct level *level = &pages->levels[height];
    struct span key = {(const char *)level->first_key, level->first_key_bytes};
    uint64_t number;
    finish_page(pages, height, &number);
    put_child(pages, height + 1, key, number);
}

static void add_child(struct level *level, struct span key, uint64_t child)
{
    struct node_header node = {
        .low = (uint16_t)child, .middle = (uint16_t)(child >> 16), .high = (uint16_t)(child >> 32)};
    if (header_of(level)->lower == PAGE_HEADER_BYTES) {
        keep_first_key(level, key);
        key.bytes = 0;
    }
    node.key_bytes = (uint16_t)key.bytes;
    (void)add_node(level, node_bytes(key.bytes, 0), node, key);
}

/* Takes the last child out of a branch, and copies its key to `key`. */
static uint64_t take_last_child(struct level *level, uint8_t key[RUN_PAGES_KEY_BYTES_MAX], struct span *key_r)
{
    struct page_header *header = header_of(level);
    ASSERT(header->lower > PAGE_HEADER_BYTES + SLOT_BYTES);
    const uint8_t *at = level->page + header->upper;
    struct node_header node;
    memcpy(&node, at, sizeof node);
    memcpy(key, at + sizeof node, node.key_bytes);
    *key_r = (struct span){(const char *)key, node.key_bytes};
    header->upper = (uint16_t)(header->upper + node_bytes(node.key_bytes, 0));
    header->lower = (uint16_t)(header->lower - SLOT_BYTES);
    return node.low | (uint64_t)node.middle << 16 | (uint64_t)node.high << 32;
}

/* LMDB requires two children in a branch: a full one leaves its last child to the next. */
static void put_child(struct run_pages *pages, uint32_t height, struct span key, uint64_t child)
{
    struct level *level = &pages->levels[height];
    uint8_t last_key[RUN_PAGES_KEY_BYTES_MAX];
    struct span last;
    ASSERT(height < LEVELS_MAX);
    if (height == pages->tree.depth) {
        pages->tree.depth++;
        clear_page(level, PAGE_BRANCH);
    }
    if (!has_room(level, node_bytes(key.bytes, 0))) {
        uint64_t last_child = take_last_child(level, last_key, &last);
        hand_up(pages, height);
        add_child(level, last, last_child);
    }
    add_child(level, key, child);
}

/* -- leaves -- */

static uint64_t put_overflow(struct run_pages *pages, struct span value)
{
    uint32_t count = (uint32_t)OVERFLOW_PAGES(value.bytes);
    uint64_t number;
    uint8_t *out = take_pages(pages, count, &number);
    struct page_header header = {.number = number, .kind = PAGE_OVERFLOW, .overflow_pages = count};
    memcpy(out, &header, sizeof header);
    memcpy(out + sizeof header, value.data, value.bytes);
    memset(out + sizeof header + value.bytes, 0, (size_t)count * RUN_PAGE_BYTES - sizeof header - value.bytes);
    pages->tree.overflow_pages += count;
    return number;
}

int run_pages_put(struct run_pages *pages, struct span key, struct span value)
{
    struct level *level = &pages->levels[0];
    struct node_header node = {
        .low = (uint16_t)value.bytes, .middle = (uint16_t)(value.bytes >> 16), .key_bytes = (uint16_t)key.bytes};
    uint64_t number;
    ASSERT(key.bytes > 0);
    ASSERT(key.bytes <= RUN_PAGES_KEY_BYTES_MAX);
    ASSERT(value.bytes <= RUN_PAGES_VALUE_BYTES_MAX);
    if (node_bytes(key.bytes, value.bytes) > NODE_BYTES_MAX) {
        number = put_overflow(pages, value);
        value = (struct span){(const char *)&number, sizeof number};
        node.high = NODE_VALUE_ELSEWHERE;
    }
    uint32_t bytes = node_bytes(key.bytes, value.bytes);
    if (!has_room(level, bytes))
        hand_up(pages, 0);
    if (header_of(level)->lower == PAGE_HEADER_BYTES) {
        keep_first_key(level, key);
        pages->leaf = take_pages(pages, 1, &pages->leaf_number);
    }
    memcpy(add_node(level, bytes, node, key), value.data, value.bytes);
    pages->tree.entries++;
    return pages->status;
}

uint64_t run_pages_place(const struct run_pages *pages)
{
    const struct page_header *header = (const struct page_header *)pages->levels[0].page;
    ASSERT(header->lower > PAGE_HEADER_BYTES);
    return run_place(pages->leaf_number, (uint32_t)((header->lower - PAGE_HEADER_BYTES) / SLOT_BYTES - 1));
}

/* -- the file -- */

int run_pages_open(struct run_pages **pages_r, const char *path, bool is_read_soon)
{
    struct run_pages *pages = malloc(sizeof *pages);
    if (pages == NULL)
        return -ENOMEM;
    pages->chunk = aligned_alloc(FILE_BLOCK_BYTES, (size_t)(CHUNK_PAGES + 1) * RUN_PAGE_BYTES);
    pages->fd = pages->chunk == NULL ? -ENOMEM : file_open_direct(path, O_CREAT | O_TRUNC);
    if (pages->fd < 0) {
        int status = pages->fd;
        free(pages->chunk);
        free(pages);
        return status;
    }
    /* The meta pages are zeros until all else is written. */
    memset(pages->chunk, 0, META_PAGES * RUN_PAGE_BYTES);
    pages->chunk_count = META_PAGES;
    pages->chunk_begin = 0;
    pages->is_read_soon = is_read_soon;
    pages->status = 0;
    pages->tree = (struct tree){.depth = 1};
    pages->apart = pages->chunk + (size_t)CHUNK_PAGES * RUN_PAGE_BYTES;
    pages->leaf = pages->apart;
    clear_page(&pages->levels[0], PAGE_LEAF);
    *pages_r = pages;
    return 0;
}

static void finish_tree(struct run_pages *pages)
{
    uint32_t height = 0;
    for (; height + 1 < pages->tree.depth; height++)
        hand_up(pages, height);
    finish_page(pages, height, &pages->tree.root);
}

/* Meta page 0 says that the file is empty, meta page 1 is of transaction 1: LMDB uses the newer one. */
static void write_meta(struct run_pages *pages, uint64_t page_count)
{
    struct meta meta = {.magic = META_MAGIC,
                        .version = META_VERSION,
                        .map_bytes = page_count * RUN_PAGE_BYTES,
                        .free_pages = {.pad = RUN_PAGE_BYTES, .flags = TREE_INTEGER_KEYS, .root = NO_PAGE},
                        .rows = {.root = NO_PAGE},
                        .last_page = META_PAGES - 1};
    memset(pages->chunk, 0, META_PAGES * RUN_PAGE_BYTES);
    for (uint64_t i = 0; i < META_PAGES; i++) {
        uint8_t *out = pages->chunk + i * RUN_PAGE_BYTES;
        struct page_header header = {.number = i, .kind = PAGE_META};
        memcpy(out, &header, sizeof header);
        memcpy(out + sizeof header, &meta, sizeof meta);
        meta.rows = pages->tree;
        meta.last_page = page_count - 1;
        meta.transaction = 1;
    }
    pages->chunk_begin = 0;
    pages->chunk_count = META_PAGES;
    write_chunk(pages);
}

int run_pages_finish(struct run_pages *pages, uint64_t *file_bytes_r)
{
    ASSERT(pages->tree.entries > 0);
    finish_tree(pages);
    write_chunk(pages);
    uint64_t page_count = pages->chunk_begin;
    write_meta(pages, page_count);
    if (pages->status == 0 && !FAULT(RUN_NOT_SYNCED) && fdatasync(pages->fd) != 0)
        pages->status = -errno;
    *file_bytes_r = page_count * RUN_PAGE_BYTES;
    return pages->status;
}

void run_pages_close(struct run_pages **pages)
{
    if (*pages == NULL)
        return;
    close((*pages)->fd);
    free((*pages)->chunk);
    free(*pages);
    *pages = NULL;
}
