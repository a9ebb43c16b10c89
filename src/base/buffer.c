#include "base/buffer.h"

#include <stdlib.h>

#include "base/assert.h"

void buffer_grow(struct buffer *buffer, uint32_t bytes)
{
    if (buffer->bytes + bytes <= buffer->room)
        return;
    buffer->room = 2 * (buffer->bytes + bytes);
    buffer->data = realloc(buffer->data, buffer->room);
    ASSERT(buffer->data != NULL); /* its users can do nothing without memory */
}

void buffer_fini(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}
