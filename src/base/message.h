/*
 * message.h: a message as the user of one timeline sees it. Storage makes this view and the protocol writes it. Pure;
 * any thread.
 */
#ifndef CHITCHAT_BASE_MESSAGE_H
#define CHITCHAT_BASE_MESSAGE_H

#include <stdint.h>

#include "base/span.h"

enum role {
    ROLE_SENT = 1,     /* the row of the sender's timeline */
    ROLE_RECEIVED = 2, /* the row of the recipient's timeline */
    ROLE_SELF = 3,     /* a message to oneself: one row, one ts */
};

/* Borrows the memory of the record or row that it is a view of. */
struct message {
    uint64_t ts;       /* in this timeline */
    uint64_t other_ts; /* in the other user's; equal to ts for a message to oneself */
    enum role role;
    const uint8_t *mid; /* LIMIT_MID_BYTES */
    struct span from;
    struct span to;
    struct span key; /* empty in the recipient's timeline, and if the message was sent without a key */
    struct span text;
};

/* The other user of the message; for a message to oneself, its only one. */
static inline struct span message_other(const struct message *message)
{
    return message->role == ROLE_RECEIVED ? message->from : message->to;
}

#endif
