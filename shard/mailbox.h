/*
 * mailbox.h: a bounded queue of pointers from one thread to one other, without locks (ck_ring, single producer, single
 * consumer; C11 atomics in TSan builds, which cannot see into ck). First in, first out. What is behind a pointer
 * belongs to whoever the users of the mailbox say; after mailbox_post the poster does not touch it.
 *
 * A sleeper is the flag of a consumer: it says "I may sleep", looks once more, and sleeps; a producer that sees the
 * flag takes it and wakes the consumer. So a wake-up is sent only to one that sleeps, and never lost.
 */
#ifndef CHITCHAT_SHARD_MAILBOX_H
#define CHITCHAT_SHARD_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct mailbox;

/* Room for `capacity` - 1 pointers; a power of two. 0 or -ENOMEM. */
int mailbox_open(struct mailbox **mailbox_r, uint32_t capacity);
void mailbox_close(struct mailbox **mailbox);

/* Producer's thread: false if it is full. `letter` is not NULL. */
bool mailbox_post(struct mailbox *mailbox, void *letter);
/* Consumer's thread: the oldest letter, NULL if there is none. */
void *mailbox_take(struct mailbox *mailbox);
bool mailbox_is_empty(struct mailbox *mailbox);

struct sleeper {
    _Alignas(64) atomic_int sleeping;
};

/* Consumer: before sleeping; then it must look into all its mailboxes once more, and call sleeper_awake. */
void sleeper_prepare(struct sleeper *sleeper);
void sleeper_awake(struct sleeper *sleeper);
/* Producer, after its posts: true if it is now the one who must wake the consumer. */
bool sleeper_must_wake(struct sleeper *sleeper);

#endif
