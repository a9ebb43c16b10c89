#include "storage/log_ownership.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/fault.h"

#define KEPT_ROOM_FIRST 16u

void ownership_init(struct ownership *ownership, uint32_t slot, uint64_t incarnation, const char *node,
                    const struct ownership_mark *held)
{
    size_t node_bytes = strlen(node);
    ASSERT(node_bytes > 0 && node_bytes <= LOG_BATCH_NODE_BYTES);
    *ownership = (struct ownership){
        .slot = slot,
        .incarnation = incarnation,
        .applied = *held,
        .seen = *held,
        .committed = held->number,
        .is_verified = held->number == 0,
    };
    memcpy(ownership->node, node, node_bytes);
}

void ownership_expect(struct ownership *ownership, const struct ownership_mark *mark)
{
    ASSERT(ownership->state == OWNERSHIP_FOLLOWS && ownership->kept_count == 0);
    ownership->expected = *mark;
}

void ownership_fini(struct ownership *ownership)
{
    for (uint32_t i = 0; i < ownership->kept_count; i++)
        free(ownership->kept[i].data);
    free(ownership->kept);
    ownership->kept = NULL;
    ownership->kept_count = ownership->kept_room = 0;
}

/* -- States -- */

static bool may_change(enum ownership_state from, enum ownership_state to)
{
    switch (to) {
    case OWNERSHIP_FOLLOWS: return from == OWNERSHIP_TAKES;
    case OWNERSHIP_TAKES: return from == OWNERSHIP_FOLLOWS;
    case OWNERSHIP_OWNS: return from == OWNERSHIP_TAKES;
    case OWNERSHIP_DEPOSED: return from == OWNERSHIP_OWNS;
    case OWNERSHIP_DAMAGED: return from == OWNERSHIP_FOLLOWS || from == OWNERSHIP_TAKES || from == OWNERSHIP_OWNS;
    }
    return false;
}

static void set_state(struct ownership *ownership, enum ownership_state state)
{
    ASSERT(may_change(ownership->state, state));
    ownership->state = state;
    if (state == OWNERSHIP_OWNS)
        return;
    ownership->is_looking = ownership->is_foreign = false;
    if (state == OWNERSHIP_TAKES)
        return;
    ownership->unsettled_count = ownership->landed = 0;
}

static int set_damage(struct ownership *ownership, enum ownership_damage damage)
{
    ownership->damage = damage;
    set_state(ownership, OWNERSHIP_DAMAGED);
    return -ECANCELED;
}

/* -- What was read and is not applied -- */

static int keep(struct ownership *ownership, const struct ownership_kept *batch, const void *data)
{
    if (ownership->kept_count == ownership->kept_room) {
        uint32_t room = ownership->kept_room == 0 ? KEPT_ROOM_FIRST : 2 * ownership->kept_room;
        struct ownership_kept *kept = realloc(ownership->kept, room * sizeof *kept);
        if (kept == NULL)
            return -ENOMEM;
        ownership->kept = kept;
        ownership->kept_room = room;
    }
    struct ownership_kept *kept = &ownership->kept[ownership->kept_count];
    *kept = *batch;
    kept->data = malloc(batch->bytes);
    if (kept->data == NULL)
        return -ENOMEM;
    memcpy(kept->data, data, batch->bytes);
    ownership->kept_count++;
    return 0;
}

/* Forgets what was read and is not known to be committed: the log may not have it any more. Then reads on from there,
 * and whether the log has what is left is verified anew. */
static void forget_uncommitted(struct ownership *ownership)
{
    while (ownership->kept_count > 0 && ownership->kept[ownership->kept_count - 1].mark.number > ownership->committed)
        free(ownership->kept[--ownership->kept_count].data);
    ownership->seen = ownership->kept_count == 0 ? ownership->applied : ownership->kept[ownership->kept_count - 1].mark;
    ownership->is_verified = ownership->seen.number == 0;
    ownership->is_at_end = false;
}

/* The TAKE is not in the log, or not settled: others may be faster. */
static void follow_again(struct ownership *ownership)
{
    set_state(ownership, OWNERSHIP_FOLLOWS);
    forget_uncommitted(ownership);
}

