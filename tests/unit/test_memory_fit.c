#include <criterion/criterion.h>

#include <string.h>

#include "server/budget.h"
#include "server/memory_fit.h"

#define MIB (UINT64_C(1) << 20)

static struct config config;
static struct memory_fit fit;
static char text[CONFIG_TEXT_BYTES];

/* `chitchat serve` with up to two options, in a group with so many MiB; whether its options fit two shards. */
static bool fits(uint64_t limit_mib, const char *first, const char *second)
{
    char *argv[] = {"chitchat", "serve", (char *)(uintptr_t)first, (char *)(uintptr_t)second, NULL};
    int argc = first == NULL ? 2 : second == NULL ? 3 : 4;
    memset(&fit, 0, sizeof fit);
    cr_assert_eq(config_parse(argc, argv, NULL, &config, text, sizeof text), CONFIG_SERVE, "%s", text);
    fit.limit.bytes = limit_mib * MIB;
    strcpy(fit.limit.file, "/sys/fs/cgroup/memory.max");
    return memory_fit_apply(&fit, &config, 2, text, sizeof text);
}

Test(memory_fit, without_a_limit_or_under_a_high_one_the_defaults_stand)
{
    cr_assert(fits(0, NULL, NULL));
    cr_assert_eq(config.memory_bytes, 0);
    cr_assert(fits(64 << 10, NULL, NULL));
    cr_assert_eq(config.memory_bytes, 0);
    cr_assert_eq(fit.wanted_bytes, 0);
}

Test(memory_fit, the_default_is_three_quarters_of_a_limit)
{
    struct budget budget;
    cr_assert(fits(2048, NULL, NULL), "%s", text);
    cr_assert_eq(config.memory_bytes, 2048 * MIB / 100 * 75);
    cr_assert_eq(config.memtable_bytes, 192 * MIB, "what fits stays");
    cr_assert_eq(config.connections, 100000);
    cr_assert_eq(budget_make(&config, 2, &budget), 0);
}

Test(memory_fit, in_a_small_container_memtables_and_then_connections_are_lowered)
{
    struct budget budget;
    cr_assert(fits(1280, NULL, NULL), "%s", text);
    cr_assert_eq(config.memory_bytes, 1280 * MIB / 100 * 75);
    cr_assert_lt(config.memtable_bytes, 192 * MIB);
    cr_assert_geq(config.memtable_bytes, 32 * MIB);
    cr_assert_eq(config.connections, 100000);
    cr_assert_eq(budget_make(&config, 2, &budget), 0);

    cr_assert(fits(1024, NULL, NULL), "%s", text);
    cr_assert_eq(config.memtable_bytes, 32 * MIB);
    cr_assert_lt(config.connections, 100000);
    cr_assert_geq(config.connections, 1000);
    cr_assert_eq(budget_make(&config, 2, &budget), 0);
}

Test(memory_fit, what_was_given_is_not_changed)
{
    cr_assert(fits(1024, "--memory=4G", NULL), "%s", text);
    cr_assert_eq(config.memory_bytes, 4096 * MIB);
    cr_assert_eq(fit.wanted_bytes, 0);
    cr_assert_not(fits(1024, "--memtable-bytes=192M", NULL));
    cr_assert_not(fits(1024, "--connections=1000000", NULL));
}

Test(memory_fit, a_limit_that_is_too_low_is_refused_with_its_file_and_what_to_do)
{
    cr_assert_not(fits(512, NULL, NULL));
    cr_assert_not_null(strstr(text, "the memory limit of /sys/fs/cgroup/memory.max is 512M"), "%s", text);
    cr_assert_not_null(strstr(text, "raise the limit to "), "%s", text);
    cr_assert_not(fits(0, "--memory=300M", NULL));
    cr_assert_not_null(strstr(text, "--memory 300M is too little for 2 shards"), "%s", text);
}
