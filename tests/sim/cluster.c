/*
 * cluster.c: the simulator of a cluster's ownership: nodes, their logs and a double of the engine (cluster_harness.h).
 * See `usage` for its options. The same seed always gives the same run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fault.h"
#include "cluster_harness.h"
#include "tally.h"

#define EVENTS_DEFAULT 6000u
#define FAULT_SEEDS 50u /* a fault must be caught within so many seeds */
#define ULL(number) ((unsigned long long)(number))

enum fault fault_active;

static const char *const fault_names[FAULT_CLUSTER_END - FAULT_COUNT] = {
    [FAULT_CHAIN_IGNORED - FAULT_COUNT] = "chain-ignored",
    [FAULT_APPLY_WHEN_SEEN - FAULT_COUNT] = "apply-when-seen",
    [FAULT_APPLY_WHEN_FOLLOWED - FAULT_COUNT] = "apply-when-followed",
    [FAULT_UNKNOWN_SETTLED_BY_READING - FAULT_COUNT] = "unknown-settled-by-reading",
    [FAULT_NO_BARRIER - FAULT_COUNT] = "no-barrier",
    [FAULT_READ_WITHOUT_BARRIER - FAULT_COUNT] = "read-without-barrier",
    [FAULT_ACK_BEFORE_ENGINE - FAULT_COUNT] = "ack-before-engine",
    [FAULT_UNKNOWN_AS_NEW - FAULT_COUNT] = "unknown-as-new",
    [FAULT_WINDOW_OF_TWO - FAULT_COUNT] = "window-of-two",
    [FAULT_DEPOSED_KEEPS_MEMORY - FAULT_COUNT] = "deposed-keeps-memory",
    [FAULT_DEPOSED_ANSWERS - FAULT_COUNT] = "deposed-answers",
    [FAULT_SERVES_BEFORE_APPLIED - FAULT_COUNT] = "serves-before-applied",
    [FAULT_HELD_UNCOMMITTED - FAULT_COUNT] = "held-uncommitted",
    [FAULT_TAIL_FORGOTTEN - FAULT_COUNT] = "tail-forgotten",
    [FAULT_REPORTS_APPLIED - FAULT_COUNT] = "reports-applied",
    [FAULT_PURGE_BY_OWN - FAULT_COUNT] = "purge-by-own",
    [FAULT_KEYS_OF_OWNERSHIP - FAULT_COUNT] = "keys-of-ownership",
    [FAULT_SILENCE_UNCHECKED - FAULT_COUNT] = "silence-unchecked",
};

static const char *const promise_names[HARNESS_PROMISES] = {
    [HARNESS_LOST] = "lost",           [HARNESS_DOUBLED] = "duplicated",
    [HARNESS_REORDERED] = "reordered", [HARNESS_TWO_OWNERS] = "two_owners",
    [HARNESS_OLD_LAST] = "old_last",   [HARNESS_DAMAGE] = "damage",
    [HARNESS_HASTY] = "hasty",         [HARNESS_STUCK] = "stuck",
};

struct options {
    uint64_t seed, seeds, first, seconds, events;
    bool wants_faults;
};

struct sums {
    uint64_t seeds;
    uint64_t broken[HARNESS_PROMISES];
    struct harness_tally tally;
};

static bool run_one(const struct options *options, struct harness *harness, uint64_t seed, struct sums *sums)
{
    bool is_kept = harness_run(harness, seed, options->events);
    sums->seeds++;
    tally_add(&sums->tally, &harness->tally, sizeof sums->tally);
    if (is_kept)
        return true;
    sums->broken[harness->broken]++;
    fprintf(stderr, "seed %llu, event %llu: %s: %s\nagain: ./dev sim --cluster --seed %llu --events %llu\n", ULL(seed),
            ULL(harness->event), promise_names[harness->broken], harness->text, ULL(seed), ULL(options->events));
    return false;
}

