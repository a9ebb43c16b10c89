/* watch.h, presence.h: a watch shows who is online, over all shards, to whom it may, and the last state always comes.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "harness.h"

TestSuite(presence, .timeout = 120);

#define ROUND_US INT64_C(6000000) /* more than checkpoint_s, less than any time limit */

static struct harness *begin(enum config_presence presence)
{
    return harness_open(&(struct harness_options){.shards = 2, .presence = presence});
}

static struct client *log_in(struct harness *harness, uint32_t shard, uint32_t n)
{
    return client_login(harness, shard, harness_name(harness, shard, n), "");
}

/* Leaves, and the shards notice. */
static void leave(struct harness *harness, struct client *client)
{
    client_drop(client);
    harness_run_until_idle(harness);
}

static void watch_users(struct client *client, uint32_t id, const char *a, const char *b)
{
    if (b != NULL)
        client_send(client, "{\"op\":\"watch\",\"id\":%u,\"users\":[\"%s\",\"%s\"]}", id, a, b);
    else
        client_send(client, "{\"op\":\"watch\",\"id\":%u,\"users\":[\"%s\"]}", id, a);
}

/* The next frame is the reply to watch `id`; who is online, joined by blanks. */
static const char *online(struct client *client, uint64_t id)
{
    static char names[4096];
    json_t *frame = client_next(client);
    names[0] = '\0';
    cr_assert_not_null(frame, "watch %llu is not answered", (unsigned long long)id);
    cr_assert_str_eq(frame_text(frame, "op"), "ok");
    cr_assert_eq(frame_number(frame, "id"), id);
    size_t index;
    json_t *name;
    json_array_foreach(json_object_get(frame, "online"), index, name)
    {
        strcat(names, index == 0 ? "" : " ");
        strcat(names, json_string_value(name));
    }
    json_decref(frame);
    return names;
}

static void expect_presence(struct client *client, const char *user, bool is_online)
{
    json_t *frame = client_next(client);
    cr_assert_not_null(frame, "no push");
    cr_assert_str_eq(frame_text(frame, "op"), "presence");
    cr_assert_str_eq(frame_text(frame, "user"), user);
    cr_assert_eq(json_is_true(json_object_get(frame, "online")), is_online);
    json_decref(frame);
}

static void end(struct harness *harness)
{
    clients_drop(harness);
    harness_run_until_idle(harness);
    harness_check_rest(harness);
    harness_close(harness);
}

Test(presence, a_watch_shows_who_is_online_and_what_changes_on_each_shard)
{
    struct harness *harness = begin(CONFIG_PRESENCE_ALL);
    struct client *alice = log_in(harness, 0, 0);
    const char *near = harness_name(harness, 0, 1), *far = harness_name(harness, 1, 0);
    struct client *bob = log_in(harness, 1, 0);
    client_send(alice, "{\"op\":\"watch\",\"id\":1,\"users\":[\"%s\",\"%s\",\"%s\",\"%s\"]}", near, far, near, far);
    harness_run_until_idle(harness);
    cr_assert_str_eq(online(alice, 1), far);
    struct client *carol = log_in(harness, 0, 1);
    expect_presence(alice, near, true);
    struct client *again = log_in(harness, 1, 0);
    leave(harness, bob);
    cr_assert_null(client_next(alice), "another connection is left");
    leave(harness, again);
    expect_presence(alice, far, false);
    leave(harness, carol);
    expect_presence(alice, near, false);
    cr_assert_null(client_next(alice));
    end(harness);
}

