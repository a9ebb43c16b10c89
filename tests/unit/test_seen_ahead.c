/* What a place says of its range, and whose it is. tests/sim/test_rules_seen_ahead.c has the reads. */
#include "timeline/seen_ahead.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define MARK 7u
#define NOTHING 0u
#define UNKNOWN UINT64_MAX

static const struct seen_ahead_key key = {.hash = 3, .user = {"alice", 5}, .peer = {"bob", 3}, .oldest = 4};

static struct seen_ahead *table_open(void)
{
    struct seen_ahead *ahead = calloc(1, sizeof *ahead);
    cr_assert_not_null(ahead);
    return ahead;
}

/* Runs have a message from the peer at `ts` (0: none) and no other at after < ts < before. */
static void fill(struct seen_ahead *ahead, uint64_t after, uint64_t ts, uint64_t before)
{
    bool is_again;
    static const uint8_t mid[LIMIT_MID_BYTES] = {1};
    struct message message = {.ts = ts, .other_ts = ts + 1, .role = ROLE_RECEIVED, .mid = mid};
    struct seen_place *place = seen_ahead_take(ahead, &key, &is_again);
    cr_assert_not_null(place);
    seen_place_begin(place, MARK, after, before, ts == 0 ? NULL : &message);
    seen_ahead_return(ahead, place, true);
}

/* The ts of the message that the table names; or NOTHING, or UNKNOWN. */
static uint64_t find(const struct seen_ahead *ahead, const struct seen_ahead_key *asked, uint64_t after,
                     uint64_t before)
{
    uint64_t mark = 0;
    const struct seen_item *item;
    if (!seen_ahead_find(ahead, asked, after, before, &mark, &item))
        return UNKNOWN;
    cr_assert_eq(mark, MARK);
    cr_assert(item == NULL || item->other_ts == item->ts + 1);
    return item == NULL ? NOTHING : item->ts;
}

Test(seen_ahead, a_place_knows_all_from_its_first_message_to_its_end)
{
    struct seen_ahead *ahead = table_open();
    cr_assert_eq(find(ahead, &key, 0, 100), UNKNOWN);
    fill(ahead, 10, 20, 30);
    cr_assert_eq(find(ahead, &key, 0, 30), 20, "what is below does not matter");
    cr_assert_eq(find(ahead, &key, 0, 21), 20);
    cr_assert_eq(find(ahead, &key, 0, 20), UNKNOWN);
    cr_assert_eq(find(ahead, &key, 12, 18), UNKNOWN, "runs may have an older one there");
    cr_assert_eq(find(ahead, &key, 0, 31), UNKNOWN);
    cr_assert_eq(find(ahead, &key, 19, 30), 20);
    cr_assert_eq(find(ahead, &key, 20, 30), NOTHING, "the caller knows that one, or it is cut");
    cr_assert_eq(find(ahead, &key, 25, 30), NOTHING);
    cr_assert_eq(find(ahead, &key, 29, 30), NOTHING);
    free(ahead);
}

Test(seen_ahead, a_place_without_messages_knows_its_range_alone)
{
    struct seen_ahead *ahead = table_open();
    fill(ahead, 10, 0, 30);
    cr_assert_eq(find(ahead, &key, 10, 30), NOTHING);
    cr_assert_eq(find(ahead, &key, 9, 30), UNKNOWN, "runs may have one at 10");
    cr_assert_eq(find(ahead, &key, 10, 31), UNKNOWN);
    cr_assert_eq(find(ahead, &key, 0, MARK + 1), NOTHING, "all is seen");
    cr_assert_eq(find(ahead, &key, 0, MARK + 2), UNKNOWN);
    cr_assert_eq(find(ahead, &key, 40, 41), NOTHING, "the mark alone is asked for");
    free(ahead);
}

Test(seen_ahead, a_place_is_of_one_pair_and_of_one_state_of_memory)
{
    struct seen_ahead *ahead = table_open();
    struct seen_ahead_key other = key, later = key;
    bool is_again;
    other.user = (struct span){"alic", 4};
    other.peer = (struct span){"ebob", 4};
    later.oldest++;
    fill(ahead, 10, 20, 30);
    cr_assert_eq(find(ahead, &other, 0, 30), UNKNOWN);
    cr_assert_eq(find(ahead, &later, 0, 30), UNKNOWN);
    cr_assert_eq(find(ahead, &later, 29, 30), UNKNOWN, "nor is the mark known");
    cr_assert_eq(find(ahead, &key, 0, 30), 20);
    seen_ahead_return(ahead, seen_ahead_take(ahead, &other, &is_again), false);
    cr_assert(!is_again);
    cr_assert_eq(find(ahead, &key, 0, 30), UNKNOWN, "the other pair has it now");
    cr_assert_eq(find(ahead, &other, 0, 30), UNKNOWN, "and nothing was read");
    seen_ahead_return(ahead, seen_ahead_take(ahead, &other, &is_again), false);
    cr_assert(is_again);
    free(ahead);
}

Test(seen_ahead, a_place_that_is_being_filled_is_nobody_elses)
{
    struct seen_ahead *ahead = table_open();
    struct seen_ahead_key other = key;
    bool is_again;
    other.peer = (struct span){"carol", 5};
    fill(ahead, 10, 20, 30);
    struct seen_place *place = seen_ahead_take(ahead, &key, &is_again);
    cr_assert(is_again);
    cr_assert_eq(ahead->taken_count, 1);
    cr_assert_null(seen_ahead_take(ahead, &key, &is_again));
    cr_assert_null(seen_ahead_take(ahead, &other, &is_again));
    cr_assert_eq(find(ahead, &key, 0, 30), UNKNOWN);
    seen_ahead_return(ahead, place, false);
    cr_assert_eq(ahead->taken_count, 0);
    cr_assert_eq(find(ahead, &key, 0, 30), UNKNOWN, "the read has failed");
    free(ahead);
}
