/*
 * utf8.h: UTF-8 by RFC 3629: no surrogates, nothing above U+10FFFF, no longer form than needed. A text may come in
 * pieces cut anywhere; what can no longer become valid is refused at its first byte. Pure; any thread.
 */
#ifndef CHITCHAT_PROTOCOL_UTF8_H
#define CHITCHAT_PROTOCOL_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* Between two pieces. All zero: at a boundary of characters. */
struct utf8 {
    uint8_t missing; /* continuation bytes still to come */
    uint8_t low;     /* bounds of the next one; 0: the usual ones */
    uint8_t high;
};

/* Goes over the next piece. False: it is not UTF-8, whatever follows. */
bool utf8_feed(struct utf8 *utf8, const void *data, size_t bytes);
/* Whether the text may end here. */
static inline bool utf8_is_whole(const struct utf8 *utf8)
{
    return utf8->missing == 0;
}

bool utf8_is_valid(struct span text);

#endif
