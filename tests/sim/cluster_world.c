#include <string.h>

#include "base/fault.h"
#include "cluster_world.h"

#define CALM_EVENTS_MAX 200000u
#define DROP_MAX 6u

static struct world_node *random_node(struct world *world)
{
    return &world->nodes[dice_below(&world->dice, WORLD_NODES)];
}

static uint32_t serving_nodes(const struct world *world)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < WORLD_NODES; i++)
        count += world->nodes[i].is_up && world->nodes[i].is_serving;
    return count;
}

/* -- Clients -- */

static void step_client(struct world *world, struct world_client *client)
{
    struct world_node *node = &world->nodes[client->node];
    bool is_lost = !node->is_up || node->life != client->life;
    if (client->is_waiting && (is_lost || dice_hits(&world->dice, 60)))
        client->is_waiting = false;
    if (client->is_waiting)
        return;
    if (client->id == 0) {
        if (world->next_id == WORLD_SENDS_MAX)
            return;
        client->id = world->next_id++;
        client->slot = dice_below(&world->dice, WORLD_SLOTS);
    }
    client->node = dice_below(&world->dice, WORLD_NODES);
    node = &world->nodes[client->node];
    client->life = node->life;
    client->is_waiting = node_send(world, node, client->slot, client->id) && client->id != 0;
}

/* -- Troubles -- */

static void purge(struct world *world)
{
    uint32_t slot = dice_below(&world->dice, WORLD_SLOTS);
    uint64_t below = UINT64_MAX;
    struct log_engine_error error;
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        uint64_t held = world->nodes[i].slots[slot].reported;
        if (FAULT(PURGE_BY_OWN) && !world->nodes[i].is_serving)
            continue;
        below = held < below ? held : below;
    }
    if (below != UINT64_MAX && below > 0)
        log_double_engine.purge(world->nodes[0].session, slot, below, 0, &error);
}

static void restart(struct world *world, struct world_node *node)
{
    node->is_up = true;
    node_open(world, node, false);
    election_reset(&node->election, world->now_us);
}

static void drop_tail(struct world *world)
{
    uint32_t log = dice_below(&world->dice, WORLD_SLOTS);
    if (!world->may_drop || world->was_dropped || log_double_last(world->log_double, log) < DROP_MAX)
        return;
    world->was_dropped = true;
    world->tally.drops++;
    log_double_drop(world->log_double, log, 1 + dice_below(&world->dice, DROP_MAX));
    bool is_power_cut = dice_hits(&world->dice, 2);
    for (uint32_t i = 0; i < WORLD_NODES && is_power_cut; i++)
        if (world->nodes[i].is_up)
            node_crash(world, &world->nodes[i]);
}

static void trouble(struct world *world)
{
    struct world_node *node = random_node(world);
    switch (dice_below(&world->dice, 9)) {
    case 0:
        if (node->is_up)
            node_crash(world, node);
        break;
    case 1:
        if (node->is_up) {
            world->tally.pauses += !node->is_paused;
            node->is_paused = true;
        }
        break;
    case 2:
    case 3: node->is_paused = false; break;
    case 4: log_double_cut(node->session, true); break;
    case 5: log_double_cut(node->session, false); break;
    case 6:
        world->tally.failovers++;
        log_double_fail_over(world->log_double);
        break;
    case 7: drop_tail(world); break;
    case 8: purge(world); break;
    }
    if (!node->is_up && dice_hits(&world->dice, 2))
        restart(world, node);
}

/* -- Events -- */

static void pass_time(struct world *world)
{
    static const uint64_t steps_us[] = {100, 1000, 5000, 20000, 100000};
    world->now_us += steps_us[dice_below(&world->dice, 5)];
}

/* After a loss nothing counts as news until a log is longer than all have seen it: a node may have read what is lost,
 * and then another batch in its place is none to it. */
static void note_news(struct world *world)
{
    for (uint32_t log = 0; log < WORLD_LOGS; log++) {
        uint64_t last = log_double_last(world->log_double, log);
        uint64_t longest = world->last[log];
        for (uint32_t i = 0; i < WORLD_NODES; i++)
            if (world->nodes[i].logs[log].seen.number > longest)
                longest = world->nodes[i].logs[log].seen.number;
        if (last > longest)
            world->news_us = world->now_us;
        else if (last < longest)
            world->news_us = 0;
        world->last[log] = last;
    }
}

