/*
 * history_page.h: the messages of one page of history: which entries of a range it takes, in which order, and until
 * when it has room. Pure; the shard's thread.
 *
 * A page is examined read by read (history_page_examine), in the order in which its range is looked at. Its messages
 * borrow from the read; before the read is closed they are copied (history_page_copy_kept). All messages of a read are
 * for the page: a page `with` a user has reads that give only those.
 */
#ifndef CHITCHAT_HISTORY_HISTORY_PAGE_H
#define CHITCHAT_HISTORY_HISTORY_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/message.h"
#include "protocol/request.h"
#include "storage/runs/store.h"

/* Of one read. */
#define HISTORY_PAGE_READ_BYTES (256u << 10)
/* What a request is answered, with `busy`, when there is no memory for its page. */
#define HISTORY_PAGE_NO_MEMORY "no memory for the page: wait and send the request again"
#define HISTORY_PAGE_RETRY_MS 1000u

struct history_page {
    /* What was asked for. */
    bool oldest_first;
    uint8_t with_bytes; /* 0: all entries */
    char with[LIMIT_USER_BYTES];
    uint32_t limit;

    uint64_t after; /* the entries left to examine lie between these, exclusive */
    uint64_t before;
    uint32_t examined;

    /* A page that needs several reads: copies of the messages of the earlier reads, and their bytes. */
    struct message *copies;
    char *bytes;
    size_t bytes_used;

    /* The messages of the page, in the order in which they were examined: copies, then messages of the read. */
    size_t page_used; /* bytes of the messages in the page: an upper bound, exact if is_exact */
    bool is_exact;
    uint32_t copied;
    uint32_t count;
    const struct message **kept; /* capacity `limit`, from history_page_reserve on; owned */
};

/* LOOK_ON: the page needs more entries. Else it is complete; LOOK_MORE: the timeline may have more. */
enum history_look { LOOK_ON, LOOK_END, LOOK_MORE };

/* An empty page. Copies what it needs of `asked`, whose limit is above 0. */
void history_page_init(struct history_page *page, const struct request_history *asked);
/* Frees what it owns. */
void history_page_fini(struct history_page *page);
/* The range of the page's next read: at most `bytes_max`, and only what lies below `mark` (reads_bound). */
struct store_range history_page_range(const struct history_page *page, uint64_t mark, uint32_t bytes_max);
/* What the reads are to give only: messages with this user, borrowed from the page; without bytes: all. */
struct span history_page_with(const struct history_page *page);
/* Memory for `kept`, before the first history_page_examine. False: there is none. */
bool history_page_reserve(struct history_page *page);
/* Examines the `count` messages of a read, ascending in ts; `more`: the range has more behind them. The page borrows
 * those that it takes. */
enum history_look history_page_examine(struct history_page *page, const struct message *messages, uint32_t count,
                                       bool more);
/* All entries up to the one at `ts` were examined. */
void history_page_move_bound(struct history_page *page, uint64_t ts);
/* Copies the messages of the read, which will be closed before the page is complete. False: no memory. */
bool history_page_copy_kept(struct history_page *page);

#endif
