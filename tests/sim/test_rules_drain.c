/* drain.h: a server that is to stop closes its connections one by one, serves the others, and admits none. */
#include <criterion/criterion.h>

#include "harness.h"

#define CLIENTS 20u
#define DRAIN_US 2000000

static struct client *clients[CLIENTS];

static struct harness *open_with_clients(void)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    for (uint32_t i = 0; i < CLIENTS; i++)
        clients[i] = client_login(harness, 0, harness_name(harness, 0, i), "");
    return harness;
}

/* How many have got a close frame, which must be 1001, by now; their frames are taken off. */
static uint32_t count_closed(bool is_closed[CLIENTS])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        for (json_t *frame; (frame = client_next(clients[i])) != NULL; json_decref(frame))
            if (json_object_get(frame, "close") != NULL) {
                cr_assert_eq(frame_number(frame, "close"), 1001);
                cr_assert_not(is_closed[i]);
                is_closed[i] = true;
            }
        count += is_closed[i];
    }
    return count;
}

static void pass(struct harness *harness, int64_t us)
{
    harness_advance(harness, us);
    harness_run_until_idle(harness);
}

Test(drain, connections_are_closed_evenly_over_the_time_and_the_others_are_served)
{
    bool is_closed[CLIENTS] = {false};
    struct harness *harness = open_with_clients();
    harness_drain(harness, DRAIN_US);
    harness_run_until_idle(harness);
    cr_assert_eq(count_closed(is_closed), 0, "none at once");
    for (uint32_t part = 1; part <= 4; part++) {
        pass(harness, DRAIN_US / 4);
        uint32_t closed = count_closed(is_closed);
        cr_assert_eq(closed, part * CLIENTS / 4, "%u after %u quarters", closed, part);
        for (uint32_t i = 0; i < CLIENTS; i++) {
            if (is_closed[i])
                continue;
            client_send(clients[i], "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"x\"}",
                        harness_name(harness, 0, CLIENTS));
            harness_run_until_idle(harness);
            json_decref(client_expect(clients[i], "ok"));
        }
    }
    clients_drop(harness);
    harness_close(harness);
}

Test(drain, a_new_connection_is_answered_503)
{
    struct harness *harness = open_with_clients();
    harness_drain(harness, DRAIN_US);
    struct client *late = client_begin(harness, 0);
    harness_run_until_idle(harness);
    cr_assert(client_is_refused(late));
    clients_drop(harness);
    harness_close(harness);
}

Test(drain, a_connection_with_unanswered_sends_is_closed_after_the_answers)
{
    bool is_closed[CLIENTS] = {false};
    struct harness *harness = open_with_clients();
    harness_hold_writes(harness, 0, true);
    client_send(clients[0], "{\"op\":\"send\",\"id\":1,\"to\":\"%s\",\"text\":\"x\"}",
                harness_name(harness, 0, CLIENTS));
    harness_run_until_idle(harness);
    harness_drain(harness, DRAIN_US);
    pass(harness, DRAIN_US);
    pass(harness, DRAIN_US);
    cr_assert_eq(count_closed(is_closed), CLIENTS - 1);
    cr_assert_not(is_closed[0]);
    harness_hold_writes(harness, 0, false);
    harness_run_until_idle(harness);
    json_decref(client_expect(clients[0], "ok"));
    pass(harness, DRAIN_US);
    cr_assert_eq(count_closed(is_closed), CLIENTS);
    clients_drop(harness);
    harness_close(harness);
}
