#include "cluster/election.h"

#include <criterion/criterion.h>

#define SLOTS 3u
#define BEGIN_US UINT64_C(50000000)

static struct election election;
static struct ownership meta;

static void begin(void)
{
    ownership_init(&meta, SLOTS, 1, "north", &(struct ownership_mark){0});
    election_init(&election, SLOTS, 0, false, BEGIN_US);
}

static void end(void)
{
    ownership_fini(&meta);
}

TestSuite(election, .init = begin, .fini = end);

static enum election_action step(uint64_t after_us)
{
    return election_step(&election, &meta, BEGIN_US + after_us);
}

/* The same by a node that, when it has to look, finds nothing new. */
static enum election_action step_in_silence(uint64_t after_us)
{
    if (step(after_us) == ELECTION_LOOK)
        election_on_look(&election, BEGIN_US + after_us);
    return step(after_us);
}

/* The meta log is read to its end. */
static void read_meta(void)
{
    ownership_on_read(&meta, 0);
}

static void win_meta(void)
{
    read_meta();
    cr_assert_eq(step_in_silence(ELECTION_SILENCE_US), ELECTION_TAKE_META);
    cr_assert(ownership_take(&meta, election.generation, span_of("wss://here"), 1));
    ownership_on_append(&meta, LOG_APPEND_ACKED);
}

static void win_all(void)
{
    win_meta();
    cr_assert_eq(step(ELECTION_SILENCE_US), ELECTION_TAKE_SLOTS);
    for (uint32_t i = 0; i < SLOTS; i++)
        election_on_slot(&election, ELECTION_SLOT_OWNED);
    cr_assert_eq(step(ELECTION_SILENCE_US), ELECTION_SERVE);
}

Test(election, a_node_tries_after_silence_and_when_it_has_read_the_meta_log)
{
    cr_assert_eq(step(ELECTION_SILENCE_US), ELECTION_NOTHING);
    read_meta();
    cr_assert_eq(step(ELECTION_SILENCE_US - 1), ELECTION_NOTHING);
    election_on_news(&election, BEGIN_US + 1000);
    cr_assert_eq(step(ELECTION_SILENCE_US), ELECTION_NOTHING);
    cr_assert_eq(step_in_silence(ELECTION_SILENCE_US + 1000), ELECTION_TAKE_META);
    cr_assert_eq(election.generation, 1);
}

Test(election, the_time_in_which_a_node_did_not_look_is_no_silence)
{
    const uint64_t after_us = 3 * ELECTION_SILENCE_US; /* as long as it wrote its runs */
    read_meta();
    cr_assert_eq(step(after_us), ELECTION_LOOK);
    cr_assert_eq(step(after_us), ELECTION_LOOK, "nobody has looked");
    election_on_news(&election, BEGIN_US + after_us);
    cr_assert_eq(step(after_us + ELECTION_SILENCE_US - 1), ELECTION_NOTHING);
    cr_assert_eq(step(after_us + ELECTION_SILENCE_US), ELECTION_LOOK);
}

Test(election, a_look_counts_for_the_time_of_a_heartbeat)
{
    read_meta();
    cr_assert_eq(step(ELECTION_SILENCE_US), ELECTION_LOOK);
    election_on_look(&election, BEGIN_US + ELECTION_SILENCE_US);
    cr_assert_eq(step(ELECTION_SILENCE_US + ELECTION_HEARTBEAT_US + 1), ELECTION_LOOK);
    cr_assert_eq(step(ELECTION_SILENCE_US + ELECTION_HEARTBEAT_US), ELECTION_TAKE_META);
}

Test(election, a_node_waits_longer_for_each_that_is_preferred)
{
    election_init(&election, SLOTS, 2, false, BEGIN_US);
    read_meta();
    cr_assert_eq(step(ELECTION_SILENCE_US + 2 * ELECTION_RANK_US - 1), ELECTION_NOTHING);
    cr_assert_eq(step_in_silence(ELECTION_SILENCE_US + 2 * ELECTION_RANK_US), ELECTION_TAKE_META);
}

Test(election, the_owner_that_comes_back_tries_at_once)
{
    election_init(&election, SLOTS, 1, true, BEGIN_US);
    read_meta();
    cr_assert_eq(step_in_silence(0), ELECTION_TAKE_META);
}

Test(election, the_winner_serves_when_all_slots_are_its_own)
{
    win_meta();
    cr_assert_eq(step(ELECTION_SILENCE_US), ELECTION_TAKE_SLOTS);
    for (uint32_t i = 0; i < SLOTS; i++) {
        cr_assert_neq(step(ELECTION_SILENCE_US), ELECTION_SERVE);
        election_on_slot(&election, ELECTION_SLOT_OWNED);
    }
    cr_assert_eq(step(ELECTION_SILENCE_US), ELECTION_SERVE);
    cr_assert_eq(election.state, ELECTION_ACTIVE);
}

Test(election, the_loser_waits_for_silence_again)
{
    read_meta();
    cr_assert_eq(step_in_silence(ELECTION_SILENCE_US), ELECTION_TAKE_META);
    cr_assert_eq(step(ELECTION_SILENCE_US), ELECTION_NOTHING, "the log follows: the TAKE was refused");
    cr_assert_eq(election.state, ELECTION_STANDBY);
    cr_assert_eq(step(2 * ELECTION_SILENCE_US - 1), ELECTION_NOTHING);
    cr_assert_eq(step_in_silence(2 * ELECTION_SILENCE_US), ELECTION_TAKE_META);
}

Test(election, who_has_lost_one_log_steps_down)
{
    win_all();
    election_on_slot(&election, ELECTION_SLOT_LOST);
    cr_assert_eq(step(ELECTION_SILENCE_US), ELECTION_STEP_DOWN);
    election_reset(&election, BEGIN_US);
    cr_assert_eq(step(ELECTION_SILENCE_US - 1), ELECTION_NOTHING);
}

Test(election, who_has_lost_the_meta_log_steps_down)
{
    win_all();
    meta.state = OWNERSHIP_DEPOSED;
    cr_assert_eq(step(ELECTION_SILENCE_US), ELECTION_STEP_DOWN);
}

Test(election, a_node_with_a_damaged_log_does_not_take_over)
{
    election_on_damage(&election);
    read_meta();
    cr_assert_eq(step(ELECTION_SILENCE_US), ELECTION_NOTHING);
    election_reset(&election, BEGIN_US);
    win_all();
    election_on_damage(&election);
    cr_assert_eq(step(ELECTION_SILENCE_US), ELECTION_STEP_DOWN);
}
