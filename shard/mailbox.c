#include "shard/mailbox.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"

/*
 * Two rings with the same functions: ring_init, ring_put, ring_get, ring_is_empty. The one of ck is faster. TSan does
 * not see what ck's inline assembly orders and reports false races, so TSan builds have a ring of C11 atomics.
 */
#ifdef CHITCHAT_TSAN

struct mailbox {
    _Alignas(64) atomic_uint tail; /* written by the producer */
    _Alignas(64) atomic_uint head; /* written by the consumer */
    _Alignas(64) uint32_t mask;
    void **letters;
};

static void ring_init(struct mailbox *mailbox, uint32_t capacity)
{
    atomic_init(&mailbox->tail, 0);
    atomic_init(&mailbox->head, 0);
    mailbox->mask = capacity - 1;
}

static bool ring_put(struct mailbox *mailbox, void *letter)
{
    uint32_t tail = atomic_load_explicit(&mailbox->tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&mailbox->head, memory_order_acquire) >= mailbox->mask)
        return false;
    mailbox->letters[tail & mailbox->mask] = letter;
    atomic_store_explicit(&mailbox->tail, tail + 1, memory_order_release);
    return true;
}

static void *ring_get(struct mailbox *mailbox)
{
    uint32_t head = atomic_load_explicit(&mailbox->head, memory_order_relaxed);
    if (head == atomic_load_explicit(&mailbox->tail, memory_order_acquire))
        return NULL;
    void *letter = mailbox->letters[head & mailbox->mask];
    atomic_store_explicit(&mailbox->head, head + 1, memory_order_release);
    return letter;
}

static bool ring_is_empty(struct mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->head, memory_order_relaxed)
           == atomic_load_explicit(&mailbox->tail, memory_order_acquire);
}

#else

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wshadow"
#include <ck_ring.h>
#pragma GCC diagnostic pop

struct mailbox {
    _Alignas(64) struct ck_ring ring;
    _Alignas(64) struct ck_ring_buffer *letters;
};

static void ring_init(struct mailbox *mailbox, uint32_t capacity)
{
    ck_ring_init(&mailbox->ring, capacity);
}

static bool ring_put(struct mailbox *mailbox, void *letter)
{
    return ck_ring_enqueue_spsc(&mailbox->ring, mailbox->letters, letter);
}

static void *ring_get(struct mailbox *mailbox)
{
    void *letter;
    return ck_ring_dequeue_spsc(&mailbox->ring, mailbox->letters, &letter) ? letter : NULL;
}

static bool ring_is_empty(struct mailbox *mailbox)
{
    return ck_ring_size(&mailbox->ring) == 0;
}

#endif

int mailbox_open(struct mailbox **mailbox_r, uint32_t capacity)
{
    ASSERT(capacity >= 4 && (capacity & (capacity - 1)) == 0);
    struct mailbox *mailbox = aligned_alloc(64, sizeof *mailbox);
    if (mailbox == NULL)
        return -ENOMEM;
    mailbox->letters = calloc(capacity, sizeof *mailbox->letters);
    if (mailbox->letters == NULL) {
        free(mailbox);
        return -ENOMEM;
    }
    ring_init(mailbox, capacity);
    *mailbox_r = mailbox;
    return 0;
}

void mailbox_close(struct mailbox **mailbox)
{
    if (*mailbox == NULL)
        return;
    free((*mailbox)->letters);
    free(*mailbox);
    *mailbox = NULL;
}

bool mailbox_post(struct mailbox *mailbox, void *letter)
{
    ASSERT(letter != NULL);
    return ring_put(mailbox, letter);
}

void *mailbox_take(struct mailbox *mailbox)
{
    return ring_get(mailbox);
}

bool mailbox_is_empty(struct mailbox *mailbox)
{
    return ring_is_empty(mailbox);
}

/*
 * The consumer writes the flag and reads the mailboxes, the producer writes a mailbox and reads the flag. Between its
 * write and its read each side has a fence, so that at least one of them sees the other's write. TSan does not support
 * fences: in TSan builds the flag is only exchanged, which reads the newest value and orders the posts before it.
 */
#ifdef CHITCHAT_TSAN

void sleeper_prepare(struct sleeper *sleeper)
{
    atomic_exchange(&sleeper->sleeping, 1);
}

void sleeper_awake(struct sleeper *sleeper)
{
    atomic_exchange(&sleeper->sleeping, 0);
}

bool sleeper_must_wake(struct sleeper *sleeper)
{
    return atomic_exchange(&sleeper->sleeping, 0) != 0;
}

#else

void sleeper_prepare(struct sleeper *sleeper)
{
    atomic_store_explicit(&sleeper->sleeping, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

void sleeper_awake(struct sleeper *sleeper)
{
    atomic_store_explicit(&sleeper->sleeping, 0, memory_order_relaxed);
}

/* A load before the exchange: mostly the consumer is awake, and then the cache line of its flag stays shared. */
bool sleeper_must_wake(struct sleeper *sleeper)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&sleeper->sleeping, memory_order_relaxed) == 0)
        return false;
    return atomic_exchange(&sleeper->sleeping, 0) != 0;
}

#endif
