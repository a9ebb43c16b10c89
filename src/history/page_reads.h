/*
 * page_reads.h: pages of a timeline for programs, which have no connection on the shard of the user: one page as JSON,
 * or as lines for an export. Their entries, order and limits are those of history.h.
 *
 * A shard gathers at most PAGE_READS_ACTIVE_MAX such pages at once; more wait. A turn examines a limited number of
 * entries (turn.h): a page that had its share goes on in the next turn. A page is always given back, with what was read
 * or with an error. Shard's thread.
 */
#ifndef CHITCHAT_HISTORY_PAGE_READS_H
#define CHITCHAT_HISTORY_PAGE_READS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "history/history_page.h"

struct core;
struct range_read;

/* Each takes up to three times 256 KiB: what is read, copies, and the text. */
#define PAGE_READS_ACTIVE_MAX 24u

/* Embedded in a struct of its owner, who frees it. */
struct page_read {
    /* Set by the owner. */
    struct span user; /* of this shard; borrowed until on_done */
    struct request_history asked;
    bool as_lines; /* each message is a line; else the page is an object, as in PROTOCOL.md, without `op` and `id` */
    void (*on_done)(struct core *core, struct page_read *read);

    /* The result. */
    char *text; /* malloc'ed, the owner's; NULL: there is no message and it is as lines, or an error */
    size_t text_bytes;
    bool has_more;
    uint64_t next;        /* where to go on: `after`, or `before`, of the next page */
    uint64_t bound;       /* entries below it were visible when the page was begun; no later one is in the page */
    uint64_t cut;         /* entries up to it are gone or hidden, and not in the page */
    enum error_code code; /* ERROR_NONE, ERROR_BUSY or ERROR_UNAVAILABLE */
    const char *message;  /* of an error; static */
    uint32_t retry_after_ms;

    /* Owned by this module. */
    struct core *core;
    struct list link; /* in core->page_reads.waiting or .ready */
    bool has_rows;    /* the reader has returned the read, with `result` */
    int result;
    struct range_read *read;
    struct history_page page;
};

/* A shard's state of this module. */
struct page_reads {
    struct list waiting; /* pages that wait for a place */
    struct list ready;   /* pages that have a place, and had their share or found the budget used up */
    uint32_t active;     /* pages that have a place */
};

void page_reads_init(struct page_reads *reads);

/* Takes `read` until on_done, which may be called before this returns. */
void page_reads_take(struct core *core, struct page_read *read);
/* End of a turn: goes on with pages, within the turn's budget. */
void page_reads_continue(struct core *core);
/* Whether pages can go on in the next turn. */
bool page_reads_are_behind(const struct core *core);

#endif
