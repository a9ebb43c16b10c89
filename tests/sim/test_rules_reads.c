/* Reads: marks first, then memory, then runs; logins and replays beside sends, checkpoints and stops. */
#include <criterion/criterion.h>

#include <glob.h>
#include <unistd.h>

#include "harness.h"
#include "storage/page_guard.h"

#define ROUND_US INT64_C(6000000) /* more than checkpoint_s, less than any time limit */

static void send_text(struct client *client, uint32_t id, const char *to, const char *text)
{
    client_send(client, "{\"op\":\"send\",\"id\":%u,\"to\":\"%s\",\"text\":\"%s\"}", id, to, text);
}

static void finish_requests(struct harness *harness, struct client *client)
{
    harness_run_until_idle(harness);
    for (json_t *frame; (frame = client_next(client)) != NULL;)
        json_decref(frame);
}

/* alice has sent `count` messages m0, m1, … to bob; they are in runs. */
static struct client *begin_with_runs(struct harness *harness, uint32_t count)
{
    char text[16];
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    for (uint32_t i = 0; i < count; i++) {
        snprintf(text, sizeof text, "m%u", i);
        send_text(alice, i, harness_name(harness, 1, 0), text);
        finish_requests(harness, alice);
    }
    harness_advance(harness, ROUND_US);
    finish_requests(harness, alice);
    cr_assert_eq(memtable_entry_count(harness_core(harness, 1)->generations.filling), 0);
    return alice;
}

/* Takes all frames off and checks the chain from `prev`; what they were, joined by blanks. */
static const char *entries(struct client *client, uint64_t prev)
{
    static char texts[8192];
    texts[0] = '\0';
    for (json_t *frame; (frame = client_next(client)) != NULL; json_decref(frame)) {
        if (strcmp(frame_text(frame, "op"), "msg") == 0) {
            cr_assert_eq(frame_number(frame, "prev"), prev);
            prev = frame_number(frame, "ts");
        }
        strcat(texts, texts[0] == '\0' ? "" : " ");
        strcat(texts,
               strcmp(frame_text(frame, "op"), "msg") == 0 ? frame_text(frame, "text") : frame_text(frame, "op"));
    }
    return texts;
}

Test(reads, what_is_released_while_a_login_reads_the_runs_is_not_missed)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = begin_with_runs(harness, 2);
    harness_hold_jobs(harness, 1, HARNESS_READER, true);
    struct client *bob = client_connect(harness, 1);
    client_send(bob, "{\"op\":\"login\",\"id\":1,\"user\":\"%s\"}", harness_name(harness, 1, 0));
    harness_run_until_idle(harness);
    cr_assert_null(client_next(bob));
    send_text(alice, 9, harness_name(harness, 1, 0), "meanwhile");
    harness_run_until_idle(harness);
    json_t *ok = client_expect(alice, "ok");
    json_decref(ok);
    harness_hold_jobs(harness, 1, HARNESS_READER, false);
    harness_run_until_idle(harness);
    ok = client_expect(bob, "ok");
    uint64_t last = frame_number(ok, "last");
    json_decref(ok);
    send_text(alice, 10, harness_name(harness, 1, 0), "after");
    harness_run_until_idle(harness);
    json_t *first = client_next(bob);
    cr_assert_not_null(first);
    if (strcmp(frame_text(first, "text"), "meanwhile") == 0) {
        cr_assert_eq(frame_number(first, "prev"), last);
        last = frame_number(first, "ts");
        json_decref(first);
        first = client_next(bob);
    }
    cr_assert_str_eq(frame_text(first, "text"), "after");
    cr_assert_eq(frame_number(first, "prev"), last, "history up to `last` and the pushes after it leave no gap");
    json_decref(first);
    cr_assert_str_eq(history_texts(bob, ""), "m0 m1 meanwhile after");
    harness_close(harness);
}

Test(reads, the_same_when_the_result_is_late)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = begin_with_runs(harness, 1);
    harness_hold_results(harness, 1, HARNESS_READER, true);
    struct client *bob = client_connect(harness, 1);
    client_send(bob, "{\"op\":\"login\",\"id\":1,\"user\":\"%s\",\"after\":0}", harness_name(harness, 1, 0));
    harness_run_until_idle(harness);
    send_text(alice, 9, harness_name(harness, 1, 0), "meanwhile");
    harness_run_until_idle(harness);
    harness_hold_results(harness, 1, HARNESS_READER, false);
    harness_run_until_idle(harness);
    cr_assert_str_eq(entries(bob, 0), "ok m0 meanwhile live");
    harness_close(harness);
}

