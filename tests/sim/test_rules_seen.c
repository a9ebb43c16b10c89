/* seen.h: a mark is answered and pushed when it is durable, never goes back, and is whole after a crash. */
#include "timeline/seen.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "durability/checkpoint.h"
#include "rules_seen.h"
#include "timeline/erasure.h"

Test(seen, is_answered_and_pushed_when_it_is_durable_and_not_before)
{
    struct talk talk = talk_open(&(struct harness_options){.shards = 2});
    uint64_t ts = hear(&talk);
    harness_hold_writes(talk.harness, 0, true);
    ask(talk.a, talk.bob, ts);
    harness_run_until_idle(talk.harness);
    cr_assert_null(client_next(talk.a));
    cr_assert_null(client_next(talk.other));
    cr_assert_null(client_next(talk.b));
    harness_hold_writes(talk.harness, 0, false);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(count_frames(talk.a, "ok"), 1);
    cr_assert_eq(count_frames(talk.other, "seen"), 1);
    cr_assert_eq(count_frames(talk.b, "seen_by"), 1);
    cr_assert_eq(peers_field(talk.harness, 0, talk.alice, talk.bob, "seen"), ts);
    cr_assert_eq(peers_field(talk.harness, 0, talk.alice, talk.bob, "unseen"), 0);
    harness_close(talk.harness);
}

Test(seen, one_that_is_not_above_the_mark_writes_nothing)
{
    struct talk talk = talk_open(&(struct harness_options){.shards = 2});
    uint64_t first = hear(&talk), second = hear(&talk);
    ask(talk.a, talk.bob, second);
    harness_run_until_idle(talk.harness);
    count_frames(talk.a, "ok");
    count_frames(talk.b, "seen_by");
    count_frames(talk.other, "seen");
    harness_hold_writes(talk.harness, 0, true);
    for (unsigned i = 0; i < 2; i++) {
        ask(talk.a, talk.bob, i == 0 ? first : second);
        ask(talk.a, talk.bob, TS_MAX);
        ask(talk.a, talk.alice, TS_MAX);
        ask(talk.a, "nobody", TS_MAX);
    }
    harness_run_until_idle(talk.harness);
    cr_assert_eq(count_frames(talk.a, "ok"), 8, "without a write");
    harness_hold_writes(talk.harness, 0, false);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(count_frames(talk.other, "seen"), 0);
    cr_assert_eq(count_frames(talk.b, "seen_by"), 0);
    cr_assert_eq(metric_read(&harness_core(talk.harness, 0)->metrics.seens[METRICS_SEEN_STORED]), 1);
    cr_assert_eq(metric_read(&harness_core(talk.harness, 0)->metrics.seens[METRICS_SEEN_UNCHANGED]), 8);
    harness_close(talk.harness);
}

Test(seen, a_lower_one_in_flight_joins_the_higher_and_pushes_only_rise)
{
    struct talk talk = talk_open(&(struct harness_options){.shards = 2});
    uint64_t ts[4];
    for (unsigned i = 0; i < 4; i++)
        ts[i] = hear(&talk);
    harness_hold_writes(talk.harness, 0, true);
    static const unsigned order[] = {0, 2, 1, 2, 3, 0, 3};
    for (unsigned i = 0; i < 7; i++) {
        ask(talk.a, talk.bob, ts[order[i]]);
        harness_run_until_idle(talk.harness);
    }
    cr_assert_eq(count_frames(talk.a, "ok"), 0, "also the joined ones wait");
    harness_hold_writes(talk.harness, 0, false);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(count_frames(talk.a, "ok"), 7);
    static const unsigned pushed[] = {0, 2, 3};
    for (unsigned i = 0; i < 3; i++) {
        json_t *frame = client_expect(talk.other, "seen");
        cr_assert_eq(frame_number(frame, "ts"), ts[pushed[i]]);
        json_decref(frame);
    }
    cr_assert_eq(count_frames(talk.other, "seen"), 0);
    cr_assert_eq(count_frames(talk.b, "seen_by"), 3);
    harness_close(talk.harness);
}

