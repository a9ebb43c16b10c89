/* What survives: failed writes, crashes, recovery, stop. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness_double.h"

#define ROUND_US INT64_C(6000000) /* more than checkpoint_s, less than any time limit */

static void send_text(struct client *client, uint32_t id, const char *to, const char *text, const char *key)
{
    client_send(client, "{\"op\":\"send\",\"id\":%u,\"to\":\"%s\",\"text\":\"%s\"%s%s%s}", id, to, text,
                key == NULL ? "" : ",\"key\":\"", key == NULL ? "" : key, key == NULL ? "" : "\"");
}

static void life_of_two_messages(const char *dir, struct legacy *legacy)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_text(alice, 1, harness_name(harness, 1, 0), "one", "k1");
    send_text(alice, 2, harness_name(harness, 0, 1), "two", NULL);
    harness_run_until_idle(harness);
    for (int i = 0; i < 2; i++) {
        json_t *frame = client_expect(alice, "ok");
        legacy->ts[i] = frame_number(frame, "ts");
        if (i == 0)
            strcpy(legacy->mid, frame_text(frame, "mid"));
        json_decref(frame);
    }
}

Test(recovery, what_was_acknowledged_is_in_both_timelines_once_after_a_crash)
{
    char dir[64];
    harness_dir_make(dir);
    struct legacy *legacy = harness_live_and_die(dir, life_of_two_messages);
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    struct client *bob = client_login(harness, 0, harness_name(harness, 1, 0), "");
    struct client *carol = client_login(harness, 0, harness_name(harness, 0, 1), "");
    cr_assert_str_eq(history_texts(alice, ""), "one two");
    cr_assert_str_eq(history_texts(bob, ""), "one");
    cr_assert_str_eq(history_texts(carol, ""), "two");
    /* The key too. */
    send_text(alice, 3, harness_name(harness, 1, 0), "one", "k1");
    harness_run_until_idle(harness);
    json_t *frame = client_expect(alice, "ok");
    cr_assert(json_is_true(json_object_get(frame, "dup")));
    cr_assert_str_eq(frame_text(frame, "mid"), legacy->mid);
    json_decref(frame);
    harness_close(harness);
    harness_dir_remove(dir);
}

Test(recovery, ts_goes_on_above_what_is_in_the_wals_of_other_shards_though_the_clock_went_back)
{
    char dir[64];
    harness_dir_make(dir);
    struct legacy *legacy = harness_live_and_die(dir, life_of_two_messages);
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    harness_advance(harness, -7200000000);
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_text(alice, 1, harness_name(harness, 0, 1), "later", NULL);
    harness_run_until_idle(harness);
    json_t *frame = client_expect(alice, "ok");
    cr_assert_gt(frame_number(frame, "ts"), legacy->ts[1]);
    cr_assert_gt(legacy->ts[1], legacy->ts[0]);
    json_decref(frame);
    harness_close(harness);
    harness_dir_remove(dir);
}

/* A send that was then refused took the newest ts of its shard; a checkpoint has released all segments. */
static void life_with_a_ts_that_no_entry_has(const char *dir, struct legacy *legacy)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_text(alice, 1, harness_name(harness, 0, 0), "stored", NULL);
    harness_run_until_idle(harness);
    json_decref(client_expect(alice, "ok"));
    harness_advance(harness, 1000000);
    legacy->ts[0] = core_next_ts(harness_core(harness, 0));
    harness_advance(harness, ROUND_US);
    harness_run_until_idle(harness);
    HARNESS_MUST(memtable_entry_count(harness_core(harness, 0)->generations.filling) == 0);
}

Test(recovery, ts_goes_on_above_one_that_no_entry_has_though_the_clock_went_back)
{
    char dir[64];
    harness_dir_make(dir);
    struct legacy *legacy = harness_live_and_die(dir, life_with_a_ts_that_no_entry_has);
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    harness_advance(harness, -7200000000);
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_text(alice, 1, harness_name(harness, 0, 1), "later", NULL);
    harness_run_until_idle(harness);
    json_t *frame = client_expect(alice, "ok");
    cr_assert_gt(frame_number(frame, "ts"), legacy->ts[0]);
    json_decref(frame);
    harness_close(harness);
    harness_dir_remove(dir);
}

