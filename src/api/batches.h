/*
 * batches.h: POST /api/v1/messages:batch: up to BATCH_MESSAGES_MAX messages in one request, each with an outcome of its
 * own. Shard's thread.
 *
 * The body is read over several turns, within the budget of input; nothing is sent before it was read to its end, so a
 * body that is no JSON sends nothing. Then the messages of each shard go there as one group (timeline/posts.h), in the
 * order of the body. If the connection ends before a group was posted, that group is not sent.
 *
 * Calls. A batch may always have one call out, and more only while other requests have room (call.h), so a request is
 * never without a place.
 */
#ifndef CHITCHAT_API_BATCHES_H
#define CHITCHAT_API_BATCHES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct core;

#define BATCH_MESSAGES_MAX 1000u
/* What all batches of a shard copy; past it a batch is refused with `busy`. */
#define BATCHES_BYTES_MAX (UINT64_C(16) << 20)

/* A shard's state of this module. */
struct batches {
    struct list reading; /* whose bodies are not read to the end */
    uint32_t count;      /* batches that exist */
    uint64_t bytes;      /* of the copies of all */
};

void batches_init(struct batches *batches);

/* End of a turn: reads on, a share of each batch in turns, within the turn's budget. */
void batches_continue(struct core *core);

#endif
