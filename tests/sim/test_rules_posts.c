/* Programs send and read without a connection on the user's shard: a post is a send as any other, and is always given
 * back; a page for a program has what a page of history has. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness_double.h"

TestSuite(posts, .timeout = 60);

#define POSTS_MAX 1100

/* The posts of one request, for users of one shard. */
struct request_of_posts {
    struct post_group group;
    struct post posts[POSTS_MAX];
    char texts[POSTS_MAX][16];
    uint32_t done;
};

static void on_done(struct core *core, struct post_group *group)
{
    (void)core;
    container_of(group, struct request_of_posts, group)->done++;
}

static struct request_of_posts *make_posts(void)
{
    struct request_of_posts *request = calloc(1, sizeof *request);
    cr_assert_not_null(request);
    request->group.on_done = on_done;
    return request;
}

/* `key` is borrowed; NULL: none. */
static void add_post(struct request_of_posts *request, const char *from, const char *to, const char *text,
                     const char *key)
{
    uint32_t i = request->group.count++;
    cr_assert_lt(i, POSTS_MAX);
    snprintf(request->texts[i], sizeof request->texts[i], "%s", text);
    request->posts[i] = (struct post){.from = span_of(from),
                                      .send = {span_of(to), span_of(request->texts[i]), span_of(key ? key : "")}};
    if (i > 0)
        request->posts[i - 1].next = &request->posts[i];
    request->group.first = request->posts;
}

static void take_posts(struct harness *harness, struct request_of_posts *request)
{
    uint32_t shard = core_shard_of(harness_core(harness, 0), request->posts[0].from);
    posts_take(harness_core(harness, shard), &request->group);
}

static struct request_of_posts *post_one(struct harness *harness, const char *from, const char *to, const char *text,
                                         const char *key)
{
    struct request_of_posts *request = make_posts();
    add_post(request, from, to, text, key);
    take_posts(harness, request);
    return request;
}

static void expect_outcome(struct request_of_posts *request, enum error_code code, bool is_dup)
{
    cr_assert_eq(request->done, 1);
    cr_assert_eq(request->posts[0].code, code, "%s", request->posts[0].message);
    cr_assert_eq(request->posts[0].is_dup, is_dup);
    free(request);
}

static void expect_msg(struct client *client, const char *text, uint64_t prev)
{
    json_t *frame = client_expect(client, "msg");
    cr_assert_str_eq(frame_text(frame, "text"), text);
    cr_assert_eq(frame_number(frame, "prev"), prev);
    json_decref(frame);
}

static struct harness *open_two(void)
{
    return harness_open(&(struct harness_options){.shards = 2});
}

/* Lets so much time pass that nothing is kept for senders who are not connected. */
static void forget_senders(struct harness *harness)
{
    for (uint32_t i = 0; i < 2 * SENDERS_KEPT_S + 2; i++) {
        harness_advance(harness, 1000000);
        harness_run_until_idle(harness);
    }
}

Test(posts, a_post_is_answered_when_it_is_durable_in_both_timelines_and_all_connections_get_it)
{
    struct harness *harness = open_two();
    const char *alice_name = harness_name(harness, 0, 0), *bob_name = harness_name(harness, 1, 0);
    struct client *alice = client_login(harness, 1, alice_name, "");
    struct client *bob = client_login(harness, 0, bob_name, "");
    harness_hold_writes(harness, 1, true);
    struct request_of_posts *request = post_one(harness, alice_name, bob_name, "hi", NULL);
    harness_run_until_idle(harness);
    cr_assert_eq(request->done, 0);
    cr_assert_null(client_next(alice));
    cr_assert_null(client_next(bob));
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    cr_assert_gt(request->posts[0].ts, 0);
    expect_outcome(request, ERROR_NONE, false);
    expect_msg(alice, "hi", 0);
    expect_msg(bob, "hi", 0);
    cr_assert_str_eq(history_texts(alice, ""), "hi");
    cr_assert_str_eq(history_texts(bob, ""), "hi");
    harness_close(harness);
}