Test(seen, a_message_that_is_not_durable_yet_is_not_seen)
{
    struct talk talk = talk_open(&(struct harness_options){.shards = 2});
    harness_hold_writes(talk.harness, 0, true);
    client_send(talk.b, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"hello\"}", talk.alice);
    harness_run_until_idle(talk.harness);
    ask(talk.a, talk.bob, TS_MAX);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(count_frames(talk.a, "ok"), 1, "nothing is new: at once");
    cr_assert_eq(peers_field(talk.harness, 0, talk.alice, talk.bob, "unseen"), LIMIT_TS_MAX, "no conversation yet");
    harness_hold_writes(talk.harness, 0, false);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(peers_field(talk.harness, 0, talk.alice, talk.bob, "unseen"), 1);
    harness_close(talk.harness);
}

Test(seen, after_a_failed_write_the_outcome_is_unavailable_and_nothing_is_pushed)
{
    struct talk talk = talk_open(&(struct harness_options){.shards = 2});
    uint64_t ts = hear(&talk);
    harness_fail_writes(talk.harness, 0);
    ask(talk.a, talk.bob, ts);
    ask(talk.a, talk.bob, ts);
    harness_run_until_idle(talk.harness);
    for (unsigned i = 0; i < 2; i++) {
        json_t *frame = client_expect(talk.a, "error");
        cr_assert_str_eq(frame_text(frame, "code"), "unavailable");
        json_decref(frame);
    }
    ask(talk.a, talk.bob, ts);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(count_frames(talk.a, "error"), 1, "no mark is taken any more");
    cr_assert_eq(count_frames(talk.other, "seen"), 0);
    cr_assert_eq(count_frames(talk.b, "seen_by"), 0);
    cr_assert_eq(metric_read(&harness_core(talk.harness, 0)->metrics.seens[METRICS_SEEN_UNKNOWN]), 2);
    harness_close(talk.harness);
}

Test(seen, more_than_a_shard_may_have_in_flight_get_busy)
{
    struct talk talk = talk_open(&(struct harness_options){.shards = 2});
    uint64_t ts = hear(&talk);
    struct client *third = client_login(talk.harness, 0, talk.alice, "");
    harness_hold_writes(talk.harness, 0, true);
    for (unsigned i = 0; i < SEENS_MAX + 5; i++) {
        ask(i < 1000 ? talk.a : i < 2000 ? talk.other : third, talk.bob, ts);
        if (i % 100 == 99)
            harness_run_until_idle(talk.harness);
    }
    harness_run_until_idle(talk.harness);
    cr_assert_eq(count_frames(third, "error"), 5);
    harness_hold_writes(talk.harness, 0, false);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(count_frames(talk.a, "ok"), 1000);
    cr_assert_eq(count_frames(third, "ok"), SEENS_MAX - 2000);
    ask(third, talk.bob, ts);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(count_frames(third, "ok"), 1);
    clients_drop(talk.harness);
    harness_run_until_idle(talk.harness);
    harness_check_rest(talk.harness);
    harness_close(talk.harness);
}

Test(seen, pushes_reach_many_connections_also_while_some_leave)
{
    struct talk talk = talk_open(&(struct harness_options){.shards = 2});
    struct client *many[60];
    for (unsigned i = 0; i < 60; i++)
        many[i] = client_login(talk.harness, 1, talk.bob, "");
    for (unsigned n = 0; n < 20; n++) {
        uint64_t ts = hear(&talk);
        ask(talk.a, talk.bob, ts);
    }
    client_drop(many[59]);
    client_drop(many[30]);
    harness_run_until_idle(talk.harness);
    for (unsigned i = 0; i < 60; i++)
        if (i != 30 && i != 59)
            cr_assert_eq(count_frames(many[i], "seen_by"), 20);
    clients_drop(talk.harness);
    harness_run_until_idle(talk.harness);
    harness_check_rest(talk.harness);
    harness_close(talk.harness);
}

static void mark_whose_letter_does_not_arrive(const char *dir, struct legacy *legacy)
{
    struct talk talk = talk_open(&(struct harness_options){.shards = 2, .dir = dir});
    legacy->ts[0] = hear(&talk);
    harness_hold_letters(talk.harness, 0, 1, true);
    ask(talk.a, talk.bob, legacy->ts[0]);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(count_frames(talk.a, "ok"), 1);
    cr_assert_eq(harness_letters(talk.harness, 0, 1), 1);
}

