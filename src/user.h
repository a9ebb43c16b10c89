/*
 * user.h: the users that one shard has something in hand for: connections, entries on their way, reads under way.
 * A user with none of these has no struct; all that was ever said of him is in storage.
 *
 * user_find and user_take look a name up in an open-addressing table keyed by SipHash. A struct stands as long as
 * somebody holds it: user_take and user_hold count up, user_drop counts down and frees at zero. Shard's thread.
 */
#ifndef CHITCHAT_USER_H
#define CHITCHAT_USER_H

#include "base/hash.h"
#include "base/pool.h"
#include "rate.h"
#include "timeline.h"

struct user_keys; /* gate.h: the keys of a user who sent with keys */

struct user {
    uint64_t hash;
    uint32_t holds;
    uint32_t conn_count;
    struct timeline timeline;
    struct list conns;      /* struct conn.user_link; those of CONN_LOGIN, CONN_REPLAY and CONN_LIVE */
    struct list fanout;     /* struct entry.link: left the timeline, not yet given to all connections */
    struct list *fanout_at; /* the connection to go on from; NULL: the first entry has not begun */
    struct list turn_link;  /* in core->fanout_users while the budget of a turn cut it off */
    bool is_reading_last;
    struct rate send_rate;
    struct user_keys *keys;
    uint8_t name_bytes;
    char name[];
};

struct user_table {
    struct user **slots; /* open addressing, linear probing; a power of two */
    uint32_t slot_count;
    uint32_t count;
    struct hash_key seed;
    struct pool small; /* names of at most USER_SMALL_NAME bytes */
    struct pool large;
};

#define USER_SMALL_NAME 24u

static inline struct span user_name(const struct user *user)
{
    return (struct span){user->name, user->name_bytes};
}

/* 0 or -ENOMEM. */
int user_table_init(struct user_table *table, struct hash_key seed);
void user_table_fini(struct user_table *table);

/* NULL if nothing is in hand for the name. Takes no hold. */
struct user *user_find(struct user_table *table, struct span name);
/* Finds or makes; holds. NULL: no memory. */
struct user *user_take(struct user_table *table, struct span name);
static inline struct user *user_hold(struct user *user)
{
    user->holds++;
    return user;
}
/* Gives a hold back; the last one frees it: no connection, no entry may be left. */
void user_drop(struct user_table *table, struct user *user);

#endif