Test(posts, a_post_takes_its_place_between_the_sends_of_a_connection)
{
    struct harness *harness = open_two();
    const char *alice_name = harness_name(harness, 0, 0), *bob_name = harness_name(harness, 1, 0);
    struct client *alice = client_login(harness, 1, alice_name, "");
    client_send(alice, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"one\"}", bob_name);
    harness_run_until_idle(harness);
    json_t *first = client_expect(alice, "ok");
    struct request_of_posts *request = post_one(harness, alice_name, bob_name, "two", NULL);
    harness_run_until_idle(harness);
    client_send(alice, "{\"op\":\"send\",\"id\":2,\"to\":\"%s\",\"text\":\"three\"}", bob_name);
    harness_run_until_idle(harness);
    expect_msg(alice, "two", frame_number(first, "ts"));
    json_t *third = client_expect(alice, "ok");
    cr_assert_eq(frame_number(third, "prev"), request->posts[0].ts);
    expect_outcome(request, ERROR_NONE, false);
    json_decref(first);
    json_decref(third);
    harness_close(harness);
}

Test(posts, a_post_to_oneself_stands_once_in_the_timeline)
{
    struct harness *harness = open_two();
    const char *name = harness_name(harness, 0, 0);
    struct client *alice = client_login(harness, 1, name, "");
    struct request_of_posts *request = post_one(harness, name, name, "note", "k");
    harness_run_until_idle(harness);
    expect_outcome(request, ERROR_NONE, false);
    expect_msg(alice, "note", 0);
    cr_assert_str_eq(history_texts(alice, ""), "note");
    harness_close(harness);
}

Test(posts, the_keys_of_a_user_are_those_of_their_connections_and_of_programs)
{
    struct harness *harness = open_two();
    const char *alice_name = harness_name(harness, 0, 0), *bob_name = harness_name(harness, 1, 0);
    struct request_of_posts *first = post_one(harness, alice_name, bob_name, "once", "k");
    harness_run_until_idle(harness);
    struct request_of_posts *again = post_one(harness, alice_name, bob_name, "once", "k");
    struct request_of_posts *other = post_one(harness, alice_name, bob_name, "other", "k");
    harness_run_until_idle(harness);
    cr_assert_eq(again->posts[0].ts, first->posts[0].ts);
    cr_assert_eq(memcmp(again->posts[0].mid, first->posts[0].mid, LIMIT_MID_BYTES), 0);
    expect_outcome(again, ERROR_NONE, true);
    expect_outcome(other, ERROR_KEY_CONFLICT, false);
    struct client *alice = client_login(harness, 1, alice_name, "");
    client_send(alice, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"once\",\"key\":\"k\"}", bob_name);
    harness_run_until_idle(harness);
    json_t *frame = client_expect(alice, "ok");
    cr_assert(json_is_true(json_object_get(frame, "dup")));
    cr_assert_eq(frame_number(frame, "ts"), first->posts[0].ts);
    json_decref(frame);
    cr_assert_str_eq(history_texts(alice, ""), "once");
    expect_outcome(first, ERROR_NONE, false);
    harness_close(harness);
}

Test(posts, a_post_and_a_send_with_its_key_share_the_outcome_while_it_is_pending)
{
    struct harness *harness = open_two();
    const char *alice_name = harness_name(harness, 0, 0), *bob_name = harness_name(harness, 1, 0);
    struct client *alice = client_login(harness, 1, alice_name, "");
    harness_hold_writes(harness, 1, true);
    struct request_of_posts *first = post_one(harness, alice_name, bob_name, "once", "k");
    harness_run_until_idle(harness);
    client_send(alice, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"once\",\"key\":\"k\"}", bob_name);
    struct request_of_posts *again = post_one(harness, alice_name, bob_name, "once", "k");
    harness_run_until_idle(harness);
    cr_assert_eq(first->done + again->done, 0);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    json_t *frame = client_expect(alice, "ok");
    cr_assert(json_is_true(json_object_get(frame, "dup")));
    json_decref(frame);
    expect_outcome(first, ERROR_NONE, false);
    expect_outcome(again, ERROR_NONE, true);
    cr_assert_str_eq(history_texts(alice, ""), "once");
    harness_close(harness);
}

