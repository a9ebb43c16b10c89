/* seen_ahead.h: marks of messages that only runs have are answered from what was read ahead, and never wrong. */
#include "timeline/seen_ahead.h"

#include <criterion/criterion.h>

#include "rules_seen.h"
#include "timeline/erasure.h"

#define DAY_US INT64_C(86400000000)

/* Messages from bob that alice has received, by their ts in both timelines. */
struct heard {
    uint64_t ts[2 * SEEN_AHEAD_ITEMS];
    uint64_t said[2 * SEEN_AHEAD_ITEMS];
    uint32_t count;
};

static void hear_more(struct talk *talk, struct heard *heard, uint32_t count)
{
    for (uint32_t end = heard->count + count; heard->count < end; heard->count++) {
        harness_advance(talk->harness, 10); /* so that there is a ts between two messages */
        heard->ts[heard->count] = hear_said(talk, &heard->said[heard->count]);
    }
}

/* A conversation of `count` messages that only runs have. */
static struct talk talk_in_runs(const struct harness_options *options, struct heard *heard, uint32_t count)
{
    struct talk talk = talk_open(options);
    *heard = (struct heard){.count = 0};
    hear_more(&talk, heard, count);
    want_round(talk.harness);
    return talk;
}

enum way { BY_READER, AHEAD };

/* Alice marks `ts`; whether the reader was needed. */
static enum way mark(struct talk *talk, uint64_t ts)
{
    harness_hold_jobs(talk->harness, 0, HARNESS_READER, true);
    ask(talk->a, talk->bob, ts);
    harness_run_until_idle(talk->harness);
    uint32_t answered = count_frames(talk->a, "ok");
    harness_hold_jobs(talk->harness, 0, HARNESS_READER, false);
    harness_run_until_idle(talk->harness);
    cr_assert_eq(answered + count_frames(talk->a, "ok"), 1);
    return answered == 1 ? AHEAD : BY_READER;
}

/* Alice's other connection and bob get one push, and his is for what he sent at `said`; 0: there is none. */
static void expect_push(struct talk *talk, uint64_t said)
{
    if (said > 0) {
        json_t *frame = client_expect(talk->b, "seen_by");
        cr_assert_eq(frame_number(frame, "ts"), said);
        json_decref(frame);
    }
    cr_assert_eq(count_frames(talk->b, "seen_by"), 0);
    cr_assert_eq(count_frames(talk->other, "seen"), said > 0);
}

static void mark_message(struct talk *talk, const struct heard *heard, uint32_t index, enum way way)
{
    cr_assert_eq(mark(talk, heard->ts[index]), way, "message %u", index);
    expect_push(talk, heard->said[index]);
}

/* The second mark reads ahead. */
static void mark_two(struct talk *talk, const struct heard *heard)
{
    mark_message(talk, heard, 0, BY_READER);
    mark_message(talk, heard, 1, BY_READER);
}

static void talk_close(struct talk *talk)
{
    clients_drop(talk->harness);
    harness_run_until_idle(talk->harness);
    harness_check_rest(talk->harness);
    harness_close(talk->harness);
}

Test(seen_ahead, marks_one_after_another_need_the_reader_once_a_window)
{
    struct heard heard;
    struct talk talk = talk_in_runs(&(struct harness_options){.shards = 2}, &heard, SEEN_AHEAD_ITEMS + 5);
    mark_two(&talk, &heard);
    uint32_t end = 1 + SEEN_AHEAD_ITEMS;
    for (uint32_t i = 2; i < end; i++)
        mark_message(&talk, &heard, i, AHEAD);
    mark_message(&talk, &heard, end, BY_READER);
    for (uint32_t i = end + 1; i < heard.count; i++)
        mark_message(&talk, &heard, i, AHEAD);
    cr_assert_eq(peers_field(talk.harness, 0, talk.alice, talk.bob, "unseen"), 0);
    talk_close(&talk);
}

