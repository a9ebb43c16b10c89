/*
 * peers_page.h: one page of a user's conversations, the one with the newest message first, with how many messages are
 * unseen. history.h says when it goes on. Shard's thread.
 *
 * The page is of one moment: it shows the entries below the bound (reads_bound) of its beginning. Memory is asked for
 * peers first, then the reader goes over the runs, then the unseen messages of both are counted. If a generation went
 * from memory to runs meanwhile, or the timeline was cut, the page begins again. The next page of a walk goes on with
 * what this one has come across (peers_walks.h), if the user has got no entry since, and the runs are the same.
 */
#ifndef CHITCHAT_HISTORY_PEERS_PAGE_H
#define CHITCHAT_HISTORY_PEERS_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "history/peers_walks.h"
#include "protocol/reply.h"
#include "protocol/request.h"

struct core;
struct user;
struct peers_page;

/* A shard's state of this module. */
struct peers_pages {
    struct list open; /* struct peers_page.link: pages that have runs, or may have some */
    struct peers_walks walks;
};

void peers_pages_init(struct peers_pages *pages);
/* Before the store is closed: pages that are still open give up their runs, and are of no use any more. No job runs. */
void peers_pages_fini(struct peers_pages *pages);
/* Closes walks that nobody has gone on with. */
void peers_pages_tick(struct core *core);
/* Memory for pages is short: closes all walks. */
void peers_pages_spare(struct core *core);

enum peers_step {
    PEERS_NEXT_TURN,  /* the turn has no time left: gather again in the next one */
    PEERS_NEEDS_RUNS, /* the caller calls peers_page_post */
    PEERS_COMPLETE,   /* the caller calls peers_page_write */
    PEERS_NO_MEMORY,
};

/* Copies `asked`. Refs `user`. The caller owns the page. NULL: no memory. */
struct peers_page *peers_page_open(struct core *core, struct user *user, const struct request_peers *asked);
/* Goes on as far as the turn's budget of reads allows. Not while the reader has the page. */
enum peers_step peers_page_gather(struct peers_page *page);
/* Calls `on_done` with `context` and 0 or -errno when the reader has gone over the runs, unless the page is closed
 * before. After 0 the caller gathers again. */
void peers_page_post(struct peers_page *page, void (*on_done)(void *context, int result), void *context);
/* Adds the conversations to `reply`, as many as fit. *more_r: there are more; *next_r is then the `before` of the next
 * page, for which the walk is kept: nothing but a close may follow. False: memory has changed since peers_page_gather,
 * and the page is of no use. */
bool peers_page_write(struct peers_page *page, struct reply_page *reply, bool *more_r, uint64_t *next_r);
/* At any time. If the reader has the page, it is freed when the reader returns it. Nulls *page; NULL is fine. */
void peers_page_close(struct peers_page **page);

#endif