Test(reads, a_replay_goes_live_only_when_its_cursor_is_at_the_mark)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = begin_with_runs(harness, 3);
    struct client *bob = client_connect(harness, 1);
    client_send(bob, "{\"op\":\"login\",\"id\":1,\"user\":\"%s\",\"after\":0}", harness_name(harness, 1, 0));
    for (uint32_t i = 0; i < 12; i++) {
        send_text(alice, 100 + i, harness_name(harness, 1, 0), "new");
        for (uint32_t shard = 0; shard < 2; shard++)
            harness_turn(harness, shard);
    }
    harness_run_until_idle(harness);
    const char *texts = entries(bob, 0);
    cr_assert(strncmp(texts, "ok m0 m1 m2 new", 15) == 0, "%s", texts);
    uint32_t lives = 0, news = 0;
    for (const char *at = texts; (at = strstr(at, "new")) != NULL; at += 3)
        news++;
    for (const char *at = texts; (at = strstr(at, "live")) != NULL; at += 4)
        lives++;
    cr_assert_eq(lives, 1);
    cr_assert_eq(news, 12);
    harness_close(harness);
}

/* The texts of the next frame, which must be the page with `id`. */
static const char *page_texts(struct client *client, uint64_t id)
{
    static char texts[256];
    size_t at = 0;
    size_t index;
    json_t *message;
    json_t *frame = client_next(client);
    cr_assert_not_null(frame);
    cr_assert_str_eq(frame_text(frame, "op"), "history");
    cr_assert_eq(frame_number(frame, "id"), id, "in the order of the requests");
    texts[0] = '\0';
    json_array_foreach(json_object_get(frame, "messages"), index, message) at +=
        (size_t)snprintf(texts + at, sizeof texts - at, "%s%.6s", index == 0 ? "" : " ", frame_text(message, "text"));
    json_decref(frame);
    return texts;
}

/* The ts of the entries m0, m1, … of the user. */
static void page_places(struct harness *harness, struct client *client, uint64_t *ts, size_t count)
{
    client_send(client, "{\"op\":\"history\",\"id\":0,\"after\":0,\"limit\":1000}");
    harness_run_until_idle(harness);
    json_t *frame = client_expect(client, "history");
    cr_assert_eq(json_array_size(json_object_get(frame, "messages")), count);
    for (size_t i = 0; i < count; i++)
        ts[i] = frame_number(json_array_get(json_object_get(frame, "messages"), i), "ts");
    json_decref(frame);
}

/* Pages of every kind at once: forwards, backwards, with a user, too large to be read ahead. */
static void ask_six_pages(struct harness *harness, struct client *alice, const uint64_t *ts)
{
    client_send(alice, "{\"op\":\"history\",\"id\":1,\"limit\":2}");
    client_send(alice, "{\"op\":\"history\",\"id\":2,\"limit\":2,\"before\":%llu}", (unsigned long long)ts[4]);
    client_send(alice, "{\"op\":\"history\",\"id\":3,\"limit\":3,\"after\":%llu}", (unsigned long long)ts[0]);
    client_send(alice, "{\"op\":\"history\",\"id\":4,\"limit\":2,\"before\":%llu,\"with\":\"%s\"}",
                (unsigned long long)ts[3], harness_name(harness, 1, 0));
    client_send(alice, "{\"op\":\"history\",\"id\":5,\"limit\":1000}");
    client_send(alice, "{\"op\":\"history\",\"id\":6,\"limit\":1,\"after\":0}");
    harness_run_until_idle(harness);
}

static void expect_six_pages(struct client *alice)
{
    cr_assert_str_eq(page_texts(alice, 1), "m4 m5");
    cr_assert_str_eq(page_texts(alice, 2), "m2 m3");
    cr_assert_str_eq(page_texts(alice, 3), "m1 m2 m3");
    cr_assert_str_eq(page_texts(alice, 4), "m1 m2");
    cr_assert_str_eq(page_texts(alice, 5), "m0 m1 m2 m3 m4 m5");
    cr_assert_str_eq(page_texts(alice, 6), "m0");
}

