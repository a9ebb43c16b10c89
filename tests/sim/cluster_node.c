#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/fault.h"
#include "cluster_world.h"

static void add(struct world *world, struct world_slot *slot, uint32_t index, uint32_t id)
{
    check_applied(world, index, slot->count, id);
    if (slot->has[id] > 0 && !world->was_dropped)
        world_fail(world, WORLD_DOUBLED, "slot %u: send %u is there twice", index, id);
    slot->list[slot->count++] = id;
    slot->has[id] = 1;
}

void node_open(struct world *world, struct world_node *node, bool keeps_memory)
{
    for (uint32_t log = 0; log < WORLD_LOGS; log++) {
        struct ownership_mark held = {0};
        if (log < WORLD_SLOTS) {
            struct world_slot *slot = &node->slots[log];
            held = keeps_memory ? node->logs[log].applied : slot->disk_mark;
            for (uint32_t i = slot->disk_count; i < slot->count && !keeps_memory; i++)
                slot->has[slot->list[i]] = 0;
            slot->count = keeps_memory ? slot->count : slot->disk_count;
            for (uint32_t i = 0; i < slot->sealed.count && keeps_memory && slot->is_sealed; i++)
                add(world, slot, log, slot->sealed.ids[i]);
            slot->filling.count = 0;
            slot->is_sealed = slot->is_owned = false;
        }
        ownership_fini(&node->logs[log]);
        ownership_init(&node->logs[log], log, 1, node->name, &held);
        if (log < WORLD_SLOTS && node->slots[log].disk_tail.number > held.number && !FAULT(TAIL_FORGOTTEN))
            ownership_expect(&node->logs[log], &node->slots[log].disk_tail);
    }
    memset(node->logins, 0, sizeof node->logins);
    node->is_serving = false;
    node->life++;
}

void node_crash(struct world *world, struct world_node *node)
{
    world->tally.crashes++;
    node->is_up = node->is_paused = false;
    node_open(world, node, false);
    election_reset(&node->election, world->now_us);
}

static void step_down(struct world *world, struct world_node *node)
{
    world->tally.deposed++;
    for (uint32_t slot = 0; slot < WORLD_SLOTS && FAULT(DEPOSED_ANSWERS); slot++)
        for (uint32_t i = 0; i < node->slots[slot].sealed.count && node->slots[slot].is_sealed; i++)
            check_acknowledge(world, slot, node->slots[slot].sealed.ids[i]);
    node_open(world, node, FAULT(DEPOSED_KEEPS_MEMORY));
    election_reset(&node->election, world->now_us);
}

/* -- A slot -- */

static void apply(struct world *world, struct world_node *node, uint32_t log)
{
    for (uint32_t some = dice_below(&world->dice, 3); some > 0; some--) {
        const struct ownership_kept *kept = ownership_applicable(&node->logs[log]);
        if (kept == NULL)
            return;
        const char *payload = log_batch_payload(&kept->header, kept->data).data;
        for (uint32_t i = 0; i < kept->header.record_count && log < WORLD_SLOTS; i++)
            add(world, &node->slots[log], log, bytes_load_le32(payload + 4 * i));
        ownership_on_applied(&node->logs[log]);
    }
}

static void acknowledge(struct world *world, uint32_t slot, const struct world_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++)
        check_acknowledge(world, slot, batch->ids[i]);
}

static void settle(struct world *world, struct world_node *node, uint32_t log)
{
    struct world_slot *slot = &node->slots[log];
    if (!slot->is_sealed || node->logs[log].state != OWNERSHIP_OWNS
        || ownership_committed(&node->logs[log]) < slot->sealed.number)
        return;
    slot->is_sealed = false;
    for (uint32_t i = 0; i < slot->sealed.count; i++)
        add(world, slot, log, slot->sealed.ids[i]);
    if (!FAULT(ACK_BEFORE_ENGINE))
        acknowledge(world, log, &slot->sealed);
}

static void put_payload(struct world_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++)
        bytes_store_le32(batch->data + LOG_BATCH_HEADER_BYTES + 4 * i, batch->ids[i]);
}

