/*
 * post.h: a send of a program (posts.h) and its outcome. Posts stand in groups; when the last post of a group has its
 * outcome, the group goes back to its owner. Shard's thread.
 */
#ifndef CHITCHAT_TIMELINE_POST_H
#define CHITCHAT_TIMELINE_POST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/list.h"
#include "protocol/request.h"

struct core;
struct post_group;

struct post {
    /* Set by the owner of the group. */
    struct post *next; /* of the group, in order; NULL: the last */
    struct span from;  /* a user of this shard */
    struct request_send send;

    /* Set by post.c and posts.c. */
    struct post_group *group;
    bool is_answered;
    /* The outcome. */
    bool is_dup;
    enum error_code code;    /* ERROR_NONE: it is stored */
    const char *message;     /* of an error; static */
    uint32_t retry_after_ms; /* of an error; 0: none */
    uint64_t ts;             /* in the sender's timeline */
    uint8_t mid[LIMIT_MID_BYTES];
};

struct post_group {
    /* Set by the owner. */
    struct post *first; /* in order; at least one */
    uint32_t count;
    struct address address; /* of the program, for the log */
    /* All posts are answered: the group belongs to its owner again. */
    void (*on_done)(struct core *core, struct post_group *group);

    /* Set by post.c and posts.c. */
    struct list link;  /* in core->posts.queue */
    struct post *next; /* the next one to begin; NULL: all are begun */
    uint32_t unanswered;
};

/* The outcome of a post, which has none yet (asserted). `mid`: LIMIT_MID_BYTES, copied. */
void post_answer(struct core *core, struct post *post, uint64_t ts, const uint8_t *mid, bool is_dup);
/* The same for an error; `message` is static. */
void post_refuse(struct core *core, struct post *post, enum error_code code, const char *message,
                 uint32_t retry_after_ms);

#endif
