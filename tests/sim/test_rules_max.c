/* skip.h: a login with `max` replays the newest entries, exactly so many, and the reply says where they begin. */
#include <criterion/criterion.h>
#include <glob.h>
#include <unistd.h>

#include "harness.h"
#include "storage/page_guard.h"
#include "timeline/erasure.h"

TestSuite(max, .timeout = 120);

#define ROUND_US INT64_C(6000000) /* more than checkpoint_s, less than any time limit */
#define ENTRIES_MAX 2048u

/* Alice on shard 0 sends to bob on shard 1, whose timeline is read. */
struct scene {
    struct harness *harness;
    struct client *alice;
    const char *bob;
    uint32_t sent;
    uint64_t ts[ENTRIES_MAX + 1]; /* of bob's entries, from 1 on; ts[0] is 0 */
};

static void begin(struct scene *scene, const struct harness_options *options)
{
    *scene = (struct scene){.harness = harness_open(options)};
    scene->bob = harness_name(scene->harness, 1, 0);
    scene->alice = client_login(scene->harness, 0, harness_name(scene->harness, 0, 0), "");
}

static void drop_frames(struct client *client)
{
    for (json_t *frame; (frame = client_next(client)) != NULL;)
        json_decref(frame);
}

static void send_some(struct scene *scene, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        client_send(scene->alice, "{\"op\":\"send\",\"id\":%u,\"to\":\"%s\",\"text\":\"m%u\"}", i, scene->bob,
                    ++scene->sent);
    harness_run_until_idle(scene->harness);
    drop_frames(scene->alice);
}

static void make_run(struct scene *scene)
{
    harness_advance(scene->harness, ROUND_US);
    harness_run_until_idle(scene->harness);
    cr_assert_eq(memtable_entry_count(harness_core(scene->harness, 1)->generations.filling), 0);
}

static struct client *log_in(struct scene *scene, uint64_t after, uint32_t max)
{
    struct client *bob = client_connect(scene->harness, 1);
    client_send(bob, "{\"op\":\"login\",\"id\":1,\"user\":\"%s\",\"after\":%llu,\"max\":%u}", scene->bob,
                (unsigned long long)after, max);
    harness_run_until_idle(scene->harness);
    return bob;
}

/* What the timeline has: learnt by a replay of all. */
static void learn(struct scene *scene)
{
    struct client *bob = client_login(scene->harness, 1, scene->bob, ",\"after\":0");
    for (uint32_t i = 1; i <= scene->sent; i++) {
        json_t *frame = client_expect(bob, "msg");
        scene->ts[i] = frame_number(frame, "ts");
        json_decref(frame);
    }
    client_drop(bob);
    harness_run_until_idle(scene->harness);
}

/* The reply of a login with `last` = ts[last], then the entries from `first` to `end` (numbers, `first` above `end`:
 * none), then `live`. `skipped`: `skipped_until` is the entry before the first one. */
static void expect_replay(struct scene *scene, struct client *bob, uint32_t last, uint32_t first, uint32_t end,
                          bool skipped)
{
    json_t *frame = client_next(bob);
    cr_assert_not_null(frame);
    cr_assert_str_eq(frame_text(frame, "op"), "ok");
    cr_assert_eq(frame_number(frame, "last"), scene->ts[last]);
    json_t *until = json_object_get(frame, "skipped_until");
    cr_assert_eq(until != NULL, skipped, "entries from %u on", first);
    if (until != NULL)
        cr_assert_eq((uint64_t)json_integer_value(until), scene->ts[first - 1], "entries from %u on", first);
    json_decref(frame);
    for (uint32_t i = first; i <= end; i++, json_decref(frame)) {
        frame = client_next(bob);
        cr_assert_not_null(frame, "entry %u is missing", i);
        cr_assert_str_eq(frame_text(frame, "op"), "msg", "in place of entry %u", i);
        cr_assert_eq(frame_number(frame, "ts"), scene->ts[i], "in place of entry %u", i);
        cr_assert_eq(frame_number(frame, "prev"), scene->ts[i - 1], "of entry %u", i);
    }
    frame = client_next(bob);
    cr_assert_not_null(frame);
    cr_assert_str_eq(frame_text(frame, "op"), "live");
    json_decref(frame);
    cr_assert_null(client_next(bob));
}

