/* erasure.h: what is cut is gone at once, stays gone, and takes nothing else along. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "durability/checkpoint.h"
#include "rules_timeline.h"
#include "timeline/erasure.h"

struct asked {
    struct erasure erasure;
    bool is_done;
};

static void on_done(struct core *core, struct erasure *erasure)
{
    (void)core;
    struct asked *asked = container_of(erasure, struct asked, erasure);
    cr_assert_not(asked->is_done);
    asked->is_done = true;
}

static void begin(struct harness *harness, uint32_t shard, const char *user, struct asked *asked)
{
    *asked = (struct asked){.erasure = {.done = on_done}};
    erasure_begin(harness_core(harness, shard), span_of(user), &asked->erasure);
}

/* Erases the timeline of the user; the ts up to which it is gone. */
static uint64_t erase(struct harness *harness, uint32_t shard, const char *user)
{
    struct asked asked;
    begin(harness, shard, user, &asked);
    harness_run_until_idle(harness);
    HARNESS_MUST(asked.is_done && asked.erasure.outcome == ERASURE_DONE);
    return asked.erasure.ts;
}

static void expect_close(struct client *client, uint64_t code)
{
    uint64_t closed = 0;
    for (json_t *frame; (frame = client_next(client)) != NULL; json_decref(frame))
        if (json_object_get(frame, "close") != NULL)
            closed = frame_number(frame, "close");
    cr_assert_eq(closed, code, "closed with %llu", (unsigned long long)closed);
}

Test(erasure, is_seen_at_once_in_one_timeline_and_leaves_the_copies_of_others)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    const char *alice = harness_name(harness, 0, 0), *bob = harness_name(harness, 1, 0);
    struct client *client = client_login(harness, 0, alice, "");
    say(harness, client, bob, "one");
    want_round(harness);
    uint64_t last = say(harness, client, bob, "two");
    uint64_t ts = erase(harness, 0, alice);
    cr_assert_gt(ts, last);
    expect_close(client, ERASURE_CLOSE_CODE);
    cr_assert_str_eq(texts_of(harness, 0, alice), "");
    cr_assert_str_eq(texts_of(harness, 1, bob), "one two");
    cr_assert_eq(login_field(harness, 0, alice, "first"), ts);
    cr_assert_eq(login_field(harness, 0, alice, "last"), ts);
    cr_assert_eq(login_field(harness, 1, bob, "first"), 0);
    harness_close(harness);
}

Test(erasure, leaves_users_whose_names_begin_or_go_on_as_that_of_the_user)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct client *ann = client_login(harness, 0, "ann", "");
    say(harness, ann, "anna", "hello");
    say(harness, ann, "an", "hello");
    want_round(harness);
    erase(harness, 0, "ann");
    cr_assert_str_eq(texts_of(harness, 0, "ann"), "");
    cr_assert_str_eq(texts_of(harness, 0, "anna"), "hello");
    cr_assert_str_eq(texts_of(harness, 0, "an"), "hello");
    want_round(harness);
    cr_assert_str_eq(texts_of(harness, 0, "anna"), "hello");
    harness_close(harness);
}

Test(erasure, waits_for_sends_that_are_not_durable_yet_and_erases_them_too)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    const char *alice = harness_name(harness, 0, 0), *bob = harness_name(harness, 1, 0);
    struct client *client = client_login(harness, 0, alice, "");
    struct asked asked;
    harness_hold_writes(harness, 1, true);
    send_text(client, bob, "early");
    harness_run_until_idle(harness);
    begin(harness, 0, alice, &asked);
    harness_run_until_idle(harness);
    cr_assert_not(asked.is_done, "a send before it is pending");
    cr_assert_eq(log_filling_records(&harness_core(harness, 0)->wal_writer.log), 0);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    cr_assert(asked.is_done);
    json_decref(client_expect(client, "ok"));
    cr_assert_str_eq(texts_of(harness, 0, alice), "");
    cr_assert_str_eq(texts_of(harness, 1, bob), "early");
    harness_close(harness);
}

Test(erasure, is_not_done_before_its_record_is_durable_and_lets_later_sends_stay)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    const char *alice = harness_name(harness, 0, 0), *bob = harness_name(harness, 0, 1);
    struct client *client = client_login(harness, 0, alice, ""), *other = client_login(harness, 0, bob, "");
    struct asked asked;
    say(harness, client, bob, "early");
    harness_hold_writes(harness, 0, true);
    begin(harness, 0, alice, &asked);
    harness_run_until_idle(harness);
    cr_assert_not(asked.is_done);
    cr_assert_str_eq(history_texts(client, ""), "early");
    send_text(other, alice, "late");
    harness_run_until_idle(harness);
    harness_hold_writes(harness, 0, false);
    harness_run_until_idle(harness);
    cr_assert(asked.is_done);
    cr_assert_str_eq(texts_of(harness, 0, alice), "late");
    harness_close(harness);
}

