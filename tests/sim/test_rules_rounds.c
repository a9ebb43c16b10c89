/* Rounds: rotate, freeze, write, done, in step over all shards. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "timeline/delivery.h"

#define ROUND_US INT64_C(6000000) /* more than checkpoint_s, less than any time limit */

static void send_text(struct client *client, uint32_t id, const char *to, const char *text)
{
    client_send(client, "{\"op\":\"send\",\"id\":%u,\"to\":\"%s\",\"text\":\"%s\"}", id, to, text);
}

static void want_round(struct harness *harness)
{
    harness_advance(harness, ROUND_US);
    harness_run_until_idle(harness);
}

static struct store_info info_of(struct harness *harness, uint32_t shard)
{
    struct store_info info;
    store_info(harness_core(harness, shard)->runs.store, &info);
    return info;
}

Test(rounds, a_round_writes_memory_to_a_run_and_history_still_shows_it_once)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_text(alice, 1, harness_name(harness, 1, 0), "one");
    harness_run_until_idle(harness);
    want_round(harness);
    cr_assert_eq(info_of(harness, 0).row_count, 1);
    cr_assert_eq(info_of(harness, 1).row_count, 1);
    cr_assert_eq(memtable_entry_count(harness_core(harness, 0)->generations.filling), 0);
    send_text(alice, 2, harness_name(harness, 1, 0), "two");
    harness_run_until_idle(harness);
    cr_assert_str_eq(history_texts(alice, ""), "one two");
    harness_close(harness);
}

Test(rounds, no_shard_freezes_before_it_has_the_end_of_every_shard)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    struct client *dora = client_login(harness, 1, harness_name(harness, 1, 1), "");
    send_text(alice, 1, harness_name(harness, 0, 1), "on shard 0");
    send_text(dora, 1, harness_name(harness, 1, 0), "on shard 1");
    harness_run_until_idle(harness);
    harness_hold_letters(harness, 1, 0, true);
    want_round(harness);
    cr_assert_eq(info_of(harness, 0).run_count, 0, "shard 0 lacks the end of shard 1");
    cr_assert_null(harness_core(harness, 0)->generations.frozen);
    cr_assert_eq(info_of(harness, 1).run_count, 1, "shard 1 has both");
    harness_hold_letters(harness, 1, 0, false);
    harness_run_until_idle(harness);
    cr_assert_eq(info_of(harness, 0).run_count, 1);
    harness_close(harness);
}

Test(rounds, a_shard_with_a_write_in_flight_does_not_announce_its_end)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_text(alice, 1, harness_name(harness, 0, 1), "zero");
    harness_run_until_idle(harness);
    harness_hold_writes(harness, 1, true);
    send_text(alice, 2, harness_name(harness, 1, 0), "one");
    harness_run_until_idle(harness);
    want_round(harness);
    cr_assert_eq(info_of(harness, 0).run_count, 0);
    cr_assert_eq(info_of(harness, 1).run_count, 0);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    cr_assert_eq(info_of(harness, 0).row_count, 3, "the copy of the sender of `one` is of this round too");
    cr_assert_eq(info_of(harness, 1).row_count, 1);
    harness_close(harness);
}

Test(rounds, shards_with_nothing_to_write_take_part)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 4});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    for (uint32_t round = 0; round < 5; round++) {
        send_text(alice, round, harness_name(harness, 0, 1), "x");
        harness_run_until_idle(harness);
        want_round(harness);
        cr_assert_eq(info_of(harness, 0).row_count, 2 * (round + 1));
        cr_assert_eq(memtable_entry_count(harness_core(harness, 0)->generations.filling), 0);
    }
    cr_assert_leq(wal_live_segments(harness_core(harness, 0)->wal_writer.log.file), 2,
                  "the segments of old rounds have gone");
    harness_close(harness);
}

/* The shard of bob has his copy in a run. The copy of alice is only in the WAL of that shard: its segment must stay
 * until the shard of alice is done. */
static void life_until_one_shard_is_done(const char *dir, struct legacy *legacy)
{
    (void)legacy;
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_text(alice, 1, harness_name(harness, 1, 0), "one");
    harness_turn(harness, 0);
    harness_run_until_idle(harness);
    harness_hold_jobs(harness, 0, HARNESS_CHECKPOINT, true);
    want_round(harness);
    cr_assert_eq(info_of(harness, 1).row_count, 1);
    cr_assert_eq(info_of(harness, 0).row_count, 0);
    /* Another round is wanted and cannot begin: the first one is not done everywhere. */
    want_round(harness);
}

