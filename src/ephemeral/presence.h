/*
 * presence.h: who is online: the side of the watched user. watch.h is the side of those who watch.
 *
 * A user is online while a connection of theirs is logged in. That is known on their shard alone. There a source stands
 * for each user whom somebody watches, with a subscription of each shard that has watchers of them, however many. When
 * the user comes or goes, the subscriptions whose shard has another state wait in a queue of their shard; at the end of
 * the turn they leave in letters, many in one. So a user who comes and goes within a turn causes nothing, and one with
 * very many watchers a letter for each shard.
 *
 * A shard begins and ends subscriptions by letters of its own (LETTER_WATCH), and the answer tells the state. The
 * mailbox keeps order: so a shard gets the end of a subscription behind all of its news. Letters between two
 * shards are bounded, PRESENCE_OUT_MAX of each kind; what has no letter waits in its queue.
 *
 * Sources and subscriptions count in core->budget.presence_bytes, together with what watch.h has. Without room a
 * subscription is refused. Shard's thread.
 */
#ifndef CHITCHAT_EPHEMERAL_PRESENCE_H
#define CHITCHAT_EPHEMERAL_PRESENCE_H

#include "base/list.h"
#include "base/pool.h"
#include "ephemeral/names.h"
#include "server/letter.h"

struct conn;
struct core;
struct watched;

/* Letters of a kind that one shard has out to another one, and what one carries at most. */
#define PRESENCE_OUT_MAX 8u
#define PRESENCE_LETTER_ITEMS 64u

/* What an item of a letter asks for or says. */
enum presence_word {
    PRESENCE_BEGIN, /* LETTER_WATCH: subscribe; the answer is one of the three behind PRESENCE_END */
    PRESENCE_END,   /* LETTER_WATCH: end the subscription */
    PRESENCE_ONLINE,
    PRESENCE_OFFLINE,
    PRESENCE_REFUSED, /* no memory */
};

struct presence_item {
    struct watched *watched; /* of the watching shard, which alone looks at it */
    struct span name;        /* of the user; borrowed from `watched` until the letter is back. LETTER_WATCH only */
    enum presence_word word;
};

struct presence_letter {
    struct letter letter;
    uint32_t count;
    struct presence_item items[PRESENCE_LETTER_ITEMS];
};

/* What a shard has for each other one, and for itself. */
struct presence_peer {
    struct list changed;    /* subscriptions of which that shard has another state than the present one */
    struct list unasked;    /* struct watched of users of that shard: to be subscribed, or no more (watch.h) */
    uint32_t presences_out; /* LETTER_PRESENCE and */
    uint32_t watches_out;   /* LETTER_WATCH that this shard has posted there */
};

/* A shard's state of this module. */
struct presence {
    struct names sources;
    struct pool subscriptions;
    struct pool letters;         /* of both kinds */
    struct presence_peer *peers; /* one for each shard */
    uint32_t changed_count;      /* of all lists `changed` */
    uint64_t bytes;              /* of sources, subscriptions, and what watch.h has */
};

/* 0 or -ENOMEM; presence_fini follows in either case. */
int presence_init(struct core *core);
/* Frees everything. */
void presence_fini(struct core *core);

/* Counts memory. False: the budget has no room for it. Takes it back. */
bool presence_take_bytes(struct core *core, uint64_t bytes);
void presence_give_bytes(struct core *core, uint64_t bytes);

/* `conn` is logged in now; or is about to leave its user, and is still in the user's list. */
void presence_on_login(struct core *core, const struct conn *conn);
void presence_on_leave(struct core *core, const struct conn *conn);

/* From on_letter (core_handlers.c): subscriptions of shard `from`; an own letter of news that `from` has returned. */
void presence_on_watch(struct core *core, uint32_t from, struct letter *letter);
void presence_on_returned(struct core *core, uint32_t from, struct letter *letter);

/* End of a turn, before that of watch.h: posts what has changed. */
void presence_step(struct core *core);
/* Whether something has changed and a letter for it is free. */
bool presence_is_behind(const struct core *core);
/* Whether letters of both kinds are out to shard `to`. */
bool presence_is_out(const struct core *core, uint32_t to);

#endif
