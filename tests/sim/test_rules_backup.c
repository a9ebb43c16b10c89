/* backup.h: a backup made at chosen moments of a round has all that is durable, in both timelines. */
#include <criterion/criterion.h>

#include "harness.h"
#include "storage/offline/backup.h"
#include "storage/offline/offline.h"

#define ROUND_US INT64_C(6000000) /* more than checkpoint_s, less than any time limit */

static struct harness *harness;
static struct client *alice;
static char dir[64];

static void open_all(void)
{
    harness_dir_make(dir);
    harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
}

static void close_all(void)
{
    for (uint32_t shard = 0; shard < 2; shard++)
        harness_hold_jobs(harness, shard, HARNESS_CHECKPOINT, false);
    harness_close(harness);
    harness_dir_remove(dir);
}

TestSuite(backup, .init = open_all, .fini = close_all);

/* To a user of each shard. */
static void send_both(const char *text)
{
    for (uint32_t shard = 0; shard < 2; shard++)
        client_send(alice, "{\"op\":\"send\",\"id\":%u,\"to\":\"%s\",\"text\":\"%s\"}", shard,
                    harness_name(harness, shard, 1), text);
    harness_run_until_idle(harness);
    for (uint32_t shard = 0; shard < 2; shard++)
        json_decref(client_expect(alice, "ok"));
}

static void hold_runs(uint32_t shard, bool held)
{
    harness_hold_jobs(harness, shard, HARNESS_CHECKPOINT, held);
}

static void want_round(void)
{
    harness_advance(harness, ROUND_US);
    harness_run_until_idle(harness);
}

static void make_backup(const char *from_dir, const char *to)
{
    struct datadir *from;
    struct datadir_error error;
    struct backup_report report;
    struct backup_error why = {""};
    cr_assert_eq(datadir_open_read(&from, from_dir, true, &error), 0, "%s", error.text);
    cr_assert(datadir_is_live(from));
    cr_assert_eq(backup_make(from, to, &(struct backup_options){.wall_us = 1}, &report, &why), 0, "%s", why.text);
    datadir_close(&from);
}

static void tell(void *context, const char *text)
{
    (void)context;
    cr_log_error("%s", text);
}

static void restore_backup(const char *backup, const char *to)
{
    struct datadir *from;
    struct datadir_error error;
    struct backup_report report;
    struct backup_error why = {""};
    struct offline *offline = NULL;
    struct problems problems = {.report = tell};
    cr_assert_eq(datadir_open_read(&from, backup, false, &error), 0, "%s", error.text);
    cr_assert(offline_open(&offline, from, &problems) == 0 && problems.count == 0);
    offline_close(&offline);
    cr_assert_eq(backup_restore(from, to, &report, &why), 0, "%s", why.text);
    datadir_close(&from);
}

static void expect_history(struct harness *restored, uint32_t shard, uint32_t n, const char *texts)
{
    struct client *client = client_login(restored, 0, harness_name(restored, shard, n), "");
    cr_assert_str_eq(history_texts(client, ""), texts);
}

/* Makes a backup now, restores it and checks: Alice has sent `texts` to each of the two. */
static void expect_backup_has(const char *texts, const char *alices)
{
    char backup[80], copy[80];
    snprintf(backup, sizeof backup, "%s-backup", dir);
    snprintf(copy, sizeof copy, "%s-copy", dir);
    make_backup(dir, backup);
    restore_backup(backup, copy);
    struct harness *restored = harness_open(&(struct harness_options){.shards = 2, .dir = copy});
    expect_history(restored, 0, 0, alices);
    expect_history(restored, 0, 1, texts);
    expect_history(restored, 1, 1, texts);
    harness_close(restored);
    harness_dir_remove(copy);
    harness_dir_remove(backup);
}

Test(backup, has_what_is_only_in_the_wal)
{
    send_both("one");
    expect_backup_has("one", "one one");
}

Test(backup, has_what_is_in_finished_segments_while_their_run_is_written)
{
    send_both("one");
    hold_runs(0, true);
    hold_runs(1, true);
    want_round();
    send_both("two");
    expect_backup_has("one two", "one one two two");
}

Test(backup, has_both_copies_when_only_one_shard_has_its_run)
{
    for (uint32_t shard = 0; shard < 2; shard++) {
        const char *texts = shard == 0 ? "one two" : "one two three four";
        const char *alices = shard == 0 ? "one one two two" : "one one two two three three four four";
        send_both(shard == 0 ? "one" : "three");
        hold_runs(shard, true);
        want_round();
        send_both(shard == 0 ? "two" : "four");
        expect_backup_has(texts, alices);
        hold_runs(shard, false);
        harness_run_until_idle(harness);
    }
}

Test(backup, has_runs_and_wal_when_a_round_is_over)
{
    send_both("one");
    want_round();
    send_both("two");
    want_round();
    send_both("three");
    expect_backup_has("one two three", "one one two two three three");
}
