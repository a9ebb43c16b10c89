/*
 * letter.h: messages between shards. The shard that posted a letter owns it always. The other shard borrows it, writes
 * its answer into it and posts it back, so that one thread allocates and frees it. Control letters (struct
 * letter_control) are read and not returned.
 */
#ifndef CHITCHAT_SERVER_LETTER_H
#define CHITCHAT_SERVER_LETTER_H

#include <stdint.h>

enum letter_kind {
    LETTER_SEND,              /* struct delivery: a message to a user of the receiving shard */
    LETTER_SEND_RETURNED,     /* the same, answered, back at its owner */
    LETTER_HANDOVER,          /* struct handover: a connection whose user is on the receiving shard */
    LETTER_HANDOVER_RETURNED, /* the same, back at its owner: the connection was taken */
    LETTER_SEEN,              /* struct seen: a user has seen messages of one of the receiving shard */
    LETTER_SEEN_RETURNED,     /* the same, back at its owner */
    LETTER_CALL,              /* struct call: work for the receiving shard */
    LETTER_CALL_RETURNED,     /* the same, done, back at its owner */
    LETTER_TYPING,            /* struct typing: a user types to one of the receiving shard */
    LETTER_TYPING_RETURNED,   /* the same, back at its owner */
    LETTER_WATCH,             /* struct presence_letter: subscriptions to the presence of users */
    LETTER_WATCH_RETURNED,    /* the same, answered, back at its owner */
    LETTER_PRESENCE,          /* struct presence_letter: users who have come or gone */
    LETTER_PRESENCE_RETURNED, /* the same, back at its owner */
    /* struct letter_control */
    LETTER_ROUND_END,  /* the sender's last write to the round's segments is done; the letters of that write came first
                        */
    LETTER_ROUND_DONE, /* the sender's checkpoint of the round is committed */
    LETTER_QUIET,      /* stopping: no letter of the sender is in flight, but for control letters */
};

struct letter {
    uint8_t kind; /* enum letter_kind */
};

struct letter_control {
    struct letter letter;
    uint64_t round; /* of checkpoints; 0 with LETTER_QUIET */
};

#endif