Test(rounds, a_segment_stays_until_every_shard_is_done_and_rows_that_are_in_a_run_already_are_shown_once)
{
    char dir[64];
    harness_dir_make(dir);
    harness_live_and_die(dir, life_until_one_shard_is_done);
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    struct client *bob = client_login(harness, 1, harness_name(harness, 1, 0), "");
    cr_assert_str_eq(history_texts(alice, ""), "one", "the copy of alice came from the WAL of the other shard");
    cr_assert_str_eq(history_texts(bob, ""), "one", "the copy of bob is in a run and was also recovered");
    want_round(harness);
    want_round(harness);
    cr_assert_str_eq(history_texts(bob, ""), "one");
    harness_close(harness);
    harness_dir_remove(dir);
}

Test(rounds, a_checkpoint_that_fails_is_tried_again_and_nothing_is_lost)
{
    char dir[64], runs[128], aside[128];
    harness_dir_make(dir);
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_text(alice, 1, harness_name(harness, 0, 1), "one");
    harness_run_until_idle(harness);
    snprintf(runs, sizeof runs, "%s/shard-0000/runs", dir);
    snprintf(aside, sizeof aside, "%s/aside", dir);
    cr_assert(rename(runs, aside) == 0);
    want_round(harness);
    cr_assert_eq(info_of(harness, 0).run_count, 0);
    cr_assert_str_eq(history_texts(alice, ""), "one");
    cr_assert(rename(aside, runs) == 0);
    for (int i = 0; i < 20 && info_of(harness, 0).run_count == 0; i++) {
        harness_advance(harness, 1000000);
        harness_run_until_idle(harness);
    }
    cr_assert_eq(info_of(harness, 0).run_count, 1);
    cr_assert_str_eq(history_texts(alice, ""), "one");
    harness_close(harness);
    harness_dir_remove(dir);
}

/* A former bug: a generation was freed in slices while reads still used it. */
Test(rounds, reads_in_the_turns_in_which_a_generation_is_freed_see_all)
{
    enum { COUNT = 9000, PART = 500 };
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1, .memtable_bytes = 64u << 20});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    for (uint32_t i = 0; i < COUNT; i++) {
        send_text(alice, i, harness_name(harness, 0, 0), "x");
        if (i % PART == PART - 1) {
            harness_run_until_idle(harness);
            for (json_t *frame; (frame = client_next(alice)) != NULL;)
                json_decref(frame);
        }
    }
    harness_advance(harness, ROUND_US);
    uint32_t pages = 0;
    for (uint32_t turn = 0; turn < 40; turn++) {
        client_send(alice, "{\"op\":\"history\",\"id\":1,\"after\":0,\"limit\":1000}");
        harness_turn(harness, 0);
        for (json_t *frame; (frame = client_next(alice)) != NULL; json_decref(frame), pages++)
            cr_assert_eq(json_array_size(json_object_get(frame, "messages")), 1000);
    }
    cr_assert_gt(pages, 20);
    cr_assert_eq(info_of(harness, 0).row_count, COUNT);
    harness_close(harness);
}

Test(rounds, runs_are_merged_and_lose_nothing)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    const char *alice_name = harness_name(harness, 0, 0);
    struct client *alice = client_login(harness, 0, alice_name, "");
    char wanted[4096] = "", text[16];
    for (uint32_t i = 0; i < 14; i++) {
        snprintf(text, sizeof text, "m%u", i);
        send_text(alice, i, harness_name(harness, 1, 0), text);
        strcat(wanted, i == 0 ? "" : " ");
        strcat(wanted, text);
        harness_run_until_idle(harness);
        want_round(harness);
    }
    cr_assert_lt(info_of(harness, 0).run_count, 14);
    cr_assert_eq(info_of(harness, 0).row_count, 14);
    struct client *later = client_login(harness, 0, alice_name, "");
    cr_assert_str_eq(history_texts(later, ""), wanted);
    harness_close(harness);
}

/* Shard 1 gets a message more than it may have runs, each with a round of its own, while its merges are held. */
static void come_to_the_cap(struct harness *harness)
{
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    harness_hold_jobs(harness, 1, HARNESS_MERGE, true);
    for (uint32_t i = 0; i < CORE_RUNS_MAX + 1; i++) {
        send_text(alice, i, harness_name(harness, 1, 0), "x");
        harness_run_until_idle(harness);
        want_round(harness);
    }
}

/* At the cap of runs a generation waits. When a merge has made room, the write goes on by itself. */
Test(rounds, a_generation_that_waits_for_room_for_its_run_is_written_when_a_merge_has_made_it)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    come_to_the_cap(harness);
    cr_assert_eq(info_of(harness, 1).run_count, CORE_RUNS_MAX);
    cr_assert_not_null(harness_core(harness, 1)->generations.frozen);
    harness_hold_jobs(harness, 1, HARNESS_MERGE, false);
    harness_run_until_idle(harness);
    cr_assert_null(harness_core(harness, 1)->generations.frozen);
    cr_assert_eq(info_of(harness, 1).row_count, CORE_RUNS_MAX + 1);
    harness_close(harness);
}

