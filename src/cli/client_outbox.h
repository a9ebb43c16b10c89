/*
 * client_outbox.h: messages without an outcome (PROTOCOL.md, section 12), in the order in which they were written to
 * each recipient. At most one item of a recipient is in flight; one that was refused holds back those behind it. No
 * clock, no connection: the caller gives the time, in microseconds of any clock that does not step back. One thread.
 */
#ifndef CHITCHAT_CLI_CLIENT_OUTBOX_H
#define CHITCHAT_CLI_CLIENT_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/list.h"

struct client_outbox_peer;

struct client_item {
    /* Set by client_outbox_add, then only read. */
    uint64_t number;
    char key[LIMIT_KEY_BYTES + 1];
    char *text; /* owned */
    /* Owned by the outbox. */
    struct list link;
    struct client_outbox_peer *peer;
    bool is_in_flight;
    uint64_t request;  /* the id of its request, while it is in flight */
    uint64_t tried_us; /* when it was sent first; 0: never */
    uint32_t failures; /* `unavailable` in a row */
};

/* The items of one recipient. */
struct client_outbox_peer {
    struct list link;
    char user[LIMIT_USER_BYTES + 1];
    struct list items; /* at least one */
    uint64_t due_us;   /* nothing is sent to them earlier */
};

struct client_outbox {
    struct list peers; /* those with items */
    uint32_t count;    /* of all items */
};

void client_outbox_init(struct client_outbox *outbox);
void client_outbox_fini(struct client_outbox *outbox);

/* Appends an item; copies the texts. `to` and `key` are within their limits: asserted. */
struct client_item *client_outbox_add(struct client_outbox *outbox, uint64_t number, const char *key, const char *to,
                                      const char *text);
const char *client_item_to(const struct client_item *item);

/* The next item to send: the first one of a recipient that has none in flight and is due. NULL: there is none now. */
struct client_item *client_outbox_next(const struct client_outbox *outbox, uint64_t now_us);
/* When client_outbox_next has to be asked again because a time is over; UINT64_MAX: never. */
uint64_t client_outbox_due_us(const struct client_outbox *outbox);
/* The item is in flight now, as the request with this id. */
void client_outbox_sent(struct client_item *item, uint64_t request, uint64_t now_us);
/* The item is waiting again; nothing is sent to its recipient before `due_us`. */
void client_outbox_hold(struct client_item *item, uint64_t due_us);
/* The connection has ended: all items are waiting, and due. */
void client_outbox_disconnect(struct client_outbox *outbox);

/* The item in flight as this request, or the one with this key to `to`; NULL: there is none. */
struct client_item *client_outbox_find_request(const struct client_outbox *outbox, uint64_t request);
struct client_item *client_outbox_find_key(const struct client_outbox *outbox, const char *to, const char *key);
/* Frees the item. */
void client_outbox_remove(struct client_outbox *outbox, struct client_item *item);

#endif
