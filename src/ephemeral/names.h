/*
 * names.h: a hash table of structs that have a user name: chained, keyed by SipHash. Such a struct has a `struct
 * name` in it, and owns the bytes of the name. One thread.
 */
#ifndef CHITCHAT_EPHEMERAL_NAMES_H
#define CHITCHAT_EPHEMERAL_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/span.h"

/* What a name costs beside its struct: slots, and what malloc adds. */
#define NAMES_OVERHEAD_BYTES 32u

struct name {
    struct name *next; /* in its slot */
    uint64_t hash;
    struct span text; /* does not change while the struct is in a table */
};

struct names {
    struct name **slots; /* NULL: none yet */
    uint32_t slot_count; /* a power of two */
    uint32_t count;
    struct hash_key seed;
};

/* An empty table, which takes memory with the first name. */
void names_init(struct names *names, struct hash_key seed);
/* Frees the table, not the structs in it. */
void names_fini(struct names *names);
/* The struct with this name; NULL: none. Borrowed. */
struct name *names_find(const struct names *names, struct span text);
/* Puts `name`, whose `text` is set and in no other struct of the table, into it. False: no memory. */
bool names_add(struct names *names, struct name *name);
/* `name` is in the table (asserted). */
void names_remove(struct names *names, struct name *name);
/* Any struct of the table, NULL: it is empty. For a table that is taken down. */
struct name *names_any(const struct names *names);

#endif
