/*
 * json_string.h: the strings of json.h: read and unescaped where they stand. Pure; any thread.
 */
#ifndef CHITCHAT_PROTOCOL_JSON_STRING_H
#define CHITCHAT_PROTOCOL_JSON_STRING_H

#include "base/span.h"

/*
 * *at is behind the opening quote; moved behind the closing one. NULL and *string_r, borrowed from the bytes; or,
 * static, what is wrong: bytes that are no UTF-8, a raw control character, an escape that there is not, a lone
 * surrogate, no end.
 */
const char *json_string_read(char **at, char *end, struct span *string_r);

#endif