/* A stop begins no merge, so it does not wait for one. Nothing is lost: the WAL has it. */
Test(rounds, a_stop_at_the_cap_of_runs_ends_and_leaves_the_last_round_to_the_next_start)
{
    char dir[64];
    harness_dir_make(dir);
    struct harness_options options = {.shards = 2, .dir = dir};
    struct harness *harness = harness_open(&options);
    come_to_the_cap(harness);
    harness_stop(harness);
    harness_run_until_idle(harness);
    harness_hold_jobs(harness, 1, HARNESS_MERGE, false);
    harness_close(harness);
    harness = harness_open(&options);
    harness_run_until_idle(harness);
    struct client *bob = client_login(harness, 1, harness_name(harness, 1, 0), "");
    cr_assert_eq(strlen(history_texts(bob, "")), 2 * (CORE_RUNS_MAX + 1) - 1);
    harness_close(harness);
    harness_dir_remove(dir);
}

/* The last DONE of a round and the first END of the next arrive in one turn at a shard that has nothing to write. */
Test(rounds, an_idle_shard_joins_a_round_that_began_before_it_had_ended_the_last)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_text(alice, 1, harness_name(harness, 0, 1), "one");
    harness_run_until_idle(harness);
    harness_hold_jobs(harness, 0, HARNESS_CHECKPOINT, true);
    want_round(harness);
    harness_hold_letters(harness, 0, 1, true);
    harness_hold_jobs(harness, 0, HARNESS_CHECKPOINT, false);
    harness_run_until_idle(harness);
    send_text(alice, 2, harness_name(harness, 0, 1), "two");
    harness_run_until_idle(harness);
    want_round(harness);
    cr_assert_eq(info_of(harness, 0).run_count, 1);
    harness_hold_letters(harness, 0, 1, false);
    harness_run_until_idle(harness);
    cr_assert_eq(info_of(harness, 0).run_count, 2);
    harness_close(harness);
}

/* -- a batch of more records than a turn delivers -- */

#define SENDERS 6u
#define EACH 900u
static struct client *senders[SENDERS];

/* All sends are in one batch of the WAL of shard 1; its write is held, and so is the one before it. */
static struct harness *begin_with_a_large_batch(void)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .memtable_bytes = 64u << 20});
    struct client *early = client_login(harness, 0, harness_name(harness, 0, SENDERS), "");
    send_text(early, 1, harness_name(harness, 0, SENDERS), "for which a round is wanted");
    harness_run_until_idle(harness);
    harness_hold_writes(harness, 1, true);
    for (uint32_t i = 0; i < SENDERS; i++) {
        senders[i] = client_login(harness, 0, harness_name(harness, 0, i), "");
        for (uint32_t k = 0; k < EACH; k++)
            send_text(senders[i], k, harness_name(harness, 1, 0), "x");
    }
    harness_run_until_idle(harness);
    return harness;
}

static uint32_t count_oks(struct client *client)
{
    uint32_t count = 0;
    for (json_t *frame; (frame = client_next(client)) != NULL; json_decref(frame))
        count += strcmp(frame_text(frame, "op"), "ok") == 0;
    return count;
}

Test(rounds, a_shard_that_has_not_delivered_all_that_is_durable_does_not_announce_its_end)
{
    struct harness *harness = begin_with_a_large_batch();
    want_round(harness);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    cr_assert_eq(info_of(harness, 0).row_count, SENDERS * EACH + 1, "the copies of all senders are of this round");
    cr_assert_eq(info_of(harness, 1).row_count, SENDERS * EACH);
    harness_close(harness);
}

Test(rounds, what_is_durable_is_delivered_also_when_the_next_write_fails)
{
    struct harness *harness = begin_with_a_large_batch();
    harness_hold_writes(harness, 1, false);
    harness_turn(harness, 1); /* the small batch is written, the large one in flight */
    harness_hold_writes(harness, 1, true);
    send_text(senders[0], EACH, harness_name(harness, 1, 0), "of the batch that fails");
    harness_run_until_idle(harness);
    harness_hold_writes(harness, 1, false);
    harness_turn(harness, 1);
    cr_assert(delivery_is_behind(harness_core(harness, 1)), "a part is delivered, and the next write is in flight");
    harness_fail_writes(harness, 1);
    harness_run_until_idle(harness);
    for (uint32_t i = 0; i < SENDERS; i++)
        cr_assert_eq(count_oks(senders[i]), EACH);
    harness_close(harness);
}
