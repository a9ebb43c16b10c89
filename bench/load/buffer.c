#include "load/buffer.h"

#include <stdlib.h>

#include "base/assert.h"

void load_buffer_grow(struct load_buffer *buffer, uint32_t bytes)
{
    if (buffer->bytes + bytes <= buffer->room)
        return;
    buffer->room = 2 * (buffer->bytes + bytes);
    buffer->data = realloc(buffer->data, buffer->room);
    ASSERT(buffer->data != NULL); /* a generator without memory has nothing to measure */
}

void load_buffer_fini(struct load_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct load_buffer){0};
}
