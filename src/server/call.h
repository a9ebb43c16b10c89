/*
 * call.h: work of one shard on another one: a letter that carries a function there and its result back. For what is
 * rare: requests of programs over HTTP. Sends have letters of their own (timeline/delivery.h).
 *
 * The caller embeds a struct call in what it allocates, and owns it always. Between call_post and `done` the other
 * shard may read and write it, and nobody else. `run` is called there; it calls call_return exactly once, now or in a
 * later turn. Then `done` is called on the caller's shard, also when the connection that asked has ended meanwhile: it
 * gives the memory back. A call to the own shard takes the same way. Shard's thread.
 *
 * A shard that stops waits for its calls, so each must return in a bounded time.
 */
#ifndef CHITCHAT_SERVER_CALL_H
#define CHITCHAT_SERVER_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "server/letter.h"

struct core;

struct call {
    struct letter letter;
    uint32_t from;                                      /* the shard that posted it */
    void (*run)(struct core *core, struct call *call);  /* on the other shard */
    void (*done)(struct core *core, struct call *call); /* on the own shard again */
};

/* Calls of a shard that have not returned: so that posting never fails. */
#define CALLS_OUT_MAX 384u
/* No request is handled while so many are out: each request that is being handled may have one. */
#define CALLS_BUSY 256u

/* A shard's state of this module. */
struct calls {
    uint32_t out;
};

/* Whether another request may be handled, which may post calls. */
static inline bool calls_have_room(const struct calls *calls)
{
    return calls->out < CALLS_BUSY;
}

/* `call->run` and `call->done` are set. */
void call_post(struct core *core, uint32_t to, struct call *call);
/* On the shard that `run` was called on. */
void call_return(struct core *core, struct call *call);

/* From on_letter (core_handlers.c): a call of another shard; an own one that returned. */
void call_run(struct core *core, struct call *call);
void call_done(struct core *core, struct call *call);

#endif