static void life_of_a_post(const char *dir, struct legacy *legacy)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    struct request_of_posts *request =
        post_one(harness, harness_name(harness, 0, 0), harness_name(harness, 1, 0), "kept", "k");
    harness_run_until_idle(harness);
    HARNESS_MUST(request->done == 1 && request->posts[0].code == ERROR_NONE);
    legacy->ts[0] = request->posts[0].ts;
}

Test(posts, an_answered_post_is_there_after_a_crash_and_its_key_too)
{
    char dir[64];
    harness_dir_make(dir);
    struct legacy *legacy = harness_live_and_die(dir, life_of_a_post);
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2, .dir = dir});
    const char *alice_name = harness_name(harness, 0, 0), *bob_name = harness_name(harness, 1, 0);
    struct request_of_posts *again = post_one(harness, alice_name, bob_name, "kept", "k");
    harness_run_until_idle(harness);
    cr_assert_eq(again->posts[0].ts, legacy->ts[0]);
    expect_outcome(again, ERROR_NONE, true);
    struct client *alice = client_login(harness, 0, alice_name, "");
    struct client *bob = client_login(harness, 0, bob_name, "");
    cr_assert_str_eq(history_texts(alice, ""), "kept");
    cr_assert_str_eq(history_texts(bob, ""), "kept");
    harness_close(harness);
    harness_dir_remove(dir);
}

Test(posts, the_rate_of_a_user_counts_posts_and_sends_together)
{
    struct harness *harness = open_two();
    harness->config.send_rate = 3;
    const char *alice_name = harness_name(harness, 0, 0), *bob_name = harness_name(harness, 1, 0);
    struct request_of_posts *request = make_posts();
    for (int i = 0; i < 3; i++)
        add_post(request, alice_name, bob_name, i == 0 ? "a" : i == 1 ? "b" : "c", NULL);
    take_posts(harness, request);
    harness_run_until_idle(harness);
    expect_outcome(request, ERROR_NONE, false);
    struct client *alice = client_login(harness, 1, alice_name, "");
    client_send(alice, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"d\"}", bob_name);
    request = post_one(harness, alice_name, bob_name, "e", NULL);
    harness_run_until_idle(harness);
    json_t *frame = client_expect(alice, "error");
    cr_assert_str_eq(frame_text(frame, "code"), "rate_limited");
    json_decref(frame);
    cr_assert_gt(request->posts[0].retry_after_ms, 0);
    cr_assert_leq(request->posts[0].retry_after_ms, 1000);
    expect_outcome(request, ERROR_RATE_LIMITED, false);
    cr_assert_str_eq(history_texts(alice, ""), "a b c");
    harness_close(harness);
}

Test(posts, a_slow_disk_refuses_posts_with_busy)
{
    struct harness *harness = open_two();
    const char *alice_name = harness_name(harness, 0, 0), *bob_name = harness_name(harness, 0, 1);
    harness_hold_writes(harness, 0, true);
    struct request_of_posts *first = post_one(harness, alice_name, bob_name, "slow", NULL);
    harness_run_until_idle(harness);
    harness_advance(harness, 2 * CORE_WRITE_SLOW_US);
    harness_run_until_idle(harness);
    struct request_of_posts *second = post_one(harness, alice_name, bob_name, "refused", NULL);
    cr_assert_eq(second->posts[0].retry_after_ms, 1000);
    expect_outcome(second, ERROR_BUSY, false);
    harness_hold_writes(harness, 0, false);
    harness_run_until_idle(harness);
    expect_outcome(first, ERROR_NONE, false);
    harness_close(harness);
}