Test(presence, the_list_keeps_its_order_and_a_new_one_replaces_it)
{
    struct harness *harness = begin(CONFIG_PRESENCE_ALL);
    struct client *alice = log_in(harness, 0, 0);
    const char *b = harness_name(harness, 1, 0), *c = harness_name(harness, 0, 1), *d = harness_name(harness, 1, 1);
    struct client *bob = log_in(harness, 1, 0), *carol = log_in(harness, 0, 1), *dave = log_in(harness, 1, 1);
    char wanted[300];
    watch_users(alice, 1, b, c);
    watch_users(alice, 2, c, b);
    watch_users(alice, 3, d, c);
    harness_run_until_idle(harness);
    snprintf(wanted, sizeof wanted, "%s %s", b, c);
    cr_assert_str_eq(online(alice, 1), wanted);
    snprintf(wanted, sizeof wanted, "%s %s", c, b);
    cr_assert_str_eq(online(alice, 2), wanted);
    snprintf(wanted, sizeof wanted, "%s %s", d, c);
    cr_assert_str_eq(online(alice, 3), wanted);
    leave(harness, bob);
    cr_assert_null(client_next(alice), "who is not in the list any more is not pushed");
    leave(harness, dave);
    expect_presence(alice, d, false);
    client_send(alice, "{\"op\":\"watch\",\"id\":4,\"users\":[]}");
    harness_run_until_idle(harness);
    cr_assert_str_eq(online(alice, 4), "");
    cr_assert_eq(harness_core(harness, 0)->watches.count, 0);
    cr_assert_eq(harness_core(harness, 0)->presence.bytes + harness_core(harness, 1)->presence.bytes, 0);
    leave(harness, carol);
    cr_assert_null(client_next(alice));
    end(harness);
}

Test(presence, many_watchers_of_one_user_are_told_and_one_subscription_is_enough)
{
    struct harness *harness = begin(CONFIG_PRESENCE_ALL);
    const char *star = harness_name(harness, 1, 0);
    struct client *watchers[20];
    for (uint32_t i = 0; i < 20; i++) {
        watchers[i] = log_in(harness, i % 2, 1 + i / 2);
        watch_users(watchers[i], 1, star, NULL);
        harness_run_until_idle(harness);
        cr_assert_str_eq(online(watchers[i], 1), "");
    }
    cr_assert_eq(harness_core(harness, 1)->presence.subscriptions.taken, 2, "one of each shard");
    log_in(harness, 1, 0);
    for (uint32_t i = 0; i < 20; i++)
        expect_presence(watchers[i], star, true);
    end(harness);
}

Test(presence, who_comes_and_goes_within_a_turn_is_not_pushed)
{
    struct harness *harness = begin(CONFIG_PRESENCE_ALL);
    struct client *alice = log_in(harness, 0, 0);
    const char *bob = harness_name(harness, 1, 0);
    watch_users(alice, 1, bob, NULL);
    harness_run_until_idle(harness);
    cr_assert_str_eq(online(alice, 1), "");
    harness_hold_letters(harness, 1, 0, true);
    for (int i = 0; i < 5; i++) {
        struct client *client = log_in(harness, 1, 0);
        leave(harness, client);
    }
    log_in(harness, 1, 0);
    harness_hold_letters(harness, 1, 0, false);
    harness_run_until_idle(harness);
    json_t *frame = NULL;
    bool is_online = false;
    for (json_t *next; (next = client_next(alice)) != NULL; json_decref(next))
        is_online = json_is_true(json_object_get(next, "online"));
    cr_assert_null(frame);
    cr_assert(is_online, "the last state came");
    cr_assert_leq(metric_read(&harness_core(harness, 0)->metrics.presences[METRICS_PRESENCE_WRITTEN]), 1,
                  "what arrived together is one push");
    end(harness);
}

Test(presence, a_slow_watcher_misses_states_but_gets_the_last_one)
{
    struct harness *harness =
        harness_open(&(struct harness_options){.shards = 2, .presence = CONFIG_PRESENCE_ALL, .output_bytes = 65536});
    struct client *alice = log_in(harness, 0, 0), *sender = log_in(harness, 0, 5);
    const char *bob = harness_name(harness, 1, 0);
    char text[8001];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    watch_users(alice, 1, bob, NULL);
    harness_run_until_idle(harness);
    cr_assert_str_eq(online(alice, 1), "");
    client_stall(alice, true);
    for (int i = 0; i < 3; i++)
        client_send(sender, "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"%s\"}", harness_name(harness, 0, 0),
                    text);
    harness_run_until_idle(harness);
    struct client *client = log_in(harness, 1, 0);
    leave(harness, client);
    log_in(harness, 1, 0);
    cr_assert_gt(metric_read(&harness_core(harness, 0)->metrics.presences[METRICS_PRESENCE_DEFERRED]), 0);
    cr_assert_eq(metric_read(&harness_core(harness, 0)->metrics.presences[METRICS_PRESENCE_WRITTEN]), 0);
    client_stall(alice, false);
    harness_run_until_idle(harness);
    for (int i = 0; i < 3; i++)
        json_decref(client_expect(alice, "msg"));
    expect_presence(alice, bob, true);
    cr_assert_null(client_next(alice));
    end(harness);
}

