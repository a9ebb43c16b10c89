#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/fault.h"
#include "cluster_harness.h"

static void add(struct harness *harness, struct harness_slot *slot, uint32_t index, uint32_t id)
{
    check_applied(harness, index, slot->count, id);
    if (slot->has[id] > 0 && !harness->was_dropped)
        harness_fail(harness, HARNESS_DOUBLED, "slot %u: send %u is there twice", index, id);
    slot->list[slot->count++] = id;
    slot->has[id] = HARNESS_HAS;
}

void node_open(struct harness *harness, struct harness_node *node, bool keeps_memory)
{
    for (uint32_t log = 0; log < HARNESS_LOGS; log++) {
        struct ownership_mark held = {0};
        if (log < HARNESS_SLOTS) {
            struct harness_slot *slot = &node->slots[log];
            held = keeps_memory ? node->logs[log].applied : slot->disk_mark;
            for (uint32_t i = slot->disk_count; i < slot->count && !keeps_memory; i++)
                slot->has[slot->list[i]] = 0;
            slot->count = keeps_memory ? slot->count : slot->disk_count;
            for (uint32_t i = 0; i < slot->count; i++)
                slot->has[slot->list[i]] = HARNESS_HAS;
            for (uint32_t i = 0; i < slot->sealed.count && keeps_memory && slot->is_sealed; i++)
                add(harness, slot, log, slot->sealed.ids[i]);
            slot->filling.count = 0;
            slot->is_sealed = slot->is_owned = false;
        }
        ownership_fini(&node->logs[log]);
        ownership_init(&node->logs[log], log, 1, node->name, &held);
        if (log < HARNESS_SLOTS && node->slots[log].disk_tail.number > held.number && !FAULT(TAIL_FORGOTTEN))
            ownership_expect(&node->logs[log], &node->slots[log].disk_tail);
    }
    memset(node->logins, 0, sizeof node->logins);
    node->is_serving = false;
    node->life++;
}

void node_crash(struct harness *harness, struct harness_node *node)
{
    harness->tally.crashes++;
    node->is_up = node->is_paused = false;
    node_open(harness, node, false);
    election_reset(&node->election, harness->now_us);
}

static void step_down(struct harness *harness, struct harness_node *node)
{
    harness->tally.deposed++;
    for (uint32_t slot = 0; slot < HARNESS_SLOTS && FAULT(DEPOSED_ANSWERS); slot++)
        for (uint32_t i = 0; i < node->slots[slot].sealed.count && node->slots[slot].is_sealed; i++)
            check_acknowledge(harness, slot, node->slots[slot].sealed.ids[i]);
    node_open(harness, node, FAULT(DEPOSED_KEEPS_MEMORY));
    election_reset(&node->election, harness->now_us);
}

/* -- A slot -- */

static void apply(struct harness *harness, struct harness_node *node, uint32_t log)
{
    for (uint32_t some = dice_below(&harness->dice, 3); some > 0; some--) {
        const struct ownership_kept *kept = ownership_applicable(&node->logs[log]);
        if (kept == NULL)
            return;
        const char *payload = log_batch_payload(&kept->header, kept->data).data;
        for (uint32_t i = 0; i < kept->header.record_count && log < HARNESS_SLOTS; i++)
            add(harness, &node->slots[log], log, bytes_load_le32(payload + 4 * i));
        ownership_on_applied(&node->logs[log]);
    }
}

static void acknowledge(struct harness *harness, uint32_t slot, const struct harness_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++)
        check_acknowledge(harness, slot, batch->ids[i]);
}

static void settle(struct harness *harness, struct harness_node *node, uint32_t log)
{
    struct harness_slot *slot = &node->slots[log];
    if (!slot->is_sealed || node->logs[log].state != OWNERSHIP_OWNS
        || ownership_committed(&node->logs[log]) < slot->sealed.number)
        return;
    slot->is_sealed = false;
    for (uint32_t i = 0; i < slot->sealed.count; i++) {
        add(harness, slot, log, slot->sealed.ids[i]);
        slot->has[slot->sealed.ids[i]] = HARNESS_APPENDED;
    }
    if (!FAULT(ACK_BEFORE_ENGINE))
        acknowledge(harness, log, &slot->sealed);
}

static void put_payload(struct harness_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++)
        bytes_store_le32(batch->data + LOG_BATCH_HEADER_BYTES + 4 * i, batch->ids[i]);
}

