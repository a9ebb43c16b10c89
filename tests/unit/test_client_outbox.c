/* The outbox of a client: order, what is held back, what is found. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "cli/client_outbox.h"

static struct client_outbox outbox;

static struct client_item *add(uint64_t number, const char *to)
{
    char key[21];
    (void)snprintf(key, sizeof key, "k%u", (unsigned)number);
    return client_outbox_add(&outbox, number, key, to, "text");
}

static void setup(void)
{
    client_outbox_init(&outbox);
}

static void teardown(void)
{
    client_outbox_fini(&outbox);
}

TestSuite(client_outbox, .init = setup, .fini = teardown);

Test(client_outbox, gives_the_items_of_a_recipient_in_their_order_one_at_a_time)
{
    add(1, "bob");
    add(2, "bob");
    struct client_item *first = client_outbox_next(&outbox, 0);
    cr_assert_eq(first->number, 1);
    client_outbox_sent(first, 71, 5);
    cr_expect_null(client_outbox_next(&outbox, 9));
    cr_expect_eq(client_outbox_due_us(&outbox), UINT64_MAX);
    cr_expect_eq(client_outbox_find_request(&outbox, 71), first);
    client_outbox_remove(&outbox, first);
    cr_expect_eq(client_outbox_next(&outbox, 0)->number, 2);
    cr_expect_eq(outbox.count, 1);
}

Test(client_outbox, recipients_do_not_wait_for_each_other)
{
    add(1, "bob");
    add(2, "carol");
    client_outbox_sent(client_outbox_next(&outbox, 0), 71, 5);
    cr_expect_eq(client_outbox_next(&outbox, 0)->number, 2);
    cr_expect_str_eq(client_item_to(client_outbox_next(&outbox, 0)), "carol");
}

Test(client_outbox, an_item_that_is_held_goes_again_when_it_is_due)
{
    struct client_item *item = add(1, "bob");
    add(2, "bob");
    client_outbox_sent(item, 71, 5);
    client_outbox_hold(item, 100);
    cr_expect_null(client_outbox_next(&outbox, 99));
    cr_expect_eq(client_outbox_due_us(&outbox), 100);
    cr_expect_null(client_outbox_find_request(&outbox, 71));
    cr_expect_eq(client_outbox_next(&outbox, 100), item);
}

Test(client_outbox, the_end_of_a_connection_makes_all_wait_and_be_due)
{
    struct client_item *bob = add(1, "bob"), *carol = add(2, "carol");
    client_outbox_sent(bob, 71, 5);
    client_outbox_sent(carol, 72, 5);
    client_outbox_hold(carol, 100);
    client_outbox_disconnect(&outbox);
    cr_expect_eq(client_outbox_next(&outbox, 0), bob);
    client_outbox_sent(bob, 73, 9);
    cr_expect_eq(bob->tried_us, 5);
    cr_expect_eq(client_outbox_next(&outbox, 0), carol);
}

Test(client_outbox, an_item_is_found_by_recipient_and_key)
{
    add(1, "bob");
    struct client_item *item = add(2, "bob");
    cr_expect_eq(client_outbox_find_key(&outbox, "bob", "k2"), item);
    cr_expect_null(client_outbox_find_key(&outbox, "carol", "k2"));
    cr_expect_null(client_outbox_find_key(&outbox, "bob", "k3"));
}