Test(seen, a_crash_before_the_letter_arrives_leaves_the_mark_of_both)
{
    char dir[64];
    harness_dir_make(dir);
    struct legacy *legacy = harness_live_and_die(dir, mark_whose_letter_does_not_arrive);
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    const char *alice = harness_name(harness, 0, 0), *bob = harness_name(harness, 1, 0);
    cr_assert_eq(peers_field(harness, 0, alice, bob, "seen"), legacy->ts[0]);
    cr_assert_eq(peers_field(harness, 0, alice, bob, "unseen"), 0);
    cr_assert_gt(peers_field(harness, 1, bob, alice, "seen_by"), 0);
    harness_close(harness);
    harness_dir_remove(dir);
}

Test(seen, a_round_does_not_end_before_the_letters_of_its_marks_have_arrived)
{
    struct talk talk = talk_open(&(struct harness_options){.shards = 2});
    uint64_t ts = hear(&talk);
    harness_hold_letters(talk.harness, 0, 1, true);
    ask(talk.a, talk.bob, ts);
    harness_run_until_idle(talk.harness);
    want_round(talk.harness);
    cr_assert_eq(checkpoint_rounds_done(harness_core(talk.harness, 0)), 0);
    cr_assert_geq(harness_letters(talk.harness, 0, 1), 2, "the mark, then END");
    harness_hold_letters(talk.harness, 0, 1, false);
    harness_run_until_idle(talk.harness);
    cr_assert_geq(checkpoint_rounds_done(harness_core(talk.harness, 0)), 1);
    cr_assert_gt(peers_field(talk.harness, 1, talk.bob, talk.alice, "seen_by"), 0, "the run has it");
    harness_close(talk.harness);
}

Test(seen, one_that_waited_for_the_reader_does_not_go_back_behind_a_later_one)
{
    struct talk talk = talk_open(&(struct harness_options){.shards = 2});
    uint64_t first = hear(&talk);
    want_round(talk.harness);
    uint64_t second = hear(&talk);
    harness_hold_jobs(talk.harness, 0, HARNESS_READER, true);
    ask(talk.a, talk.bob, first);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(count_frames(talk.a, "ok"), 0, "runs have the message");
    ask(talk.a, talk.bob, second);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(count_frames(talk.a, "ok"), 1, "memory knows the newer one");
    harness_hold_jobs(talk.harness, 0, HARNESS_READER, false);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(count_frames(talk.a, "ok"), 1);
    cr_assert_eq(count_frames(talk.other, "seen"), 1);
    cr_assert_eq(count_frames(talk.b, "seen_by"), 1);
    cr_assert_eq(peers_field(talk.harness, 0, talk.alice, talk.bob, "seen"), second);
    harness_close(talk.harness);
}

Test(seen, marks_and_messages_in_runs_are_read_there)
{
    struct talk talk = talk_open(&(struct harness_options){.shards = 2});
    uint64_t first = hear(&talk), second = hear(&talk);
    ask(talk.a, talk.bob, first);
    harness_run_until_idle(talk.harness);
    want_round(talk.harness);
    cr_assert_eq(peers_field(talk.harness, 0, talk.alice, talk.bob, "seen"), first);
    cr_assert_eq(peers_field(talk.harness, 0, talk.alice, talk.bob, "unseen"), 1);
    count_frames(talk.a, "ok");
    count_frames(talk.b, "seen_by");
    ask(talk.a, talk.bob, second - 1);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(count_frames(talk.a, "ok"), 1);
    cr_assert_eq(count_frames(talk.b, "seen_by"), 0, "the mark in the run is not below it");
    ask(talk.a, talk.bob, TS_MAX);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(count_frames(talk.b, "seen_by"), 1);
    cr_assert_eq(peers_field(talk.harness, 0, talk.alice, talk.bob, "seen"), second);
    want_round(talk.harness);
    cr_assert_eq(peers_field(talk.harness, 0, talk.alice, talk.bob, "unseen"), 0);
    harness_close(talk.harness);
}