Test(erasure, a_client_below_first_is_replayed_from_there_without_a_gap)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    const char *alice = harness_name(harness, 0, 0), *bob = harness_name(harness, 0, 1);
    struct client *client = client_login(harness, 0, alice, ""), *other = client_login(harness, 0, bob, "");
    char after[64];
    uint64_t cursor = say(harness, client, bob, "gone");
    uint64_t first = erase(harness, 0, alice);
    say(harness, other, alice, "new");
    want_round(harness);
    snprintf(after, sizeof after, ",\"after\":%llu", (unsigned long long)cursor);
    struct client *again = client_login(harness, 0, alice, after);
    json_t *frame = client_expect(again, "msg");
    cr_assert_str_eq(frame_text(frame, "text"), "new");
    cr_assert_eq(frame_number(frame, "prev"), first);
    json_decref(frame);
    json_decref(client_expect(again, "live"));
    say(harness, other, alice, "newer");
    json_decref(client_expect(again, "msg"));
    harness_close(harness);
}

Test(erasure, a_client_whose_cursor_is_first_itself_goes_on_from_there)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    const char *alice = harness_name(harness, 0, 0), *bob = harness_name(harness, 0, 1);
    struct client *client = client_login(harness, 0, alice, ""), *other = client_login(harness, 0, bob, "");
    char after[64];
    say(harness, client, bob, "gone");
    uint64_t first = erase(harness, 0, alice);
    snprintf(after, sizeof after, ",\"after\":%llu", (unsigned long long)first);
    struct client *again = client_login(harness, 0, alice, after);
    json_decref(client_expect(again, "live"));
    say(harness, other, alice, "new");
    json_t *frame = client_expect(again, "msg");
    cr_assert_eq(frame_number(frame, "prev"), first);
    json_decref(frame);
    harness_close(harness);
}

static void resend(struct harness *harness, const char *alice, const char *bob, uint64_t ts)
{
    struct client *client = client_login(harness, 0, alice, "");
    send_text(client, bob, "once");
    harness_run_until_idle(harness);
    json_t *frame = client_expect(client, "ok");
    cr_assert(json_is_true(json_object_get(frame, "dup")));
    cr_assert_eq(frame_number(frame, "ts"), ts);
    json_decref(frame);
    client_drop(client);
    harness_run_until_idle(harness);
    cr_assert_str_eq(texts_of(harness, 0, bob), "once");
    cr_assert_str_eq(texts_of(harness, 0, alice), "");
}

Test(erasure, a_send_that_is_repeated_after_it_is_not_stored_again)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    const char *alice = harness_name(harness, 0, 0), *bob = harness_name(harness, 0, 1);
    struct client *client = client_login(harness, 0, alice, "");
    uint64_t ts = say(harness, client, bob, "once");
    erase(harness, 0, alice);
    resend(harness, alice, bob, ts);
    want_round(harness);
    resend(harness, alice, bob, ts);
    harness_close(harness);
}

Test(erasure, a_send_that_is_repeated_after_it_and_a_leap_of_the_clock_is_not_stored_again)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    const char *alice = harness_name(harness, 0, 0), *bob = harness_name(harness, 0, 1);
    struct client *client = client_login(harness, 0, alice, "");
    uint64_t ts = say(harness, client, bob, "once");
    erase(harness, 0, alice);
    harness_leap(harness, INT64_C(2) * 86400 * 1000000);
    harness_advance(harness, 1000000);
    harness_run_until_idle(harness);
    for (int i = 0; i < 3; i++)
        want_round(harness);
    resend(harness, alice, bob, ts);
    harness_close(harness);
}

static void life_with_an_erasure(const char *dir, struct legacy *legacy)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    const char *alice = harness_name(harness, 0, 0), *bob = harness_name(harness, 1, 0);
    struct client *client = client_login(harness, 0, alice, "");
    say(harness, client, bob, "one");
    want_round(harness);
    say(harness, client, bob, "two");
    legacy->ts[0] = erase(harness, 0, alice);
}

/* The same, and checkpoints have recycled the WAL that had the record. */
static void life_with_an_erasure_and_rounds(const char *dir, struct legacy *legacy)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    const char *alice = harness_name(harness, 0, 0), *bob = harness_name(harness, 1, 0);
    struct client *client = client_login(harness, 0, alice, "");
    say(harness, client, bob, "one");
    want_round(harness);
    say(harness, client, bob, "two");
    legacy->ts[0] = erase(harness, 0, alice);
    client = client_login(harness, 1, bob, "");
    for (int i = 0; i < 3; i++) {
        say(harness, client, harness_name(harness, 1, 1), "other");
        want_round(harness);
    }
}

