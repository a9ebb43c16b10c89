#include "shard/io_buffers.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/assert.h"

#define WINDOW_LEAST 64u
#define WINDOW_PRESSED 128u /* the widest while the caller has more input than it can take */
/* The window is too wide if fewer than so many windows were used between two trims. */
#define NARROW_ROUNDS 16u
#define PAGE_BYTES 4096u

static void *map(size_t bytes)
{
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    return data == MAP_FAILED ? NULL : data;
}

static size_t ring_bytes(const struct io_buffers *buffers)
{
    return buffers->count * sizeof(struct io_uring_buf);
}

static size_t data_bytes(const struct io_buffers *buffers)
{
    return (size_t)buffers->count * buffers->bytes;
}

static void offer(struct io_buffers *buffers, uint32_t id)
{
    int mask = io_uring_buf_ring_mask(buffers->count);
    io_uring_buf_ring_add(buffers->ring, buffers->data + (size_t)id * buffers->bytes, buffers->bytes,
                          (unsigned short)id, mask, 0);
    io_uring_buf_ring_advance(buffers->ring, 1);
    buffers->offered++;
}

static void fill_window(struct io_buffers *buffers)
{
    while (buffers->offered < buffers->window && buffers->rest_count > 0)
        offer(buffers, buffers->rest[--buffers->rest_count]);
}

int io_buffers_open(struct io_buffers *buffers, struct io_uring *uring, uint32_t count, uint32_t bytes)
{
    ASSERT(bytes > 0);
    ASSERT(count > 0 && (count & (count - 1)) == 0);
    *buffers = (struct io_buffers){.count = count, .bytes = bytes};
    buffers->ring = map(ring_bytes(buffers));
    buffers->data = map(data_bytes(buffers));
    buffers->rest = malloc(count * sizeof *buffers->rest);
    buffers->is_touched = calloc(count, sizeof *buffers->is_touched);
    if (buffers->ring == NULL || buffers->data == NULL || buffers->rest == NULL || buffers->is_touched == NULL)
        return -ENOMEM;
    /* A huge page would back all buffers at once. The call fails harmlessly where the kernel has no huge pages. */
    (void)madvise(buffers->data, data_bytes(buffers), MADV_NOHUGEPAGE);
    struct io_uring_buf_reg reg = {.ring_addr = (uint64_t)(uintptr_t)buffers->ring, .ring_entries = count, .bgid = 0};
    int status = io_uring_register_buf_ring(uring, &reg, 0);
    if (status != 0)
        return status;
    io_uring_buf_ring_init(buffers->ring);
    for (uint32_t id = count; id-- > 0;)
        buffers->rest[buffers->rest_count++] = (uint16_t)id;
    buffers->window = count < WINDOW_LEAST ? count : WINDOW_LEAST;
    fill_window(buffers);
    return 0;
}

void io_buffers_close(struct io_buffers *buffers)
{
    if (buffers->ring != NULL)
        munmap(buffers->ring, ring_bytes(buffers));
    if (buffers->data != NULL)
        munmap(buffers->data, data_bytes(buffers));
    free(buffers->is_touched);
    free(buffers->rest);
}

char *io_buffers_take(struct io_buffers *buffers, uint32_t id)
{
    ASSERT(id < buffers->count);
    ASSERT(buffers->offered > 0);
    buffers->offered--;
    buffers->taken++;
    return buffers->data + (size_t)id * buffers->bytes;
}

void io_buffers_give(struct io_buffers *buffers, uint32_t id)
{
    ASSERT(id < buffers->count);
    ASSERT(buffers->rest_count < buffers->count);
    if (buffers->offered < buffers->window) {
        offer(buffers, id);
        return;
    }
    buffers->is_touched[id] = true;
    buffers->rest[buffers->rest_count++] = (uint16_t)id;
}

void io_buffers_widen(struct io_buffers *buffers, bool is_pressed)
{
    uint32_t widest = is_pressed && buffers->count > WINDOW_PRESSED ? WINDOW_PRESSED : buffers->count;
    if (buffers->window >= widest || buffers->taken - buffers->taken_at_widening < buffers->window)
        return;
    buffers->taken_at_widening = buffers->taken;
    buffers->window *= 2;
    fill_window(buffers);
}

void io_buffers_press(struct io_buffers *buffers)
{
    if (buffers->window > WINDOW_PRESSED)
        buffers->window /= 2;
}

/* These buffers read as zeros afterwards, until the kernel writes into them again. */
static void rest_release(struct io_buffers *buffers)
{
    if (buffers->bytes % PAGE_BYTES != 0)
        return;
    for (uint32_t i = 0; i < buffers->rest_count; i++) {
        uint32_t id = buffers->rest[i];
        if (buffers->is_touched[id])
            (void)madvise(buffers->data + (size_t)id * buffers->bytes, buffers->bytes, MADV_DONTNEED);
        buffers->is_touched[id] = false;
    }
}

void io_buffers_trim(struct io_buffers *buffers)
{
    uint64_t used = buffers->taken - buffers->taken_at_trim;
    buffers->taken_at_trim = buffers->taken;
    if (buffers->window > WINDOW_LEAST && used < (uint64_t)buffers->window * NARROW_ROUNDS)
        buffers->window /= 2;
    rest_release(buffers);
}