static int print_sums(const struct options *options, const struct sums *sums)
{
    const struct harness_tally *tally = &sums->tally;
    uint64_t failed = 0;
    for (uint32_t i = 0; i < HARNESS_PROMISES; i++)
        failed += sums->broken[i];
    printf("%llu take-overs, %llu deposed, %llu pauses, %llu failovers, %llu unknown appends, %llu refused, %llu lost "
           "tails, %llu logins, %llu sent again\n",
           ULL(tally->take_overs), ULL(tally->deposed), ULL(tally->pauses), ULL(tally->failovers), ULL(tally->unknown),
           ULL(tally->refused), ULL(tally->drops), ULL(tally->logins), ULL(tally->again));
    printf("cluster: seeds=%llu events=%llu crashes=%llu acknowledged=%llu checked=%llu failed=%llu", ULL(sums->seeds),
           ULL(sums->seeds * options->events), ULL(tally->crashes), ULL(tally->acknowledged), ULL(tally->checked),
           ULL(failed));
    for (uint32_t i = 0; i < HARNESS_PROMISES; i++)
        printf(" %s=%llu", promise_names[i], ULL(sums->broken[i]));
    printf("\n");
    return failed == 0 ? 0 : 1;
}

static int run_seeds(const struct options *options, struct harness *harness)
{
    struct sums sums = {0};
    for (uint64_t seed = options->first; seed < options->first + options->seeds; seed++)
        run_one(options, harness, seed, &sums);
    return print_sums(options, &sums);
}

/* Seeds that no earlier run had: from the clock, unless --first is given. */
static int run_seconds(const struct options *options, struct harness *harness)
{
    struct sums sums = {0};
    time_t begun = time(NULL);
    uint64_t seed = options->first > 1 ? options->first : (uint64_t)begun * 1000;
    printf("seeds from %llu on\n", ULL(seed));
    while ((uint64_t)(time(NULL) - begun) < options->seconds)
        run_one(options, harness, seed++, &sums);
    return print_sums(options, &sums);
}

static int run_faults(const struct options *options, struct harness *harness)
{
    int missed = 0;
    for (int fault = FAULT_COUNT; fault < FAULT_CLUSTER_END; fault++) {
        uint64_t seed = 1;
        fault_active = (enum fault)fault;
        while (seed <= FAULT_SEEDS && harness_run(harness, seed, options->events))
            seed++;
        bool is_caught = seed <= FAULT_SEEDS;
        missed += !is_caught;
        printf("%-28s %s", fault_names[fault - FAULT_COUNT], is_caught ? "caught" : "NOT CAUGHT\n");
        if (is_caught)
            printf(" by seed %llu: %s: %s\n", ULL(seed), promise_names[harness->broken], harness->text);
        fflush(stdout);
    }
    return missed == 0 ? 0 : 1;
}

static int usage(void)
{
    fprintf(stderr, "usage: ./dev sim --cluster [--seeds N [--first N] | --seconds N | --seed N | --faults]\n"
                    "                           [--events N] [--fault NAME]\nfaults:");
    for (uint32_t i = 0; i < FAULT_CLUSTER_END - FAULT_COUNT; i++)
        fprintf(stderr, " %s", fault_names[i]);
    fprintf(stderr, "\n");
    return 2;
}

static bool take_number(const char *value, uint64_t *number_r)
{
    char *end;
    *number_r = strtoull(value, &end, 10);
    return end != value && *end == '\0' && *number_r > 0;
}

static bool take_option(struct options *options, const char *name, const char *value)
{
    for (int i = 0; strcmp(name, "--fault") == 0 && i < FAULT_CLUSTER_END - FAULT_COUNT; i++)
        if (strcmp(value, fault_names[i]) == 0)
            fault_active = (enum fault)(FAULT_COUNT + i);
    return (strcmp(name, "--fault") == 0 && fault_active != FAULT_NONE)
           || (strcmp(name, "--seed") == 0 && take_number(value, &options->seed))
           || (strcmp(name, "--seeds") == 0 && take_number(value, &options->seeds))
           || (strcmp(name, "--first") == 0 && take_number(value, &options->first))
           || (strcmp(name, "--seconds") == 0 && take_number(value, &options->seconds))
           || (strcmp(name, "--events") == 0 && take_number(value, &options->events));
}

static bool take_options(struct options *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--faults") == 0)
            options->wants_faults = true;
        else if (i + 1 == argc || !take_option(options, argv[i], argv[i + 1]))
            return false;
        else
            i++;
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct harness harness;
    struct options options = {.first = 1, .events = EVENTS_DEFAULT};
    if (!take_options(&options, argc, argv))
        return usage();
    if (options.wants_faults)
        return run_faults(&options, &harness);
    if (options.seconds > 0)
        return run_seconds(&options, &harness);
    if (options.seed > 0)
        options.first = options.seed, options.seeds = 1;
    return options.seeds > 0 ? run_seeds(&options, &harness) : usage();
}
