/*
 * json_string.h: the strings of json.h, read and unescaped in place. Pure; any thread.
 */
#ifndef CHITCHAT_PROTOCOL_JSON_STRING_H
#define CHITCHAT_PROTOCOL_JSON_STRING_H

#include "base/span.h"

/*
 * *at is after the opening quote and moves past the closing one. Returns NULL and *string_r, borrowed from the bytes;
 * or, static, what is wrong: bytes that are not UTF-8, a raw control character, an unknown escape, a lone surrogate, no
 * end. Then *at does not move.
 */
const char *json_string_read(char **at, char *end, struct span *string_r);

#endif
