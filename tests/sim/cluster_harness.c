#include <string.h>

#include "base/fault.h"
#include "cluster_harness.h"

#define CALM_EVENTS_MAX 200000u
#define DROP_MAX 6u

static struct harness_node *random_node(struct harness *harness)
{
    return &harness->nodes[dice_below(&harness->dice, HARNESS_NODES)];
}

static uint32_t serving_nodes(const struct harness *harness)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < HARNESS_NODES; i++)
        count += harness->nodes[i].is_up && harness->nodes[i].is_serving;
    return count;
}

/* -- Clients -- */

static void step_client(struct harness *harness, struct harness_client *client)
{
    struct harness_node *node = &harness->nodes[client->node];
    bool is_lost = !node->is_up || node->life != client->life;
    if (client->is_waiting && (is_lost || dice_hits(&harness->dice, 60)))
        client->is_waiting = false;
    if (client->is_waiting)
        return;
    if (client->id == 0) {
        if (harness->next_id == HARNESS_SENDS_MAX)
            return;
        client->id = harness->next_id++;
        client->slot = dice_below(&harness->dice, HARNESS_SLOTS);
    }
    client->node = dice_below(&harness->dice, HARNESS_NODES);
    node = &harness->nodes[client->node];
    client->life = node->life;
    client->is_waiting = node_send(harness, node, client->slot, client->id) && client->id != 0;
}

/* -- Troubles -- */

static void purge(struct harness *harness)
{
    uint32_t slot = dice_below(&harness->dice, HARNESS_SLOTS);
    uint64_t below = UINT64_MAX;
    struct log_engine_error error;
    for (uint32_t i = 0; i < HARNESS_NODES; i++) {
        uint64_t held = harness->nodes[i].slots[slot].reported;
        if (FAULT(PURGE_BY_OWN) && !harness->nodes[i].is_serving)
            continue;
        below = held < below ? held : below;
    }
    if (below != UINT64_MAX && below > 0)
        log_double_engine.purge(harness->nodes[0].session, slot, below, 0, &error);
}

static void restart(struct harness *harness, struct harness_node *node)
{
    node->is_up = true;
    node_open(harness, node, false);
    election_reset(&node->election, harness->now_us);
}

static void drop_tail(struct harness *harness)
{
    uint32_t log = dice_below(&harness->dice, HARNESS_SLOTS);
    if (!harness->may_drop || harness->was_dropped || log_double_last(harness->log_double, log) < DROP_MAX)
        return;
    harness->was_dropped = true;
    harness->tally.drops++;
    log_double_drop(harness->log_double, log, 1 + dice_below(&harness->dice, DROP_MAX));
    bool is_power_cut = dice_hits(&harness->dice, 2);
    for (uint32_t i = 0; i < HARNESS_NODES && is_power_cut; i++)
        if (harness->nodes[i].is_up)
            node_crash(harness, &harness->nodes[i]);
}

static void trouble(struct harness *harness)
{
    struct harness_node *node = random_node(harness);
    switch (dice_below(&harness->dice, 9)) {
    case 0:
        if (node->is_up)
            node_crash(harness, node);
        break;
    case 1:
        if (node->is_up) {
            harness->tally.pauses += !node->is_paused;
            node->is_paused = true;
        }
        break;
    case 2:
    case 3: node->is_paused = false; break;
    case 4: log_double_cut(node->session, true); break;
    case 5: log_double_cut(node->session, false); break;
    case 6:
        harness->tally.failovers++;
        log_double_fail_over(harness->log_double);
        break;
    case 7: drop_tail(harness); break;
    case 8: purge(harness); break;
    }
    if (!node->is_up && dice_hits(&harness->dice, 2))
        restart(harness, node);
}

/* -- Events -- */

static void pass_time(struct harness *harness)
{
    static const uint64_t steps_us[] = {100, 1000, 5000, 20000, 100000};
    harness->now_us += steps_us[dice_below(&harness->dice, 5)];
}

/* After a loss nothing counts as news until a log is longer than all have seen it: a node may have read what is lost,
 * and then another batch in its place is none to it. */
static void note_news(struct harness *harness)
{
    for (uint32_t log = 0; log < HARNESS_LOGS; log++) {
        uint64_t last = log_double_last(harness->log_double, log);
        uint64_t longest = harness->last[log];
        for (uint32_t i = 0; i < HARNESS_NODES; i++)
            if (harness->nodes[i].logs[log].seen.number > longest)
                longest = harness->nodes[i].logs[log].seen.number;
        if (last > longest)
            harness->news_us = harness->now_us;
        else if (last < longest)
            harness->news_us = 0;
        harness->last[log] = last;
    }
}