/* A mistake: a second batch is appended before the first is acknowledged. */
static void seal_second(struct world *world, struct world_node *node, uint32_t log)
{
    struct world_slot *slot = &node->slots[log];
    struct world_batch second = {.count = slot->sealed.count / 2};
    slot->sealed.count -= second.count;
    memcpy(second.ids, slot->sealed.ids + slot->sealed.count, second.count * sizeof second.ids[0]);
    put_payload(&second);
    slot->sealed.number = ownership_seal(&node->logs[log], slot->sealed.data, 4 * slot->sealed.count,
                                         slot->sealed.count, world->now_us, world->now_us);
    call_stray(world, node, log, &node->logs[log].unsettled[0].mark, &second);
}

static void seal(struct world *world, struct world_node *node, uint32_t log)
{
    struct world_slot *slot = &node->slots[log];
    bool is_silent = log == 0 && world->now_us - slot->sealed_us >= ELECTION_HEARTBEAT_US;
    bool is_wanted = slot->filling.count > 0 || is_silent;
    for (uint32_t i = 0; i < WORLD_LOGINS_MAX; i++)
        is_wanted = is_wanted || (node->logins[i].barrier > 0 && node->logins[i].slot == log);
    if (!is_wanted || slot->is_sealed || !ownership_may_seal(&node->logs[log]))
        return;
    slot->sealed = slot->filling;
    slot->filling.count = 0;
    slot->is_sealed = true;
    slot->sealed_us = world->now_us;
    put_payload(&slot->sealed);
    if (FAULT(WINDOW_OF_TWO) && slot->sealed.count > 1) {
        seal_second(world, node, log);
        return;
    }
    slot->sealed.number = ownership_seal(&node->logs[log], slot->sealed.data, 4 * slot->sealed.count,
                                         slot->sealed.count, world->now_us, world->now_us);
    if (FAULT(ACK_BEFORE_ENGINE))
        acknowledge(world, log, &slot->sealed);
}

void node_checkpoint(struct world *world, struct world_node *node, uint32_t slot)
{
    settle(world, node, slot);
    struct world_slot *has = &node->slots[slot];
    struct ownership *log = &node->logs[slot];
    has->disk_mark = log->applied;
    has->disk_count = has->count;
    if (!FAULT(HELD_UNCOMMITTED) || !has->is_sealed || log->unsettled_count == 0)
        return;
    for (uint32_t i = 0; i < has->sealed.count; i++)
        has->list[has->disk_count++] = has->sealed.ids[i];
    has->disk_mark = log->unsettled[0].mark;
}

/* -- Taking over -- */

static bool is_owned(const struct ownership *log)
{
    return log->state == OWNERSHIP_OWNS && (log->kept_count == 0 || FAULT(SERVES_BEFORE_APPLIED));
}

static void take_slot(struct world *world, struct world_node *node, uint32_t log)
{
    struct ownership *ownership = &node->logs[log];
    struct election *election = &node->election;
    if (ownership->state == OWNERSHIP_DAMAGED)
        election_on_damage(election);
    else if (ownership->state == OWNERSHIP_DEPOSED)
        election_on_slot(election, ELECTION_SLOT_LOST);
    else if (election->state == ELECTION_TAKES && ownership_may_take(ownership)
             && !ownership_take(ownership, election->generation, span_of(node->name), world->now_us, world->now_us))
        election_on_slot(election, ELECTION_SLOT_LOST);
    else if (election->state == ELECTION_TAKES && !node->slots[log].is_owned && is_owned(ownership)) {
        node->slots[log].is_owned = true;
        election_on_slot(election, ELECTION_SLOT_OWNED);
    }
}

/* Whether no log has a batch that the node has not read. Who sees no log cannot say so. */
static bool is_silent(struct world *world, struct world_node *node)
{
    struct log_follow follows[WORLD_LOGS];
    struct log_engine_error error;
    for (uint32_t log = 0; log < WORLD_LOGS; log++)
        follows[log] = (struct log_follow){.slot = log, .last = node->logs[log].seen.number};
    int news = log_double_engine.follow(node->session, follows, WORLD_LOGS, 0, &error);
    if (news < 0)
        election_on_news(&node->election, world->now_us);
    return news == 0;
}

static void elect(struct world *world, struct world_node *node)
{
    struct ownership *meta = &node->logs[WORLD_META];
    enum election_action action = election_step(&node->election, meta, world->now_us);
    if (action == ELECTION_LOOK && (world->is_hasty || is_silent(world, node))) {
        election_on_look(&node->election, world->now_us);
        action = election_step(&node->election, meta, world->now_us);
    }
    switch (action) {
    case ELECTION_TAKE_META:
        check_silence(world, node);
        if (!ownership_take(meta, node->election.generation, span_of(node->name), world->now_us, world->now_us))
            world_fail(world, WORLD_STUCK, "node %s may not take the meta log", node->name);
        break;
    case ELECTION_SERVE:
        node->is_serving = true;
        world->tally.take_overs++;
        break;
    case ELECTION_STEP_DOWN: step_down(world, node); break;
    case ELECTION_TAKE_SLOTS:
    case ELECTION_LOOK:
    case ELECTION_NOTHING: break;
    }
}

