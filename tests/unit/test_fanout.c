/* fanout.h: the bounds within which a user may have another entry. */
#include "timeline/fanout.h"

#include <criterion/criterion.h>

#include "timeline/user.h"

#define CROWD 100u

/* Entries that have left the timeline and are not yet given to all. */
static struct fanout fanout;

static struct user user_of(uint32_t conns)
{
    struct user user = {.fanout = &fanout, .conn_count = conns};
    timeline_init(&user.timeline);
    return user;
}

Test(fanout_bounds, what_has_left_and_is_not_given_counts_as_what_is_pending_does)
{
    struct user user = user_of(1);
    fanout = (struct fanout){.count = TIMELINE_PENDING_MAX - 1};
    cr_assert(fanout_has_room(&user, 1));
    fanout.count++;
    cr_assert_not(fanout_has_room(&user, 1));
    fanout = (struct fanout){.count = 1, .bytes = TIMELINE_PENDING_BYTES_MAX - 10};
    cr_assert(fanout_has_room(&user, 10));
    cr_assert_not(fanout_has_room(&user, 11));
    user.fanout = NULL;
    cr_assert(fanout_has_room(&user, 11));
}

Test(fanout_bounds, entries_times_connections_are_bounded_whether_they_have_left_or_not)
{
    struct user user = user_of(CROWD);
    uint32_t most = FANOUT_PUSHES_MAX / CROWD;
    fanout = (struct fanout){.count = most};
    cr_assert(fanout_has_room(&user, 1));
    fanout.count++;
    cr_assert_not(fanout_has_room(&user, 1));
    user.timeline.pending_count = 100;
    fanout.count = most - 100;
    cr_assert(fanout_has_room(&user, 1));
    fanout.count++;
    cr_assert_not(fanout_has_room(&user, 1));
}