const struct ownership_kept *ownership_applicable(const struct ownership *ownership)
{
    bool is_committed = ownership->kept_count > 0 && ownership->kept[0].mark.number <= ownership->committed;
    bool is_open = ownership->state == OWNERSHIP_FOLLOWS || ownership->state == OWNERSHIP_OWNS;
    return is_open && is_committed ? &ownership->kept[0] : NULL;
}

/* An owner's own TAKE, and empty batches behind it, need not be applied. */
static void apply_own(struct ownership *ownership)
{
    if (ownership->state == OWNERSHIP_OWNS && ownership->kept_count == 0)
        ownership->applied = ownership->seen;
}

void ownership_on_applied(struct ownership *ownership)
{
    ASSERT(ownership_applicable(ownership) != NULL);
    ownership->applied = ownership->kept[0].mark;
    free(ownership->kept[0].data);
    ownership->kept_count--;
    memmove(&ownership->kept[0], &ownership->kept[1], ownership->kept_count * sizeof ownership->kept[0]);
    apply_own(ownership);
}

/* -- Reading -- */

static uint64_t read_from(const struct ownership *ownership)
{
    if (ownership->is_looking && ownership->landed > 0)
        return ownership->seen.number + ownership->landed + 1;
    return ownership->is_verified ? ownership->seen.number + 1 : ownership->seen.number;
}

void ownership_next(struct ownership *ownership, struct ownership_call *call_r)
{
    *call_r = (struct ownership_call){.kind = OWNERSHIP_CALL_NONE};
    bool reads =
        ownership->state == OWNERSHIP_FOLLOWS && !ownership->is_at_end && ownership_applicable(ownership) == NULL;
    if (reads || ownership->is_looking) {
        call_r->kind = OWNERSHIP_CALL_READ;
        call_r->from = read_from(ownership);
        return;
    }
    if (ownership->unsettled_count == 0)
        return;
    ASSERT(ownership->landed < ownership->unsettled_count);
    const struct ownership_unsettled *next = &ownership->unsettled[ownership->landed];
    call_r->kind = OWNERSHIP_CALL_APPEND;
    call_r->last = next->mark.number - 1;
    call_r->generation = next->mark.generation;
    call_r->previous = ownership->landed == 0 ? &ownership->seen.hash : &next[-1].mark.hash;
    call_r->hash = &next->mark.hash;
    call_r->data = next->data == NULL ? next->own : next->data;
    call_r->bytes = next->bytes;
}

void ownership_on_news(struct ownership *ownership)
{
    ownership->is_at_end = false;
}

/* Whether a batch may stand behind `seen`. */
static enum ownership_damage check_order(const struct ownership *ownership, const struct log_batch_header *header)
{
    const struct ownership_mark *seen = &ownership->seen;
    if (FAULT(CHAIN_IGNORED))
        return OWNERSHIP_DAMAGE_NONE;
    if (!log_hash_equal(&header->previous, &seen->hash))
        return OWNERSHIP_DAMAGE_CHAIN;
    if (seen->number > 0 && seen->generation == 0)
        return OWNERSHIP_DAMAGE_NONE;
    if (header->generation < seen->generation)
        return OWNERSHIP_DAMAGE_GENERATION;
    bool begins = header->kind != LOG_BATCH_RECORDS;
    return begins == (header->generation > seen->generation) ? OWNERSHIP_DAMAGE_NONE : OWNERSHIP_DAMAGE_GENERATION;
}

static void learn(struct ownership *ownership, const struct ownership_kept *batch, const void *data)
{
    const struct log_batch_header *header = &batch->header;
    ownership->seen = batch->mark;
    if (header->committed > ownership->committed)
        ownership->committed = header->committed;
    if (FAULT(APPLY_WHEN_SEEN))
        ownership->committed = header->number;
    if (FAULT(APPLY_WHEN_FOLLOWED))
        ownership->committed = header->number - 1;
    memcpy(ownership->owner, header->node, sizeof ownership->owner);
    struct span payload = log_batch_payload(header, data);
    if (header->kind != LOG_BATCH_TAKE || payload.bytes > OWNERSHIP_ADDRESS_BYTES)
        return;
    memcpy(ownership->address, payload.data, payload.bytes);
    ownership->address[payload.bytes] = '\0';
}

