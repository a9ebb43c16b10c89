/*
 * user.h: the users that one shard has something in hand for: connections, entries on their way, reads under way.
 * A user with none of these has no struct; all that was ever said of him is in storage.
 *
 * user_find and user_take look a name up in an open-addressing table keyed by SipHash. A struct stands as long as
 * somebody holds it: user_take and user_ref count up, user_unref counts down and frees at zero. Shard's thread.
 */
#ifndef CHITCHAT_TIMELINE_USER_H
#define CHITCHAT_TIMELINE_USER_H

#include "base/hash.h"
#include "base/pool.h"
#include "base/rate.h"
#include "timeline/timeline.h"

struct mem_user;  /* storage/memtable.h: one user's entries in a generation */
struct fanout;    /* fanout.h: entries that are being given to the connections */
struct user_keys; /* gate.h: the keys of a user who sent with keys */

/* Small, since an idle user has one too: what is needed only while something is under way stands apart. */
struct user {
    struct timeline timeline;
    struct list conns;     /* struct conn.user_link; those of CONN_LOGIN, CONN_REPLAY and CONN_LIVE */
    struct fanout *fanout; /* NULL: nothing is being given out */
    struct user_keys *keys;
    struct rate send_rate;
    struct mem_user *entries; /* in the generation that is being filled, if that is number entries_in */
    uint32_t entries_in;
    uint32_t hash; /* of the name, its low half */
    uint32_t refs;
    uint32_t conn_count;
    bool is_reading_last;
    uint8_t name_bytes;
    char name[]; /* exactly as long as it is */
};
_Static_assert(offsetof(struct user, name) <= 118, "with a name of ten bytes it fits 128");

/* Users come from pools by size: each holds names of 16 bytes more than the one before. */
#define USER_SIZE_STEP 16u
#define USER_SIZES (LIMIT_USER_BYTES / USER_SIZE_STEP + 1)

struct user_table {
    struct user **slots; /* open addressing, linear probing; a power of two */
    uint32_t slot_count;
    uint32_t count;
    struct hash_key seed;
    struct pool pools[USER_SIZES];
};

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
static inline struct user *user_ref(struct user *user)
{
    user->refs++;
    return user;
}
/* Gives a hold back; the last one frees it: no connection, no entry may be left. */
void user_unref(struct user_table *table, struct user *user);

#endif
