/*
 * store_page.h: how store_read.c, store_with.c and store_peers.c fill a page (store.h says what a page is), which
 * store_page.c keeps. No other file includes it. One thread at a time.
 */
#ifndef CHITCHAT_STORAGE_RUNS_STORE_PAGE_H
#define CHITCHAT_STORAGE_RUNS_STORE_PAGE_H

#include "storage/runs/store.h"

struct store_row {
    uint64_t ts;
    size_t offset; /* in the page's `bytes`, which are moved when they grow */
    uint32_t bytes;
};

struct store_page {
    /* In the order of store_page_add. */
    struct store_row *rows;
    uint32_t count;
    uint32_t row_room;

    /* Set by store_page_seal: the rows, ascending by ts. */
    struct message *messages;
    uint32_t message_room;
    bool is_sealed;

    char *bytes;
    size_t byte_count;
    size_t byte_room;
    size_t user_bytes;
    char user[LIMIT_USER_BYTES];
};

/* Makes the page empty, for rows of `user` (copied). */
void store_page_reset(struct store_page *page, struct span user);
/* Adds a copy of a row. The page is not sealed (asserted). 0 or -ENOMEM. */
int store_page_add(struct store_page *page, uint64_t ts, struct span value);
/* Makes messages of the rows, which were added in ascending order of ts or, with `is_descending`, in descending order.
 * 0; or -ENOMEM or -EBADMSG (a row does not decode): then the page has no messages until it is reset. */
int store_page_seal(struct store_page *page, bool is_descending);

#endif
