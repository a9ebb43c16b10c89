#include "cluster/election.h"

#include "base/assert.h"
#include "base/fault.h"

static bool may_change(enum election_state from, enum election_state to)
{
    switch (to) {
    case ELECTION_STANDBY: return true;
    case ELECTION_ELECTS: return from == ELECTION_STANDBY;
    case ELECTION_TAKES: return from == ELECTION_ELECTS;
    case ELECTION_ACTIVE: return from == ELECTION_TAKES;
    }
    return false;
}

static void set_state(struct election *election, enum election_state state)
{
    ASSERT(may_change(election->state, state));
    election->state = state;
}

void election_init(struct election *election, uint32_t slots, uint32_t rank, bool at_once, uint64_t now_us)
{
    ASSERT(slots > 0);
    *election = (struct election){.slots = slots, .rank = rank, .news_us = now_us};
    uint64_t wait_us = ELECTION_SILENCE_US + rank * ELECTION_RANK_US;
    if (at_once)
        election->news_us = now_us < wait_us ? 0 : now_us - wait_us;
}

void election_reset(struct election *election, uint64_t now_us)
{
    set_state(election, ELECTION_STANDBY);
    election->news_us = now_us;
    election->owned = 0;
    election->is_lost = election->is_damaged = false;
}

void election_on_damage(struct election *election)
{
    election->is_damaged = true;
}

void election_on_news(struct election *election, uint64_t now_us)
{
    election->news_us = now_us;
}

void election_on_look(struct election *election, uint64_t now_us)
{
    election->looked_us = now_us;
}

void election_on_slot(struct election *election, enum election_slot slot)
{
    if (election->state != ELECTION_TAKES && election->state != ELECTION_ACTIVE)
        return;
    if (slot == ELECTION_SLOT_LOST)
        election->is_lost = true;
    else
        election->owned++;
    ASSERT(election->owned <= election->slots);
}

static bool is_due(const struct election *election, const struct ownership *meta, uint64_t now_us)
{
    uint64_t wait_us = ELECTION_SILENCE_US + election->rank * ELECTION_RANK_US;
    return !election->is_damaged && now_us - election->news_us >= wait_us && ownership_may_take(meta);
}

static bool has_looked(const struct election *election, uint64_t now_us)
{
    return (election->looked_us > 0 && now_us - election->looked_us <= ELECTION_HEARTBEAT_US)
           || FAULT(SILENCE_UNCHECKED);
}

static enum election_action step_standby(struct election *election, const struct ownership *meta, uint64_t now_us)
{
    if (!is_due(election, meta, now_us))
        return ELECTION_NOTHING;
    if (!has_looked(election, now_us))
        return ELECTION_LOOK;
    election->generation = meta->seen.generation + 1;
    set_state(election, ELECTION_ELECTS);
    return ELECTION_TAKE_META;
}

static enum election_action step_elects(struct election *election, const struct ownership *meta, uint64_t now_us)
{
    if (meta->state == OWNERSHIP_FOLLOWS || meta->state == OWNERSHIP_DAMAGED) {
        election_reset(election, now_us);
        return ELECTION_NOTHING;
    }
    if (!ownership_may_seal(meta))
        return ELECTION_NOTHING;
    election->owned = 0;
    election->is_lost = false;
    set_state(election, ELECTION_TAKES);
    return ELECTION_TAKE_SLOTS;
}

enum election_action election_step(struct election *election, const struct ownership *meta, uint64_t now_us)
{
    if (election->state == ELECTION_STANDBY)
        return step_standby(election, meta, now_us);
    if (meta->state == OWNERSHIP_DEPOSED)
        return ELECTION_STEP_DOWN;
    if (election->state == ELECTION_ELECTS)
        return step_elects(election, meta, now_us);
    if (election->is_lost || election->is_damaged || meta->state == OWNERSHIP_DAMAGED)
        return ELECTION_STEP_DOWN;
    if (election->state == ELECTION_ACTIVE || election->owned < election->slots)
        return ELECTION_NOTHING;
    set_state(election, ELECTION_ACTIVE);
    return ELECTION_SERVE;
}