Test(reads, pages_are_read_ahead_and_answered_in_the_order_of_the_requests)
{
    uint64_t ts[6];
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = begin_with_runs(harness, 6);
    const struct core *core = harness_core(harness, 0);
    page_places(harness, alice, ts, 6);
    harness_hold_jobs(harness, 0, HARNESS_READER, true);
    ask_six_pages(harness, alice, ts);
    cr_assert_null(client_next(alice));
    cr_assert_eq(core->histories.ahead, 3, "up to the large one");
    harness_hold_jobs(harness, 0, HARNESS_READER, false);
    harness_run_until_idle(harness);
    expect_six_pages(alice);
    cr_assert_eq(core->histories.ahead, 0);
    cr_assert_eq(core->histories.count, 0);
    harness_close(harness);
}

Test(reads, pages_that_were_read_ahead_wait_for_a_first_one_that_takes_longer)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = begin_with_runs(harness, 1);
    const struct core *core = harness_core(harness, 0);
    char text[12001];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (uint32_t i = 0; i < 5; i++) {
        send_text(alice, i, harness_name(harness, 1, 0), text);
        finish_requests(harness, alice);
    }
    harness_advance(harness, ROUND_US);
    finish_requests(harness, alice);
    harness_hold_jobs(harness, 0, HARNESS_READER, true);
    for (uint32_t id = 1; id <= 4; id++)
        client_send(alice, "{\"op\":\"history\",\"id\":%u}", id);
    harness_run_until_idle(harness);
    cr_assert_eq(core->histories.ahead, 3);
    harness_hold_jobs(harness, 0, HARNESS_READER, false);
    harness_run_until_idle(harness);
    /* More pages than are read ahead: each continues when it is the first. */
    for (uint32_t id = 1; id <= 4; id++)
        cr_assert_str_eq(page_texts(alice, id), "m0 xxxxxx xxxxxx xxxxxx xxxxxx xxxxxx");
    cr_assert_eq(core->histories.count + core->histories.ahead + core->histories.active, 0);
    harness_close(harness);
}

Test(reads, a_client_that_leaves_while_pages_are_read_ahead_leaves_nothing_behind)
{
    uint64_t ts[6];
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = begin_with_runs(harness, 6);
    const struct core *core = harness_core(harness, 0);
    page_places(harness, alice, ts, 6);
    harness_hold_results(harness, 0, HARNESS_READER, true);
    ask_six_pages(harness, alice, ts);
    cr_assert_eq(core->histories.ahead, 3);
    client_drop(alice);
    harness_run_until_idle(harness);
    cr_assert_eq(core->histories.count + core->histories.ahead + core->histories.active, 0);
    harness_hold_results(harness, 0, HARNESS_READER, false);
    harness_run_until_idle(harness);
    struct client *again = client_login(harness, 0, harness_name(harness, 0, 0), "");
    ask_six_pages(harness, again, ts);
    expect_six_pages(again);
    harness_close(harness);
}

Test(reads, a_page_requested_before_a_checkpoint_and_read_after_it_has_all)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = begin_with_runs(harness, 2);
    send_text(alice, 9, harness_name(harness, 1, 0), "in memory");
    finish_requests(harness, alice);
    harness_hold_jobs(harness, 0, HARNESS_READER, true);
    client_send(alice, "{\"op\":\"history\",\"id\":1}");
    harness_run_until_idle(harness);
    harness_advance(harness, ROUND_US);
    harness_run_until_idle(harness); /* the generation that the page was to read has become a run, and is freed */
    cr_assert_eq(memtable_entry_count(harness_core(harness, 0)->generations.filling), 0);
    harness_hold_jobs(harness, 0, HARNESS_READER, false);
    harness_run_until_idle(harness);
    json_t *page = client_expect(alice, "history");
    cr_assert_eq(json_array_size(json_object_get(page, "messages")), 3);
    json_decref(page);
    harness_close(harness);
}

