#include <criterion/criterion.h>

#include "server/budget.h"

#define MIB (UINT64_C(1) << 20)

static struct config config_of(uint64_t memory_bytes, uint64_t memtable_bytes, uint32_t connections)
{
    return (struct config){.memory_bytes = memory_bytes, .memtable_bytes = memtable_bytes, .connections = connections};
}

static uint64_t sum_of(const struct config *config, uint32_t shards, const struct budget *budget)
{
    /* Sends: 1 KiB each, pages asked for 512 bytes each; places in the memtable: two fifths of the pending records.
     */
    uint64_t pending = budget->heap_bytes - 2 * config->memtable_bytes;
    return shards
           * (budget->heap_bytes + pending / 5 * 2 + budget->output_bytes + budget->stash_bytes + budget->message_bytes
              + budget->presence_bytes + budget->key_bytes + budget->deliveries_max * UINT64_C(1024)
              + budget->histories_max * UINT64_C(512) + (uint64_t)config->connections * BUDGET_CONN_BYTES / shards
              + BUDGET_FIXED_BYTES);
}

Test(budget, all_parts_together_stay_within_the_limit)
{
    static const uint64_t limits[] = {0, 720, 1024, 4096, 65536};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        for (uint32_t shards = 1; shards <= 2; shards++) {
            struct config config = config_of(limits[i] * MIB, 16 * MIB, 20000);
            struct budget budget;
            cr_assert_eq(budget_make(&config, shards, &budget), 0);
            cr_assert_leq(sum_of(&config, shards, &budget), budget_total(&config, shards));
            cr_assert_gt(budget.deliveries_max, 4096);
            cr_assert_geq(budget.heap_bytes, 2 * config.memtable_bytes + 48 * MIB);
        }
}

Test(budget, a_limit_that_is_too_small_is_answered_with_the_least_that_fits)
{
    struct config config = config_of(256 * MIB, 96 * MIB, 20000);
    struct budget budget;
    uint64_t wanted = budget_make(&config, 4, &budget);
    cr_assert_gt(wanted, config.memory_bytes);
    config.memory_bytes = wanted - 4;
    cr_assert_eq(budget_make(&config, 4, &budget), wanted);
    config.memory_bytes = wanted;
    cr_assert_eq(budget_make(&config, 4, &budget), 0);
}

Test(budget, presence_shares_a_part_with_messages_in_fragments)
{
    struct config config = config_of(2048 * MIB, 96 * MIB, 20000);
    struct budget with, without;
    cr_assert_eq(budget_make(&config, 2, &with), 0);
    config.presence = CONFIG_PRESENCE_OFF;
    cr_assert_eq(budget_make(&config, 2, &without), 0);
    cr_assert(with.presence_bytes > MIB && without.presence_bytes == 0);
    cr_assert_eq(with.message_bytes + with.presence_bytes, without.message_bytes);
}

Test(budget, tls_takes_its_part_before_the_rest)
{
    struct config config = config_of(2048 * MIB, 96 * MIB, 20000);
    struct budget plain, tls;
    config.tls_handshakes = 256;
    cr_assert_eq(budget_make(&config, 2, &plain), 0);
    config.tls_cert = "c.pem";
    cr_assert_eq(budget_make(&config, 2, &tls), 0);
    uint64_t taken = 10000 * BUDGET_TLS_BYTES + 256 * BUDGET_HANDSHAKE_BYTES;
    cr_assert_eq(plain.output_bytes - tls.output_bytes, taken / 16 * 4);
}

Test(budget, without_a_limit_large_generations_get_more)
{
    struct config config = config_of(0, 96 * MIB, 20000);
    struct budget budget;
    cr_assert_eq(budget_total(&config, 2), 2048 * MIB);
    config.memtable_bytes = 4096 * MIB;
    cr_assert_gt(budget_total(&config, 1), 8192 * MIB);
    cr_assert_eq(budget_make(&config, 1, &budget), 0);
}

/* The figures are those of docs/OPERATIONS.md, Memory: when they change, it does. */
Test(budget, with_defaults_a_shard_takes_what_the_documents_say)
{
    struct config config = config_of(0, 192 * MIB, 1);
    cr_assert_eq(budget_total(&config, 1) / MIB, 1082);
    config.admin_count = 1;
    cr_assert_eq(budget_total(&config, 1) / MIB, 1082 + 71);
}