Test(posts, the_posts_of_a_group_are_spread_over_turns_and_keep_their_order)
{
    struct harness *harness = open_two();
    const char *alice_name = harness_name(harness, 0, 0), *bob_name = harness_name(harness, 1, 0);
    struct request_of_posts *request = make_posts();
    for (uint32_t i = 0; i < 1000; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u", i);
        add_post(request, alice_name, bob_name, text, NULL);
    }
    take_posts(harness, request);
    cr_assert_not(list_is_empty(&harness_core(harness, 0)->posts.queue), "a share in each turn");
    cr_assert_leq(harness_core(harness, 0)->deliveries.pool.taken, TURN_INPUT_SHARE);
    harness_run_until_idle(harness);
    cr_assert_eq(request->done, 1);
    for (uint32_t i = 0; i < 1000; i++) {
        cr_assert_eq(request->posts[i].code, ERROR_NONE, "%u: %s", i, request->posts[i].message);
        cr_assert(i == 0 || request->posts[i].ts > request->posts[i - 1].ts);
    }
    struct client *bob = client_login(harness, 0, bob_name, ",\"after\":0");
    for (uint32_t i = 0; i < 1000; i++) {
        json_t *frame = client_expect(bob, "msg");
        cr_assert_eq(strtoul(frame_text(frame, "text"), NULL, 10), i);
        json_decref(frame);
    }
    free(request);
    harness_close(harness);
}

Test(posts, the_keys_of_a_sender_without_connection_are_kept_for_some_seconds_and_then_all_is_given_back)
{
    struct harness *harness = open_two();
    struct core *core = harness_core(harness, 0);
    const char *alice_name = harness_name(harness, 0, 0), *bob_name = harness_name(harness, 1, 0);
    for (uint32_t i = 0; i < 2 * SENDERS_KEPT_S + 1; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        struct request_of_posts *request = post_one(harness, alice_name, bob_name, "x", key);
        harness_run_until_idle(harness);
        expect_outcome(request, ERROR_NONE, false);
        cr_assert_gt(core->idempotency.memory.bytes, 0);
        cr_assert_eq(core->senders.pool.taken, 1);
        harness_advance(harness, 1000000);
        harness_run_until_idle(harness);
    }
    cr_assert_gt(core->idempotency.memory.bytes, 0, "who goes on sending is kept");
    forget_senders(harness);
    cr_assert_eq(core->idempotency.memory.bytes, 0);
    harness_check_rest(harness);
    harness_close(harness);
}

Test(posts, the_keys_of_a_sender_are_kept_when_their_last_connection_ends)
{
    struct harness *harness = open_two();
    struct core *core = harness_core(harness, 0);
    const char *alice_name = harness_name(harness, 0, 0), *bob_name = harness_name(harness, 1, 0);
    struct client *alice = client_login(harness, 0, alice_name, "");
    struct request_of_posts *request = post_one(harness, alice_name, bob_name, "x", "k");
    harness_run_until_idle(harness);
    client_drop(alice);
    harness_run_until_idle(harness);
    cr_assert_gt(core->idempotency.memory.bytes, 0);
    expect_outcome(request, ERROR_NONE, false);
    forget_senders(harness);
    harness_check_rest(harness);
    harness_close(harness);
}

Test(posts, past_the_most_senders_the_one_kept_first_goes)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct core *core = harness_core(harness, 0);
    char name[16];
    for (uint32_t i = 0; i < SENDERS_MAX + 10; i++) {
        snprintf(name, sizeof name, "u%u", i);
        struct user *user = user_take(&core->users, span_of(name));
        senders_keep(core, user);
        user_unref(&core->users, user);
    }
    cr_assert_eq(core->senders.pool.taken, SENDERS_MAX);
    cr_assert_eq(core->users.count, SENDERS_MAX);
    harness_close(harness);
}

/* The outcome of the first is unknown, so the second can never leave the timeline, though it is stored. */
Test(posts, after_a_failed_write_every_post_is_answered_and_the_server_stops)
{
    struct harness *harness = open_two();
    const char *alice_name = harness_name(harness, 0, 0);
    harness_hold_writes(harness, 1, true);
    struct request_of_posts *lost = post_one(harness, alice_name, harness_name(harness, 1, 0), "lost", "k1");
    harness_run_until_idle(harness);
    struct request_of_posts *behind = post_one(harness, alice_name, harness_name(harness, 0, 1), "behind", "k2");
    struct client *alice = client_login(harness, 0, alice_name, "");
    client_send(alice, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"sent\",\"key\":\"k3\"}",
                harness_name(harness, 0, 1));
    harness_run_until_idle(harness);
    struct request_of_posts *waits = post_one(harness, alice_name, harness_name(harness, 0, 1), "sent", "k3");
    harness_run_until_idle(harness);
    cr_assert_eq(lost->done + behind->done + waits->done, 0);
    harness_fail_writes(harness, 1);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    harness_advance(harness, 1100000);
    harness_run_until_idle(harness);
    expect_outcome(lost, ERROR_UNAVAILABLE, false);
    expect_outcome(behind, ERROR_UNAVAILABLE, false);
    expect_outcome(waits, ERROR_UNAVAILABLE, false);
    expect_outcome(post_one(harness, alice_name, harness_name(harness, 0, 1), "later", NULL), ERROR_UNAVAILABLE, false);
    harness_close(harness);
}

