#include "auth/token_reason.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "protocol/json.h"

#define DOTS "..."
#define DOTS_BYTES (sizeof DOTS - 1)

/* Appends `value` behind `used` bytes, as far as there is room. Returns the bytes used. */
static size_t add_value(struct token_reason *reason, size_t used, struct span value)
{
    for (size_t i = 0; i < value.bytes; i++) {
        if (used == TOKEN_REASON_VALUE_BYTES_MAX) {
            memcpy(reason->value + used - DOTS_BYTES, DOTS, DOTS_BYTES);
            break;
        }
        char byte = value.data[i];
        reason->value[used++] = byte == '"' ? '\'' : byte < ' ' || byte > '~' ? '?' : byte;
    }
    reason->value[used] = '\0';
    return used;
}

const char *token_reason_value(struct token_reason *reason, struct span value)
{
    (void)add_value(reason, 0, value);
    return reason->value;
}

const char *token_reason_values(struct token_reason *reason, struct span array)
{
    size_t used = 0;
    struct span left = array, value;
    ASSERT(array.bytes > 0 && array.data[0] == '[');
    reason->value[0] = '\0';
    while (json_array_next(&left, &value)) {
        if (used > 0)
            used = add_value(reason, used, SPAN_LITERAL(", "));
        used = add_value(reason, used, value);
    }
    return reason->value;
}

const char *token_reason_write(struct token_reason *reason, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reason->text, sizeof reason->text, format, arguments);
    va_end(arguments);
    return reason->text;
}
