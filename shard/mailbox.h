/*
 * mailbox.h: a bounded queue of pointers from one thread to another, without locks (ck_ring, single producer, single
 * consumer; C11 atomics in TSan builds, because TSan does not understand ck's assembly). First in, first out. The users
 * of a mailbox define who owns what a letter points to; after mailbox_post the producer does not touch it.
 *
 * A sleeper is the flag of a consumer. The consumer sets it, looks into its mailboxes once more, and sleeps. A producer
 * that sees the flag clears it and wakes the consumer. So only a consumer that sleeps is woken, and no wake-up is lost.
 */
#ifndef CHITCHAT_SHARD_MAILBOX_H
#define CHITCHAT_SHARD_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct mailbox;

/* A mailbox for at most `capacity` - 1 letters. `capacity` is a power of two, at least 4 (asserted). 0 or -ENOMEM; the
 * caller closes *mailbox_r. Any thread. */
int mailbox_open(struct mailbox **mailbox_r, uint32_t capacity);
/* Frees the mailbox, which neither thread uses any more; letters in it are not touched. Nulls *mailbox; NULL is fine.
 */
void mailbox_close(struct mailbox **mailbox);

/* Producer's thread. `letter` is not NULL (asserted). False: the mailbox is full, and the letter stays the caller's. */
bool mailbox_post(struct mailbox *mailbox, void *letter);
/* Consumer's thread: the oldest letter; NULL: there is none. */
void *mailbox_take(struct mailbox *mailbox);
/* Consumer's thread. */
bool mailbox_is_empty(struct mailbox *mailbox);

struct sleeper {
    _Alignas(64) atomic_int sleeping;
};

/* Consumer's thread, before it sleeps: afterwards it must look into all its mailboxes once more. sleeper_awake ends the
 * sleep. */
void sleeper_prepare(struct sleeper *sleeper);
void sleeper_awake(struct sleeper *sleeper);
/* Producer's thread, after its posts. True: the caller must wake the consumer, and is the only one who must. */
bool sleeper_must_wake(struct sleeper *sleeper);

#endif
