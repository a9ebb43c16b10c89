/*
 * json_oracle.h: what jansson, set as strict as it goes, says of a text; with the protocol's depth, which jansson does
 * not know.
 */
#ifndef CHITCHAT_TESTS_UNIT_JSON_ORACLE_H
#define CHITCHAT_TESTS_UNIT_JSON_ORACLE_H

#include <jansson.h>
#include <string.h>

#include "base/limits.h"

enum oracle { ORACLE_REFUSES, ORACLE_ACCEPTS, ORACLE_CANNOT_SAY };

static inline int oracle_depth(json_t *value)
{
    int deepest = 0;
    const char *name;
    json_t *inner;
    size_t i;
    if (json_is_object(value)) {
        json_object_foreach(value, name, inner)
        {
            int depth = oracle_depth(inner);
            deepest = depth > deepest ? depth : deepest;
        }
        return deepest + 1;
    }
    if (json_is_array(value)) {
        json_array_foreach(value, i, inner)
        {
            int depth = oracle_depth(inner);
            deepest = depth > deepest ? depth : deepest;
        }
        return deepest + 1;
    }
    return 0;
}

/* *object_r is the caller's (json_decref) if it accepts. It cannot say where a number is beyond a double or 64 bits, or
 * a key holds U+0000: RFC 8259 allows both, jansson stops there; nor where a zero byte stands, which it lets pass in
 * places. */
static inline enum oracle oracle_read(const char *data, size_t bytes, json_t **object_r)
{
    json_error_t error;
    if (memchr(data, 0, bytes) != NULL)
        return ORACLE_CANNOT_SAY;
    json_t *value = json_loadb(data, bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (value == NULL) {
        enum json_error_code code = json_error_code(&error);
        return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ? ORACLE_CANNOT_SAY
                                                                                          : ORACLE_REFUSES;
    }
    if (!json_is_object(value) || oracle_depth(value) > LIMIT_JSON_DEPTH) {
        json_decref(value);
        return ORACLE_REFUSES;
    }
    *object_r = value;
    return ORACLE_ACCEPTS;
}

#endif
