/* A start without room for a WAL segment (recovery.h): nothing that was acknowledged is lost. */
#include <criterion/criterion.h>
#include <errno.h>
#include <unistd.h>

#include "durability/checkpoint.h"
#include "harness.h"
#include "storage/wal/segment.h"
#include "storage/wal/wal_survey.h"

#define ROUND_US INT64_C(6000000) /* more than checkpoint_s, less than any time limit */

/* Of this process; rule_tests is linked with --wrap=segment_create. */
static bool has_no_segment_room;

int __real_segment_create(const char *dir, uint32_t file, uint32_t segment_bytes, struct wal_spare *spare_r);
int __wrap_segment_create(const char *dir, uint32_t file, uint32_t segment_bytes, struct wal_spare *spare_r);

int __wrap_segment_create(const char *dir, uint32_t file, uint32_t segment_bytes, struct wal_spare *spare_r)
{
    return has_no_segment_room ? -ENOSPC : __real_segment_create(dir, file, segment_bytes, spare_r);
}

/* In all rule tests: what was never written reads as zeros too, and thousands of segments are made. */
int __wrap_file_write_zeros(int fd, size_t bytes, off_t offset);

int __wrap_file_write_zeros(int fd, size_t bytes, off_t offset)
{
    return ftruncate(fd, offset + (off_t)bytes) == 0 ? 0 : -errno;
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

/* Finds no room at the start, then has some, and stores `text` on shard 1. */
static void live_until_there_is_room(const char *dir, const char *text)
{
    has_no_segment_room = true;
    struct harness *harness = open_dir(dir);
    has_no_segment_room = false;
    want_round(harness);
    struct client *sender = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_text(sender, harness_name(harness, 1, 0), text);
    harness_run_until_idle(harness);
    json_decref(client_expect(sender, "ok"));
}

static void life_of_a_late_write(const char *dir, struct legacy *legacy)
{
    (void)legacy;
    live_until_there_is_room(dir, "late");
}

static void life_of_an_acknowledged_write(const char *dir, struct legacy *legacy)
{
    (void)legacy;
    live_until_there_is_room(dir, "acknowledged");
}

/* The newest segment of shard 1; its generation. */
static uint64_t newest_segment(const char *dir, char *path, size_t path_bytes)
{
    struct wal_survey survey;
    char wal[96];
    snprintf(wal, sizeof wal, "%s/shard-0001/wal", dir);
    cr_assert_eq(wal_survey_headers(&survey, wal, 1), 0, "%s", survey.error);
    snprintf(path, path_bytes, "%s/segment-%06u.wal", wal, survey.files[survey.file_count - 1].number);
    uint64_t generation = survey.newest.generation;
    wal_survey_fini(&survey);
    return generation;
}

/* The first write of a segment was begun by a server that was killed, and reaches the disk only when two further ones,
 * without room at their starts, have run. The later ones must not have used its generation. */
Test(room, a_generation_that_was_assigned_is_not_used_again_by_a_start_without_room)
{
    char dir[64], late[160], aside[176], newest[160];
    harness_dir_make(dir);
    harness_live_and_die(dir, life_of_a_message_to_each_shard);
    harness_live_and_die(dir, life_of_a_late_write);
    uint64_t generation = newest_segment(dir, late, sizeof late);
    snprintf(aside, sizeof aside, "%s.aside", late);
    cr_assert_eq(rename(late, aside), 0);
    struct wal_spare spare;
    uint32_t number = (uint32_t)strtoul(strstr(late, "segment-") + 8, NULL, 10);
    *strrchr(late, '/') = '\0';
    cr_assert_eq(__real_segment_create(late, number, WAL_SEGMENT_BYTES_MIN, &spare), 0, "a spare stands there");
    late[strlen(late)] = '/';
    harness_live_and_die(dir, life_of_an_acknowledged_write);
    cr_assert_gt(newest_segment(dir, newest, sizeof newest), generation);
    cr_assert_eq(rename(aside, late), 0);
    struct harness *harness = open_dir(dir);
    struct client *client = client_login(harness, 0, harness_name(harness, 1, 0), "");
    cr_assert_str_eq(history_texts(client, ""), "kept kept acknowledged");
    harness_close(harness);
    harness_dir_remove(dir);
}
