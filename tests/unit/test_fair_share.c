/* fair_share: in the reserve who has taken less goes on for longer. */
#include <criterion/criterion.h>

#include "base/fair_share.h"

Test(fair_share, above_the_reserve_everybody_may_take)
{
    cr_assert(fair_share_admits(UINT64_MAX, 100, 100));
    cr_assert_not(fair_share_admits(UINT64_MAX, 99, 100));
}

Test(fair_share, in_the_reserve_those_may_who_have_taken_no_more_than_is_left)
{
    cr_assert(fair_share_admits(50, 50, 100));
    cr_assert_not(fair_share_admits(51, 50, 100));
    cr_assert(fair_share_admits(0, 0, 100), "who has taken nothing");
    cr_assert_not(fair_share_admits(1, 0, 100));
}

Test(fair_share, a_share_stands_for_a_power_of_two_above_the_cost)
{
    cr_assert_eq(fair_share_cost(fair_share_of(0)), 0);
    for (uint64_t cost = 1; cost < UINT64_C(1) << 62; cost = cost * 3 + 1) {
        cr_assert_gt(fair_share_cost(fair_share_of(cost)), cost);
        cr_assert_leq(fair_share_cost(fair_share_of(cost)) / 2, cost);
    }
    cr_assert_eq(fair_share_of(UINT64_MAX), FAIR_SHARE_MOST);
}

/* 2,000 users, each with a hundred requests unanswered, take from a whole of 192 MiB until they
 * are refused. */
Test(fair_share, many_who_send_all_that_they_can_leave_room_for_one_who_sends_little)
{
    enum { USERS = 2000, BYTES = 400, UNANSWERED = 100 };
    uint64_t whole = UINT64_C(192) << 20, room = whole, cost = 0;
    while (fair_share_admits(fair_share_cost(fair_share_of(cost)), room, whole / FAIR_SHARE_RESERVE)) {
        cost += BYTES * UNANSWERED;
        room -= USERS * BYTES;
    }
    cr_assert_gt(room, UINT64_C(4) << 20);
    uint64_t little = 200 * BYTES * 2;
    cr_assert(fair_share_admits(fair_share_cost(fair_share_of(little)), room, whole / FAIR_SHARE_RESERVE));
}
