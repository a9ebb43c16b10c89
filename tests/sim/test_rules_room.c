/* A start without room for a WAL segment (recovery.h): nothing that was acknowledged is lost. */
#include <criterion/criterion.h>
#include <errno.h>

#include "durability/checkpoint.h"
#include "harness.h"
#include "storage/wal/segment.h"

#define ROUND_US INT64_C(6000000) /* more than checkpoint_s, less than any time limit */

/* Of this process; rule_tests is linked with --wrap=segment_create. */
static bool has_no_segment_room;

int __real_segment_create(const char *dir, uint32_t file, uint32_t segment_bytes, struct wal_spare *spare_r);
int __wrap_segment_create(const char *dir, uint32_t file, uint32_t segment_bytes, struct wal_spare *spare_r);

int __wrap_segment_create(const char *dir, uint32_t file, uint32_t segment_bytes, struct wal_spare *spare_r)
{
    return has_no_segment_room ? -ENOSPC : __real_segment_create(dir, file, segment_bytes, spare_r);
}

static struct harness *open_dir(const char *dir)
{
    return harness_open(&(struct harness_options){.shards = 2, .dir = dir});
}

static void send_text(struct client *client, const char *to, const char *text)
{
    client_send(client, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"%s\"}", to, text);
}

static void life_of_a_message_to_each_shard(const char *dir, struct legacy *legacy)
{
    (void)legacy;
    struct harness *harness = open_dir(dir);
    for (uint32_t shard = 0; shard < 2; shard++) {
        struct client *sender = client_login(harness, 0, harness_name(harness, shard, 0), "");
        send_text(sender, harness_name(harness, !shard, 0), "kept");
        harness_run_until_idle(harness);
        json_decref(client_expect(sender, "ok"));
    }
}

static void want_round(struct harness *harness)
{
    harness_advance(harness, ROUND_US);
    harness_run_until_idle(harness);
}

/* The run of shard `held` is not written, that of the other one is committed. */
static void live_without_room(const char *dir, uint32_t held)
{
    has_no_segment_room = true;
    struct harness *harness = open_dir(dir);
    harness_hold_jobs(harness, held, HARNESS_CHECKPOINT, true);
    want_round(harness);
    struct store_info info;
    store_info(harness_core(harness, !held)->runs.store, &info);
    HARNESS_MUST(info.row_count == 2);
    store_info(harness_core(harness, held)->runs.store, &info);
    HARNESS_MUST(info.row_count == 0);
}

static void life_with_the_run_of_shard_1(const char *dir, struct legacy *legacy)
{
    (void)legacy;
    live_without_room(dir, 0);
}

static void life_with_the_run_of_shard_0(const char *dir, struct legacy *legacy)
{
    (void)legacy;
    live_without_room(dir, 1);
}

static void expect_kept(const char *dir)
{
    struct harness *harness = open_dir(dir);
    for (uint32_t shard = 0; shard < 2; shard++) {
        struct client *client = client_login(harness, 0, harness_name(harness, shard, 0), "");
        cr_assert_str_eq(history_texts(client, ""), "kept kept", "the timeline of shard %u", shard);
    }
    harness_close(harness);
}

/* The WAL of each shard has the only copies of the other shard's users. */
Test(room, a_shard_that_is_done_before_there_is_a_first_segment_keeps_the_copies_of_the_others)
{
    static void (*const lives[])(const char *, struct legacy *) = {life_with_the_run_of_shard_1,
                                                                   life_with_the_run_of_shard_0};
    for (int i = 0; i < 2; i++) {
        char dir[64];
        harness_dir_make(dir);
        harness_live_and_die(dir, life_of_a_message_to_each_shard);
        harness_live_and_die(dir, lives[i]);
        expect_kept(dir);
        harness_dir_remove(dir);
    }
}

static void life_of_a_round_without_room(const char *dir, struct legacy *legacy)
{
    (void)legacy;
    has_no_segment_room = true;
    struct harness *harness = open_dir(dir);
    want_round(harness);
    HARNESS_MUST(checkpoint_rounds_done(harness_core(harness, 0)) == 1);
}

/* The round removes the newest segment, whose generation no header is above. */
Test(room, a_start_misses_no_segment_that_a_round_removed_while_there_was_no_other_one)
{
    char dir[64];
    harness_dir_make(dir);
    harness_live_and_die(dir, life_of_a_message_to_each_shard);
    harness_live_and_die(dir, life_of_a_round_without_room);
    expect_kept(dir);
    harness_dir_remove(dir);
}

static void life_of_whole_rounds_without_room(const char *dir, struct legacy *legacy)
{
    (void)legacy;
    has_no_segment_room = true;
    struct harness *harness = open_dir(dir);
    want_round(harness);
    HARNESS_MUST(checkpoint_rounds_done(harness_core(harness, 0)) == 1);
    has_no_segment_room = false;
    want_round(harness);
    struct client *sender = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_text(sender, harness_name(harness, 1, 0), "later");
    harness_run_until_idle(harness);
    json_decref(client_expect(sender, "ok"));
}

Test(room, whole_rounds_without_a_segment_and_sends_after_them_are_found_by_the_next_start)
{
    char dir[64];
    harness_dir_make(dir);
    harness_live_and_die(dir, life_of_a_message_to_each_shard);
    harness_live_and_die(dir, life_of_whole_rounds_without_room);
    struct harness *harness = open_dir(dir);
    struct client *client = client_login(harness, 0, harness_name(harness, 1, 0), "");
    cr_assert_str_eq(history_texts(client, ""), "kept kept later");
    harness_close(harness);
    harness_dir_remove(dir);
}