/* An entry above the mark settles early and is in memory; a page that was requested below the mark must not show it. */
Test(reads, a_page_shows_nothing_above_the_mark_though_it_is_in_memory_or_in_a_run)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 3});
    struct client *alice = begin_with_runs(harness, 2);
    harness_hold_writes(harness, 1, true);
    send_text(alice, 10, harness_name(harness, 1, 0), "first");
    send_text(alice, 11, harness_name(harness, 2, 0), "second");
    harness_run_until_idle(harness);
    harness_hold_jobs(harness, 0, HARNESS_READER, true);
    client_send(alice, "{\"op\":\"history\",\"id\":1}");
    harness_run_until_idle(harness);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    harness_hold_jobs(harness, 0, HARNESS_READER, false);
    harness_run_until_idle(harness);
    json_t *page = client_expect(alice, "history");
    json_t *messages = json_object_get(page, "messages");
    size_t count = json_array_size(messages);
    cr_assert(count == 2 || count == 4, "a page with `second` and without `first` would be a hole");
    json_decref(page);
    cr_assert_str_eq(history_texts(alice, ""), "m0 m1 first second");
    harness_close(harness);
}

Test(reads, the_ok_of_a_send_during_a_replay_comes_in_order)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    begin_with_runs(harness, 3);
    struct client *again = client_connect(harness, 0);
    harness_hold_jobs(harness, 0, HARNESS_READER, true);
    client_send(again, "{\"op\":\"login\",\"id\":1,\"user\":\"%s\",\"after\":0}", harness_name(harness, 0, 0));
    harness_run_until_idle(harness);
    send_text(again, 2, harness_name(harness, 1, 0), "mine");
    harness_run_until_idle(harness);
    harness_hold_jobs(harness, 0, HARNESS_READER, false);
    harness_run_until_idle(harness);
    const char *texts = entries(again, 0);
    cr_assert(strcmp(texts, "ok m0 m1 m2 ok live") == 0 || strcmp(texts, "ok m0 m1 m2 live ok") == 0, "%s", texts);
    harness_close(harness);
}

Test(reads, an_epoch_that_differs_resets_and_replays_nothing)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    begin_with_runs(harness, 2);
    struct client *bob = client_connect(harness, 0);
    client_send(bob, "{\"op\":\"login\",\"id\":1,\"user\":\"%s\",\"after\":0,\"epoch\":\"other\"}",
                harness_name(harness, 1, 0));
    harness_run_until_idle(harness);
    json_t *ok = client_expect(bob, "ok");
    cr_assert(json_is_true(json_object_get(ok, "reset")));
    json_decref(ok);
    cr_assert_str_eq(entries(bob, 0), "live");
    harness_close(harness);
}

Test(reads, a_page_covers_memory_and_runs_in_both_directions)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = begin_with_runs(harness, 3);
    send_text(alice, 50, harness_name(harness, 1, 0), "n0");
    send_text(alice, 51, harness_name(harness, 1, 1), "n1");
    finish_requests(harness, alice);
    cr_assert_str_eq(history_texts(alice, ",\"limit\":2"), "n0 n1");
    cr_assert_str_eq(history_texts(alice, ",\"limit\":4,\"after\":0"), "m0 m1 m2 n0");
    cr_assert_str_eq(history_texts(alice, ",\"limit\":3"), "m2 n0 n1");
    char with[64];
    snprintf(with, sizeof with, ",\"with\":\"%s\",\"limit\":2", harness_name(harness, 1, 0));
    cr_assert_str_eq(history_texts(alice, with), "m2 n0");
    harness_close(harness);
}

Test(stop, all_that_was_in_flight_is_answered_before_1001)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    harness_hold_writes(harness, 1, true);
    send_text(alice, 1, harness_name(harness, 1, 0), "last words");
    harness_run_until_idle(harness);
    harness_stop(harness);
    harness_run_until_idle(harness);
    cr_assert_null(client_next(alice), "the answer waits for the write");
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    json_t *frame = client_next(alice);
    cr_assert_str_eq(frame_text(frame, "op"), "ok");
    json_decref(frame);
    frame = client_next(alice);
    cr_assert_eq(frame_number(frame, "close"), 1001);
    json_decref(frame);
    harness_close(harness);
}

/* A former bug: a connection that waited for its output to be sent was handed over to a shard that had reported that it
 * was quiet. */