/* A mistake: a second batch is appended before the first is acknowledged. */
static void seal_second(struct harness *harness, struct harness_node *node, uint32_t log)
{
    struct harness_slot *slot = &node->slots[log];
    struct harness_batch second = {.count = slot->sealed.count / 2};
    slot->sealed.count -= second.count;
    memcpy(second.ids, slot->sealed.ids + slot->sealed.count, second.count * sizeof second.ids[0]);
    put_payload(&second);
    slot->sealed.number = ownership_seal(&node->logs[log], slot->sealed.data, 4 * slot->sealed.count,
                                         slot->sealed.count, harness->now_us);
    call_stray(harness, node, log, &node->logs[log].unsettled[0].mark, &second);
}

static void seal(struct harness *harness, struct harness_node *node, uint32_t log)
{
    struct harness_slot *slot = &node->slots[log];
    bool is_silent = log == 0 && harness->now_us - slot->sealed_us >= ELECTION_HEARTBEAT_US;
    bool is_wanted = slot->filling.count > 0 || is_silent;
    for (uint32_t i = 0; i < HARNESS_LOGINS_MAX; i++)
        is_wanted = is_wanted || (node->logins[i].barrier > 0 && node->logins[i].slot == log);
    if (!is_wanted || slot->is_sealed || !ownership_may_seal(&node->logs[log]))
        return;
    slot->sealed = slot->filling;
    slot->filling.count = 0;
    slot->is_sealed = true;
    slot->sealed_us = harness->now_us;
    put_payload(&slot->sealed);
    if (FAULT(WINDOW_OF_TWO) && slot->sealed.count > 1) {
        seal_second(harness, node, log);
        return;
    }
    slot->sealed.number = ownership_seal(&node->logs[log], slot->sealed.data, 4 * slot->sealed.count,
                                         slot->sealed.count, harness->now_us);
    if (FAULT(ACK_BEFORE_ENGINE))
        acknowledge(harness, log, &slot->sealed);
}

