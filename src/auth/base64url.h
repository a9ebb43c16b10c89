/*
 * base64url.h: base64url without padding (RFC 4648, 5; RFC 7515, 2), strict: one text for each sequence of bytes. Pure;
 * any thread.
 */
#ifndef CHITCHAT_AUTH_BASE64URL_H
#define CHITCHAT_AUTH_BASE64URL_H

#include <stdint.h>

#include "base/span.h"

#define BASE64URL_CHARS(bytes) (((bytes)*8 + 5) / 6)

/* Decodes `text` to at most `room` bytes at `out`. False: a character that is not in the alphabet (padding and blanks
 * too), a length that no bytes have, bits left over that are not zero, or no room. `out` may be the start of the text.
 */
bool base64url_decode(struct span text, uint8_t *out, size_t room, size_t *bytes_r);

/* Writes BASE64URL_CHARS(bytes) characters at `out`, without a NUL, and returns their number. */
size_t base64url_encode(const uint8_t *data, size_t bytes, char *out);

#endif