/* A login with each of some values of `max`, from after entry `after`. */
static void expect_each(struct scene *scene, uint32_t after, uint32_t step)
{
    uint32_t missed = scene->sent - after;
    for (uint32_t max = 0; max <= missed + step; max += step) {
        struct client *bob = log_in(scene, scene->ts[after], max);
        uint32_t first = max < missed ? scene->sent - max + 1 : after + 1;
        expect_replay(scene, bob, scene->sent, first, scene->sent, max < missed);
        client_drop(bob);
        harness_run_until_idle(scene->harness);
    }
}

Test(max, the_newest_are_counted_exactly_in_memory_and_in_runs)
{
    struct scene scene;
    begin(&scene, &(struct harness_options){.shards = 2});
    send_some(&scene, 6);
    learn(&scene);
    expect_each(&scene, 0, 1); /* memory only */
    make_run(&scene);
    expect_each(&scene, 0, 1); /* one run only */
    send_some(&scene, 3);
    make_run(&scene);
    send_some(&scene, 4);
    learn(&scene);
    expect_each(&scene, 0, 1);
    expect_each(&scene, 7, 1);
    expect_each(&scene, 13, 1);
    harness_close(scene.harness);
}

Test(max, the_same_over_many_steps)
{
    struct scene scene;
    begin(&scene, &(struct harness_options){.shards = 2});
    for (int i = 0; i < 3; i++)
        send_some(&scene, 230);
    make_run(&scene);
    for (int i = 0; i < 3; i++)
        send_some(&scene, 230);
    learn(&scene);
    cr_assert_gt(scene.sent, 2 * SKIP_STEP_ENTRIES);
    expect_each(&scene, 0, 171);
    for (uint32_t max = SKIP_STEP_ENTRIES - 1; max <= SKIP_STEP_ENTRIES + 1; max++)
        expect_replay(&scene, log_in(&scene, 0, max), scene.sent, scene.sent - max + 1, scene.sent, true);
    harness_close(scene.harness);
}

/* The reader reads the runs after the checkpoint, so it finds what was taken from memory, too. */
Test(max, an_entry_that_goes_from_memory_to_a_run_meanwhile_is_counted_once)
{
    struct scene scene;
    begin(&scene, &(struct harness_options){.shards = 2});
    send_some(&scene, 4);
    make_run(&scene);
    send_some(&scene, 5);
    learn(&scene);
    client_login(scene.harness, 1, scene.bob, ""); /* `last` is known */
    harness_hold_jobs(scene.harness, 1, HARNESS_READER, true);
    struct client *bob = log_in(&scene, 0, 7);
    cr_assert_null(client_next(bob));
    make_run(&scene);
    harness_hold_jobs(scene.harness, 1, HARNESS_READER, false);
    harness_run_until_idle(scene.harness);
    expect_replay(&scene, bob, 9, 3, 9, true);
    harness_close(scene.harness);
}

Test(max, what_arrives_meanwhile_is_replayed_beside_the_newest)
{
    struct scene scene;
    begin(&scene, &(struct harness_options){.shards = 2});
    send_some(&scene, 5);
    make_run(&scene);
    learn(&scene);
    client_login(scene.harness, 1, scene.bob, ""); /* `last` is known */
    harness_hold_results(scene.harness, 1, HARNESS_READER, true);
    struct client *bob = log_in(&scene, scene.ts[1], 2);
    send_some(&scene, 3);
    cr_assert_null(client_next(bob));
    harness_hold_results(scene.harness, 1, HARNESS_READER, false);
    harness_run_until_idle(scene.harness);
    learn(&scene);
    expect_replay(&scene, bob, 5, 4, 8, true);
    harness_close(scene.harness);
}

struct asked {
    struct erasure erasure;
    bool is_done;
};

static void on_erased(struct core *core, struct erasure *erasure)
{
    (void)core;
    container_of(erasure, struct asked, erasure)->is_done = true;
}