static void step(struct harness *harness)
{
    struct harness_node *node = random_node(harness);
    struct harness_call *call = &harness->calls[dice_below(&harness->dice, HARNESS_CALLS_MAX)];
    pass_time(harness);
    if (node->is_up && !node->is_paused)
        node_act(harness, node);
    for (uint32_t i = 0; i < 4; i++) {
        if (call->phase != CALL_FREE)
            call_step(harness, call);
        call = &harness->calls[dice_below(&harness->dice, 12)];
    }
    step_client(harness, &harness->clients[dice_below(&harness->dice, HARNESS_CLIENTS)]);
    if (dice_hits(&harness->dice, 6))
        node_login(harness, random_node(harness), dice_below(&harness->dice, HARNESS_SLOTS),
                   dice_hits(&harness->dice, 2));
    if (dice_hits(&harness->dice, 6))
        log_double_step(harness->log_double);
    node = random_node(harness);
    if (dice_hits(&harness->dice, 20) && node->is_up && !node->is_paused)
        node_checkpoint(harness, node, dice_below(&harness->dice, HARNESS_SLOTS));
    if (!harness->is_calm && dice_hits(&harness->dice, 25))
        trouble(harness);
    note_news(harness);
}

/* -- The end -- */

static bool is_answered(const struct harness *harness)
{
    for (uint32_t i = 0; i < HARNESS_CLIENTS; i++)
        if (harness->clients[i].id != 0 && harness->next_id < HARNESS_SENDS_MAX)
            return false;
    return serving_nodes(harness) == 1;
}

static bool is_same(const struct harness *harness, uint32_t slot)
{
    for (uint32_t i = 0; i < HARNESS_NODES; i++)
        if (harness->nodes[i].slots[slot].count + 8 < harness->slots[slot].count)
            return false;
    return true;
}

static void calm_down(struct harness *harness)
{
    harness->is_calm = true;
    log_double_calm(harness->log_double);
    for (uint32_t i = 0; i < HARNESS_NODES; i++) {
        struct harness_node *node = &harness->nodes[i];
        log_double_cut(node->session, false);
        node->is_paused = false;
        if (!node->is_up)
            restart(harness, node);
    }
}

static bool was_damaged(const struct harness *harness)
{
    for (uint32_t i = 0; i < HARNESS_NODES; i++)
        if (harness->nodes[i].was_damaged)
            return true;
    return false;
}

/* Without trouble a node serves, what was sent is answered, and the others follow. */
static void end(struct harness *harness)
{
    calm_down(harness);
    bool is_idle = false;
    for (uint32_t i = 0; i < CALM_EVENTS_MAX && !is_idle; i++) {
        step(harness);
        is_idle = is_answered(harness) && is_same(harness, 0) && is_same(harness, 1);
        if (was_damaged(harness) && i > 5000)
            break;
    }
    check_logs(harness);
    for (uint32_t i = 0; i < HARNESS_NODES && !harness->was_dropped; i++)
        check_has(harness, &harness->nodes[i]);
    if (!is_idle && !was_damaged(harness))
        harness_fail(harness, HARNESS_STUCK, "%u nodes serve at the end", serving_nodes(harness));
}

static void begin(struct harness *harness, uint64_t seed)
{
    struct log_engine_options options = {.cluster = "sim"};
    struct log_engine_error error;
    memset(harness, 0, sizeof *harness);
    harness->seed = seed;
    harness->dice.state = seed * 1000003;
    harness->next_id = 1;
    harness->now_us = 1000000;
    harness->compares_positions = dice_hits(&harness->dice, 3);
    harness->is_hasty = dice_hits(&harness->dice, 2);
    harness->may_drop = dice_hits(&harness->dice, 4) && !harness->compares_positions;
    struct log_double_options double_options = {
        .logs = HARNESS_LOGS,
        .dice = {seed * 7919 + 1},
        .trouble_in = 3 + dice_below(&harness->dice, 20),
        .compares_positions = harness->compares_positions,
    };
    harness->log_double = log_double_open(&double_options);
    log_double_use(harness->log_double);
    for (uint32_t i = 0; i < HARNESS_NODES; i++) {
        struct harness_node *node = &harness->nodes[i];
        node->name[0] = (char)('A' + (int)i);
        log_double_engine.open(&node->session, &options, &error);
        node->is_up = true;
        election_init(&node->election, HARNESS_SLOTS, i, i == 0, harness->now_us);
        node_open(harness, node, false);
    }
}

static void finish(struct harness *harness)
{
    for (uint32_t i = 0; i < HARNESS_CALLS_MAX; i++)
        call_drop(&harness->calls[i]);
    for (uint32_t i = 0; i < HARNESS_NODES; i++) {
        for (uint32_t log = 0; log < HARNESS_LOGS; log++)
            ownership_fini(&harness->nodes[i].logs[log]);
        log_double_engine.close(&harness->nodes[i].session);
    }
    log_double_close(&harness->log_double);
}

/* True: no promise was broken. */
static bool run_events(struct harness *harness, uint64_t events)
{
    if (setjmp(harness->failed) != 0)
        return false;
    for (harness->event = 0; harness->event < events; harness->event++)
        step(harness);
    end(harness);
    return true;
}

bool harness_run(struct harness *harness, uint64_t seed, uint64_t events)
{
    begin(harness, seed);
    bool is_kept = run_events(harness, events);
    finish(harness);
    return is_kept;
}
