/*
 * sim.c: the deterministic simulator. `chitchat-sim --seed N [--events N] [--fault NAME]` runs one seed; `--seeds N [--first N]`
 * runs many, each in a process of its own; `--faults` shows that every fault built in (base/fault.h) is caught.
 *
 * All shards run in one thread on the doubles of tests/sim; chance says whose turn it is, which letters arrive, which jobs and
 * log writes come to an end, when a connection stalls or is cut, when the clock jumps, when a write fails, when the process dies
 * (a write in flight leaves nothing, all, or some of its sectors) and starts again. One seed is one run, exactly.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "sim_client.h"
#include "storage/datadir_meta.h"
#include "world_double.h"

enum fault fault_active;

#define TRACE_LINES 60u
#define LINE_BYTES 160u
#define EVENTS_DEFAULT 20000u
#define FAULT_SEEDS 25u /* a fault must be caught within so many */

/* For sim_fail, wherever it is called from. */
static struct {
    uint64_t seed;
    uint64_t event;
    uint64_t events;
    char lines[TRACE_LINES][LINE_BYTES];
    uint64_t line_count;
} run;

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
};

void sim_note(const char *format, ...)
{
    va_list arguments;
    char *line = run.lines[run.line_count++ % TRACE_LINES];
    int begun = snprintf(line, LINE_BYTES, "%8llu  ", (unsigned long long)run.event);
    va_start(arguments, format);
    vsnprintf(line + begun, LINE_BYTES - (size_t)begun, format, arguments);
    va_end(arguments);
}

_Noreturn void sim_fail(const char *format, ...)
{
    va_list arguments;
    uint64_t first = run.line_count > TRACE_LINES ? run.line_count - TRACE_LINES : 0;
    for (uint64_t i = first; i < run.line_count; i++)
        fprintf(stderr, "%s\n", run.lines[i % TRACE_LINES]);
    fprintf(stderr, "seed %llu, event %llu: ", (unsigned long long)run.seed, (unsigned long long)run.event);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\nagain with: chitchat-sim --seed %llu --events %llu --fault %s\n", (unsigned long long)run.seed,
            (unsigned long long)run.events, fault_names[fault_active]);
    exit(1);
}

/* -- one run -- */

struct tally {
    uint64_t crashes;
    uint64_t stops;
    uint64_t failed_writes;
    uint64_t cuts;
    uint64_t acknowledged;
    uint64_t entries;
};

static void on_durable(struct chaos *chaos, const char *data, size_t bytes)
{
    struct sim *sim = container_of(chaos, struct sim, chaos);
    model_on_durable(&sim->model, data, bytes);
}

static void begin_life(struct sim *sim, const char *dir)
{
    static const uint32_t odds[] = {1, 2, 5, 30};
    sim->chaos.job_odds = odds[chaos_below(&sim->chaos, 4)];
    struct world_options options = {.shards = sim->shards, .dir = dir, .chaos = &sim->chaos, .wall_us = sim->wall_us};
    sim->world = world_open(&options);
}

/* A data set whose users live where the seed says, not where a drawn number does. */
static void make_data_set(const struct sim *sim, const char *dir, uint64_t seed)
{
    struct datadir_meta meta = {.format = DATADIR_FORMAT,
                                .shards = sim->shards,
                                .name_seed = {seed, 1},
                                .key_seed = {seed, 2}};
    struct datadir *datadir;
    struct datadir_error error;
    char path[96], text[DATADIR_META_BYTES];
    WORLD_MUST(datadir_open(&datadir, dir, sim->shards, 1, &error) == 0);
    datadir_close(&datadir);
    snprintf(meta.epoch, sizeof meta.epoch, "%032llx", (unsigned long long)seed);
    size_t bytes = datadir_meta_write(&meta, text);
    snprintf(path, sizeof path, "%s/META", dir);
    FILE *file = fopen(path, "w");
    WORLD_MUST(file != NULL && fwrite(text, 1, bytes, file) == bytes && fclose(file) == 0);
}

static void crash(struct sim *sim, const char *dir, struct tally *tally)
{
    sim_note("--- crash ---");
    for (uint32_t i = 0; i < SIM_PEOPLE; i++)
        person_lose(sim, i, true);
    sim->wall_us = world_now(sim->world);
    world_crash(sim->world);
    tally->crashes++;
    begin_life(sim, dir);
}