/* The batch `seen` itself, read again. */
static int verify(struct ownership *ownership, const struct ownership_kept *batch)
{
    if (!FAULT(CHAIN_IGNORED) && !log_hash_equal(&batch->mark.hash, &ownership->seen.hash))
        return set_damage(ownership, OWNERSHIP_DAMAGE_CHAIN);
    ownership->seen.generation = batch->mark.generation;
    ownership->is_verified = true;
    return 0;
}

static int follow(struct ownership *ownership, const struct ownership_kept *batch, const void *data)
{
    if (!ownership->is_verified && batch->mark.number == ownership->seen.number)
        return verify(ownership, batch);
    enum ownership_damage damage = check_order(ownership, &batch->header);
    bool is_replaced = damage == OWNERSHIP_DAMAGE_CHAIN && ownership->seen.number > ownership->committed
                       && !log_hash_equal(&ownership->seen.hash, &ownership->doubted);
    if (is_replaced) {
        ownership->doubted = ownership->seen.hash;
        forget_uncommitted(ownership);
        return -ECANCELED;
    }
    if (damage == OWNERSHIP_DAMAGE_NONE && batch->mark.number == ownership->expected.number
        && !log_hash_equal(&batch->mark.hash, &ownership->expected.hash))
        damage = OWNERSHIP_DAMAGE_CHAIN;
    if (damage != OWNERSHIP_DAMAGE_NONE)
        return set_damage(ownership, damage);
    int result = keep(ownership, batch, data);
    if (result != 0)
        return result;
    learn(ownership, batch, data);
    return 0;
}

/* A batch at or behind `seen`, while the outcome of appends is looked up. */
static int look(struct ownership *ownership, const struct ownership_kept *batch)
{
    if (batch->mark.number == ownership->seen.number) {
        ownership->is_foreign = !log_hash_equal(&batch->mark.hash, &ownership->seen.hash);
        ownership->is_verified = !ownership->is_foreign;
        return ownership->is_foreign ? -ECANCELED : 0;
    }
    const struct ownership_unsettled *own = &ownership->unsettled[ownership->landed];
    ownership->is_foreign =
        ownership->landed == ownership->unsettled_count || !log_hash_equal(&batch->mark.hash, &own->mark.hash);
    if (ownership->is_foreign)
        return -ECANCELED;
    ownership->landed++;
    return 0;
}

int ownership_on_batch(struct ownership *ownership, uint64_t number, const void *data, uint32_t bytes)
{
    struct ownership_kept batch = {.bytes = bytes};
    if (ownership->state != OWNERSHIP_FOLLOWS && !ownership->is_looking)
        return -ECANCELED;
    int result = log_batch_decode(data, bytes, &batch.header);
    if (result == -EPROTO)
        return set_damage(ownership, OWNERSHIP_DAMAGE_VERSION);
    if (result != 0 || batch.header.slot != ownership->slot || batch.header.number != number
        || number != read_from(ownership))
        return set_damage(ownership, OWNERSHIP_DAMAGE_BATCH);
    batch.mark = (struct ownership_mark){.number = number, .generation = batch.header.generation};
    log_batch_hash(data, bytes, &batch.mark.hash);
    return ownership->is_looking ? look(ownership, &batch) : follow(ownership, &batch, data);
}

/* -- Settling -- */

static void begin_looking(struct ownership *ownership)
{
    ownership->is_looking = true;
    ownership->is_foreign = false;
    ownership->landed = 0;
    ownership->is_verified = ownership->seen.number == 0;
}

/* The log has another's batch, or has lost one that this node knew to be committed. */
static void lose(struct ownership *ownership)
{
    if (ownership->state == OWNERSHIP_TAKES)
        follow_again(ownership);
    else if (!ownership->is_verified)
        set_damage(ownership, OWNERSHIP_DAMAGE_CHAIN);
    else
        set_state(ownership, OWNERSHIP_DEPOSED);
}