static void check_next_life(void (*life)(const char *dir, struct legacy *legacy))
{
    char dir[64];
    harness_dir_make(dir);
    struct legacy *legacy = harness_live_and_die(dir, life);
    for (int i = 0; i < 2; i++) {
        struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
        const char *alice = harness_name(harness, 0, 0), *bob = harness_name(harness, 1, 0);
        cr_assert_str_eq(texts_of(harness, 0, alice), "");
        cr_assert_str_eq(history_texts(client_login(harness, 1, bob, ""), ",\"after\":0,\"limit\":2"), "one two");
        cr_assert_eq(login_field(harness, 0, alice, "first"), legacy->ts[0]);
        harness_close(harness);
    }
    harness_dir_remove(dir);
}

Test(erasure, survives_a_crash_by_its_record_in_the_wal)
{
    check_next_life(life_with_an_erasure);
}

Test(erasure, survives_a_crash_by_the_manifest_when_its_record_is_recycled)
{
    check_next_life(life_with_an_erasure_and_rounds);
}

Test(erasure, after_a_failed_write_its_outcome_is_unknown_and_later_ones_are_refused)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct asked first, second;
    harness_fail_writes(harness, 0);
    begin(harness, 0, "ann", &first);
    harness_run_until_idle(harness);
    cr_assert_eq(first.erasure.outcome, ERASURE_UNKNOWN);
    begin(harness, 0, "ann", &second);
    cr_assert(second.is_done);
    cr_assert_eq(second.erasure.outcome, ERASURE_REFUSED);
    harness_close(harness);
}

Test(erasure, that_waits_for_a_send_to_a_shard_that_fails_is_refused_and_does_not_delay_the_end)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    const char *alice = harness_name(harness, 0, 0), *bob = harness_name(harness, 1, 0);
    struct client *client = client_login(harness, 0, alice, "");
    struct asked asked;
    harness_hold_writes(harness, 1, true);
    send_text(client, bob, "early");
    harness_run_until_idle(harness);
    begin(harness, 0, alice, &asked);
    harness_run_until_idle(harness);
    cr_assert_not(asked.is_done, "a send before it is pending");
    harness_fail_writes(harness, 1);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    harness_advance(harness, 2000000);
    harness_run_until_idle(harness);
    cr_assert(asked.is_done);
    cr_assert_eq(asked.erasure.outcome, ERASURE_REFUSED);
    cr_assert_eq(harness_core(harness, 0)->erasures.count, 0);
    harness_close(harness);
}

/* -- the files -- */

static int count_row(void *context, struct span user, const struct message *message)
{
    (void)user;
    (void)message;
    ++*(uint32_t *)context;
    return 0;
}

static uint32_t rows_in_runs(struct harness *harness, uint32_t shard)
{
    uint32_t count = 0;
    HARNESS_MUST(store_reader_walk(harness_core(harness, shard)->reads.store_reader, count_row, &count) == 0);
    return count;
}

Test(erasure, a_run_is_rewritten_without_the_entries_in_time_but_with_keyed_sends_of_the_last_day)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .erase_within_s = 100});
    struct client *client = client_login(harness, 0, "ann", "");
    client_send(client, "{\"op\":\"send\",\"id\":1,\"to\":\"bob\",\"text\":\"no key\"}");
    say(harness, client, "bob", "with a key");
    want_round(harness);
    cr_assert_eq(rows_in_runs(harness, 0), 4);
    erase(harness, 0, "ann");
    want_round(harness);
    cr_assert_eq(rows_in_runs(harness, 0), 4, "it is not time yet");
    harness_advance(harness, 101000000);
    for (int i = 0; i < 3; i++)
        want_round(harness);
    cr_assert_eq(rows_in_runs(harness, 0), 3, "a key may be needed for a day");
    harness_advance(harness, INT64_C(86400000000));
    for (int i = 0; i < 3; i++)
        want_round(harness);
    cr_assert_eq(rows_in_runs(harness, 0), 2);
    cr_assert_str_eq(texts_of(harness, 0, "bob"), "no key with a key");
    harness_close(harness);
}

/* Nothing is in memory: only the WAL says that a round has something to do. */
Test(erasure, cuts_alone_cause_a_round_which_empties_the_wal_and_no_other_one_follows)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct core *core = harness_core(harness, 1);
    for (uint32_t round = 1; round <= 2; round++) {
        erase(harness, 1, harness_name(harness, 1, 0));
        cr_assert_eq(memtable_entry_count(core->generations.filling), 0);
        cr_assert(log_has_batches(&core->wal_writer.log));
        want_round(harness);
        cr_assert_eq(checkpoint_rounds_done(core), round);
        cr_assert_not(log_has_batches(&core->wal_writer.log));
        want_round(harness);
        cr_assert_eq(checkpoint_rounds_done(core), round, "there is nothing more to do");
    }
    harness_close(harness);
}