static void life_with_a_write_that_never_lands(const char *dir, struct legacy *legacy)
{
    (void)legacy;
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_text(alice, 1, harness_name(harness, 1, 0), "kept", NULL);
    harness_run_until_idle(harness);
    harness_hold_writes(harness, 1, true);
    send_text(alice, 2, harness_name(harness, 1, 0), "lost", NULL);
    harness_run_until_idle(harness);
}

Test(recovery, what_was_not_written_is_in_neither_timeline)
{
    char dir[64];
    harness_dir_make(dir);
    harness_live_and_die(dir, life_with_a_write_that_never_lands);
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    struct client *bob = client_login(harness, 1, harness_name(harness, 1, 0), "");
    cr_assert_str_eq(history_texts(alice, ""), "kept");
    cr_assert_str_eq(history_texts(bob, ""), "kept");
    harness_close(harness);
    harness_dir_remove(dir);
}

Test(recovery, lives_that_follow_each_other_lose_nothing)
{
    char dir[64];
    harness_dir_make(dir);
    for (int i = 0; i < 5; i++)
        harness_live_and_die(dir, life_of_two_messages);
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *bob = client_login(harness, 0, harness_name(harness, 1, 0), "");
    struct client *carol = client_login(harness, 0, harness_name(harness, 0, 1), "");
    /* The key k1 stores its message in the first life only. */
    cr_assert_str_eq(history_texts(bob, ""), "one");
    cr_assert_str_eq(history_texts(carol, ""), "two two two two two");
    harness_close(harness);
    harness_dir_remove(dir);
}

Test(recovery, a_stop_keeps_all_and_the_next_start_finds_it_in_the_runs)
{
    char dir[64];
    harness_dir_make(dir);
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_text(alice, 1, harness_name(harness, 1, 0), "one", NULL);
    harness_run_until_idle(harness);
    harness_close(harness);
    harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    cr_assert_eq(memtable_entry_count(harness_core(harness, 1)->generations.filling), 0, "nothing was left to recover");
    struct client *bob = client_login(harness, 1, harness_name(harness, 1, 0), "");
    cr_assert_str_eq(history_texts(bob, ""), "one");
    harness_close(harness);
    harness_dir_remove(dir);
}

/* Opens the newest segment of a shard's WAL that has batches. */
static int open_log(const char *dir, uint32_t shard, const char *text, off_t *at_r)
{
    const size_t bytes_max = 8 << 20;
    char path[256], *bytes = malloc(bytes_max);
    cr_assert_neq(bytes, NULL);
    for (int number = 1; number < 10; number++) {
        snprintf(path, sizeof path, "%s/shard-%04u/wal/segment-%06d.wal", dir, shard, number);
        int fd = open(path, O_RDWR);
        if (fd < 0)
            continue;
        ssize_t count = read(fd, bytes, bytes_max);
        char *at = count <= 0 ? NULL : memmem(bytes, (size_t)count, text, strlen(text));
        if (at != NULL) {
            *at_r = at - bytes;
            free(bytes);
            return fd;
        }
        close(fd);
    }
    cr_assert_fail("%s is in no segment", text);
    return -1;
}

static void life_of_three_batches(const char *dir, struct legacy *legacy)
{
    (void)legacy;
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    static const char *const texts[] = {"first-batch", "second-batch", "third-batch"};
    for (uint32_t i = 0; i < 3; i++) {
        send_text(alice, i, harness_name(harness, 1, 0), texts[i], NULL);
        harness_run_until_idle(harness);
    }
}

static void garble(const char *dir, const char *text)
{
    off_t at;
    int fd = open_log(dir, 1, text, &at);
    cr_assert(pwrite(fd, "?", 1, at) == 1);
    close(fd);
}

Test(recovery, a_garbled_last_batch_is_a_torn_tail_and_is_cut)
{
    char dir[64];
    harness_dir_make(dir);
    harness_live_and_die(dir, life_of_three_batches);
    garble(dir, "third-batch");
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    cr_assert_str_eq(history_texts(alice, ""), "first-batch second-batch");
    harness_close(harness);
    harness_dir_remove(dir);
}