/* The first `count` of the unsettled batches are committed. */
static void settle(struct ownership *ownership, uint32_t count)
{
    ASSERT(count > 0 && count <= ownership->unsettled_count);
    ownership->seen = ownership->unsettled[count - 1].mark;
    ownership->committed = ownership->seen.number;
    ownership->unsettled_count -= count;
    ownership->landed = 0;
    memmove(&ownership->unsettled[0], &ownership->unsettled[count],
            ownership->unsettled_count * sizeof ownership->unsettled[0]);
    if (ownership->state == OWNERSHIP_TAKES)
        set_state(ownership, OWNERSHIP_OWNS);
    apply_own(ownership);
}

/* Adds a batch whose bytes the machine has itself: a TAKE, or an empty one. */
static void add_own(struct ownership *ownership, struct log_batch_header *header, struct span payload)
{
    ASSERT(ownership->unsettled_count < OWNERSHIP_UNSETTLED_MAX);
    struct ownership_unsettled *own = &ownership->unsettled[ownership->unsettled_count];
    const struct ownership_mark *before = ownership->unsettled_count == 0 ? &ownership->seen : &own[-1].mark;
    header->slot = ownership->slot;
    header->incarnation = ownership->incarnation;
    header->number = before->number + 1;
    header->committed = ownership->committed;
    header->previous = before->hash;
    header->payload_bytes = (uint32_t)payload.bytes;
    memcpy(header->node, ownership->node, sizeof header->node);
    if (payload.bytes > 0)
        memcpy(own->own + LOG_BATCH_HEADER_BYTES, payload.data, payload.bytes);
    own->data = NULL;
    own->bytes = log_batch_encode(header, own->own);
    own->mark = (struct ownership_mark){.number = header->number, .generation = header->generation};
    log_batch_hash(own->own, own->bytes, &own->mark.hash);
    ownership->unsettled_count++;
}

/* All unsettled batches are in the log: the acknowledgement of one more settles them. */
static void append_behind(struct ownership *ownership)
{
    const struct ownership_unsettled *last = &ownership->unsettled[ownership->unsettled_count - 1];
    struct log_batch_header header = {
        .kind = LOG_BATCH_RECORDS, .generation = last->mark.generation, .wall_us = ownership->wall_us};
    if (FAULT(UNKNOWN_SETTLED_BY_READING)) {
        settle(ownership, ownership->unsettled_count);
        return;
    }
    if (ownership->unsettled_count < OWNERSHIP_UNSETTLED_MAX)
        add_own(ownership, &header, (struct span){NULL, 0});
    else if (ownership->state == OWNERSHIP_TAKES)
        follow_again(ownership);
    else {
        ownership->has_given_up = true;
        set_state(ownership, OWNERSHIP_DEPOSED);
    }
}

static void on_looked(struct ownership *ownership, int visited)
{
    if (ownership->is_foreign) {
        lose(ownership);
        return;
    }
    if (visited == -ERANGE)
        ownership->is_verified = true; /* purged, so it was committed */
    if (visited < 0)
        return;
    if (!ownership->is_verified) {
        if (ownership->state == OWNERSHIP_TAKES)
            follow_again(ownership);
        else if (FAULT(CHAIN_IGNORED))
            set_state(ownership, OWNERSHIP_DEPOSED);
        else
            set_damage(ownership, OWNERSHIP_DAMAGE_TAIL);
        return;
    }
    if (visited > 0)
        return;
    ownership->is_looking = false;
    if (ownership->landed == ownership->unsettled_count)
        append_behind(ownership);
}

/* What the node holds was purged, or is the end of the log. */
static void on_purged(struct ownership *ownership)
{
    if (ownership->is_verified || ownership->seen.number == 0)
        set_damage(ownership, OWNERSHIP_DAMAGE_PURGED);
    else
        ownership->is_verified = true;
}

void ownership_on_read(struct ownership *ownership, int result)
{
    if (ownership->is_looking) {
        on_looked(ownership, result);
        return;
    }
    if (ownership->state != OWNERSHIP_FOLLOWS)
        return;
    bool is_short = !ownership->is_verified || ownership->seen.number < ownership->expected.number;
    if (result == -ERANGE)
        on_purged(ownership);
    else if (result == 0 && is_short && !FAULT(CHAIN_IGNORED))
        set_damage(ownership, OWNERSHIP_DAMAGE_TAIL);
    else if (result == 0)
        ownership->is_at_end = ownership->is_verified = true;
}

