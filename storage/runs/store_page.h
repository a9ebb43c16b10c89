/*
 * store_page.h: how store_read.c fills a page; for nobody else (store.h says what a page is).
 */
#ifndef CHITCHAT_STORAGE_RUNS_STORE_PAGE_H
#define CHITCHAT_STORAGE_RUNS_STORE_PAGE_H

#include "storage/runs/store.h"

struct store_row {
    uint64_t ts;
    size_t offset; /* in the page's bytes, which move as they grow */
    uint32_t bytes;
};

struct store_page {
    /* As they were added. */
    struct store_row *rows;
    uint32_t count;
    uint32_t row_room;

    /* Since the page was sealed: the rows, ascending in ts. */
    struct message *messages;
    uint32_t message_room;
    bool is_sealed;

    char *bytes;
    size_t byte_count;
    size_t byte_room;
    size_t user_bytes;
    char user[LIMIT_USER_BYTES];
};

void store_page_reset(struct store_page *page, struct span user);
/* Copies a row. 0 or -ENOMEM. */
int store_page_add(struct store_page *page, uint64_t ts, struct span value);
/* All rows are in, ascending in ts or, if so said, descending: they become messages. 0, -ENOMEM or -EBADMSG (one cannot
 * be read; the page is to be reset then). */
int store_page_seal(struct store_page *page, bool is_descending);

#endif
