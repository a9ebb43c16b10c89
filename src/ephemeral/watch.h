/*
 * watch.h: who is online: the side of those who watch. presence.h is the side of the watched user.
 *
 * A connection asks with a list of users. Its watch has an item for each of them, and a struct watched stands for each
 * user whom connections of this shard watch, with all items that are of that user. It has a subscription on the user's
 * shard (presence.h) from the first item on until the last one is gone: one, however many watch. A watch is answered
 * when the state of all its users is known, in the order of asking; from then on it is the connection's watch, and the
 * one before it is freed.
 *
 * When a watched user comes or goes, the connections that have another state get a push, within the turn's
 * budget of pushes: those that are not reached wait for the next turn, and a user who changes again meanwhile begins at
 * the front. A connection without room for a push is behind: when it has room, it gets what has changed since. So
 * states may be left out, and the last one always comes.
 *
 * With --presence peers a watch first asks the store with whom the user has a conversation (conversations.h). All
 * others are not watched: nothing that they do can be seen.
 *
 * An item is 40 bytes; it, its watch and each struct watched count in core->budget.presence_bytes. Shard's thread.
 */
#ifndef CHITCHAT_EPHEMERAL_WATCH_H
#define CHITCHAT_EPHEMERAL_WATCH_H

#include "base/list.h"
#include "ephemeral/presence.h"

struct conn;
struct core;
struct request;
struct watch;

/* A shard's state of this module. */
struct watches {
    struct names watched;
    struct list ready;      /* struct watch: it may be answered */
    struct list changed;    /* struct watched: connections may have another state than the present one */
    struct list behind;     /* struct watch: its connection has room again */
    uint32_t unasked_count; /* of all lists presence_peer.unasked */
    uint64_t stamp;         /* of the newest watch */
    uint32_t count;         /* of watches */
};

void watches_init(struct core *core);
/* Frees everything but the watches of connections: there is none any more. */
void watches_fini(struct core *core);

/* A request of `conn`: answers it, now or later. Borrows it. */
void watch_ask(struct core *core, struct conn *conn, const struct request *request);
/* The connection leaves its user: frees its watches. */
void watch_drop_all(struct core *core, struct conn *conn);
/* Output of the connection was sent: if its watch is behind, it goes on at the end of the turn. */
void watch_on_room(struct core *core, struct conn *conn);

/* From on_letter (core_handlers.c): an own letter with subscriptions that shard `from` has answered; news of it. */
void watch_on_returned(struct core *core, uint32_t from, struct letter *letter);
void watch_on_presence(struct core *core, uint32_t from, struct letter *letter);

/* End of a turn: answers, asks, and pushes within the turn's budget. */
void watch_step(struct core *core);
/* Whether another turn is wanted. */
bool watch_is_behind(const struct core *core);

#endif