/* -- pages -- */

struct program_page {
    struct page_read read;
    uint32_t done;
};

static void on_page(struct core *core, struct page_read *read)
{
    (void)core;
    container_of(read, struct program_page, read)->done++;
}

static struct program_page *ask_page(struct harness *harness, const char *user, struct request_history asked,
                                     bool as_lines)
{
    struct program_page *page = calloc(1, sizeof *page);
    cr_assert_not_null(page);
    page->read.user = span_of(user);
    page->read.asked = asked;
    page->read.as_lines = as_lines;
    page->read.on_done = on_page;
    if (asked.before == 0) /* not given */
        page->read.asked.before = LIMIT_TS_MAX + 1;
    page_reads_take(harness_core(harness, core_shard_of(harness_core(harness, 0), span_of(user))), &page->read);
    return page;
}

static void page_free(struct program_page *page)
{
    free(page->read.text);
    free(page);
}

static void expect_page(struct harness *harness, struct client *client, const char *user, struct request_history asked,
                        const char *fields)
{
    struct program_page *page = ask_page(harness, user, asked, false);
    harness_run_until_idle(harness);
    cr_assert_eq(page->done, 1);
    cr_assert_eq(page->read.code, ERROR_NONE);
    client_send(client, "{\"op\":\"history\",\"limit\":%u%s}", asked.limit, fields);
    harness_run_until_idle(harness);
    json_t *want = client_expect(client, "history");
    json_t *got = json_loadb(page->read.text, page->read.text_bytes, 0, NULL);
    cr_assert_not_null(got);
    json_object_del(want, "op");
    cr_assert(json_equal(want, got));
    json_decref(want);
    json_decref(got);
    page_free(page);
}

static void send_many(struct harness *harness, const char *from, const char *to, uint32_t count)
{
    struct request_of_posts *request = make_posts();
    for (uint32_t i = 0; i < count; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u", i);
        add_post(request, from, to, text, NULL);
    }
    take_posts(harness, request);
    harness_run_until_idle(harness);
    expect_outcome(request, ERROR_NONE, false);
}

/* In memory, and then after a restart in a run. */
Test(posts, a_page_for_a_program_has_what_a_page_of_history_has)
{
    char dir[64];
    harness_dir_make(dir);
    struct harness_options options = {.shards = 2, .dir = dir};
    for (int life = 0; life < 2; life++) {
        struct harness *harness = harness_open(&options);
        const char *alice = harness_name(harness, 0, 0), *bob = harness_name(harness, 1, 0);
        char with[64];
        snprintf(with, sizeof with, ",\"with\":\"%s\",\"after\":0", harness_name(harness, 0, 1));
        if (life == 0) {
            send_many(harness, alice, bob, 60);
            send_many(harness, harness_name(harness, 0, 1), alice, 7);
        }
        struct client *client = client_login(harness, 0, alice, "");
        expect_page(harness, client, alice, (struct request_history){.limit = 50}, "");
        expect_page(harness, client, alice, (struct request_history){.limit = 5, .has_after = true}, ",\"after\":0");
        expect_page(harness, client, alice, (struct request_history){.limit = 1000, .has_after = true}, ",\"after\":0");
        expect_page(harness, client, alice, (struct request_history){.limit = 5, .before = 9}, ",\"before\":9");
        expect_page(harness, client, alice,
                    (struct request_history){
                        .limit = 5, .has_after = true, .has_with = true, .with = span_of(harness_name(harness, 0, 1))},
                    with);
        clients_drop(harness);
        forget_senders(harness);
        harness_check_rest(harness);
        harness_close(harness);
    }
    harness_dir_remove(dir);
}