Test(seen_ahead, one_that_skips_messages_marks_the_newest_below_it_that_is_from_the_peer)
{
    struct talk talk = talk_open(&(struct harness_options){.shards = 2});
    struct client *carol = client_login(talk.harness, 1, harness_name(talk.harness, 1, 1), "");
    struct heard heard = {.count = 0};
    hear_more(&talk, &heard, 2);
    say(talk.harness, carol, talk.alice);
    uint64_t from_carol = message_ts(talk.a);
    message_ts(talk.other);
    hear_more(&talk, &heard, 4);
    uint64_t from_alice = say(talk.harness, talk.a, talk.bob);
    want_round(talk.harness);
    mark_two(&talk, &heard);
    cr_assert_eq(mark(&talk, from_carol), AHEAD);
    cr_assert_eq(mark(&talk, heard.ts[2] - 1), AHEAD);
    expect_push(&talk, 0);
    cr_assert_eq(mark(&talk, heard.ts[2] + 1), AHEAD);
    expect_push(&talk, heard.said[2]);
    mark_message(&talk, &heard, 4, AHEAD);
    cr_assert_eq(mark(&talk, from_alice), AHEAD);
    expect_push(&talk, heard.said[5]);
    talk_close(&talk);
}

Test(seen_ahead, one_that_is_not_above_the_mark_in_a_run_writes_nothing)
{
    struct heard heard;
    struct talk talk = talk_open(&(struct harness_options){.shards = 2});
    heard.count = 0;
    hear_more(&talk, &heard, 4);
    mark_message(&talk, &heard, 2, AHEAD); /* memory has it */
    want_round(talk.harness);
    cr_assert_eq(mark(&talk, heard.ts[1]), BY_READER);
    cr_assert_eq(mark(&talk, heard.ts[0]), AHEAD, "the mark is known");
    cr_assert_eq(mark(&talk, heard.ts[2]), AHEAD);
    cr_assert_eq(mark(&talk, heard.ts[2] + 1), BY_READER);
    cr_assert_eq(mark(&talk, heard.ts[2] + 2), AHEAD, "between two messages");
    expect_push(&talk, 0);
    mark_message(&talk, &heard, 3, AHEAD);
    talk_close(&talk);
}

Test(seen_ahead, what_went_from_memory_to_a_run_since_is_found_there)
{
    struct heard heard;
    struct talk talk = talk_in_runs(&(struct harness_options){.shards = 2}, &heard, 3);
    hear_more(&talk, &heard, 1);
    mark_two(&talk, &heard);
    want_round(talk.harness);
    mark_message(&talk, &heard, 3, BY_READER);
    talk_close(&talk);
}

Test(seen_ahead, what_a_checkpoint_was_writing_meanwhile_is_found_too)
{
    struct heard heard;
    struct talk talk = talk_in_runs(&(struct harness_options){.shards = 2}, &heard, 3);
    hear_more(&talk, &heard, 1);
    harness_hold_jobs(talk.harness, 0, HARNESS_CHECKPOINT, true);
    want_round(talk.harness);
    cr_assert_not_null(harness_core(talk.harness, 0)->generations.frozen);
    mark_two(&talk, &heard);
    mark_message(&talk, &heard, 2, AHEAD);
    harness_hold_jobs(talk.harness, 0, HARNESS_CHECKPOINT, false);
    harness_run_until_idle(talk.harness);
    cr_assert_null(harness_core(talk.harness, 0)->generations.frozen);
    /* The mark of message 2 is in memory, and is not in the run. */
    mark_message(&talk, &heard, 3, BY_READER);
    talk_close(&talk);
}

Test(seen_ahead, a_freeze_alone_changes_nothing)
{
    struct heard heard;
    struct talk talk = talk_in_runs(&(struct harness_options){.shards = 2}, &heard, 4);
    mark_two(&talk, &heard);
    harness_hold_jobs(talk.harness, 0, HARNESS_CHECKPOINT, true);
    want_round(talk.harness);
    cr_assert_not_null(harness_core(talk.harness, 0)->generations.frozen);
    mark_message(&talk, &heard, 2, AHEAD);
    harness_hold_jobs(talk.harness, 0, HARNESS_CHECKPOINT, false);
    harness_run_until_idle(talk.harness);
    mark_message(&talk, &heard, 3, BY_READER);
    talk_close(&talk);
}

Test(seen_ahead, a_mark_that_went_to_a_run_since_is_not_forgotten)
{
    struct heard heard;
    struct talk talk = talk_in_runs(&(struct harness_options){.shards = 2}, &heard, 5);
    mark_two(&talk, &heard);
    mark_message(&talk, &heard, 4, AHEAD);
    want_round(talk.harness);
    cr_assert_eq(mark(&talk, heard.ts[3]), BY_READER);
    expect_push(&talk, 0);
    cr_assert_eq(peers_field(talk.harness, 0, talk.alice, talk.bob, "seen"), heard.ts[4]);
    talk_close(&talk);
}