Test(max, what_is_gone_is_not_missed)
{
    struct scene scene;
    begin(&scene, &(struct harness_options){.shards = 2});
    send_some(&scene, 3);
    learn(&scene);
    struct asked asked = {.erasure = {.done = on_erased}};
    erasure_begin(harness_core(scene.harness, 1), span_of(scene.bob), &asked.erasure);
    harness_run_until_idle(scene.harness);
    cr_assert(asked.is_done);
    uint64_t first = asked.erasure.ts;
    scene.ts[0] = first;
    scene.sent = 0;
    expect_replay(&scene, log_in(&scene, 0, 0), 0, 1, 0, false);
    send_some(&scene, 4);
    struct client *bob = client_login(scene.harness, 1, scene.bob, ",\"after\":0");
    for (uint32_t i = 1; i <= 4; i++) {
        json_t *frame = client_expect(bob, "msg");
        scene.ts[i] = frame_number(frame, "ts");
        json_decref(frame);
    }
    expect_replay(&scene, log_in(&scene, 0, 3), 4, 2, 4, true);
    expect_replay(&scene, log_in(&scene, 0, 4), 4, 1, 4, false);
    expect_replay(&scene, log_in(&scene, first - 1, 4), 4, 1, 4, false);
    harness_close(scene.harness);
}

Test(max, needs_after_and_a_cursor_of_this_data)
{
    struct scene scene;
    begin(&scene, &(struct harness_options){.shards = 2});
    send_some(&scene, 3);
    learn(&scene);
    struct client *bob = client_connect(scene.harness, 1);
    client_send(bob, "{\"op\":\"login\",\"id\":1,\"user\":\"%s\",\"max\":1}", scene.bob);
    harness_run_until_idle(scene.harness);
    json_t *ok = client_expect(bob, "ok");
    cr_assert_null(json_object_get(ok, "skipped_until"));
    json_decref(ok);
    cr_assert_null(client_next(bob));
    bob = log_in(&scene, scene.ts[3] + 1, 1);
    ok = client_expect(bob, "ok");
    cr_assert_null(json_object_get(ok, "skipped_until"));
    cr_assert(json_is_true(json_object_get(ok, "reset")));
    json_decref(ok);
    json_decref(client_expect(bob, "live"));
    harness_close(scene.harness);
}

Test(max, nothing_is_left_of_a_login_that_ends_before_the_runs_were_read)
{
    struct scene scene;
    begin(&scene, &(struct harness_options){.shards = 2});
    send_some(&scene, 3);
    make_run(&scene);
    learn(&scene);
    client_login(scene.harness, 1, scene.bob, ""); /* `last` is known */
    harness_hold_jobs(scene.harness, 1, HARNESS_READER, true);
    struct client *bob = log_in(&scene, 0, 1);
    cr_assert_null(client_next(bob));
    clients_drop(scene.harness);
    harness_run_until_idle(scene.harness);
    harness_hold_jobs(scene.harness, 1, HARNESS_READER, false);
    harness_run_until_idle(scene.harness);
    harness_check_rest(scene.harness);
    harness_close(scene.harness);
}

/* LMDB reads its two meta pages in mdb_txn_begin, which leaks memory if they cannot be read: they stay. */
#define META_BYTES 8192

Test(max, without_the_runs_the_login_is_unavailable_and_may_be_sent_again)
{
    char dir[64], pattern[128];
    glob_t paths;
    struct scene scene;
    page_guard_install();
    harness_dir_make(dir);
    begin(&scene, &(struct harness_options){.shards = 2, .dir = dir});
    send_some(&scene, 3);
    make_run(&scene);
    struct client *other = client_login(scene.harness, 1, scene.bob, ""); /* `last` is known */
    snprintf(pattern, sizeof pattern, "%s/shard-0001/runs/run-*.mdb", dir);
    cr_assert(glob(pattern, 0, NULL, &paths) == 0 && paths.gl_pathc > 0);
    for (size_t i = 0; i < paths.gl_pathc; i++)
        cr_assert_eq(truncate(paths.gl_pathv[i], META_BYTES), 0);
    globfree(&paths);
    struct client *bob = log_in(&scene, 0, 1);
    json_t *frame = client_expect(bob, "error");
    cr_assert_str_eq(frame_text(frame, "code"), "unavailable");
    json_decref(frame);
    client_send(bob, "{\"op\":\"login\",\"id\":2,\"user\":\"%s\"}", scene.bob);
    harness_run_until_idle(scene.harness);
    json_decref(client_expect(bob, "ok"));
    cr_assert_null(client_next(other));
    harness_close(scene.harness);
    harness_dir_remove(dir);
}
