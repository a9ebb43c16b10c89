#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/fault.h"
#include "cluster_world.h"

#define READ_BYTES (16u << 10)

static struct world_call *take_call(struct world *world, const struct world_node *node, uint32_t log)
{
    for (uint32_t i = 0; i < WORLD_CALLS_MAX; i++) {
        struct world_call *call = &world->calls[i];
        if (call->phase != CALL_FREE)
            continue;
        *call = (struct world_call){
            .phase = CALL_MADE, .node = (uint32_t)(node - world->nodes), .life = node->life, .log = log};
        return call;
    }
    return NULL;
}

static bool is_busy(const struct world *world, const struct world_node *node, uint32_t log)
{
    for (uint32_t i = 0; i < WORLD_CALLS_MAX; i++) {
        const struct world_call *call = &world->calls[i];
        if (call->phase != CALL_FREE && !call->is_stray && call->node == (uint32_t)(node - world->nodes)
            && call->life == node->life && call->log == log)
            return true;
    }
    return false;
}

void call_make(struct world *world, struct world_node *node, uint32_t log)
{
    struct ownership_call next;
    if (is_busy(world, node, log))
        return;
    ownership_next(&node->logs[log], &next);
    struct world_call *call = next.kind == OWNERSHIP_CALL_NONE ? NULL : take_call(world, node, log);
    if (call == NULL)
        return;
    call->call = next;
    if (next.kind != OWNERSHIP_CALL_APPEND)
        return;
    ASSERT(next.bytes <= sizeof call->data);
    memcpy(call->data, next.data, next.bytes);
    call->previous = *next.previous;
    call->hash = *next.hash;
}

void call_stray(struct world *world, struct world_node *node, uint32_t log, const struct ownership_mark *behind,
                const struct world_batch *batch)
{
    struct world_call *call = take_call(world, node, log);
    if (call == NULL)
        return;
    struct log_batch_header header = {
        .slot = log,
        .kind = LOG_BATCH_RECORDS,
        .generation = behind->generation,
        .number = behind->number + 1,
        .committed = behind->number - 1,
        .previous = behind->hash,
        .record_count = batch->count,
        .payload_bytes = 4 * batch->count,
    };
    call->is_stray = true;
    memcpy(header.node, node->name, sizeof node->name);
    memcpy(call->data, batch->data, LOG_BATCH_HEADER_BYTES + header.payload_bytes);
    call->call = (struct ownership_call){
        .kind = OWNERSHIP_CALL_APPEND, .last = behind->number, .generation = behind->generation};
    call->call.bytes = log_batch_encode(&header, call->data);
    call->previous = behind->hash;
    log_batch_hash(call->data, call->call.bytes, &call->hash);
}

static int on_read(void *context, const struct log_batch *batch)
{
    struct world_call *call = context;
    if (call->read_count == WORLD_READ_MAX)
        return -ENOBUFS;
    struct world_read *read = &call->reads[call->read_count++];
    *read = (struct world_read){batch->number, malloc(batch->bytes), batch->bytes};
    ASSERT(read->data != NULL);
    memcpy(read->data, batch->data, batch->bytes);
    return 0;
}

/* The engine does it. */
static void run(struct world *world, struct world_call *call)
{
    struct log_session *session = world->nodes[call->node].session;
    struct log_extent extent;
    struct log_engine_error error;
    int status;
    call->phase = CALL_DONE;
    if (call->call.kind == OWNERSHIP_CALL_READ) {
        call->result =
            log_double_engine.read(session, call->log, call->call.from, READ_BYTES, 0, on_read, call, &error);
        if (call->result == -ENOBUFS)
            call->result = (int)call->read_count;
        return;
    }
    struct log_append append = {
        .slot = call->log,
        .bytes = call->call.bytes,
        .generation = call->call.generation,
        .last = call->call.last,
        .previous = call->previous.bytes,
        .hash = call->hash.bytes,
        .data = call->data,
    };
    call->result = (int)log_double_engine.append(session, &append, 0, &extent, &status, &error);
    struct world_node *node = &world->nodes[call->node];
    if (call->result == LOG_APPEND_ACKED && !call->is_stray && call->log < WORLD_SLOTS && node->life == call->life)
        check_owner(world, node, call->log);
    world->tally.unknown += call->result == LOG_APPEND_UNKNOWN;
    world->tally.refused += call->result == LOG_APPEND_REFUSED;
}

void call_drop(struct world_call *call)
{
    for (uint32_t i = 0; i < call->read_count; i++)
        free(call->reads[i].data);
    call->read_count = 0;
    call->phase = CALL_FREE;
}

static void deliver_read(struct world *world, struct world_node *node, struct world_call *call)
{
    struct ownership *log = &node->logs[call->log];
    uint64_t seen = log->seen.number;
    int result = call->result;
    for (uint32_t i = 0; i < call->read_count && result > 0; i++) {
        int each = ownership_on_batch(log, call->reads[i].number, call->reads[i].data, call->reads[i].bytes);
        result = each < 0 ? each : result;
    }
    ownership_on_read(log, result);
    if (log->seen.number > seen)
        election_on_news(&node->election, world->now_us);
}

/* A mistake: what has an unknown outcome is put into the next batch too. */
static void send_again(struct world_node *node, uint32_t log)
{
    if (log == WORLD_META || !node->slots[log].is_sealed)
        return;
    struct world_slot *slot = &node->slots[log];
    for (uint32_t i = 0; i < slot->sealed.count && slot->filling.count < WORLD_BATCH_SENDS_MAX; i++)
        slot->filling.ids[slot->filling.count++] = slot->sealed.ids[i];
}

static void deliver_stray(struct world *world, const struct world_call *call)
{
    uint32_t count = (call->call.bytes - LOG_BATCH_HEADER_BYTES) / 4;
    for (uint32_t i = 0; i < count && call->result == LOG_APPEND_ACKED; i++) {
        uint32_t id;
        memcpy(&id, call->data + LOG_BATCH_HEADER_BYTES + 4 * i, sizeof id);
        check_acknowledge(world, call->log, id);
    }
}

static void deliver(struct world *world, struct world_call *call)
{
    struct world_node *node = &world->nodes[call->node];
    if (call->is_stray)
        deliver_stray(world, call);
    else if (node->life != call->life || !node->is_up)
        ;
    else if (call->call.kind == OWNERSHIP_CALL_READ)
        deliver_read(world, node, call);
    else {
        if (FAULT(UNKNOWN_AS_NEW) && call->result == LOG_APPEND_UNKNOWN)
            send_again(node, call->log);
        ownership_on_append(&node->logs[call->log], (enum log_append_result)call->result);
    }
    call_drop(call);
}

void call_step(struct world *world, struct world_call *call)
{
    if (call->phase == CALL_MADE)
        run(world, call);
    else if (!world->nodes[call->node].is_paused)
        deliver(world, call);
}
