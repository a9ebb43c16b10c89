#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "cluster_harness.h"

void harness_fail(struct harness *harness, enum harness_promise promise, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(harness->text, sizeof harness->text, format, arguments);
    va_end(arguments);
    harness->broken = promise;
    longjmp(harness->failed, 1);
}

void check_acknowledge(struct harness *harness, uint32_t slot, uint32_t id)
{
    harness->tally.acknowledged++;
    harness->slots[slot].is_acknowledged[id] = 1;
    for (uint32_t i = 0; i < harness->slots[slot].count; i++)
        if (harness->slots[slot].list[i] == id && i >= harness->slots[slot].acknowledged)
            harness->slots[slot].acknowledged = i + 1;
    for (uint32_t i = 0; i < HARNESS_CLIENTS; i++)
        if (harness->clients[i].id == id)
            harness->clients[i] = (struct harness_client){0};
}

void check_applied(struct harness *harness, uint32_t slot, uint32_t index, uint32_t id)
{
    if (harness->was_dropped)
        return;
    if (index < harness->slots[slot].count && harness->slots[slot].list[index] != id)
        harness_fail(harness, HARNESS_REORDERED, "slot %u: send %u of the list was %u, and is %u now", slot, index,
                     harness->slots[slot].list[index], id);
    if (index == harness->slots[slot].count)
        harness->slots[slot].list[harness->slots[slot].count++] = id;
}

/* Calls `visit` for each send of the log. */
static uint32_t read_log(struct harness *harness, uint32_t log, uint32_t *ids)
{
    uint32_t count = 0;
    for (uint64_t number = 1; number <= log_double_last(harness->log_double, log); number++) {
        struct log_batch_header header;
        uint32_t bytes;
        const void *data = log_double_batch(harness->log_double, log, number, &bytes);
        if (data == NULL)
            return UINT32_MAX;
        if (log_batch_decode(data, bytes, &header) != 0)
            harness_fail(harness, HARNESS_TWO_OWNERS, "log %u: batch %llu is none", log, (unsigned long long)number);
        const char *payload = log_batch_payload(&header, data).data;
        for (uint32_t i = 0; i < header.record_count; i++)
            ids[count++] = bytes_load_le32(payload + 4 * i);
    }
    return count;
}

/* The log still has what the node has written down as acknowledged. */
static void check_tail(struct harness *harness, const struct harness_node *node, uint32_t slot)
{
    const struct ownership_mark *tail = &node->slots[slot].disk_tail;
    struct log_hash hash = tail->hash;
    uint32_t bytes;
    if (tail->number == 0)
        return;
    bool has_it = tail->number <= log_double_last(harness->log_double, slot);
    const void *data = has_it ? log_double_batch(harness->log_double, slot, tail->number, &bytes) : NULL;
    if (data != NULL) /* else it was purged, or is missing */
        log_batch_hash(data, bytes, &hash);
    if (!has_it || !log_hash_equal(&hash, &tail->hash))
        harness_fail(harness, HARNESS_DAMAGE, "slot %u: node %s appends to a log without batch %llu, which it knew",
                     slot, node->name, (unsigned long long)tail->number);
}

void check_owner(struct harness *harness, const struct harness_node *node, uint32_t slot)
{
    static uint32_t ids[2 * HARNESS_SENDS_MAX];
    const struct harness_slot *has = &node->slots[slot];
    check_tail(harness, node, slot);
    uint32_t count = read_log(harness, slot, ids);
    if (count == UINT32_MAX)
        return;
    harness->tally.checked++;
    if (has->count > count || memcmp(has->list, ids, has->count * sizeof ids[0]) != 0)
        harness_fail(harness, harness->was_dropped ? HARNESS_DAMAGE : HARNESS_REORDERED,
                     "slot %u: node %s appends to the log, and has %u sends that are not its first", slot, node->name,
                     has->count);
}

void check_silence(struct harness *harness, const struct harness_node *node)
{
    if (harness->now_us - harness->news_us < ELECTION_SILENCE_US && !harness->is_hasty)
        harness_fail(harness, HARNESS_HASTY, "node %s takes over %llu ms after the log had news", node->name,
                     (unsigned long long)(harness->now_us - harness->news_us) / 1000);
}

void check_has(struct harness *harness, const struct harness_node *node)
{
    for (uint32_t slot = 0; slot < HARNESS_SLOTS && node->is_serving; slot++)
        for (uint32_t id = 1; id < harness->next_id; id++)
            if (harness->slots[slot].is_acknowledged[id] && !node->slots[slot].has[id])
                harness_fail(harness, HARNESS_LOST, "slot %u: node %s serves without the acknowledged send %u", slot,
                             node->name, id);
}

static void check_chain(struct harness *harness, uint32_t log)
{
    struct log_hash previous = {{0}};
    uint64_t generation = 0;
    bool is_known = true;
    for (uint64_t number = 1; number <= log_double_last(harness->log_double, log); number++) {
        struct log_batch_header header;
        uint32_t bytes;
        const void *data = log_double_batch(harness->log_double, log, number, &bytes);
        is_known = is_known && data != NULL;
        if (data == NULL || log_batch_decode(data, bytes, &header) != 0)
            continue;
        bool begins = header.kind == LOG_BATCH_TAKE;
        if (is_known
            && (!log_hash_equal(&header.previous, &previous) || header.generation < generation
                || begins != (header.generation > generation)))
            harness_fail(harness, HARNESS_TWO_OWNERS, "log %u: batch %llu of %s does not continue the one before it",
                         log, (unsigned long long)number, header.node);
        log_batch_hash(data, bytes, &previous);
        generation = header.generation;
        is_known = true;
    }
}

void check_logs(struct harness *harness)
{
    static uint32_t ids[2 * HARNESS_SENDS_MAX];
    static uint8_t seen[HARNESS_SENDS_MAX];
    for (uint32_t log = 0; log < HARNESS_LOGS; log++)
        check_chain(harness, log);
    for (uint32_t slot = 0; slot < HARNESS_SLOTS; slot++) {
        uint32_t count = read_log(harness, slot, ids);
        if (count == UINT32_MAX)
            continue;
        memset(seen, 0, sizeof seen);
        for (uint32_t i = 0; i < count; i++)
            if (seen[ids[i]]++ > 0)
                harness_fail(harness, HARNESS_DOUBLED, "slot %u: the log has send %u twice", slot, ids[i]);
        for (uint32_t id = 1; id < harness->next_id && !harness->was_dropped; id++)
            if (harness->slots[slot].is_acknowledged[id] && !seen[id])
                harness_fail(harness, HARNESS_LOST, "slot %u: the log does not have the acknowledged send %u", slot,
                             id);
    }
}
