/*
 * conversations.h: the conversations that a page of them has come across (store_peers.c): by name, with the newest ts
 * of each; then those of the page, with what is known of them. Pure, but for its memory; one thread.
 */
#ifndef CHITCHAT_STORAGE_RUNS_CONVERSATIONS_H
#define CHITCHAT_STORAGE_RUNS_CONVERSATIONS_H

#include <stdbool.h>

#include "base/hash.h"
#include "base/span.h"
#include "storage/record.h"

struct conversation {
    uint64_t hash;
    uint64_t newest;
    uint64_t place;   /* of the row at `newest` (run_place.h); 0: not known */
    uint32_t name_at; /* in `names` */
    uint8_t name_bytes;
    uint8_t source;    /* what `newest` came from: 0 memory, else the number of a run */
    bool is_in_memory; /* memory has entries of it */
};
#define CONVERSATION_SOURCE_MAX UINT8_MAX

/* A conversation of the page. */
struct chosen {
    uint32_t conversation; /* its index */
    struct seen_marks marks;
    uint64_t *ts; /* of received messages; owned */
    uint32_t count;
    uint32_t room;
    uint64_t above; /* only ts above it are wanted */
    uint64_t hash;  /* filter_hash of the name */
    bool is_absent; /* from the block that is read */
};

struct conversations {
    struct hash_key key; /* drawn when the first is noted */
    struct conversation *list;
    struct seen_marks *marks; /* of each of the list; NULL: conversations_mark was not called */
    uint32_t count;
    uint32_t room;
    uint64_t *table; /* by the hash: its upper half, and the index + 1 below; a power of two */
    uint32_t table_room;
    char *names;
    size_t names_used;
    size_t names_room;

    struct chosen *chosen;
    uint32_t chosen_count;
};

/* None: all zero. */
void conversations_fini(struct conversations *all);
struct span conversations_name(const struct conversations *all, uint32_t at);
/* There is an entry with `name` (copied) at `ts`, in `source`. *noted_r: if that is now the newest one of its
 * conversation, that conversation, whose place the caller may set; borrowed until the next call; else NULL. 0; -ENOMEM;
 * or -EIO, the system gives no random numbers. */
int conversations_note(struct conversations *all, struct span name, uint64_t ts, uint8_t source,
                       struct conversation **noted_r);
/* There are marks of the conversation with `name` (copied), of which it may have no entry yet. 0; or as above. */
int conversations_mark(struct conversations *all, struct span name, struct seen_marks marks);
/* How many have their newest entry from `from` on and below `before`. */
uint32_t conversations_within(const struct conversations *all, uint64_t from, uint64_t before);
/* Chooses the `count_max` newest of those with newest < before, and sorts them by name. They have the marks of
 * conversations_take_marks. 0 or -ENOMEM. */
int conversations_choose(struct conversations *all, uint64_t before, uint32_t count_max);
/* Gives the chosen ones the marks of conversations_mark. */
void conversations_take_marks(struct conversations *all);
/* None is chosen any more. */
void conversations_unchoose(struct conversations *all);
/* The memory of all. */
size_t conversations_bytes(const struct conversations *all);
/* Sorts the chosen ones, newest first. */
void conversations_sort_newest(struct conversations *all);

/* Adds a ts above `above`; of more than twice `max` only the newest stay. 0 or -ENOMEM. */
int chosen_add(struct chosen *chosen, uint64_t ts, uint32_t max);
/* Sorts the ts descending, each once, at most `max`: the newest. */
void chosen_sort(struct chosen *chosen, uint32_t max);

#endif
