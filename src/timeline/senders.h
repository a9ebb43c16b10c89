/*
 * senders.h: users as whom programs send over HTTP. Such a user need not be connected, so nothing else would keep what
 * belongs to them from one request to the next: the window of their keys, which would be read anew for each keyed send,
 * and the rate of their sends. Therefore they are kept for SENDERS_KEPT_S to twice that after the last send, with a
 * reference, SENDERS_MAX of a shard at a time. Shard's thread.
 */
#ifndef CHITCHAT_TIMELINE_SENDERS_H
#define CHITCHAT_TIMELINE_SENDERS_H

#include "base/list.h"
#include "base/pool.h"

struct core;
struct user;

#define SENDERS_KEPT_S 5u
/* A struct sender and a struct user of each: 5 MiB with the longest names. Past it the one kept first goes. */
#define SENDERS_MAX 16384u

/* A shard's state of this module. */
struct senders {
    struct pool pool;
    struct list kept; /* the one whose time is up first, first */
};

void senders_init(struct senders *senders);
void senders_fini(struct senders *senders);

/* A program sends as `user`: keeps them, or keeps them for longer. Without memory they are not kept. */
void senders_keep(struct core *core, struct user *user);
/* Once a second: lets those go who have not sent for their time, a bounded number. */
void senders_tick(struct core *core);
/* The shard ends: lets all go. */
void senders_release_all(struct core *core);

#endif