Test(stop, a_connection_that_waits_for_its_handover_gets_1001_too)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = client_connect(harness, 0);
    client_stall(alice, true);
    client_send(alice, "{\"op\":\"ping\"}");
    harness_run_until_idle(harness); /* an error is to be sent to the client, which does not read */
    client_send(alice, "{\"op\":\"login\",\"id\":1,\"user\":\"%s\"}", harness_name(harness, 1, 0));
    harness_run_until_idle(harness);
    harness_hold_letters(harness, 1, 0,
                         true); /* shard 0 does not know yet that shard 1 is quiet; shard 1 closes all it has */
    harness_stop(harness);
    harness_run_until_idle(harness);
    client_stall(alice, false);
    harness_run_until_idle(harness);
    harness_hold_letters(harness, 1, 0, false);
    harness_run_until_idle(harness);
    json_decref(client_expect(alice, "error"));
    json_t *frame = client_next(alice);
    cr_assert_eq(frame_number(frame, "close"), 1001);
    json_decref(frame);
    harness_close(harness);
}

Test(stop, requests_that_come_after_the_signal_are_not_read)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *alice = client_login(harness, 0, harness_name(harness, 0, 0), "");
    harness_stop(harness);
    harness_turn(harness, 0);
    send_text(alice, 1, harness_name(harness, 1, 0), "too late");
    harness_run_until_idle(harness);
    json_t *frame = client_next(alice);
    cr_assert_eq(frame_number(frame, "close"), 1001);
    json_decref(frame);
    cr_assert_null(client_next(alice));
    harness_close(harness);
}

/* One read of memory returns so many bytes at most; what is in the runs does not follow directly on that. */
static void filtered_page_over(const char *fields)
{
    static char large[LIMIT_TEXT_BYTES + 1];
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .memtable_bytes = 64 << 20});
    struct client *alice = begin_with_runs(harness, 2);
    char with[96];
    memset(large, 'x', LIMIT_TEXT_BYTES);
    for (uint32_t i = 0; i < 20; i++)
        send_text(alice, i, harness_name(harness, 1, 2), large);
    send_text(alice, 20, harness_name(harness, 1, 0), "among");
    for (uint32_t i = 0; i < 20; i++)
        send_text(alice, i, harness_name(harness, 1, 2), large);
    finish_requests(harness, alice);
    snprintf(with, sizeof with, ",\"limit\":100,\"with\":\"%s\"%s", harness_name(harness, 1, 0), fields);
    cr_assert_str_eq(history_texts(alice, with), "m0 m1 among");
    harness_close(harness);
}

Test(reads, a_filtered_page_backwards_leaves_out_nothing_where_a_read_of_memory_ended)
{
    filtered_page_over("");
}

Test(reads, a_filtered_page_forwards_leaves_out_nothing_where_a_read_of_memory_ended)
{
    filtered_page_over(",\"after\":0");
}

/* LMDB reads its two meta pages in mdb_txn_begin, which leaks memory if they cannot be read: they stay. */
#define META_BYTES 8192

/* As on a disk that fails: pages of the file are missing while the file is open. */
static void lose_runs(const char *dir, uint32_t shard)
{
    char pattern[128];
    glob_t paths;
    snprintf(pattern, sizeof pattern, "%s/shard-%04u/runs/run-*.mdb", dir, shard);
    cr_assert(glob(pattern, 0, NULL, &paths) == 0 && paths.gl_pathc > 0);
    for (size_t i = 0; i < paths.gl_pathc; i++)
        cr_assert_eq(truncate(paths.gl_pathv[i], META_BYTES), 0);
    globfree(&paths);
}

Test(reads, pages_whose_runs_cannot_be_read_are_unavailable_those_that_were_read_ahead_too)
{
    char dir[64];
    page_guard_install();
    harness_dir_make(dir);
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct client *alice = begin_with_runs(harness, 4);
    lose_runs(dir, 0);
    for (uint32_t id = 1; id <= 3; id++)
        client_send(alice, "{\"op\":\"history\",\"id\":%u,\"limit\":2}", id);
    harness_run_until_idle(harness);
    for (uint32_t id = 1; id <= 3; id++) {
        json_t *frame = client_next(alice);
        cr_assert_not_null(frame);
        cr_assert_str_eq(frame_text(frame, "code"), "unavailable");
        cr_assert_eq(frame_number(frame, "id"), id);
        json_decref(frame);
    }
    harness_close(harness);
    harness_dir_remove(dir);
}

