#include "server/budget.h"

#include "base/assert.h"
#include "server/addresses.h"

#define KEY_BYTES_MAX (UINT64_C(64) << 20)
/* A struct delivery, a struct arrival, a waiter and an `ok` that waits for a replay, with the waste of their pools. */
#define SEND_BYTES 1024u
/* An HTTP head in its pool. */
#define HEAD_BYTES (11u << 10)
/* A struct history. */
#define HISTORY_BYTES 512u

static uint64_t bytes_before_rest(const struct config *config, uint32_t shards)
{
    bool has_tls = config->tls_cert != NULL;
    uint64_t each = BUDGET_CONN_BYTES + (has_tls ? BUDGET_TLS_BYTES : 0);
    uint64_t conn_bytes = (uint64_t)config->connections * each + addresses_bytes(config->connections);
    uint64_t handshake_bytes = has_tls ? (uint64_t)config->tls_handshakes * BUDGET_HANDSHAKE_BYTES : 0;
    uint64_t api_bytes = config_has_api(config) ? BUDGET_API_BYTES : 0;
    return 2 * config->memtable_bytes + conn_bytes / shards + handshake_bytes + api_bytes + BUDGET_FIXED_BYTES;
}

uint64_t budget_total(const struct config *config, uint32_t shards)
{
    ASSERT(shards > 0);
    uint64_t before = bytes_before_rest(config, shards);
    if (config->memory_bytes != 0)
        return config->memory_bytes;
    return (before + 3 * BUDGET_REST_MIN_BYTES > BUDGET_SHARD_BYTES ? before + 3 * BUDGET_REST_MIN_BYTES
                                                                    : BUDGET_SHARD_BYTES)
           * shards;
}

uint64_t budget_make(const struct config *config, uint32_t shards, struct budget *budget_r)
{
    ASSERT(shards > 0);
    uint64_t shard_bytes = budget_total(config, shards) / shards;
    uint64_t before = bytes_before_rest(config, shards);
    if (shard_bytes < before + BUDGET_REST_MIN_BYTES)
        return (before + BUDGET_REST_MIN_BYTES) * shards;
    uint64_t part = (shard_bytes - before) / 16;
    uint64_t sends = part / SEND_BYTES;
    uint64_t histories = part / 2 / HISTORY_BYTES;
    uint64_t presence_bytes = config->presence == CONFIG_PRESENCE_OFF ? 0 : part / 2;
    *budget_r = (struct budget){.heap_bytes = 2 * config->memtable_bytes + 5 * part,
                                .output_bytes = 4 * part,
                                .stash_bytes = part,
                                .message_bytes = part - presence_bytes,
                                .presence_bytes = presence_bytes,
                                .key_bytes = part < KEY_BYTES_MAX ? part : KEY_BYTES_MAX,
                                .deliveries_max = sends < UINT32_MAX ? (uint32_t)sends : UINT32_MAX,
                                .histories_max = histories < UINT32_MAX ? (uint32_t)histories : UINT32_MAX,
                                .heads_max = (uint32_t)(part / 2 / HEAD_BYTES)};
    return 0;
}