/* The page is begun with the message in memory, and read when that is in a run and gone from memory. */
Test(peers, a_page_is_whole_when_memory_goes_to_a_run_meanwhile)
{
    struct talk talk = talk_open(&(struct harness_options){.shards = 2});
    uint64_t first = hear(&talk);
    hear(&talk);
    want_round(talk.harness);
    hear(&talk);
    ask(talk.a, talk.bob, first);
    harness_run_until_idle(talk.harness);
    count_frames(talk.a, "ok");
    harness_hold_jobs(talk.harness, 0, HARNESS_READER, true);
    client_send(talk.a, "{\"op\":\"peers\",\"id\":7}");
    harness_run_until_idle(talk.harness);
    want_round(talk.harness);
    hear(&talk);
    want_round(talk.harness);
    harness_hold_jobs(talk.harness, 0, HARNESS_READER, false);
    harness_run_until_idle(talk.harness);
    json_t *frame = client_expect(talk.a, "peers");
    json_t *peer = json_array_get(json_object_get(frame, "peers"), 0);
    cr_assert_eq(frame_number(peer, "unseen"), 3, "of a page that began again");
    cr_assert_eq(frame_number(peer, "seen"), first);
    json_decref(frame);
    harness_close(talk.harness);
}

/* -- and erasure -- */

static void on_erased(struct core *core, struct erasure *erasure)
{
    (void)core;
    HARNESS_MUST(erasure->outcome == ERASURE_DONE);
}

/* Erases the timeline of bob, who logs in again. */
static void erase_bob(struct talk *talk)
{
    struct erasure erasure = {.done = on_erased};
    erasure_begin(harness_core(talk->harness, 1), span_of(talk->bob), &erasure);
    harness_run_until_idle(talk->harness);
    client_drop(talk->b);
    talk->b = client_login(talk->harness, 1, talk->bob, "");
}

Test(seen, marks_of_an_erased_timeline_are_none_and_those_of_the_other_side_stay)
{
    struct talk talk = talk_open(&(struct harness_options){.shards = 2});
    uint64_t heard = hear(&talk), said = say(talk.harness, talk.a, talk.bob);
    ask(talk.a, talk.bob, heard);
    ask(talk.b, talk.alice, TS_MAX);
    harness_run_until_idle(talk.harness);
    cr_assert_gt(peers_field(talk.harness, 1, talk.bob, talk.alice, "seen_by"), 0);
    erase_bob(&talk);
    cr_assert_eq(peers_field(talk.harness, 1, talk.bob, talk.alice, "seen"), LIMIT_TS_MAX, "not listed");
    (void)count_frames(talk.a, "ok");
    say(talk.harness, talk.a, talk.bob);
    for (int round = 0; round < 3; round++) {
        cr_assert_eq(peers_field(talk.harness, 1, talk.bob, talk.alice, "seen"), 0);
        cr_assert_eq(peers_field(talk.harness, 1, talk.bob, talk.alice, "seen_by"), 0);
        cr_assert_eq(peers_field(talk.harness, 1, talk.bob, talk.alice, "unseen"), 1);
        cr_assert_eq(peers_field(talk.harness, 0, talk.alice, talk.bob, "seen"), heard, "hers is her own");
        cr_assert_eq(peers_field(talk.harness, 0, talk.alice, talk.bob, "seen_by"), said);
        want_round(talk.harness);
    }
    ask(talk.b, talk.alice, TS_MAX);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(peers_field(talk.harness, 1, talk.bob, talk.alice, "unseen"), 0, "new marks count");
    cr_assert_gt(peers_field(talk.harness, 0, talk.alice, talk.bob, "seen_by"), said);
    harness_close(talk.harness);
}

Test(seen, what_was_seen_of_a_message_that_its_author_has_lost_is_not_pushed_to_them)
{
    struct talk talk = talk_open(&(struct harness_options){.shards = 2});
    uint64_t heard = hear(&talk);
    erase_bob(&talk);
    (void)count_frames(talk.other, "seen");
    ask(talk.a, talk.bob, heard);
    harness_run_until_idle(talk.harness);
    json_decref(client_expect(talk.a, "ok"));
    cr_assert_eq(count_frames(talk.other, "seen"), 1);
    cr_assert_eq(count_frames(talk.b, "seen_by"), 0);
    uint64_t later = hear(&talk);
    ask(talk.a, talk.bob, later);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(count_frames(talk.b, "seen_by"), 1);
    harness_close(talk.harness);
}
