#include "shard/mailbox.h"

#include <criterion/criterion.h>
#include <pthread.h>

#define CAPACITY 8u

static struct mailbox *open_mailbox(uint32_t capacity)
{
    struct mailbox *mailbox;
    cr_assert_eq(mailbox_open(&mailbox, capacity), 0);
    return mailbox;
}

static void *letter_of(uintptr_t number)
{
    return (void *)number;
}

Test(mailbox, gives_letters_in_the_order_in_which_they_were_posted)
{
    struct mailbox *mailbox = open_mailbox(CAPACITY);
    for (uintptr_t i = 1; i < CAPACITY; i++)
        cr_assert(mailbox_post(mailbox, letter_of(i)));
    for (uintptr_t i = 1; i < CAPACITY; i++)
        cr_assert_eq(mailbox_take(mailbox), letter_of(i));
    cr_assert_null(mailbox_take(mailbox));
    mailbox_close(&mailbox);
    cr_assert_null(mailbox);
}

Test(mailbox, holds_one_letter_less_than_its_capacity_and_refuses_the_next)
{
    struct mailbox *mailbox = open_mailbox(CAPACITY);
    for (uintptr_t i = 1; i < CAPACITY; i++)
        cr_assert(mailbox_post(mailbox, letter_of(i)));
    cr_assert_not(mailbox_post(mailbox, letter_of(99)));
    cr_assert_eq(mailbox_take(mailbox), letter_of(1));
    cr_assert(mailbox_post(mailbox, letter_of(8)));
    for (uintptr_t i = 2; i <= CAPACITY; i++)
        cr_assert_eq(mailbox_take(mailbox), letter_of(i));
    mailbox_close(&mailbox);
}

Test(mailbox, says_whether_it_is_empty)
{
    struct mailbox *mailbox = open_mailbox(CAPACITY);
    cr_assert(mailbox_is_empty(mailbox));
    mailbox_post(mailbox, letter_of(1));
    cr_assert_not(mailbox_is_empty(mailbox));
    mailbox_take(mailbox);
    cr_assert(mailbox_is_empty(mailbox));
    mailbox_close(&mailbox);
}

Test(mailbox, goes_round_many_times)
{
    struct mailbox *mailbox = open_mailbox(CAPACITY);
    for (uintptr_t i = 1; i < 10000; i++) {
        cr_assert(mailbox_post(mailbox, letter_of(i)));
        cr_assert_eq(mailbox_take(mailbox), letter_of(i));
    }
    mailbox_close(&mailbox);
}

enum { FLOOD = 300000 };

static void *post_flood(void *argument)
{
    struct mailbox *mailbox = argument;
    for (uintptr_t i = 1; i <= FLOOD;)
        i += mailbox_post(mailbox, letter_of(i));
    return NULL;
}

Test(mailbox, keeps_order_and_loses_nothing_between_two_threads)
{
    struct mailbox *mailbox = open_mailbox(64);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, post_flood, mailbox), 0);
    for (uintptr_t wanted = 1; wanted <= FLOOD;) {
        void *letter = mailbox_take(mailbox);
        if (letter != NULL)
            cr_assert_eq(letter, letter_of(wanted++));
    }
    pthread_join(thread, NULL);
    cr_assert(mailbox_is_empty(mailbox));
    mailbox_close(&mailbox);
}

Test(sleeper, is_woken_once_and_only_while_it_sleeps)
{
    struct sleeper sleeper = {0};
    cr_assert_not(sleeper_must_wake(&sleeper));
    sleeper_prepare(&sleeper);
    cr_assert(sleeper_must_wake(&sleeper));
    cr_assert_not(sleeper_must_wake(&sleeper));
    sleeper_prepare(&sleeper);
    sleeper_awake(&sleeper);
    cr_assert_not(sleeper_must_wake(&sleeper));
}