Test(posts, a_page_does_not_have_what_is_not_durable)
{
    struct harness *harness = open_two();
    const char *alice = harness_name(harness, 0, 0);
    send_many(harness, alice, harness_name(harness, 0, 1), 1);
    harness_hold_writes(harness, 1, true);
    struct request_of_posts *request = post_one(harness, alice, harness_name(harness, 1, 0), "pending", NULL);
    harness_run_until_idle(harness);
    struct program_page *page = ask_page(harness, alice, (struct request_history){.limit = 50}, true);
    harness_run_until_idle(harness);
    cr_assert_null(memmem(page->read.text, page->read.text_bytes, "pending", 7));
    cr_assert_leq(page->read.bound, harness_now(harness) + 1000);
    page_free(page);
    harness_hold_writes(harness, 1, false);
    harness_run_until_idle(harness);
    expect_outcome(request, ERROR_NONE, false);
    harness_close(harness);
}

/* Lines until the end, with what the export has begun with as its bound. Returns how many. */
static uint32_t export_lines(struct harness *harness, const char *user, uint32_t limit,
                             void (*between)(struct harness *))
{
    uint32_t lines = 0;
    struct request_history asked = {.limit = limit, .has_after = true};
    for (bool more = true; more;) {
        struct program_page *page = ask_page(harness, user, asked, true);
        harness_run_until_idle(harness);
        cr_assert_eq(page->done, 1);
        cr_assert_eq(page->read.code, ERROR_NONE);
        const char *at = page->read.text;
        while (at != NULL && at < page->read.text + page->read.text_bytes) {
            const char *end = memchr(at, '\n', page->read.text_bytes - (size_t)(at - page->read.text));
            json_t *line = json_loadb(at, (size_t)(end - at), 0, NULL);
            cr_assert_eq(strtoul(frame_text(line, "text"), NULL, 10), lines);
            json_decref(line);
            lines++;
            at = end + 1;
        }
        if (asked.before == 0)
            asked.before = page->read.bound;
        asked.after = page->read.next;
        more = page->read.has_more;
        page_free(page);
        between(harness);
    }
    return lines;
}

/* A checkpoint, and another message. */
static void live_on(struct harness *harness)
{
    send_many(harness, harness_name(harness, 0, 0), harness_name(harness, 1, 0), 1);
    harness_advance(harness, 6000000);
    harness_run_until_idle(harness);
}

Test(posts, an_export_has_all_that_was_there_when_it_began_though_checkpoints_and_merges_run)
{
    struct harness *harness = open_two();
    const char *alice = harness_name(harness, 0, 0);
    send_many(harness, alice, harness_name(harness, 1, 0), 900);
    uint32_t runs = harness_core(harness, 0)->runs.count;
    cr_assert_eq(export_lines(harness, alice, 31, live_on), 900);
    cr_assert_gt(harness_core(harness, 0)->runs.count, runs);
    harness_close(harness);
}

Test(posts, pages_past_the_most_wait_and_none_is_lost)
{
    enum { PAGES = 3 * PAGE_READS_ACTIVE_MAX };
    char dir[64];
    harness_dir_make(dir);
    struct harness_options options = {.shards = 1, .dir = dir};
    struct harness *harness = harness_open(&options);
    send_many(harness, "alice", "bob", 10);
    harness_close(harness);
    harness = harness_open(&options);
    struct program_page *pages[PAGES];
    harness_hold_jobs(harness, 0, HARNESS_READER, true);
    for (uint32_t i = 0; i < PAGES; i++)
        pages[i] = ask_page(harness, "alice", (struct request_history){.limit = 50}, false);
    harness_run_until_idle(harness);
    cr_assert_eq(harness_core(harness, 0)->page_reads.active, PAGE_READS_ACTIVE_MAX);
    harness_hold_jobs(harness, 0, HARNESS_READER, false);
    harness_run_until_idle(harness);
    for (uint32_t i = 0; i < PAGES; i++) {
        cr_assert_eq(pages[i]->done, 1);
        cr_assert_eq(pages[i]->read.code, ERROR_NONE);
        page_free(pages[i]);
    }
    harness_check_rest(harness);
    harness_close(harness);
    harness_dir_remove(dir);
}