/* All are logged out meanwhile. */
static void let_days_pass(struct talk *talk, uint32_t days)
{
    clients_drop(talk->harness);
    harness_advance(talk->harness, days * DAY_US);
    harness_run_until_idle(talk->harness);
    talk->a = client_login(talk->harness, 0, talk->alice, "");
    talk->other = client_login(talk->harness, 0, talk->alice, "");
    talk->b = client_login(talk->harness, 1, talk->bob, "");
}

Test(seen_ahead, what_is_cut_since_is_not_marked)
{
    struct heard heard;
    struct harness_options options = {.shards = 2, .retention_s = 3 * 43200, .wall_us = UINT64_C(1800000000000000)};
    struct talk talk = talk_open(&options);
    heard.count = 0;
    hear_more(&talk, &heard, 4);
    let_days_pass(&talk, 1);
    hear_more(&talk, &heard, 2);
    want_round(talk.harness);
    want_round(talk.harness);
    mark_two(&talk, &heard);
    harness_hold_jobs(talk.harness, 0, HARNESS_CHECKPOINT, true);
    let_days_pass(&talk, 1);
    cr_assert_gt(erasure_cut_ts(harness_core(talk.harness, 0), span_of(talk.alice)), heard.ts[3]);
    cr_assert_eq(mark(&talk, heard.ts[3]), AHEAD);
    cr_assert_eq(mark(&talk, heard.ts[4] - 1), AHEAD);
    expect_push(&talk, 0);
    mark_message(&talk, &heard, 4, AHEAD);
    harness_hold_jobs(talk.harness, 0, HARNESS_CHECKPOINT, false);
    talk_close(&talk);
}

Test(seen_ahead, a_second_request_meanwhile_is_read_alone)
{
    struct heard heard;
    struct talk talk = talk_in_runs(&(struct harness_options){.shards = 2}, &heard, 6);
    mark_message(&talk, &heard, 0, BY_READER);
    harness_hold_jobs(talk.harness, 0, HARNESS_READER, true);
    ask(talk.a, talk.bob, heard.ts[1]);
    harness_run_until_idle(talk.harness);
    ask(talk.other, talk.bob, heard.ts[2]);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(harness_core(talk.harness, 0)->seens.ahead->taken_count, 1);
    cr_assert_eq(count_frames(talk.a, "ok") + count_frames(talk.other, "ok"), 0);
    harness_hold_jobs(talk.harness, 0, HARNESS_READER, false);
    harness_run_until_idle(talk.harness);
    cr_assert_eq(count_frames(talk.a, "ok"), 1);
    cr_assert_eq(count_frames(talk.other, "ok"), 1);
    cr_assert_eq(count_frames(talk.b, "seen_by"), 2);
    count_frames(talk.other, "seen");
    mark_message(&talk, &heard, 3, AHEAD);
    talk_close(&talk);
}

Test(seen_ahead, large_texts_end_the_window_early)
{
    enum { LARGE = 15000, COUNT = SEEN_AHEAD_BYTES / LARGE + 4 };
    struct talk talk = talk_open(&(struct harness_options){.shards = 2});
    struct heard heard = {.count = 0};
    static char text[LARGE + 1];
    memset(text, 'x', LARGE);
    for (; heard.count < COUNT; heard.count++) {
        client_send(talk.b, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"%s\"}", talk.alice, text);
        harness_run_until_idle(talk.harness);
        json_t *frame = client_expect(talk.b, "ok");
        heard.said[heard.count] = frame_number(frame, "ts");
        json_decref(frame);
        message_ts(talk.other);
        heard.ts[heard.count] = message_ts(talk.a);
    }
    want_round(talk.harness);
    mark_two(&talk, &heard);
    uint32_t by_reader = 0;
    for (uint32_t i = 2; i < COUNT; i++) {
        by_reader += mark(&talk, heard.ts[i]) == BY_READER;
        expect_push(&talk, heard.said[i]);
    }
    cr_assert_eq(by_reader, 1);
    talk_close(&talk);
}