/* Removes the newest segment of shard 1 that has a batch with this text. */
static void remove_segment(const char *dir, const char *text)
{
    char path[256], link[64];
    off_t at;
    int fd = open_log(dir, 1, text, &at);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    cr_assert(bytes > 0);
    path[bytes] = '\0';
    close(fd);
    cr_assert_eq(unlink(path), 0);
}

Test(recovery, a_missing_newest_segment_is_refused_in_the_first_life_and_in_later_ones)
{
    char dir[64];
    for (int lives = 1; lives <= 3; lives++) {
        harness_dir_make(dir);
        for (int i = 1; i < lives; i++)
            harness_live_and_die(dir, life_of_two_messages);
        harness_live_and_die(dir, life_of_three_batches);
        remove_segment(dir, "third-batch");
        const char *text = harness_refusal(dir, 2);
        cr_assert_not_null(text, "the newest of %d lives", lives);
        cr_assert_not_null(strstr(text, ".wal is missing"), "%s", text);
        harness_dir_remove(dir);
    }
}

Test(recovery, damage_before_a_valid_batch_is_refused_with_file_and_offset_and_nothing_is_touched)
{
    char dir[64];
    harness_dir_make(dir);
    harness_live_and_die(dir, life_of_three_batches);
    garble(dir, "second-batch");
    const char *text = harness_refusal(dir, 2);
    cr_assert_not_null(text);
    cr_assert_not_null(strstr(text, "segment-"), "%s", text);
    cr_assert_not_null(strstr(text, "offset"), "%s", text);
    cr_assert_not_null(harness_refusal(dir, 2), "it is refused again");
    harness_dir_remove(dir);
}

/* A write that the killed process had issued reaches the disk after the next start: what is beyond the cut is ignored
 * for ever. */
Test(recovery, a_late_write_beyond_the_cut_is_ignored_for_ever)
{
    char dir[64];
    static char batch[4096];
    harness_dir_make(dir);
    harness_live_and_die(dir, life_of_three_batches);
    off_t at;
    int fd = open_log(dir, 1, "third-batch", &at);
    off_t begin = at / 4096 * 4096;
    cr_assert(pread(fd, batch, sizeof batch, begin) == sizeof batch);
    char zero[4096] = {0};
    cr_assert(pwrite(fd, zero, sizeof zero, begin) == sizeof zero);
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    cr_assert(pwrite(fd, batch, sizeof batch, begin) == sizeof batch);
    close(fd);
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_text(alice, 1, harness_name(harness, 1, 0), "after", NULL);
    harness_run_until_idle(harness);
    cr_assert_str_eq(history_texts(alice, ""), "first-batch second-batch after");
    harness_close(harness);
    harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *bob = client_login(harness, 1, harness_name(harness, 1, 0), "");
    cr_assert_str_eq(history_texts(bob, ""), "first-batch second-batch after");
    harness_close(harness);
    harness_dir_remove(dir);
}

#define LATE_BYTES (2 * WAL_BLOCK_BYTES)

/* A segment was about to begin when the server died: its header and first batch are in flight to the file that
 * legacy->mid names. */
static void life_with_a_segment_in_flight(const char *dir, struct legacy *legacy)
{
    char path[128], link[64];
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_text(alice, 1, harness_name(harness, 1, 0), "first", NULL);
    harness_run_until_idle(harness);
    harness_advance(harness, ROUND_US);
    harness_run_until_idle(harness);
    harness_hold_writes(harness, 1, true);
    send_text(alice, 2, harness_name(harness, 1, 0), "lost", NULL);
    harness_run_until_idle(harness);
    const struct io_write *write = harness->shards[1].io.write;
    HARNESS_MUST(write != NULL && write->offset == 0 && write->bytes == LATE_BYTES);
    snprintf(link, sizeof link, "/proc/self/fd/%d", write->fd);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    HARNESS_MUST(bytes > 0);
    path[bytes] = '\0';
    HARNESS_MUST(strlen(strrchr(path, '/') + 1) < sizeof legacy->mid);
    strcpy(legacy->mid, strrchr(path, '/') + 1);
    snprintf(path, sizeof path, "%s/late", dir);
    FILE *late = fopen(path, "w");
    HARNESS_MUST(late != NULL && fwrite(write->data, 1, write->bytes, late) == write->bytes && fclose(late) == 0);
}

