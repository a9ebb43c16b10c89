/*
 * sim.c: the deterministic simulator; see `usage` for its options.
 *
 * All shards run in one thread on the harness (harness.h). Random numbers decide whose turn it is, which letters
 * arrive, which jobs and WAL writes end, when a client stops reading or disconnects, when the clock jumps, when a write
 * fails, when the disk is full or its calls fail, and when the process dies and starts again, also inside a job or in
 * recovery. When it dies, a WAL write in flight leaves nothing, all, or some of its sectors, and what was not flushed
 * is damaged. The same seed always gives the same run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fault.h"
#include "sim_run.h"
#include "tally.h"

#define EVENTS_DEFAULT 20000u
#define FAULT_SEEDS 60u /* a fault must be caught within so many seeds */

static const char *const fault_names[FAULT_COUNT] = {
    [FAULT_NONE] = "none",
    [FAULT_ACK_BEFORE_FLUSH] = "ack-before-flush",
    [FAULT_PUSH_BEFORE_FLUSH] = "push-before-flush",
    [FAULT_ONE_TIMELINE] = "one-timeline",
    [FAULT_DROP_LETTER] = "drop-letter",
    [FAULT_REUSE_SEGMENT_EARLY] = "reuse-segment-early",
    [FAULT_TS_NOT_MONOTONIC] = "ts-not-monotonic",
    [FAULT_LOSE_FROZEN] = "lose-frozen",
    [FAULT_SKIP_LAST_RECORD] = "skip-last-record",
    [FAULT_REPLAY_SEAM] = "replay-seam",
    [FAULT_KEY_FORGOTTEN] = "key-forgotten",
    [FAULT_MARK_IGNORED] = "mark-ignored",
    [FAULT_FAILED_WRITE_IS_BUSY] = "failed-write-is-busy",
    [FAULT_FREEZE_ALONE] = "freeze-alone",
    [FAULT_TORN_TAIL_ACCEPTED] = "torn-tail-accepted",
    [FAULT_PREV_OF_REFUSED] = "prev-of-refused",
    [FAULT_LAST_READ_LATE] = "last-read-late",
    [FAULT_RUN_NOT_SYNCED] = "run-not-synced",
    [FAULT_MERGE_DROPS_ROWS] = "merge-drops-rows",
    [FAULT_UNLINK_BEFORE_COMMIT] = "unlink-before-commit",
    [FAULT_FAILED_RUN_RELEASED] = "failed-run-released",
    [FAULT_FULL_FOR_EVER] = "full-for-ever",
    [FAULT_READ_ERROR_IS_END] = "read-error-is-end",
    [FAULT_PAGE_BOUND_OFF] = "page-bound-off",
    [FAULT_TURN_WITHOUT_END] = "turn-without-end",
    [FAULT_STASH_KEPT_AT_HANDOVER] = "stash-kept-at-handover",
    [FAULT_STASH_LOST_AT_HANDOVER] = "stash-lost-at-handover",
    [FAULT_END_DROPS_REQUESTS] = "end-drops-requests",
    [FAULT_SEND_BYTES_KEPT] = "send-bytes-kept",
    [FAULT_SEGMENT_NOT_ASSIGNED] = "segment-not-assigned",
    [FAULT_CUT_LOST_AT_CHECKPOINT] = "cut-lost-at-checkpoint",
    [FAULT_CUT_LOST_IN_RECOVERY] = "cut-lost-in-recovery",
    [FAULT_CUT_IGNORED_BY_MERGE] = "cut-ignored-by-merge",
    [FAULT_CUT_IGNORED_BY_READ] = "cut-ignored-by-read",
    [FAULT_CUT_BY_PREFIX] = "cut-by-prefix",
    [FAULT_CUT_BEFORE_FLUSH] = "cut-before-flush",
    [FAULT_CUT_DROPPED_EARLY] = "cut-dropped-early",
    [FAULT_SKIP_COUNTS_TWICE] = "skip-counts-twice",
    [FAULT_RETENTION_TOO_NEW] = "retention-too-new",
    [FAULT_LEAP_FOLLOWED] = "leap-followed",
    [FAULT_MARKS_LOST_AT_CHECKPOINT] = "marks-lost-at-checkpoint",
    [FAULT_MARKS_BACK_IN_MERGE] = "marks-back-in-merge",
    [FAULT_PEERS_LOST_IN_MERGE] = "peers-lost-in-merge",
    [FAULT_PLACE_NOT_CHECKED] = "place-not-checked",
    [FAULT_FILTER_LACKS_SENDERS] = "filter-lacks-senders",
    [FAULT_SEEN_BEFORE_FLUSH] = "seen-before-flush",
    [FAULT_SEEN_GOES_BACK] = "seen-goes-back",
    [FAULT_SEEN_BY_NOT_KEPT] = "seen-by-not-kept",
    [FAULT_SEEN_LOST_IN_RECOVERY] = "seen-lost-in-recovery",
    [FAULT_UNSEEN_OFF_BY_ONE] = "unseen-off-by-one",
    [FAULT_SEEN_AHEAD_STALE] = "seen-ahead-stale",
    [FAULT_SEEN_AHEAD_TOO_FAR] = "seen-ahead-too-far",
    [FAULT_PEERS_WALK_STALE] = "peers-walk-stale",
};

