/* Two threads send letters to each other through a pair of mailboxes and sleep when there are none: what a letter
 * points to is written on one side and read on the other, so that TSan checks that the mailbox orders these accesses.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "shard/mailbox.h"

enum { LETTERS = 256, ROUNDS = 400 };

struct letter {
    unsigned value; /* not atomic: owned by the thread that has the letter */
};

struct side {
    struct mailbox *in;
    struct mailbox *out;
    struct sleeper sleeper;
    sem_t woken;
    struct side *other;
    unsigned taken;
};

static void post(struct side *side, struct letter *letter)
{
    letter->value++;
    ASSERT(mailbox_post(side->out, letter));
    if (sleeper_must_wake(&side->other->sleeper))
        sem_post(&side->other->woken);
}

static struct letter *take(struct side *side)
{
    for (;;) {
        struct letter *letter = mailbox_take(side->in);
        if (letter != NULL)
            return letter;
        sleeper_prepare(&side->sleeper);
        if (mailbox_is_empty(side->in))
            sem_wait(&side->woken);
        sleeper_awake(&side->sleeper);
    }
}

static void *answer_all(void *argument)
{
    struct side *side = argument;
    for (; side->taken < LETTERS * ROUNDS; side->taken++)
        post(side, take(side));
    return NULL;
}

int main(void)
{
    static struct side here, there;
    static struct letter letters[LETTERS];
    pthread_t thread;
    struct mailbox *forth, *back;
    ASSERT(mailbox_open(&forth, 512) == 0 && mailbox_open(&back, 512) == 0);
    here = (struct side){.in = back, .out = forth, .other = &there};
    there = (struct side){.in = forth, .out = back, .other = &here};
    sem_init(&here.woken, 0, 0);
    sem_init(&there.woken, 0, 0);
    ASSERT(pthread_create(&thread, NULL, answer_all, &there) == 0);
    for (unsigned i = 0; i < LETTERS; i++)
        post(&here, &letters[i]);
    for (; here.taken < LETTERS * ROUNDS; here.taken++) {
        struct letter *letter = take(&here);
        ASSERT(letter == &letters[here.taken % LETTERS]);
        if (here.taken + LETTERS < LETTERS * ROUNDS)
            post(&here, letter);
    }
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < LETTERS; i++)
        ASSERT(letters[i].value == 2 * ROUNDS);
    mailbox_close(&forth);
    mailbox_close(&back);
    printf("%d letters there and back, each %d times\n", LETTERS, ROUNDS);
    return 0;
}
