/*
 * admission.h: new connections: counted, refused with 503 when the server is full, given their login time. Shard's
 * thread.
 */
#ifndef CHITCHAT_SERVER_ADMISSION_H
#define CHITCHAT_SERVER_ADMISSION_H

#include <stdint.h>

#include "base/log_limit.h"

struct conn;
struct core;

/* What a shard keeps of it. */
struct admission {
    uint32_t turned_away; /* connections of a full server that are being told so */
    struct log_limit accept_limit;
    struct log_limit full_limit;
};

/* From io.h: a new descriptor (owned from now on), or -errno. */
void admission_on_accept(struct core *core, int fd);
/* One connection less: its descriptor is closed. */
void admission_on_closed(struct core *core, const struct conn *conn);
/* The budget for input may be used up: what is left in the kernel waits for the next turn. */
void admission_bound_input(struct core *core);

#endif
