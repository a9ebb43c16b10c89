/*
 * run_page_format.h: a page of LMDB's data format 1, as run_pages.c writes it and run_place.c reads it: MDB_page and
 * MDB_node of its mdb.c. No other file includes it.
 */
#ifndef CHITCHAT_STORAGE_RUNS_RUN_PAGE_FORMAT_H
#define CHITCHAT_STORAGE_RUNS_RUN_PAGE_FORMAT_H

#include <endian.h>

#include "storage/runs/run_pages.h"

#define PAGE_HEADER_BYTES 16u
#define NODE_HEADER_BYTES 8u
#define OVERFLOW_PAGES(bytes) ((PAGE_HEADER_BYTES + (bytes) + RUN_PAGE_BYTES - 1) / RUN_PAGE_BYTES)

enum page_kind { PAGE_BRANCH = 0x01, PAGE_LEAF = 0x02, PAGE_OVERFLOW = 0x04, PAGE_META = 0x08 };
enum node_flag { NODE_VALUE_ELSEWHERE = 0x01 };

struct page_header {
    uint64_t number;
    uint16_t pad;
    uint16_t kind;
    union {
        struct {
            uint16_t lower; /* end of the slots, which have the places of the nodes in key order */
            uint16_t upper; /* begin of the nodes, which fill the page from its end */
        };
        uint32_t overflow_pages;
    };
};
_Static_assert(sizeof(struct page_header) == PAGE_HEADER_BYTES, "as LMDB has it");

/* Then the key; in a leaf the value, or the number of its first overflow page. */
struct node_header {
    /* In a branch the number of the child's page; in a leaf 32 bits of value size, then flags. */
#if __BYTE_ORDER == __LITTLE_ENDIAN
    uint16_t low, middle;
#else
    uint16_t middle, low;
#endif
    uint16_t high;
    uint16_t key_bytes;
};
_Static_assert(sizeof(struct node_header) == NODE_HEADER_BYTES, "as LMDB has it");

#endif
