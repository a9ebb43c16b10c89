/*
 * store_page.h: how store_read.c fills a page; for nobody else (store.h says what a page is).
 */
#ifndef CHITCHAT_STORAGE_STORE_PAGE_H
#define CHITCHAT_STORAGE_STORE_PAGE_H

#include "storage/store.h"

struct store_row {
    uint64_t ts;
    size_t offset; /* in the page's bytes, which move as they grow */
    uint32_t bytes;
};

struct store_page {
    struct store_row *rows;
    uint32_t count;
    uint32_t row_room;
    char *bytes;
    size_t byte_count;
    size_t byte_room;
    size_t user_bytes;
    char user[LIMIT_USER_BYTES];
};

void store_page_reset(struct store_page *page, struct span user);
/* Copies a row. 0, -ENOMEM or -EBADMSG (it cannot be read). */
int store_page_add(struct store_page *page, uint64_t ts, struct span value);
void store_page_reverse(struct store_page *page);

#endif