static void step(struct world *world)
{
    struct world_node *node = random_node(world);
    struct world_call *call = &world->calls[dice_below(&world->dice, WORLD_CALLS_MAX)];
    pass_time(world);
    if (node->is_up && !node->is_paused)
        node_act(world, node);
    for (uint32_t i = 0; i < 4; i++) {
        if (call->phase != CALL_FREE)
            call_step(world, call);
        call = &world->calls[dice_below(&world->dice, 12)];
    }
    step_client(world, &world->clients[dice_below(&world->dice, WORLD_CLIENTS)]);
    if (dice_hits(&world->dice, 6))
        node_login(world, random_node(world), dice_below(&world->dice, WORLD_SLOTS), dice_hits(&world->dice, 2));
    if (dice_hits(&world->dice, 6))
        log_double_step(world->log_double);
    node = random_node(world);
    if (dice_hits(&world->dice, 20) && node->is_up && !node->is_paused)
        node_checkpoint(world, node, dice_below(&world->dice, WORLD_SLOTS));
    if (!world->is_calm && dice_hits(&world->dice, 25))
        trouble(world);
    note_news(world);
}

/* -- The end -- */

static bool has_settled(const struct world *world)
{
    for (uint32_t i = 0; i < WORLD_CLIENTS; i++)
        if (world->clients[i].id != 0 && world->next_id < WORLD_SENDS_MAX)
            return false;
    return serving_nodes(world) == 1;
}

static bool is_same(const struct world *world, uint32_t slot)
{
    for (uint32_t i = 0; i < WORLD_NODES; i++)
        if (world->nodes[i].slots[slot].count + 8 < world->slots[slot].count)
            return false;
    return true;
}

static void calm_down(struct world *world)
{
    world->is_calm = true;
    log_double_calm(world->log_double);
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        struct world_node *node = &world->nodes[i];
        log_double_cut(node->session, false);
        node->is_paused = false;
        if (!node->is_up)
            restart(world, node);
    }
}

static bool was_damaged(const struct world *world)
{
    for (uint32_t i = 0; i < WORLD_NODES; i++)
        if (world->nodes[i].was_damaged)
            return true;
    return false;
}

/* Without trouble a node serves, what was sent is answered, and the others follow. */
static void end(struct world *world)
{
    calm_down(world);
    bool is_settled = false;
    for (uint32_t i = 0; i < CALM_EVENTS_MAX && !is_settled; i++) {
        step(world);
        is_settled = has_settled(world) && is_same(world, 0) && is_same(world, 1);
        if (was_damaged(world) && i > 5000)
            break;
    }
    check_logs(world);
    for (uint32_t i = 0; i < WORLD_NODES && !world->was_dropped; i++)
        check_has(world, &world->nodes[i]);
    if (!is_settled && !was_damaged(world))
        world_fail(world, WORLD_STUCK, "%u nodes serve at the end", serving_nodes(world));
}

static void begin(struct world *world, uint64_t seed)
{
    struct log_engine_options options = {.cluster = "sim"};
    struct log_engine_error error;
    memset(world, 0, sizeof *world);
    world->seed = seed;
    world->dice.state = seed * 1000003;
    world->next_id = 1;
    world->now_us = 1000000;
    world->compares_positions = dice_hits(&world->dice, 3);
    world->is_hasty = dice_hits(&world->dice, 2);
    world->may_drop = dice_hits(&world->dice, 4) && !world->compares_positions;
    struct log_double_options double_options = {
        .logs = WORLD_LOGS,
        .dice = {seed * 7919 + 1},
        .trouble_in = 3 + dice_below(&world->dice, 20),
        .compares_positions = world->compares_positions,
    };
    world->log_double = log_double_open(&double_options);
    log_double_use(world->log_double);
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        struct world_node *node = &world->nodes[i];
        node->name[0] = (char)('A' + (int)i);
        log_double_engine.open(&node->session, &options, &error);
        node->is_up = true;
        election_init(&node->election, WORLD_SLOTS, i, i == 0, world->now_us);
        node_open(world, node, false);
    }
}

static void finish(struct world *world)
{
    for (uint32_t i = 0; i < WORLD_CALLS_MAX; i++)
        call_drop(&world->calls[i]);
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        for (uint32_t log = 0; log < WORLD_LOGS; log++)
            ownership_fini(&world->nodes[i].logs[log]);
        log_double_engine.close(&world->nodes[i].session);
    }
    log_double_close(&world->log_double);
}

/* True: no promise was broken. */
static bool run_events(struct world *world, uint64_t events)
{
    if (setjmp(world->failed) != 0)
        return false;
    for (world->event = 0; world->event < events; world->event++)
        step(world);
    end(world);
    return true;
}

bool world_run(struct world *world, uint64_t seed, uint64_t events)
{
    begin(world, seed);
    bool is_kept = run_events(world, events);
    finish(world);
    return is_kept;
}
