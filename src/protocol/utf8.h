/*
 * utf8.h: UTF-8 as RFC 3629 defines it: no surrogates, nothing above U+10FFFF, no longer form than needed. A text may
 * come in pieces cut anywhere; a byte that no valid text can have there is refused at once. Pure; any thread.
 */
#ifndef CHITCHAT_PROTOCOL_UTF8_H
#define CHITCHAT_PROTOCOL_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* The state between two pieces. All zero: between two characters. */
struct utf8 {
    uint8_t missing; /* continuation bytes still to come */
    uint8_t low;     /* bounds of the next one; 0: the usual ones */
    uint8_t high;
};

/* Checks the next piece. False: the text is not UTF-8, whatever follows. */
bool utf8_feed(struct utf8 *utf8, const void *data, size_t bytes);
/* Whether the text may end here. */
static inline bool utf8_is_whole(const struct utf8 *utf8)
{
    return utf8->missing == 0;
}

bool utf8_is_valid(struct span text);

#endif
