#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/fault.h"
#include "cluster_harness.h"

#define READ_BYTES (16u << 10)

static struct harness_call *take_call(struct harness *harness, const struct harness_node *node, uint32_t log)
{
    for (uint32_t i = 0; i < HARNESS_CALLS_MAX; i++) {
        struct harness_call *call = &harness->calls[i];
        if (call->phase != CALL_FREE)
            continue;
        *call = (struct harness_call){
            .phase = CALL_MADE, .node = (uint32_t)(node - harness->nodes), .life = node->life, .log = log};
        return call;
    }
    return NULL;
}

static bool is_busy(const struct harness *harness, const struct harness_node *node, uint32_t log)
{
    for (uint32_t i = 0; i < HARNESS_CALLS_MAX; i++) {
        const struct harness_call *call = &harness->calls[i];
        if (call->phase != CALL_FREE && !call->is_stray && call->node == (uint32_t)(node - harness->nodes)
            && call->life == node->life && call->log == log)
            return true;
    }
    return false;
}

void call_make(struct harness *harness, struct harness_node *node, uint32_t log)
{
    struct ownership_call next;
    if (is_busy(harness, node, log))
        return;
    ownership_next(&node->logs[log], &next);
    struct harness_call *call = next.kind == OWNERSHIP_CALL_NONE ? NULL : take_call(harness, node, log);
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

void call_stray(struct harness *harness, struct harness_node *node, uint32_t log, const struct ownership_mark *behind,
                const struct harness_batch *batch)
{
    struct harness_call *call = take_call(harness, node, log);
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
    struct harness_call *call = context;
    if (call->read_count == HARNESS_READ_MAX)
        return -ENOBUFS;
    struct harness_read *read = &call->reads[call->read_count++];
    *read = (struct harness_read){batch->number, malloc(batch->bytes), batch->bytes};
    ASSERT(read->data != NULL);
    memcpy(read->data, batch->data, batch->bytes);
    return 0;
}

/* The engine does it. */
static void run(struct harness *harness, struct harness_call *call)
{
    struct log_session *session = harness->nodes[call->node].session;
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
    struct harness_node *node = &harness->nodes[call->node];
    if (call->result == LOG_APPEND_ACKED && !call->is_stray && call->log < HARNESS_SLOTS && node->life == call->life)
        check_owner(harness, node, call->log);
    harness->tally.unknown += call->result == LOG_APPEND_UNKNOWN;
    harness->tally.refused += call->result == LOG_APPEND_REFUSED;
}

void call_drop(struct harness_call *call)
{
    for (uint32_t i = 0; i < call->read_count; i++)
        free(call->reads[i].data);
    call->read_count = 0;
    call->phase = CALL_FREE;
}

static void deliver_read(struct harness *harness, struct harness_node *node, struct harness_call *call)
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
        election_on_news(&node->election, harness->now_us);
}

/* A mistake: what has an unknown outcome is put into the next batch too. */
static void send_again(struct harness_node *node, uint32_t log)
{
    if (log == HARNESS_META || !node->slots[log].is_sealed)
        return;
    struct harness_slot *slot = &node->slots[log];
    for (uint32_t i = 0; i < slot->sealed.count && slot->filling.count < HARNESS_BATCH_SENDS_MAX; i++)
        slot->filling.ids[slot->filling.count++] = slot->sealed.ids[i];
}

static void deliver_stray(struct harness *harness, const struct harness_call *call)
{
    uint32_t count = (call->call.bytes - LOG_BATCH_HEADER_BYTES) / 4;
    for (uint32_t i = 0; i < count && call->result == LOG_APPEND_ACKED; i++) {
        uint32_t id;
        memcpy(&id, call->data + LOG_BATCH_HEADER_BYTES + 4 * i, sizeof id);
        check_acknowledge(harness, call->log, id);
    }
}

static void deliver(struct harness *harness, struct harness_call *call)
{
    struct harness_node *node = &harness->nodes[call->node];
    if (call->is_stray)
        deliver_stray(harness, call);
    else if (node->life != call->life || !node->is_up)
        ;
    else if (call->call.kind == OWNERSHIP_CALL_READ)
        deliver_read(harness, node, call);
    else {
        if (FAULT(UNKNOWN_AS_NEW) && call->result == LOG_APPEND_UNKNOWN)
            send_again(node, call->log);
        ownership_on_append(&node->logs[call->log], (enum log_append_result)call->result);
    }
    call_drop(call);
}

void call_step(struct harness *harness, struct harness_call *call)
{
    if (call->phase == CALL_MADE)
        run(harness, call);
    else if (!harness->nodes[call->node].is_paused)
        deliver(harness, call);
}