void ownership_on_append(struct ownership *ownership, enum log_append_result result)
{
    ASSERT(ownership->state == OWNERSHIP_TAKES || ownership->state == OWNERSHIP_OWNS);
    ASSERT(ownership->unsettled_count > 0 && !ownership->is_looking);
    if (result == LOG_APPEND_ACKED)
        settle(ownership, ownership->landed + 1);
    else if (result == LOG_APPEND_REFUSED)
        begin_looking(ownership);
}

/* -- Taking and owning -- */

bool ownership_may_take(const struct ownership *ownership)
{
    return ownership->state == OWNERSHIP_FOLLOWS && ownership->is_at_end && ownership->is_verified
           && ownership_applicable(ownership) == NULL;
}

bool ownership_take(struct ownership *ownership, uint64_t generation, struct span address, uint64_t wall_us)
{
    struct log_batch_header header = {.kind = LOG_BATCH_TAKE, .generation = generation, .wall_us = wall_us};
    ASSERT(ownership_may_take(ownership));
    ASSERT(address.bytes <= OWNERSHIP_ADDRESS_BYTES);
    if (generation <= ownership->seen.generation)
        return false;
    set_state(ownership, OWNERSHIP_TAKES);
    add_own(ownership, &header, address);
    ownership->wall_us = wall_us;
    return true;
}

bool ownership_may_seal(const struct ownership *ownership)
{
    bool is_applied = ownership->kept_count == 0 || FAULT(SERVES_BEFORE_APPLIED);
    return ownership->state == OWNERSHIP_OWNS && ownership->unsettled_count == 0 && is_applied;
}

uint64_t ownership_seal(struct ownership *ownership, void *data, uint32_t payload_bytes, uint32_t record_count,
                        uint64_t wall_us)
{
    struct log_batch_header header = {
        .slot = ownership->slot,
        .kind = LOG_BATCH_RECORDS,
        .generation = ownership->seen.generation,
        .number = ownership->seen.number + 1,
        .committed = ownership->committed,
        .incarnation = ownership->incarnation,
        .wall_us = wall_us,
        .previous = ownership->seen.hash,
        .record_count = record_count,
        .payload_bytes = payload_bytes,
    };
    ASSERT(ownership_may_seal(ownership));
    ASSERT(ownership->committed == ownership->seen.number);
    memcpy(header.node, ownership->node, sizeof header.node);
    struct ownership_unsettled *first = &ownership->unsettled[0];
    first->data = data;
    first->bytes = log_batch_encode(&header, data);
    first->mark = (struct ownership_mark){.number = header.number, .generation = header.generation};
    log_batch_hash(data, first->bytes, &first->mark.hash);
    ownership->unsettled_count = 1;
    ownership->wall_us = wall_us;
    return header.number;
}

uint64_t ownership_committed(const struct ownership *ownership)
{
    return ownership->committed;
}

uint64_t ownership_barrier(const struct ownership *ownership)
{
    ASSERT(ownership->state == OWNERSHIP_OWNS);
    if (FAULT(NO_BARRIER))
        return ownership->committed;
    return ownership->seen.number + ownership->unsettled_count + 1;
}

const char *ownership_damage_text(enum ownership_damage damage)
{
    static const char *const texts[] = {
        [OWNERSHIP_DAMAGE_NONE] = "the log is not damaged",
        [OWNERSHIP_DAMAGE_BATCH] = "the log has a damaged batch",
        [OWNERSHIP_DAMAGE_VERSION] = "the log has a batch of a newer version",
        [OWNERSHIP_DAMAGE_CHAIN] = "the log does not continue what this node holds",
        [OWNERSHIP_DAMAGE_TAIL] = "the log ends before what this node holds, or knows to have been acknowledged",
        [OWNERSHIP_DAMAGE_GENERATION] =
            "the log has a batch of an owner that had lost it, behind the newest that this node holds",
        [OWNERSHIP_DAMAGE_PURGED] = "the log begins behind what this node holds",
    };
    return texts[damage];
}
