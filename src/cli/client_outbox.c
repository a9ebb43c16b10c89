#include "cli/client_outbox.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static struct client_outbox_peer *peer_of(const struct list *link)
{
    return container_of(link, struct client_outbox_peer, link);
}

static struct client_item *item_of(const struct list *link)
{
    return container_of(link, struct client_item, link);
}

static struct client_item *first_of(const struct client_outbox_peer *peer)
{
    ASSERT(!list_is_empty(&peer->items));
    return item_of(peer->items.next);
}

void client_outbox_init(struct client_outbox *outbox)
{
    list_init(&outbox->peers);
    outbox->count = 0;
}

void client_outbox_fini(struct client_outbox *outbox)
{
    while (!list_is_empty(&outbox->peers))
        client_outbox_remove(outbox, first_of(peer_of(outbox->peers.next)));
    ASSERT(outbox->count == 0);
}

static struct client_outbox_peer *peer_find(const struct client_outbox *outbox, const char *user)
{
    for (const struct list *at = outbox->peers.next; at != &outbox->peers; at = at->next)
        if (strcmp(peer_of(at)->user, user) == 0)
            return peer_of(at);
    return NULL;
}

static struct client_outbox_peer *peer_take(struct client_outbox *outbox, const char *user)
{
    struct client_outbox_peer *peer = peer_find(outbox, user);
    if (peer != NULL)
        return peer;
    peer = calloc(1, sizeof *peer);
    ASSERT(peer != NULL);
    strcpy(peer->user, user);
    list_init(&peer->link);
    list_init(&peer->items);
    list_append(&outbox->peers, &peer->link);
    return peer;
}

struct client_item *client_outbox_add(struct client_outbox *outbox, uint64_t number, const char *key, const char *to,
                                      const char *text)
{
    struct client_item *item = calloc(1, sizeof *item);
    ASSERT(item != NULL);
    ASSERT(strlen(key) > 0 && strlen(key) <= LIMIT_KEY_BYTES);
    ASSERT(strlen(to) > 0 && strlen(to) <= LIMIT_USER_BYTES);
    item->number = number;
    strcpy(item->key, key);
    item->text = strdup(text);
    ASSERT(item->text != NULL);
    list_init(&item->link);
    item->peer = peer_take(outbox, to);
    list_append(&item->peer->items, &item->link);
    outbox->count++;
    return item;
}

const char *client_item_to(const struct client_item *item)
{
    return item->peer->user;
}

struct client_item *client_outbox_next(const struct client_outbox *outbox, uint64_t now_us)
{
    for (const struct list *at = outbox->peers.next; at != &outbox->peers; at = at->next)
        if (!first_of(peer_of(at))->is_in_flight && peer_of(at)->due_us <= now_us)
            return first_of(peer_of(at));
    return NULL;
}

uint64_t client_outbox_due_us(const struct client_outbox *outbox)
{
    uint64_t due_us = UINT64_MAX;
    for (const struct list *at = outbox->peers.next; at != &outbox->peers; at = at->next)
        if (!first_of(peer_of(at))->is_in_flight && peer_of(at)->due_us < due_us)
            due_us = peer_of(at)->due_us;
    return due_us;
}

void client_outbox_sent(struct client_item *item, uint64_t request, uint64_t now_us)
{
    ASSERT(!item->is_in_flight);
    ASSERT(first_of(item->peer) == item);
    item->is_in_flight = true;
    item->request = request;
    if (item->tried_us == 0)
        item->tried_us = now_us;
}

void client_outbox_hold(struct client_item *item, uint64_t due_us)
{
    ASSERT(item->is_in_flight);
    ASSERT(first_of(item->peer) == item);
    item->is_in_flight = false;
    item->peer->due_us = due_us;
}

void client_outbox_disconnect(struct client_outbox *outbox)
{
    for (const struct list *at = outbox->peers.next; at != &outbox->peers; at = at->next) {
        struct client_item *item = first_of(peer_of(at));
        item->is_in_flight = false;
        item->failures = 0;
        peer_of(at)->due_us = 0;
    }
}

struct client_item *client_outbox_find_request(const struct client_outbox *outbox, uint64_t request)
{
    for (const struct list *at = outbox->peers.next; at != &outbox->peers; at = at->next) {
        struct client_item *item = first_of(peer_of(at));
        if (item->is_in_flight && item->request == request)
            return item;
    }
    return NULL;
}

struct client_item *client_outbox_find_key(const struct client_outbox *outbox, const char *to, const char *key)
{
    const struct client_outbox_peer *peer = peer_find(outbox, to);
    for (const struct list *at = peer == NULL ? NULL : peer->items.next; at != NULL && at != &peer->items;
         at = at->next)
        if (strcmp(item_of(at)->key, key) == 0)
            return item_of(at);
    return NULL;
}

void client_outbox_remove(struct client_outbox *outbox, struct client_item *item)
{
    struct client_outbox_peer *peer = item->peer;
    ASSERT(outbox->count > 0);
    outbox->count--;
    list_remove(&item->link);
    free(item->text);
    free(item);
    if (!list_is_empty(&peer->items))
        return;
    list_remove(&peer->link);
    free(peer);
}