static const char *const promise_names[SIM_PROMISES] = {"other",     "lost",      "duplicated",
                                                        "reordered", "one_sided", "erased"};

const char *sim_fault_name(uint32_t fault)
{
    return fault_names[fault];
}

struct options {
    uint64_t seed;
    uint64_t seeds;
    uint64_t first;
    uint64_t seconds;
    uint64_t events;
    uint32_t without;
    bool wants_faults;
    bool wants_shrink;
};

/* -- many runs -- */

struct sums {
    uint64_t seeds;
    uint64_t broken[SIM_PROMISES];
    struct sim_tally tally;
};

static void run_one(const struct options *options, uint64_t seed, struct sums *sums)
{
    struct sim_run_options asked = {.seed = seed, .events = options->events, .without = options->without};
    struct sim_result result = sim_run_apart(&asked);
    sums->seeds++;
    sums->broken[result.broken] += !result.is_kept;
    tally_add(&sums->tally, &result.tally, sizeof sums->tally);
    if (!result.is_kept)
        fprintf(stderr, "seed %llu failed\n", (unsigned long long)seed);
}

#define ULL(number) ((unsigned long long)(number))

static int print_sums(const struct options *options, const struct sums *sums)
{
    const struct sim_tally *tally = &sums->tally;
    uint64_t failed = 0;
    for (uint32_t i = 0; i < SIM_PROMISES; i++)
        failed += sums->broken[i];
    printf("%llu stops, %llu rests, %llu failing logs, %llu full disks, %llu times of failing calls, %llu leaps of the "
           "clock, %llu starts "
           "without room, %llu missing segments, %llu "
           "connections, %llu of them rude, %llu slow and %llu half-closed, %llu busy, %llu unavailable, %llu pages, "
           "%llu erasures, %llu sends of programs, %llu marks, %llu pushes of marks, %llu pages of conversations\n",
           ULL(tally->stops), ULL(tally->rests), ULL(tally->failed_logs), ULL(tally->full_disks),
           ULL(tally->failed_calls), ULL(tally->leaps), ULL(tally->full_starts), ULL(tally->missing), ULL(tally->conns),
           ULL(tally->rude), ULL(tally->slow), ULL(tally->ended), ULL(tally->busy), ULL(tally->unavailable),
           ULL(tally->pages), ULL(tally->erasures), ULL(tally->posts), ULL(tally->marks), ULL(tally->mark_pushes),
           ULL(tally->peers_pages));
    printf("sim: seeds=%llu events=%llu crashes=%llu inside=%llu acknowledged=%llu checked=%llu failed=%llu",
           ULL(sums->seeds), ULL(sums->seeds * options->events), ULL(tally->crashes), ULL(tally->deaths),
           ULL(tally->acknowledged), ULL(tally->entries), ULL(failed));
    for (uint32_t i = SIM_LOST; i < SIM_PROMISES; i++)
        printf(" %s=%llu", promise_names[i], ULL(sums->broken[i]));
    printf("\n");
    return failed == 0 ? 0 : 1;
}

static int run_seeds(const struct options *options)
{
    struct sums sums = {0};
    for (uint64_t seed = options->first; seed < options->first + options->seeds; seed++)
        run_one(options, seed, &sums);
    return print_sums(options, &sums);
}

/* Seeds that no earlier run had: from the clock, unless --first is given. */
static int run_seconds(const struct options *options)
{
    struct sums sums = {0};
    time_t begun = time(NULL);
    uint64_t seed = options->first > 1 ? options->first : (uint64_t)begun * 1000;
    printf("seeds from %llu on\n", ULL(seed));
    while ((uint64_t)(time(NULL) - begun) < options->seconds)
        run_one(options, seed++, &sums);
    return print_sums(options, &sums);
}

/* -- faults -- */

