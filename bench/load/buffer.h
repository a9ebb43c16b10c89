/*
 * buffer.h: bytes that grow at the end. The thread that owns the buffer's owner calls; a buffer of zeros is empty.
 */
#ifndef CHITCHAT_BENCH_LOAD_BUFFER_H
#define CHITCHAT_BENCH_LOAD_BUFFER_H

#include <stdint.h>

struct load_buffer {
    char *data; /* owned */
    uint32_t bytes;
    uint32_t room;
};

/* Makes room for `bytes` more. The caller writes them at data + buffer->bytes, and adds them to buffer->bytes. */
void load_buffer_grow(struct load_buffer *buffer, uint32_t bytes);
/* Frees the memory: the buffer is empty. */
void load_buffer_fini(struct load_buffer *buffer);

#endif
