/* turn.h: what a turn may do of each kind, and of all together. */
#include "server/turn.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct turn turn;

/* A turn that has as many messages as make it as long as any. */
static void setup(void)
{
    turn = (struct turn){.count = 0};
    turn_renew(&turn);
    turn_lengthen(&turn, TURN_WORK_NS);
}

TestSuite(turn, .init = setup);

static void spend_part(enum turn_kind kind, uint32_t divisor)
{
    turn_spend(&turn, kind, turn_limits[kind].max / divisor);
}

Test(turn, a_kind_may_go_on_until_its_budget_is_spent)
{
    for (enum turn_kind kind = 0; kind < TURN_KINDS; kind++) {
        setup();
        turn_spend(&turn, kind, turn_limits[kind].max - 1);
        cr_assert(turn_may(&turn, kind), "kind %d", kind);
        turn_spend(&turn, kind, 1);
        cr_assert_not(turn_may(&turn, kind), "kind %d", kind);
        turn_spend(&turn, kind, 1);
        cr_assert_not(turn_may(&turn, kind), "kind %d, by a step that was too long", kind);
    }
}

Test(turn, what_is_carried_leaves_half_of_a_budget_to_those_who_come_new)
{
    for (enum turn_kind kind = 0; kind < TURN_KINDS; kind++) {
        setup();
        turn_spend(&turn, kind, turn_limits[kind].max / 2 - 1);
        cr_assert(turn_may_carry(&turn, kind), "kind %d", kind);
        turn_spend(&turn, kind, 1);
        cr_assert_not(turn_may_carry(&turn, kind), "kind %d", kind);
        cr_assert(turn_may(&turn, kind), "kind %d", kind);
    }
}

Test(turn, each_kind_has_its_budget_again_when_it_is_renewed)
{
    for (enum turn_kind kind = 0; kind < TURN_KINDS; kind++)
        spend_part(kind, 1);
    turn_over(&turn, 1);
    turn_renew(&turn);
    for (enum turn_kind kind = 0; kind < TURN_KINDS; kind++)
        cr_assert(turn_may(&turn, kind) && turn_may_carry(&turn, kind), "kind %d", kind);
}

static void spend_all_work(void)
{
    turn_spend(&turn, TURN_READS, (uint32_t)(TURN_WORK_NS / turn_limits[TURN_READS].ns) + 1);
}

/* Spends units of `kind` as long as the turn may go on, and returns what they cost. */
static uint64_t spend_while_allowed(enum turn_kind kind)
{
    while (turn_may(&turn, kind))
        turn_spend(&turn, kind, 1);
    return turn.work_ns;
}

Test(turn, one_without_messages_is_short)
{
    turn_over(&turn, 1);
    cr_assert_eq(spend_while_allowed(TURN_READS), TURN_SHORT_NS);
    for (enum turn_kind kind = 0; kind < TURN_KINDS; kind++)
        cr_assert(kind == TURN_READS || turn_may(&turn, kind), "kind %d has its least", kind);
}

/* A short turn puts off more than a long one, but drops no more. */
Test(turn, one_without_messages_is_not_full_when_it_is_over)
{
    turn_over(&turn, 1);
    (void)spend_while_allowed(TURN_READS);
    spend_part(TURN_PUSHES, 4);
    cr_assert_not(turn_may_carry(&turn, TURN_PUSHES));
    cr_assert_not(turn_is_full(&turn, TURN_PUSHES));
    spend_all_work();
    cr_assert(turn_is_full(&turn, TURN_PUSHES));
    setup();
    spend_part(TURN_PUSHES, 2);
    cr_assert(turn_is_full(&turn, TURN_PUSHES), "what a queue may have is used up");
}

Test(turn, each_message_makes_it_longer_by_more_than_the_message_costs)
{
    turn_over(&turn, 1);
    turn_lengthen(&turn, TURN_STORED_NS);
    turn_lengthen(&turn, TURN_DELIVERED_NS);
    cr_assert_geq(spend_while_allowed(TURN_READS), TURN_SHORT_NS + TURN_STORED_NS + TURN_DELIVERED_NS);
    uint64_t sends_ns = UINT64_C(2) * TURN_SEND_NS;
    cr_assert_gt(TURN_STORED_NS + TURN_DELIVERED_NS,
                 turn_limits[TURN_INPUT].ns + turn_limits[TURN_ARRIVALS].ns + sends_ns);
}

Test(turn, connections_with_output_make_it_end_earlier_but_are_no_counted_work)
{
    turn_over(&turn, 1);
    for (uint32_t i = 0; i < TURN_SHORT_NS / TURN_SEND_NS + 1; i++)
        turn_note_output(&turn);
    cr_assert_eq(turn.work_ns, 0);
    uint64_t least_ns = turn_limits[TURN_READS].max / 8 * (uint64_t)turn_limits[TURN_READS].ns;
    cr_assert_eq(spend_while_allowed(TURN_READS), least_ns);
    turn_over(&turn, 1);
    turn_renew(&turn);
    cr_assert_eq(spend_while_allowed(TURN_READS), TURN_SHORT_NS, "the next turn owes nothing");
}

Test(turn, past_its_limit_of_work_a_kind_has_an_eighth_of_its_budget_and_no_more)
{
    spend_all_work();
    for (enum turn_kind kind = 0; kind < TURN_KINDS; kind++) {
        if (kind == TURN_READS)
            continue;
        cr_assert(turn_may(&turn, kind), "kind %d", kind);
        spend_part(kind, 8);
        cr_assert(!turn_may(&turn, kind) && !turn_may_carry(&turn, kind), "kind %d", kind);
    }
    turn_over(&turn, 1);
    turn_renew(&turn);
    turn_lengthen(&turn, TURN_WORK_NS);
    spend_all_work();
    for (enum turn_kind kind = 0; kind < TURN_KINDS; kind++)
        cr_assert(kind == TURN_READS || turn_may(&turn, kind), "kind %d, in the next turn", kind);
}

Test(turn, the_longest_is_kept_by_counted_work_and_by_the_clock)
{
    turn_spend(&turn, TURN_INPUT, 3);
    turn_spend(&turn, TURN_PUSHES, 5);
    uint64_t work_ns = 3 * turn_limits[TURN_INPUT].ns + 5 * turn_limits[TURN_PUSHES].ns;
    turn_over(&turn, 7);
    turn_over(&turn, 9);
    cr_assert(turn.longest_work_ns == work_ns && turn.longest_us == 9 && turn.count == 2);
}

/* In any order, by steps of any length. */
Test(turn, no_turn_counts_more_work_than_the_most)
{
    srandom(1);
    for (uint32_t i = 0; i < 20000; i++) {
        enum turn_kind kind = (enum turn_kind)(random() % TURN_KINDS);
        if (turn_may(&turn, kind))
            turn_spend(&turn, kind, 1 + (uint32_t)random() % turn_limits[kind].step);
        if (i % 500 != 499)
            continue;
        turn_over(&turn, 1);
        turn_renew(&turn);
        turn_lengthen(&turn, i % 1000 == 999 ? TURN_WORK_NS : 0);
    }
    cr_assert_leq(turn.longest_work_ns, turn_work_ns_max());
    cr_assert_geq(turn.longest_work_ns, TURN_WORK_NS, "the turns were full");
}
