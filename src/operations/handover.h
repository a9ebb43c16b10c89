/*
 * handover.h: moves a connection to the shard of its user at login. When its output is sent and the kernel has released
 * its socket, the descriptor goes in a letter, with the WebSocket parser, the stash (the bytes after the login frame)
 * and the times. The other shard continues the login. Shard's thread.
 */
#ifndef CHITCHAT_OPERATIONS_HANDOVER_H
#define CHITCHAT_OPERATIONS_HANDOVER_H

#include <stdint.h>

#include "base/list.h"
#include "server/letter.h"

struct conn;
struct core;

/* A shard's state of this module. */
struct handovers {
    struct list waiting; /* connections that wait for their output to be sent, or for CORE_HANDOVERS_OUT_MAX */
};

/* `conn` is in CONN_OPEN and its `login` names a user of another shard. It is in CONN_HANDOVER then. */
void handover_begin(struct core *core, struct conn *conn);
/* `conn`, in CONN_HANDOVER, will be closed instead. */
void handover_cancel(struct core *core, struct conn *conn);
/* Releases the socket of `conn`, in CONN_HANDOVER, if its output is sent and the other shard has a place. */
void handover_step(struct core *core, struct conn *conn);
/* End of a turn: handover_step for all that wait. */
void handover_step_all(struct core *core);
/* From io.h: the kernel has released descriptor `fd`, which the callee owns. Frees `conn` and posts the letter. */
void handover_on_released(struct core *core, struct conn *conn, int fd);

/* LETTER_HANDOVER came from shard `from`: takes the connection, continues its login and posts the letter back. Without
 * memory the connection is closed. */
void handover_arrive(struct core *core, uint32_t from, struct letter *letter);
/* LETTER_HANDOVER_RETURNED came from shard `to`: frees the letter. */
void handover_on_returned(struct core *core, uint32_t to, struct letter *letter);

#endif