Test(presence, a_phone_that_is_dead_is_offline_when_its_silence_is_over)
{
    struct harness *harness = begin(CONFIG_PRESENCE_ALL);
    struct client *alice = log_in(harness, 0, 0), *bob = log_in(harness, 1, 0);
    const char *name = harness_name(harness, 1, 0);
    watch_users(alice, 1, name, NULL);
    harness_run_until_idle(harness);
    cr_assert_str_eq(online(alice, 1), name);
    client_stall(bob, true);
    const struct metric *closes = &harness_core(harness, 1)->metrics.closes[METRICS_CLOSE_4002];
    bool is_told = false;
    for (uint32_t second = 0; second < 100 && metric_read(closes) == 0; second++) {
        cr_assert_not(is_told);
        harness_advance(harness, 1000000);
        client_send(alice, "{\"op\":\"ping\"}");
        harness_run_until_idle(harness);
        for (json_t *frame; (frame = client_next(alice)) != NULL; json_decref(frame))
            is_told |= strcmp(frame_text(frame, "op"), "presence") == 0;
    }
    cr_assert_eq(metric_read(closes), 1, "the silent connection is closed");
    cr_assert(is_told, "and that is seen at once");
    end(harness);
}

Test(presence, a_watch_that_ends_while_it_is_asked_leaves_nothing)
{
    struct harness *harness = begin(CONFIG_PRESENCE_ALL);
    for (int direction = 0; direction < 2; direction++) {
        struct client *alice = log_in(harness, 0, 0);
        harness_hold_letters(harness, direction == 0 ? 0 : 1, direction == 0 ? 1 : 0, true);
        watch_users(alice, 1, harness_name(harness, 1, 0), harness_name(harness, 1, 1));
        harness_run_until_idle(harness);
        cr_assert_null(client_next(alice));
        leave(harness, alice);
        alice = log_in(harness, 0, 0);
        watch_users(alice, 2, harness_name(harness, 1, 1), NULL);
        harness_run_until_idle(harness);
        harness_hold_letters(harness, direction == 0 ? 0 : 1, direction == 0 ? 1 : 0, false);
        harness_run_until_idle(harness);
        cr_assert_str_eq(online(alice, 2), "");
        leave(harness, alice);
        harness_check_rest(harness);
    }
    harness_close(harness);
}

Test(presence, without_memory_a_watch_is_refused_and_the_one_before_stays)
{
    for (uint32_t full = 0; full < 2; full++) { /* the shard of the watcher, or that of the watched user */
        struct harness *harness = begin(CONFIG_PRESENCE_ALL);
        struct client *alice = log_in(harness, 0, 0);
        struct budget *budget = &harness_core(harness, full)->budget;
        uint64_t bytes = budget->presence_bytes;
        watch_users(alice, 1, harness_name(harness, 1, 0), NULL);
        harness_run_until_idle(harness);
        cr_assert_str_eq(online(alice, 1), "");
        budget->presence_bytes = harness_core(harness, full)->presence.bytes;
        watch_users(alice, 2, harness_name(harness, 1, 1), harness_name(harness, 1, 2));
        harness_run_until_idle(harness);
        json_t *error = client_expect(alice, "error");
        cr_assert_str_eq(frame_text(error, "code"), "busy");
        json_decref(error);
        budget->presence_bytes = bytes;
        log_in(harness, 1, 0);
        expect_presence(alice, harness_name(harness, 1, 0), true);
        end(harness);
    }
}