static void life_of_a_second_message(const char *dir, struct legacy *legacy)
{
    (void)legacy;
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_text(alice, 2, harness_name(harness, 1, 0), "second", NULL);
    harness_run_until_idle(harness);
    json_decref(client_expect(alice, "ok"));
}

/* The removal of that file may not have reached the disk. */
static void let_segment_land(const char *dir, const char *name)
{
    char path[128], bytes[LATE_BYTES];
    snprintf(path, sizeof path, "%s/late", dir);
    FILE *late = fopen(path, "r");
    cr_assert(late != NULL && fread(bytes, 1, sizeof bytes, late) == sizeof bytes && fclose(late) == 0);
    cr_assert_eq(unlink(path), 0);
    snprintf(path, sizeof path, "%s/shard-0001/wal/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    cr_assert(fd >= 0 && ftruncate(fd, 4 << 20) == 0);
    cr_assert_eq(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
    close(fd);
}

/* The first segment of a life skips the generation that the killed server may have begun. */
Test(recovery, a_segment_that_the_killed_server_began_and_that_is_written_late_hides_none_of_the_next_life)
{
    char dir[64];
    harness_dir_make(dir);
    struct legacy *legacy = harness_live_and_die(dir, life_with_a_segment_in_flight);
    harness_live_and_die(dir, life_of_a_second_message);
    let_segment_land(dir, legacy->mid);
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    struct client *bob = client_login(harness, 0, harness_name(harness, 1, 0), "");
    cr_assert_str_eq(history_texts(alice, ""), "first second");
    cr_assert_str_eq(history_texts(bob, ""), "first second");
    harness_close(harness);
    harness_dir_remove(dir);
}

Test(recovery, a_server_whose_wal_failed_stops_in_order)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    harness_fail_writes(harness, 0);
    harness_fail_writes(harness, 1);
    send_text(alice, 1, harness_name(harness, 0, 0), "to oneself", NULL);
    send_text(alice, 2, harness_name(harness, 1, 0), "to another", "key");
    send_text(alice, 3, harness_name(harness, 0, 1), "to a neighbour", NULL);
    harness_run_until_idle(harness);
    for (int i = 0; i < 3; i++)
        json_decref(client_expect(alice, "error"));
    harness_close(harness);
}

static void life_with_a_failed_write(const char *dir, struct legacy *legacy)
{
    (void)legacy;
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    send_text(alice, 1, harness_name(harness, 1, 0), "kept", NULL);
    harness_run_until_idle(harness);
    json_decref(client_expect(alice, "ok"));
    harness_fail_writes(harness, 1);
    send_text(alice, 2, harness_name(harness, 1, 0), "unknown", NULL);
    send_text(alice, 3, harness_name(harness, 0, 1), "elsewhere", NULL);
    harness_run_until_idle(harness);
    json_t *frame = client_expect(alice, "error");
    cr_assert_str_eq(frame_text(frame, "code"), "unavailable");
    cr_assert_eq(frame_number(frame, "id"), 2);
    json_decref(frame);
    /* The whole store takes no more sends, whichever shard they go to. */
    send_text(alice, 4, harness_name(harness, 0, 1), "refused", NULL);
    harness_run_until_idle(harness);
    frame = client_expect(alice, "error");
    cr_assert_str_eq(frame_text(frame, "code"), "unavailable");
    json_decref(frame);
    /* Login, history and replay go on up to the marks: the entry whose outcome is unknown stays pending. */
    struct client *again = client_login(harness, 1, harness_name(harness, 0, 0), "");
    cr_assert_str_eq(history_texts(again, ""), "kept");
    struct client *bob = client_connect(harness, 1);
    client_send(bob, "{\"op\":\"login\",\"id\":1,\"user\":\"%s\",\"after\":0}", harness_name(harness, 1, 0));
    harness_run_until_idle(harness);
    frame = client_expect(bob, "msg");
    cr_assert_str_eq(frame_text(frame, "text"), "kept");
    json_decref(frame);
    json_decref(client_expect(bob, "live"));
}

Test(recovery, a_failed_wal_write_settles_nothing_and_the_restart_decides)
{
    char dir[64];
    harness_dir_make(dir);
    harness_live_and_die(dir, life_with_a_failed_write);
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *bob = client_login(harness, 1, harness_name(harness, 1, 0), "");
    cr_assert_str_eq(history_texts(bob, ""), "kept", "it was not on the disk");
    send_text(bob, 1, harness_name(harness, 0, 0), "again", NULL);
    harness_run_until_idle(harness);
    json_decref(client_expect(bob, "ok"));
    harness_close(harness);
    harness_dir_remove(dir);
}

static void life_of_one_message_to_shard_0(const char *dir, struct legacy *legacy)
{
    (void)legacy;
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 1, 0), "");
    send_text(alice, 1, harness_name(harness, 0, 0), "x", NULL);
    harness_run_until_idle(harness);
    json_decref(client_expect(alice, "ok"));
}

