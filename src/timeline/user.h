/*
 * user.h: the users for whom one shard has something to do: who have connections, pending entries, or reads in flight,
 * or for whom a program has sent lately. Any other user has no struct; all their messages are in storage. Shard's
 * thread.
 *
 * user_take looks a name up in an open-addressing table keyed by SipHash, and makes a user if there is none. A user
 * counts references: user_take and user_ref take one, user_unref gives one back, and the last frees the user.
 */
#ifndef CHITCHAT_TIMELINE_USER_H
#define CHITCHAT_TIMELINE_USER_H

#include "base/hash.h"
#include "base/pool.h"
#include "base/rate.h"
#include "timeline/timeline.h"

struct mem_user;  /* storage/memtable/memtable.h: one user's entries in a generation */
struct fanout;    /* fanout.h: entries that are being given to the user's connections */
struct user_keys; /* idempotency.c: the keys of a user who sent with keys */

/* Small, since an idle user who is connected has one too. What is needed only at times is behind a pointer. */
struct user {
    struct timeline timeline;
    struct list conns;        /* struct conn.user_link; those of CONN_LOGIN, CONN_REPLAY and CONN_LIVE */
    struct fanout *fanout;    /* NULL: no entry is being given to the connections */
    struct user_keys *keys;   /* NULL: no keys are in memory */
    struct rate send_rate;    /* of the user's sends, over all connections */
    struct mem_user *entries; /* borrowed from generation number entries_in; void once another generation is filled */
    uint32_t entries_in;      /* generations.filling_number of that time; 0: none */
    uint32_t hash;            /* low half of the hash of the name */
    uint32_t refs;
    uint32_t conn_count; /* of conns */
    bool is_reading_last;
    bool is_kept;        /* by senders.h */
    bool has_sent_again; /* since it was kept, or kept for longer */
    uint8_t name_bytes;
    char name[]; /* name_bytes, no NUL */
};
_Static_assert(offsetof(struct user, name) <= 118, "with a name of ten bytes it fits 128");

/* Structs come from one pool for each size. Each size has room for names of 16 bytes more than the one before. */
#define USER_SIZE_STEP 16u
#define USER_SIZES (LIMIT_USER_BYTES / USER_SIZE_STEP + 1)

struct user_table {
    struct user **slots; /* open addressing, linear probing */
    uint32_t slot_count; /* a power of two */
    uint32_t count;
    struct hash_key seed;
    struct pool pools[USER_SIZES];
};

/* Borrows `user`. */
static inline struct span user_name(const struct user *user)
{
    return (struct span){user->name, user->name_bytes};
}

/* Whether the user is connected, or a program has sent as them lately. */
static inline bool user_is_present(const struct user *user)
{
    return user->conn_count > 0 || user->is_kept;
}

/* 0 or -ENOMEM; user_table_fini follows in either case. */
int user_table_init(struct user_table *table, struct hash_key seed);
/* Frees the table and all structs, whatever is still referenced. A table of zeros is left as it is. */
void user_table_fini(struct user_table *table);

/* Takes a reference to the user with `name` (copied; 1 to LIMIT_USER_BYTES: asserted), made if there is none. NULL: no
 * memory. */
struct user *user_take(struct user_table *table, struct span name);
/* The user with `name`, if there is a struct; else NULL. Borrowed. */
struct user *user_find(const struct user_table *table, struct span name);
/* Takes another reference, beside one that the caller knows of. */
static inline struct user *user_ref(struct user *user)
{
    ASSERT(user->refs > 0);
    user->refs++;
    return user;
}
/* Gives a reference back. The last one frees the user, who has no connection, entry, fan-out or keys then: asserted. */
void user_unref(struct user_table *table, struct user *user);

#endif