static void answer_logins(struct world *world, struct world_node *node)
{
    for (uint32_t i = 0; i < WORLD_LOGINS_MAX; i++) {
        struct world_login *login = &node->logins[i];
        if (login->barrier == 0 || ownership_committed(&node->logs[login->slot]) < login->barrier)
            continue;
        world->tally.logins++;
        if (node->slots[login->slot].count < login->shown && !world->was_dropped)
            world_fail(world, WORLD_OLD_LAST, "slot %u: node %s answers with %u sends; %u were acknowledged",
                       login->slot, node->name, node->slots[login->slot].count, login->shown);
        login->barrier = 0;
    }
}

static void note_damage(struct world *world, struct world_node *node, const struct ownership *log)
{
    if (log->state != OWNERSHIP_DAMAGED)
        return;
    node->was_damaged = true;
    if (!world->was_dropped)
        world_fail(world, WORLD_DAMAGE, "log %u: node %s refuses it: %s", log->slot, node->name,
                   ownership_damage_text(log->damage));
}

/* What is applied is committed. */
static void write_tail(struct world *world, struct world_node *node, uint32_t log)
{
    if (dice_hits(&world->dice, 8) && node->logs[log].applied.number > node->slots[log].disk_tail.number)
        node->slots[log].disk_tail = node->logs[log].applied;
}

static void report(struct world *world, struct world_node *node, uint32_t log)
{
    struct world_slot *slot = &node->slots[log];
    if (dice_hits(&world->dice, 20))
        slot->reported = FAULT(REPORTS_APPLIED) ? node->logs[log].applied.number : slot->disk_mark.number;
}

void node_act(struct world *world, struct world_node *node)
{
    ASSERT(node->is_up && !node->is_paused);
    for (uint32_t log = 0; log < WORLD_LOGS; log++) {
        apply(world, node, log);
        note_damage(world, node, &node->logs[log]);
        if (log < WORLD_SLOTS) {
            settle(world, node, log);
            write_tail(world, node, log);
            report(world, node, log);
            seal(world, node, log);
            take_slot(world, node, log);
        }
    }
    answer_logins(world, node);
    elect(world, node);
    for (uint32_t log = 0; log < WORLD_LOGS; log++) {
        ownership_on_news(&node->logs[log]);
        call_make(world, node, log);
    }
}

/* -- Clients -- */

bool node_send(struct world *world, struct world_node *node, uint32_t slot, uint32_t id)
{
    struct world_slot *has = &node->slots[slot];
    if (!node->is_up || node->is_paused || !node->is_serving || node->logs[slot].state != OWNERSHIP_OWNS)
        return false;
    if (has->has[id]) {
        world->tally.again++;
        check_acknowledge(world, slot, id);
        return true;
    }
    for (uint32_t i = 0; i < has->filling.count; i++)
        if (has->filling.ids[i] == id)
            return true;
    for (uint32_t i = 0; i < has->sealed.count && has->is_sealed; i++)
        if (has->sealed.ids[i] == id)
            return true;
    if (has->filling.count == WORLD_BATCH_SENDS_MAX)
        return false;
    has->filling.ids[has->filling.count++] = id;
    return true;
}

static uint64_t barrier_of(const struct ownership *log, bool is_read)
{
    return is_read && FAULT(READ_WITHOUT_BARRIER) ? ownership_committed(log) : ownership_barrier(log);
}

bool node_login(struct world *world, struct world_node *node, uint32_t slot, bool is_read)
{
    if (!node->is_up || node->is_paused || !node->is_serving || node->logs[slot].state != OWNERSHIP_OWNS)
        return false;
    for (uint32_t i = 0; i < WORLD_LOGINS_MAX; i++) {
        if (node->logins[i].barrier > 0)
            continue;
        node->logins[i] =
            (struct world_login){slot, world->slots[slot].acknowledged, barrier_of(&node->logs[slot], is_read)};
        return true;
    }
    return false;
}
