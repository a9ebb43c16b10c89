/*
 * seen_private.h: one request `seen`, for seen.c and seen_push.c.
 */
#ifndef CHITCHAT_TIMELINE_SEEN_PRIVATE_H
#define CHITCHAT_TIMELINE_SEEN_PRIVATE_H

#include "connection/conn.h"
#include "history/reads.h"
#include "server/letter.h"
#include "timeline/seen.h"
#include "timeline/seen_ahead.h"

/* The state of a request. set_state is the only writer. */
enum seen_state {
    SEEN_LOOKING, /* into memory; maybe in core->seens.looking */
    SEEN_READING, /* the reader has it */
    SEEN_WAITING, /* in core->seens.waiting */
    SEEN_WRITTEN, /* in core->seens.written */
    SEEN_DURABLE, /* its mark is durable: it is being pushed */
};

/* The push to the connections of one user. */
struct seen_push {
    struct list link;  /* in core->seens.pushes */
    struct list *at;   /* the connection at which it goes on */
    struct user *user; /* a reference of the shard that pushes */
    bool is_own;       /* `seen`, to the user who has seen; else `seen_by`, to the peer */
};

struct seen {
    struct letter letter; /* its kind is changed by the peer's shard */
    uint16_t from;        /* shards: of the user, and of the peer */
    uint16_t to;

    /* Set before the letter is posted, then only read. */
    uint64_t ts;      /* the mark, if something is new: what was asked for, the newest visible entry at most */
    uint64_t message; /* the newest message from the peer up to it: its ts; 0: none is known yet */
    uint64_t peer_ts; /* the same in the timeline of the peer */
    uint8_t mid[LIMIT_MID_BYTES];
    uint64_t pair_hash; /* reads_pair_hash of user and peer; then of peer and user */
    uint64_t peer_pair_hash;
    uint8_t user_bytes;
    uint8_t peer_bytes;
    char names[2 * LIMIT_USER_BYTES]; /* the user's, then the peer's */

    /* Written by the peer's shard, until the letter has returned. */
    struct seen_push peer_push;
    bool is_peer_full; /* it takes no sends */

    /* Owned by the user's shard. */
    uint8_t state;  /* enum seen_state */
    bool is_joined; /* SEEN_WRITTEN: not in the WAL, it waits for one that is */
    bool is_only_outstanding;
    bool is_pushing;
    bool is_returned;
    struct user *user; /* a reference */
    struct conn_ref conn;
    struct request_id id;
    uint64_t asked_ts;
    struct list link; /* in a list of struct seens */
    struct list bucket_link;
    uint64_t sequence; /* the WAL batch */
    struct seen_push own_push;

    /* While it looks. */
    uint64_t mark;       /* the highest that was found */
    uint64_t after;      /* the message is between these, exclusive */
    uint64_t before;     /*   */
    uint64_t bound;      /* what the user had then is below it: reads_bound */
    uint32_t generation; /* generations.filling_number when it looked into memory, */
    bool had_frozen;     /* and whether there was a frozen generation */
    struct reader_job job;
    struct seen_place *place;    /* taken, for the job to fill; or NULL */
    bool reads_ahead;            /* into it */
    uint64_t asked_before;       /* `before` when the job was posted */
    struct seen_marks run_marks; /* of the job */
    bool has_more;
    int result;
};

static inline struct span seen_user(const struct seen *seen)
{
    return (struct span){seen->names, seen->user_bytes};
}

static inline struct span seen_peer(const struct seen *seen)
{
    return (struct span){seen->names + seen->user_bytes, seen->peer_bytes};
}

/* -- seen_push.c -- */
/* Begins a push of a durable request, behind those that were begun before. Borrows `push` and `user` until it ends. */
void seen_push_begin(struct core *core, struct seen_push *push, struct user *user, bool is_own);
/* Goes on with the pushes, within the turn's budget. */
void seen_pushes_continue(struct core *core);

/* -- seen.c -- */
/* Frees a durable request when its letter has returned and its push to the user has ended. */
void seen_end_if_done(struct core *core, struct seen *seen);

#endif