/* The login time begins with the connection, and goes on after a handover. */
static void refused_login_on(uint32_t shard)
{
    char dir[64];
    page_guard_install();
    harness_dir_make(dir);
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    begin_with_runs(harness, 1);
    lose_runs(dir, 1);
    struct client *bob = client_connect(harness, shard);
    harness_advance(harness, 4000000);
    client_send(bob, "{\"op\":\"login\",\"id\":1,\"user\":\"%s\"}", harness_name(harness, 1, 0));
    harness_run_until_idle(harness);
    json_t *frame = client_next(bob);
    cr_assert_not_null(frame);
    cr_assert_str_eq(frame_text(frame, "code"), "unavailable");
    json_decref(frame);
    harness_advance(harness, 5500000);
    harness_run_until_idle(harness);
    cr_assert_null(client_next(bob), "the client may try again within the login time");
    harness_advance(harness, 1000000);
    harness_run_until_idle(harness);
    frame = client_next(bob);
    cr_assert_not_null(frame, "the login time is over");
    cr_assert_eq(frame_number(frame, "close"), 4002);
    json_decref(frame);
    harness_close(harness);
    harness_dir_remove(dir);
}

Test(reads, a_client_whose_login_failed_has_what_is_left_of_the_login_time)
{
    refused_login_on(1);
}

Test(reads, a_client_whose_login_failed_after_a_handover_has_what_is_left_of_the_login_time)
{
    refused_login_on(0);
}

/* -- `ok`s that wait for a replay -- */

#define OKS_MAX 3u

/* Bob's replay waits for the reader; the `ok`s of two sends wait for it. */
static struct client *begin_waiting_oks(struct harness *harness)
{
    begin_with_runs(harness, 2);
    client_login(harness, 1, harness_name(harness, 1, 0), "");
    harness_hold_jobs(harness, 1, HARNESS_READER, true);
    harness_core(harness, 1)->budget.deliveries_max = OKS_MAX;
    struct client *bob = client_login(harness, 1, harness_name(harness, 1, 0), ",\"after\":0");
    for (uint32_t id = 2; id <= 3; id++)
        send_text(bob, id, harness_name(harness, 0, 1), "hi");
    harness_run_until_idle(harness);
    cr_assert_null(client_next(bob));
    cr_assert_eq(harness_core(harness, 1)->replays.ok_pool.taken, 2);
    return bob;
}

static void expect_no_oks(struct harness *harness)
{
    cr_assert_eq(harness_core(harness, 1)->replays.ok_pool.taken, 0);
    cr_assert_eq(harness_core(harness, 1)->replays.oks_reserved, 0);
}

Test(reads, sends_in_flight_have_a_place_for_their_ok_and_past_the_limit_are_busy)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *bob = begin_waiting_oks(harness);
    harness_hold_writes(harness, 0, true);
    for (uint32_t id = 4; id <= 5; id++)
        send_text(bob, id, harness_name(harness, 0, 1), "hi");
    harness_run_until_idle(harness);
    json_t *frame = client_next(bob);
    cr_assert_not_null(frame);
    cr_assert_str_eq(frame_text(frame, "code"), "busy");
    cr_assert_eq(frame_number(frame, "id"), 5);
    json_decref(frame);
    harness_hold_writes(harness, 0, false);
    harness_run_until_idle(harness);
    harness_hold_jobs(harness, 1, HARNESS_READER, false);
    harness_run_until_idle(harness);
    cr_assert_str_eq(entries(bob, 0), "m0 m1 ok ok ok live");
    expect_no_oks(harness);
    harness_close(harness);
}

Test(reads, a_client_that_leaves_during_a_replay_leaves_no_ok_behind)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    struct client *bob = begin_waiting_oks(harness);
    client_drop(bob);
    harness_run_until_idle(harness);
    expect_no_oks(harness);
    harness_hold_jobs(harness, 1, HARNESS_READER, false);
    harness_close(harness);
}
