/*
 * admission.h: new connections. Counts them, answers 503 when the server is full, and sets the login deadline. Shard's
 * thread.
 */
#ifndef CHITCHAT_SERVER_ADMISSION_H
#define CHITCHAT_SERVER_ADMISSION_H

#include <stdint.h>

#include "base/log_limit.h"

struct conn;
struct core;

/* A shard's state of this module. */
struct admission {
    uint32_t turned_away; /* connections that are being answered 503, since the server is full */
    struct log_limit accept_limit;
};

/* From io.h: a new descriptor, which the callee owns, or -errno. */
void admission_on_accept(struct core *core, int fd);
/* The descriptor of `conn` is closed: one connection less. */
void admission_on_closed(struct core *core, const struct conn *conn);
/* If the turn's input budget is used up, the rest of the kernel's completions waits for the next turn. */
void admission_bound_input(struct core *core);

#endif