static void stop(struct sim *sim, const char *dir, struct tally *tally)
{
    struct world *old = sim->world;
    sim_note("--- stop ---");
    sim->chaos.is_calm = true;
    world_stop(old);
    world_settle(old);
    for (uint32_t i = 0; i < SIM_PEOPLE; i++) {
        if (sim->people[i].client != NULL)
            client_stall(sim->people[i].client, sim->people[i].is_stalled = false);
        world_settle(old);
        person_take(sim, i);
        person_lose(sim, i, false);
    }
    sim->wall_us = world_now(old);
    world_close(old);
    sim->chaos.is_calm = false;
    tally->stops++;
    begin_life(sim, dir);
}

/* The clock creeps, and now and then jumps, also back. A jump forward brings a checkpoint. */
static void move_clock(struct sim *sim)
{
    if (chaos_hits(&sim->chaos, 2))
        world_advance(sim->world, chaos_below(&sim->chaos, 200));
    if (chaos_hits(&sim->chaos, 600)) {
        sim_note("the clock jumps forward");
        world_advance(sim->world, 6000000);
    }
    if (chaos_hits(&sim->chaos, 3000)) {
        sim_note("the clock steps back");
        world_advance(sim->world, -(int64_t)chaos_below(&sim->chaos, 30000000));
    }
}

static void fail_a_write(struct sim *sim, struct tally *tally)
{
    uint32_t shard = chaos_below(&sim->chaos, sim->shards);
    sim_note("the log of shard %u fails from now on", shard);
    world_fail_writes(sim->world, shard);
    tally->failed_writes++;
}

static void one_event(struct sim *sim, const char *dir, struct tally *tally)
{
    uint32_t what = chaos_below(&sim->chaos, 100);
    uint32_t person = chaos_below(&sim->chaos, SIM_PEOPLE);
    move_clock(sim);
    if (chaos_hits(&sim->chaos, 3500))
        crash(sim, dir, tally);
    else if (chaos_hits(&sim->chaos, 9000))
        stop(sim, dir, tally);
    else if (chaos_hits(&sim->chaos, 12000))
        fail_a_write(sim, tally);
    else if (what < 62)
        world_turn(sim->world, chaos_below(&sim->chaos, sim->shards));
    else if (what < 80)
        person_take(sim, person);
    else
        person_act(sim, person);
}

/* Every send on a connection that lives is answered when all that was held has been let go. */
static void check_answered(struct sim *sim)
{
    for (uint32_t i = 0; i < SIM_PEOPLE; i++) {
        struct person *person = &sim->people[i];
        if (person->client == NULL)
            continue;
        client_stall(person->client, person->is_stalled = false);
        world_settle(sim->world);
        person_take(sim, i);
        if (person->client != NULL && person->asked_count > 0)
            sim_fail("person %u: %u requests are never answered", i, person->asked_count);
    }
}

static void finish(struct sim *sim, const char *dir, struct tally *tally)
{
    bool has_failed = atomic_load(&sim->world->server.store_failed);
    sim->chaos.is_calm = true;
    for (uint32_t i = 0; i < sim->shards; i++)
        has_failed |= sim->world->shards[i].io.fail_writes;
    world_settle(sim->world);
    if (!has_failed)
        check_answered(sim);
    crash(sim, dir, tally);
    world_settle(sim->world);
    for (uint32_t user = 0; user < SIM_USERS; user++)
        people_check(sim, user);
    model_check_all(&sim->model);
}