static int run_faults(const struct options *options)
{
    int missed = 0;
    for (uint32_t fault = fault_active == FAULT_NONE ? 1 : fault_active; fault < FAULT_COUNT; fault++) {
        struct sim_run_options asked = {.seed = 1, .events = options->events, .is_quiet = true};
        fault_active = (enum fault)fault;
        while (asked.seed <= FAULT_SEEDS && sim_run_apart(&asked).is_kept)
            asked.seed++;
        bool is_caught = asked.seed <= FAULT_SEEDS;
        missed += !is_caught;
        if (is_caught)
            printf("%-24s caught by seed %llu\n", fault_names[fault], ULL(asked.seed));
        else
            printf("%-24s NOT CAUGHT\n", fault_names[fault]);
        fflush(stdout);
    }
    return missed == 0 ? 0 : 1;
}

/* -- shrinking -- */

/* Whether the run still fails; if so, it is cut to the event that failed. */
static bool still_fails(struct sim_run_options *asked)
{
    struct sim_result result = sim_run_apart(asked);
    if (!result.is_kept && result.event + 1 < asked->events)
        asked->events = result.event + 1;
    return !result.is_kept;
}

static void drop_troubles(struct sim_run_options *asked)
{
    for (uint32_t i = 0; i < TROUBLE_COUNT; i++) {
        struct sim_run_options fewer = *asked;
        fewer.without |= 1u << i;
        if (fewer.without != asked->without && still_fails(&fewer)) {
            *asked = fewer;
            printf("fails without %s too, at event %llu\n", sim_trouble_names[i], ULL(asked->events));
        }
    }
}

/* A failure that is found at the end may exist earlier. */
static void drop_events(struct sim_run_options *asked)
{
    uint64_t kept = 0;
    while (asked->events - kept > asked->events / 64 + 1) {
        struct sim_run_options fewer = *asked;
        fewer.events = kept + (asked->events - kept) / 2;
        if (still_fails(&fewer))
            *asked = fewer;
        else
            kept = fewer.events;
    }
}

static int shrink(const struct options *options)
{
    struct sim_run_options asked = {
        .seed = options->seed, .events = options->events, .without = options->without, .is_quiet = true};
    if (!still_fails(&asked)) {
        printf("seed %llu keeps all promises: there is nothing to shrink\n", ULL(asked.seed));
        return 0;
    }
    drop_troubles(&asked);
    drop_events(&asked);
    asked.is_quiet = false;
    sim_run_apart(&asked);
    return 1;
}

/* -- the command line -- */

static int usage(void)
{
    fprintf(stderr, "usage: ./dev sim [--seeds N [--first N] | --seconds N | --seed N [--shrink] | --faults]\n"
                    "                 [--events N] [--fault NAME] [--without TROUBLE]...\ntroubles:");
    for (uint32_t i = 0; i < TROUBLE_COUNT; i++)
        fprintf(stderr, " %s", sim_trouble_names[i]);
    fprintf(stderr, "\nfaults:");
    for (uint32_t i = 0; i < FAULT_COUNT; i++)
        fprintf(stderr, " %s", fault_names[i]);
    fprintf(stderr, "\n");
    return 2;
}

static bool take_name(const char *value, const char *const *names, uint32_t count, uint32_t *index_r)
{
    for (*index_r = 0; *index_r < count; ++*index_r)
        if (strcmp(value, names[*index_r]) == 0)
            return true;
    return false;
}

static bool take_number(const char *value, uint64_t *number_r)
{
    char *end;
    *number_r = strtoull(value, &end, 10);
    return end != value && *end == '\0' && *number_r > 0;
}

static bool take_option(struct options *options, const char *name, const char *value)
{
    uint32_t index;
    if (strcmp(name, "--fault") == 0 && take_name(value, fault_names, FAULT_COUNT, &index)) {
        fault_active = (enum fault)index;
        return true;
    }
    if (strcmp(name, "--without") == 0 && take_name(value, sim_trouble_names, TROUBLE_COUNT, &index)) {
        options->without |= 1u << index;
        return true;
    }
    return (strcmp(name, "--seed") == 0 && take_number(value, &options->seed))
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
        else if (strcmp(argv[i], "--shrink") == 0)
            options->wants_shrink = true;
        else if (i + 1 == argc || !take_option(options, argv[i], argv[i + 1]))
            return false;
        else
            i++;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options options = {.first = 1, .events = EVENTS_DEFAULT};
    if (!take_options(&options, argc, argv))
        return usage();
    if (options.wants_faults)
        return run_faults(&options);
    if (options.seeds > 0)
        return run_seeds(&options);
    if (options.seconds > 0)
        return run_seconds(&options);
    if (options.seed == 0)
        return usage();
    if (options.wants_shrink)
        return shrink(&options);
    struct sim_run_options asked = {.seed = options.seed, .events = options.events, .without = options.without};
    sim_run(&asked);
    printf("seed %llu: %llu events, all promises kept\n", ULL(options.seed), ULL(options.events));
    return 0;
}
