/*
 * letter.h: what shards say to each other. A letter belongs to the shard that posted it, always: the other borrows it,
 * answers in it and posts it back, so that memory is taken and given on one thread.
 */
#ifndef CHITCHAT_SERVER_LETTER_H
#define CHITCHAT_SERVER_LETTER_H

#include <stdint.h>

enum letter_kind {
    LETTER_SEND,          /* struct delivery: a message for a user of yours; comes back as LETTER_SEND_RETURNED */
    LETTER_SEND_RETURNED, /* the same, answered, at home */
    LETTER_HANDOVER, /* struct handover: a connection whose user is yours; comes back as LETTER_HANDOVER_RETURNED */
    LETTER_HANDOVER_RETURNED,
    LETTER_ROUND_END,  /* struct letter_control: my last write of the round's segments is done, its letters are before
                          this */
    LETTER_ROUND_DONE, /* my checkpoint of the round is committed */
    LETTER_QUIET,      /* stopping: none of my letters is out */
};

struct letter {
    uint8_t kind; /* enum letter_kind */
};

struct letter_control {
    struct letter letter;
    uint64_t round;
};

#endif