static void run_seed(uint64_t seed, uint64_t events, struct tally *tally)
{
    char dir[64];
    struct sim *sim = calloc(1, sizeof *sim);
    WORLD_MUST(sim != NULL);
    run.seed = seed;
    run.events = events;
    sim->chaos = (struct chaos){.state = seed * 0x9e3779b97f4a7c15u + 1, .on_durable = on_durable};
    sim->wall_us = UINT64_C(1800000000000000);
    sim->shards = 1 + (uint32_t)(seed % 4);
    for (uint32_t i = 0; i < SIM_USERS; i++)
        snprintf(sim->names[i], sizeof sim->names[i], "u%u", i);
    snprintf(dir, sizeof dir, "%s/chitchat-sim-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    WORLD_MUST(mkdtemp(dir) != NULL);
    make_data_set(sim, dir, seed);
    begin_life(sim, dir);
    for (run.event = 0; run.event < events; run.event++)
        one_event(sim, dir, tally);
    finish(sim, dir, tally);
    tally->acknowledged = sim->model.acknowledged;
    tally->entries = sim->model.entries;
    tally->cuts = sim->conn_count;
    world_dir_remove(dir);
}

/* -- many runs -- */

/* In a process of its own: what a crash leaves in memory goes with it. True if all promises were kept. */
static bool run_apart(uint64_t seed, uint64_t events, bool is_quiet, struct tally *sum)
{
    int ends[2], status;
    struct tally tally = {0};
    WORLD_MUST(pipe(ends) == 0);
    fflush(NULL);
    pid_t pid = fork();
    WORLD_MUST(pid >= 0);
    if (pid == 0) {
        if (is_quiet)
            WORLD_MUST(freopen("/dev/null", "w", stderr) != NULL);
        run_seed(seed, events, &tally);
        WORLD_MUST(write(ends[1], &tally, sizeof tally) == sizeof tally);
        _exit(0);
    }
    close(ends[1]);
    bool is_whole = read(ends[0], &tally, sizeof tally) == sizeof tally;
    close(ends[0]);
    WORLD_MUST(waitpid(pid, &status, 0) == pid);
    if (!is_whole || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return false;
    sum->crashes += tally.crashes;
    sum->stops += tally.stops;
    sum->failed_writes += tally.failed_writes;
    sum->cuts += tally.cuts;
    sum->acknowledged += tally.acknowledged;
    sum->entries += tally.entries;
    return true;
}

static int run_seeds(uint64_t first, uint64_t count, uint64_t events)
{
    struct tally sum = {0};
    uint64_t failed = 0;
    for (uint64_t seed = first; seed < first + count; seed++)
        if (!run_apart(seed, events, false, &sum)) {
            fprintf(stderr, "seed %llu failed\n", (unsigned long long)seed);
            failed++;
        }
    printf("%llu seeds of %llu events: %llu failed; %llu crashes, %llu stops, %llu failing disks, %llu connections, %llu sends "
           "acknowledged, %llu entries judged\n",
           (unsigned long long)count, (unsigned long long)events, (unsigned long long)failed,
           (unsigned long long)sum.crashes, (unsigned long long)sum.stops, (unsigned long long)sum.failed_writes,
           (unsigned long long)sum.cuts, (unsigned long long)sum.acknowledged, (unsigned long long)sum.entries);
    return failed == 0 ? 0 : 1;
}

static int run_faults(uint64_t events)
{
    int missed = 0;
    for (int fault = 1; fault < FAULT_COUNT; fault++) {
        uint64_t seed = 1;
        struct tally sum = {0};
        fault_active = (enum fault)fault;
        while (seed <= FAULT_SEEDS && run_apart(seed, events, true, &sum))
            seed++;
        if (seed <= FAULT_SEEDS) {
            printf("%-22s caught by seed %llu\n", fault_names[fault], (unsigned long long)seed);
        } else {
            printf("%-22s NOT CAUGHT\n", fault_names[fault]);
            missed++;
        }
        fflush(stdout);
    }
    return missed == 0 ? 0 : 1;
}

static int usage(void)
{
    fprintf(stderr, "usage: chitchat-sim --seed N | --seeds N [--first N] | --faults   [--events N] [--fault NAME]\n");
    return 2;
}

int main(int argc, char **argv)
{
    uint64_t seed = 0, seeds = 0, first = 1, events = EVENTS_DEFAULT;
    bool wants_faults = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--faults") == 0) {
            wants_faults = true;
            continue;
        }
        if (value == NULL)
            return usage();
        i++;
        if (strcmp(argv[i - 1], "--fault") == 0) {
            for (int fault = 0; fault < FAULT_COUNT; fault++)
                if (strcmp(value, fault_names[fault]) == 0)
                    fault_active = (enum fault)fault;
            continue;
        }
        uint64_t *number = strcmp(argv[i - 1], "--seed") == 0     ? &seed
                           : strcmp(argv[i - 1], "--seeds") == 0  ? &seeds
                           : strcmp(argv[i - 1], "--first") == 0  ? &first
                           : strcmp(argv[i - 1], "--events") == 0 ? &events
                                                                  : NULL;
        if (number == NULL)
            return usage();
        *number = strtoull(value, NULL, 10);
    }
    struct tally tally = {0};
    if (wants_faults)
        return run_faults(events);
    if (seeds > 0)
        return run_seeds(first, seeds, events);
    if (seed == 0)
        return usage();
    run_seed(seed, events, &tally);
    printf("seed %llu: %llu events, all promises kept\n", (unsigned long long)seed, (unsigned long long)events);
    return 0;
}
