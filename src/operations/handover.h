/*
 * move.h: a connection goes to the shard of its user: when a login is asked for, its output has left and nothing of it
 * is with the kernel, its descriptor travels in a letter, with its parser, the bytes after the login frame and its
 * times. The other shard goes on with the login. Shard's thread.
 */
#ifndef CHITCHAT_OPERATIONS_HANDOVER_H
#define CHITCHAT_OPERATIONS_HANDOVER_H

#include <stdint.h>

#include "base/list.h"
#include "server/letter.h"

struct conn;
struct core;

/* What a shard keeps of it. */
struct handovers {
    struct list waiting; /* connections that wait for their output to leave, or for room to the other shard */
};

/* `conn` is open and its `login` is of another shard's user. */
void handover_begin(struct core *core, struct conn *conn);
/* `conn`, which is moving, is to be closed instead. */
void handover_cancel(struct core *core, struct conn *conn);
/* Something may have changed: it leaves if it can. */
void handover_step(struct core *core, struct conn *conn);
/* End of a turn: all that wait. */
void handover_step_all(struct core *core);
/* From io.h: the descriptor is quiet. */
void handover_on_released(struct core *core, struct conn *conn, int fd);

/* LETTER_HANDOVER came: takes the connection and posts the letter back. */
void handover_arrive(struct core *core, uint32_t from, struct letter *letter);
/* LETTER_HANDOVER_RETURNED: frees it. */
void handover_on_returned(struct core *core, uint32_t to, struct letter *letter);

#endif