void node_checkpoint(struct harness *harness, struct harness_node *node, uint32_t slot)
{
    settle(harness, node, slot);
    struct harness_slot *has = &node->slots[slot];
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

static void take_slot(struct harness *harness, struct harness_node *node, uint32_t log)
{
    struct ownership *ownership = &node->logs[log];
    struct election *election = &node->election;
    if (ownership->state == OWNERSHIP_DAMAGED)
        election_on_damage(election);
    else if (ownership->state == OWNERSHIP_DEPOSED)
        election_on_slot(election, ELECTION_SLOT_LOST);
    else if (election->state == ELECTION_TAKES && ownership_may_take(ownership)
             && !ownership_take(ownership, election->generation, span_of(node->name), harness->now_us))
        election_on_slot(election, ELECTION_SLOT_LOST);
    else if (election->state == ELECTION_TAKES && !node->slots[log].is_owned && is_owned(ownership)) {
        node->slots[log].is_owned = true;
        election_on_slot(election, ELECTION_SLOT_OWNED);
    }
}

/* Whether no log has a batch that the node has not read. Who sees no log cannot say so. */
static bool is_silent(struct harness *harness, struct harness_node *node)
{
    struct log_follow follows[HARNESS_LOGS];
    struct log_engine_error error;
    for (uint32_t log = 0; log < HARNESS_LOGS; log++)
        follows[log] = (struct log_follow){.slot = log, .last = node->logs[log].seen.number};
    int news = log_double_engine.follow(node->session, follows, HARNESS_LOGS, 0, &error);
    if (news < 0)
        election_on_news(&node->election, harness->now_us);
    return news == 0;
}

static void elect(struct harness *harness, struct harness_node *node)
{
    struct ownership *meta = &node->logs[HARNESS_META];
    enum election_action action = election_step(&node->election, meta, harness->now_us);
    if (action == ELECTION_LOOK && (harness->is_hasty || is_silent(harness, node))) {
        election_on_look(&node->election, harness->now_us);
        action = election_step(&node->election, meta, harness->now_us);
    }
    switch (action) {
    case ELECTION_TAKE_META:
        check_silence(harness, node);
        if (!ownership_take(meta, node->election.generation, span_of(node->name), harness->now_us))
            harness_fail(harness, HARNESS_STUCK, "node %s may not take the meta log", node->name);
        break;
    case ELECTION_SERVE:
        node->is_serving = true;
        harness->tally.take_overs++;
        break;
    case ELECTION_STEP_DOWN: step_down(harness, node); break;
    case ELECTION_TAKE_SLOTS:
    case ELECTION_LOOK:
    case ELECTION_NOTHING: break;
    }
}

static void answer_logins(struct harness *harness, struct harness_node *node)
{
    for (uint32_t i = 0; i < HARNESS_LOGINS_MAX; i++) {
        struct harness_login *login = &node->logins[i];
        if (login->barrier == 0 || ownership_committed(&node->logs[login->slot]) < login->barrier)
            continue;
        harness->tally.logins++;
        if (node->slots[login->slot].count < login->shown && !harness->was_dropped)
            harness_fail(harness, HARNESS_OLD_LAST, "slot %u: node %s answers with %u sends; %u were acknowledged",
                         login->slot, node->name, node->slots[login->slot].count, login->shown);
        login->barrier = 0;
    }
}

static void note_damage(struct harness *harness, struct harness_node *node, const struct ownership *log)
{
    if (log->state != OWNERSHIP_DAMAGED)
        return;
    node->was_damaged = true;
    if (!harness->was_dropped)
        harness_fail(harness, HARNESS_DAMAGE, "log %u: node %s refuses it: %s", log->slot, node->name,
                     ownership_damage_text(log->damage));
}

/* What is applied is committed. */
static void write_tail(struct harness *harness, struct harness_node *node, uint32_t log)
{
    if (dice_hits(&harness->dice, 8) && node->logs[log].applied.number > node->slots[log].disk_tail.number)
        node->slots[log].disk_tail = node->logs[log].applied;
}

static void report(struct harness *harness, struct harness_node *node, uint32_t log)
{
    struct harness_slot *slot = &node->slots[log];
    if (dice_hits(&harness->dice, 20))
        slot->reported = FAULT(REPORTS_APPLIED) ? node->logs[log].applied.number : slot->disk_mark.number;
}

void node_act(struct harness *harness, struct harness_node *node)
{
    ASSERT(node->is_up && !node->is_paused);
    for (uint32_t log = 0; log < HARNESS_LOGS; log++) {
        apply(harness, node, log);
        note_damage(harness, node, &node->logs[log]);
        if (log < HARNESS_SLOTS) {
            settle(harness, node, log);
            write_tail(harness, node, log);
            report(harness, node, log);
            seal(harness, node, log);
            take_slot(harness, node, log);
        }
    }
    answer_logins(harness, node);
    elect(harness, node);
    for (uint32_t log = 0; log < HARNESS_LOGS; log++) {
        ownership_on_news(&node->logs[log]);
        call_make(harness, node, log);
    }
}

/* -- Clients -- */

bool node_send(struct harness *harness, struct harness_node *node, uint32_t slot, uint32_t id)
{
    struct harness_slot *has = &node->slots[slot];
    if (!node->is_up || node->is_paused || !node->is_serving || node->logs[slot].state != OWNERSHIP_OWNS)
        return false;
    if (has->has[id] >= (FAULT(KEYS_OF_OWNERSHIP) ? HARNESS_APPENDED : HARNESS_HAS)) {
        harness->tally.again++;
        check_acknowledge(harness, slot, id);
        return true;
    }
    for (uint32_t i = 0; i < has->filling.count; i++)
        if (has->filling.ids[i] == id)
            return true;
    for (uint32_t i = 0; i < has->sealed.count && has->is_sealed; i++)
        if (has->sealed.ids[i] == id)
            return true;
    if (has->filling.count == HARNESS_BATCH_SENDS_MAX)
        return false;
    has->filling.ids[has->filling.count++] = id;
    return true;
}

static uint64_t barrier_of(const struct ownership *log, bool is_read)
{
    return is_read && FAULT(READ_WITHOUT_BARRIER) ? ownership_committed(log) : ownership_barrier(log);
}

bool node_login(struct harness *harness, struct harness_node *node, uint32_t slot, bool is_read)
{
    if (!node->is_up || node->is_paused || !node->is_serving || node->logs[slot].state != OWNERSHIP_OWNS)
        return false;
    for (uint32_t i = 0; i < HARNESS_LOGINS_MAX; i++) {
        if (node->logins[i].barrier > 0)
            continue;
        node->logins[i] =
            (struct harness_login){slot, harness->slots[slot].acknowledged, barrier_of(&node->logs[slot], is_read)};
        return true;
    }
    return false;
}
