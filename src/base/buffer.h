/*
 * buffer.h: bytes that grow at the end, for programs that end without memory. The thread that owns the buffer's owner
 * calls; a buffer of zeros is empty. No part of the server uses it.
 */
#ifndef CHITCHAT_BASE_BUFFER_H
#define CHITCHAT_BASE_BUFFER_H

#include <stdint.h>

struct buffer {
    char *data; /* owned */
    uint32_t bytes;
    uint32_t room;
};

/* Makes room for `bytes` more. The caller writes them at data + buffer->bytes, and adds them to buffer->bytes. */
void buffer_grow(struct buffer *buffer, uint32_t bytes);
/* Frees the memory: the buffer is empty. */
void buffer_fini(struct buffer *buffer);

#endif
