#include <criterion/criterion.h>
#include <signal.h>

#include "base/list.h"

struct item {
    int before;
    struct list link;
    int value;
};

static struct list head;
static struct item items[4];

static void setup(void)
{
    list_init(&head);
    for (int i = 0; i < 4; i++) {
        items[i].value = i;
        list_init(&items[i].link);
    }
}

TestSuite(list, .init = setup);

/* The values from first to last as a number in base 10, and the same backwards. */
static void assert_order(int digits)
{
    int forward = 0;
    int backward = 0;
    int place = 1;
    for (struct list *at = head.next; at != &head; at = at->next)
        forward = forward * 10 + container_of(at, struct item, link)->value + 1;
    for (struct list *at = head.prev; at != &head; at = at->prev, place *= 10)
        backward += (container_of(at, struct item, link)->value + 1) * place;
    cr_assert_eq(forward, digits);
    cr_assert_eq(backward, digits);
    cr_assert_eq(list_is_empty(&head), digits == 0);
}

Test(list, a_new_one_is_empty)
{
    assert_order(0);
    cr_assert_null(list_shift(&head));
}

Test(list, nodes_stand_where_they_were_put)
{
    list_append(&head, &items[1].link);
    list_append(&head, &items[2].link);
    assert_order(23);
    list_prepend(&head, &items[0].link);
    assert_order(123);
    list_insert_before(&items[2].link, &items[3].link);
    assert_order(1243);
}

Test(list, a_removed_node_is_in_no_list_and_may_be_removed_again)
{
    for (int i = 0; i < 3; i++)
        list_append(&head, &items[i].link);
    list_remove(&items[1].link);
    assert_order(13);
    cr_assert(list_is_empty(&items[1].link));
    list_remove(&items[1].link);
    assert_order(13);
    list_remove(&items[0].link);
    list_remove(&items[2].link);
    assert_order(0);
    list_append(&head, &items[1].link);
    assert_order(2);
}

Test(list, shift_takes_the_first)
{
    for (int i = 0; i < 3; i++)
        list_append(&head, &items[i].link);
    struct list *first = list_shift(&head);
    cr_assert_eq(container_of(first, struct item, link), &items[0]);
    cr_assert(list_is_empty(first));
    assert_order(23);
    list_shift(&head);
    list_shift(&head);
    cr_assert_null(list_shift(&head));
}

Test(list, a_node_is_never_in_two_lists, .signal = SIGABRT)
{
    struct list other;
    list_init(&other);
    list_append(&head, &items[0].link);
    list_append(&other, &items[0].link);
}