static bool has_run(const char *dir, const char *shard)
{
    char path[128];
    bool has = false;
    snprintf(path, sizeof path, "%s/%s/runs", dir, shard);
    DIR *stream = opendir(path);
    cr_assert_not_null(stream);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        has |= strncmp(entry->d_name, "run-", 4) == 0;
    closedir(stream);
    return has;
}

/* This process is the only writer that LMDB allows for the manifest of shard 1: no other can commit there. */
static MDB_env *hold_manifest(const char *dir, MDB_txn **txn_r)
{
    char path[128];
    MDB_env *env;
    snprintf(path, sizeof path, "%s/shard-0001/runs/manifest.mdb", dir);
    cr_assert(mdb_env_create(&env) == 0 && mdb_env_open(env, path, MDB_NOSUBDIR, 0600) == 0);
    cr_assert_eq(mdb_txn_begin(env, NULL, 0, txn_r), 0);
    return env;
}

/* 64 finished segments are so many that the start writes them all to runs. */
Test(recovery, a_start_that_is_cut_between_the_runs_of_two_shards_loses_no_copy)
{
    char dir[64];
    MDB_txn *txn;
    harness_dir_make(dir);
    for (int i = 0; i < 64; i++)
        harness_live_and_die(dir, life_of_one_message_to_shard_0);
    MDB_env *env = hold_manifest(dir, &txn);
    pid_t pid = fork();
    if (pid == 0) {
        harness_open(&(struct harness_options){.shards = 2, .dir = dir});
        _exit(0);
    }
    while (!has_run(dir, "shard-0001"))
        usleep(1000);
    cr_assert(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
    cr_assert(has_run(dir, "shard-0000"));
    mdb_txn_abort(txn);
    mdb_env_close(env);
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 1, 0), "");
    struct client *bob = client_login(harness, 0, harness_name(harness, 0, 0), "");
    cr_assert_eq(strlen(history_texts(bob, ",\"limit\":100")), 64 * 2 - 1);
    cr_assert_eq(strlen(history_texts(alice, ",\"limit\":100")), 64 * 2 - 1, "the sender's copies too");
    harness_close(harness);
    harness_dir_remove(dir);
}

static uint32_t segment_count(const char *dir)
{
    char path[128];
    uint32_t count = 0;
    snprintf(path, sizeof path, "%s/shard-0001/wal", dir);
    DIR *stream = opendir(path);
    cr_assert_not_null(stream);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        count += strncmp(entry->d_name, "segment-", 8) == 0;
    closedir(stream);
    return count;
}

/* The messages are in a run; the segment is released, and not yet recycled. */
static void life_that_lets_a_segment_go(const char *dir, struct legacy *legacy)
{
    (void)legacy;
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    harness_hold_jobs(harness, 1, HARNESS_RECYCLER, true);
    send_text(alice, 1, harness_name(harness, 1, 0), "x", NULL);
    harness_run_until_idle(harness);
    harness_advance(harness, ROUND_US);
    harness_run_until_idle(harness);
    send_text(alice, 2, harness_name(harness, 1, 0), "x", NULL);
    harness_run_until_idle(harness);
}

Test(recovery, segments_that_are_not_needed_do_not_accumulate_over_lives)
{
    char dir[64];
    harness_dir_make(dir);
    for (int i = 0; i < 3; i++)
        harness_live_and_die(dir, life_that_lets_a_segment_go);
    uint32_t count = segment_count(dir);
    for (int i = 0; i < 12; i++)
        harness_live_and_die(dir, life_that_lets_a_segment_go);
    cr_assert_leq(segment_count(dir), count + 2);
    harness_dir_remove(dir);
}