Test(presence, off_shows_nobody)
{
    struct harness *harness = begin(CONFIG_PRESENCE_OFF);
    struct client *alice = log_in(harness, 0, 0);
    log_in(harness, 1, 0);
    watch_users(alice, 1, harness_name(harness, 1, 0), NULL);
    harness_run_until_idle(harness);
    cr_assert_str_eq(online(alice, 1), "");
    log_in(harness, 1, 0);
    cr_assert_null(client_next(alice));
    cr_assert_eq(harness_core(harness, 0)->budget.presence_bytes, 0);
    end(harness);
}

/* -- peers -- */

static void say(struct harness *harness, struct client *client, const char *to)
{
    client_send(client, "{\"op\":\"send\",\"id\":9,\"to\":\"%s\",\"text\":\"hi\"}", to);
    harness_run_until_idle(harness);
    json_decref(client_expect(client, "ok"));
}

static void make_run(struct harness *harness)
{
    harness_advance(harness, ROUND_US);
    harness_run_until_idle(harness);
}

Test(presence, peers_shows_those_alone_with_whom_there_is_a_conversation)
{
    struct harness *harness = begin(CONFIG_PRESENCE_PEERS);
    struct client *alice = log_in(harness, 0, 0);
    const char *sent = harness_name(harness, 1, 0), *got = harness_name(harness, 1, 1);
    const char *stranger = harness_name(harness, 1, 2), *old = harness_name(harness, 0, 3);
    struct client *b = log_in(harness, 1, 0), *c = log_in(harness, 1, 1), *d = log_in(harness, 1, 2);
    log_in(harness, 0, 3);
    say(harness, alice, old);
    make_run(harness); /* in a run */
    say(harness, alice, sent);
    say(harness, c, harness_name(harness, 0, 0));
    json_decref(client_expect(alice, "msg"));
    say(harness, d, sent); /* between others */
    client_send(alice, "{\"op\":\"watch\",\"id\":1,\"users\":[\"%s\",\"%s\",\"%s\",\"%s\",\"%s\"]}", stranger, old, got,
                sent, got);
    harness_run_until_idle(harness);
    char wanted[500];
    snprintf(wanted, sizeof wanted, "%s %s %s", old, got, sent);
    cr_assert_str_eq(online(alice, 1), wanted);
    leave(harness, d);
    cr_assert_null(client_next(alice), "a stranger goes unseen");
    leave(harness, log_in(harness, 1, 2));
    cr_assert_null(client_next(alice));
    leave(harness, b);
    expect_presence(alice, sent, false);
    say(harness, alice, stranger);
    log_in(harness, 1, 2);
    watch_users(alice, 2, stranger, NULL);
    harness_run_until_idle(harness);
    cr_assert_str_eq(online(alice, 2), stranger, "after the first message they are seen");
    end(harness);
}

Test(presence, peers_reads_all_of_a_long_timeline)
{
    struct harness *harness = begin(CONFIG_PRESENCE_PEERS);
    struct client *alice = log_in(harness, 0, 0);
    const char *first = harness_name(harness, 1, 0);
    log_in(harness, 1, 0);
    say(harness, alice, first);
    for (int part = 0; part < 3; part++) {
        for (uint32_t i = 0; i < 250; i++)
            client_send(alice, "{\"op\":\"send\",\"id\":9,\"to\":\"%s\",\"text\":\"x\"}", harness_name(harness, 1, 1));
        harness_run_until_idle(harness);
        for (json_t *frame; (frame = client_next(alice)) != NULL;)
            json_decref(frame);
        if (part < 2)
            make_run(harness);
    }
    watch_users(alice, 1, harness_name(harness, 1, 2), first);
    harness_run_until_idle(harness);
    cr_assert_str_eq(online(alice, 1), first);
    end(harness);
}

/* Sends `count` messages to `to`, which then are in a run. */
static void fill_run(struct harness *harness, struct client *client, const char *to, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        client_send(client, "{\"op\":\"send\",\"id\":9,\"to\":\"%s\",\"text\":\"x\"}", to);
    harness_run_until_idle(harness);
    for (json_t *frame; (frame = client_next(client)) != NULL;)
        json_decref(frame);
    make_run(harness);
}

/* Watches a full list: `first`, strangers, and `last`. */
static void watch_strangers(struct client *client, uint32_t id, const char *first, const char *last)
{
    char list[LIMIT_WATCH_USERS * 20];
    size_t at = (size_t)snprintf(list, sizeof list, "\"%s\"", first);
    for (uint32_t i = 2; i < LIMIT_WATCH_USERS; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, ",\"stranger-%u\"", i);
    client_send(client, "{\"op\":\"watch\",\"id\":%u,\"users\":[%s,\"%s\"]}", id, list, last);
}

Test(presence, peers_looks_strangers_up_and_does_not_read_a_long_timeline)
{
    struct harness *harness = begin(CONFIG_PRESENCE_PEERS);
    struct client *alice = log_in(harness, 0, 0);
    const char *old = harness_name(harness, 1, 0), *new = harness_name(harness, 1, 1);
    const struct core *core = harness_core(harness, 0);
    char wanted[300];
    log_in(harness, 1, 0);
    log_in(harness, 1, 1);
    say(harness, alice, old);
    for (int run = 0; run < 3; run++)
        fill_run(harness, alice, harness_name(harness, 1, 2), 1000);
    say(harness, alice, new);
    struct store_work before = store_reader_work(core->reads.store_reader);
    watch_strangers(alice, 1, new, old);
    harness_run_until_idle(harness);
    snprintf(wanted, sizeof wanted, "%s %s", new, old);
    cr_assert_str_eq(online(alice, 1), wanted);
    struct store_work after = store_reader_work(core->reads.store_reader);
    cr_assert_gt(core->runs.count, 0);
    cr_assert_leq(after.entries - before.entries, 500, "%llu of 3000 entries were read",
                  (unsigned long long)(after.entries - before.entries));
    cr_assert_leq(after.searches - before.searches, (uint64_t)core->runs.count * LIMIT_WATCH_USERS);
    end(harness);
}

Test(presence, peers_hides_those_of_an_erased_conversation_also_if_it_goes_during_the_check)
{
    struct harness *harness = begin(CONFIG_PRESENCE_PEERS);
    struct client *alice = log_in(harness, 0, 0);
    const char *kept = harness_name(harness, 1, 0), *gone = harness_name(harness, 1, 1);
    struct core *core = harness_core(harness, 0);
    log_in(harness, 1, 0);
    log_in(harness, 1, 1);
    say(harness, alice, gone);
    fill_run(harness, alice, kept, 2);
    uint64_t cut = core->last_ts;
    say(harness, alice, kept);
    harness_hold_results(harness, 0, HARNESS_READER, true);
    watch_users(alice, 1, kept, gone);
    harness_run_until_idle(harness);
    cr_assert_null(client_next(alice));
    cr_assert_eq(store_cut(core->runs.store, span_of(harness_name(harness, 0, 0)), cut), 0);
    harness_hold_results(harness, 0, HARNESS_READER, false);
    harness_run_until_idle(harness);
    cr_assert_str_eq(online(alice, 1), kept, "cut while the reader had the check");
    watch_users(alice, 2, gone, kept);
    harness_run_until_idle(harness);
    cr_assert_str_eq(online(alice, 2), kept, "cut before");
    end(harness);
}

Test(presence, a_check_that_its_connection_does_not_wait_for_leaves_nothing)
{
    struct harness *harness = begin(CONFIG_PRESENCE_PEERS);
    struct client *alice = log_in(harness, 0, 0);
    say(harness, alice, harness_name(harness, 1, 0));
    make_run(harness);
    harness_hold_jobs(harness, 0, HARNESS_READER, true);
    watch_users(alice, 1, harness_name(harness, 1, 0), NULL);
    harness_run_until_idle(harness);
    cr_assert_null(client_next(alice));
    leave(harness, alice);
    harness_hold_jobs(harness, 0, HARNESS_READER, false);
    end(harness);
}
