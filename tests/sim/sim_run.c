#include "sim_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "harness_double.h"
#include "memory.h"
#include "sim_erase.h"
#include "sim_marks.h"
#include "storage/datadir/datadir_meta.h"
#include "storage/runs/manifest.h"
#include "storage/wal/wal_survey.h"

/* Together longer than any time limit of a connection, which is 90 s and begins anew with what is still written to it.
 * After a failed WAL write a send may never be answered, and a client that has left may have ended its side. */
#define REST_STEPS 24u
#define REST_STEP_US 5000000
#define ROUNDS_MAX 10000u /* of repeated requests, and of starts: a run that needs more does not end */
#define RETENTION_S 40u   /* a run passes some minutes, most of them in jumps of the clock */
#define ERASE_WITHIN_S 3u
#define LEAP_US (INT64_C(365) * 86400 * 1000000)
#define TURNS_US UINT64_C(1000000)              /* turns let less time pass in an event */
#define LEAP_LASTS_US (UINT64_C(300) * 1000000) /* then less than 600 s until it ends, whatever comes between */
#define PROBE_SECONDS 30u /* after trouble: the longest wait for the next attempt is far shorter */

static bool may(const struct sim *sim, enum sim_trouble trouble)
{
    return (sim->without >> trouble & 1) == 0;
}

/* The random number is drawn even where the trouble is left out, so that the others stay the same. */
static bool strikes(struct sim *sim, enum sim_trouble trouble, uint32_t in)
{
    return chaos_hits(&sim->chaos, in) && may(sim, trouble);
}

/* What --retention may have dropped or hidden until this is called again: the cut is never younger than that, whatever
 * the clock did. */
static void note_retention(struct sim *sim)
{
    uint64_t now_us = sim_clock_most_us(sim) + TURNS_US, retention_us = (uint64_t)sim->retention_s * 1000000;
    if (sim->retention_s > 0 && now_us > sim->model.retention_maybe + retention_us)
        sim->model.retention_maybe = now_us - retention_us;
}

/* -- lives -- */

static void on_durable(struct chaos *chaos, const char *data, size_t bytes)
{
    model_on_durable(&container_of(chaos, struct sim, chaos)->model, data, bytes);
}

/* A data set whose users are placed on shards by the seed, not by a random number. */
static void make_data_set(const struct sim *sim, uint64_t seed)
{
    struct datadir_meta meta = {.shards = sim->shards, .name_seed = {seed, 1}, .key_seed = {seed, 2}};
    struct datadir *datadir;
    struct datadir_error error;
    char path[96], text[DATADIR_META_BYTES];
    HARNESS_MUST(datadir_open(&datadir, sim->dir, sim->shards, 1, &error) == 0);
    datadir_close(&datadir);
    datadir_meta_set_format(&meta);
    snprintf(meta.epoch, sizeof meta.epoch, "%032llx", (unsigned long long)seed);
    size_t bytes = datadir_meta_write(&meta, text);
    snprintf(path, sizeof path, "%s/META", sim->dir);
    FILE *file = fopen(path, "w");
    HARNESS_MUST(file != NULL && fwrite(text, 1, bytes, file) == bytes && fclose(file) == 0);
}

static void lose_all(struct sim *sim)
{
    for (uint32_t i = 0; i < SIM_PEOPLE; i++)
        person_lose(sim, i, true);
    for (uint32_t i = 0; i < SIM_PROGRAMS; i++)
        program_lose(sim, i, false);
    disk_crash();
    memory_crash();
    sim->tally.crashes++;
}

/* One attempt to start: the process may die in recovery. A full disk does not keep it from starting. */
static bool try_life(struct sim *sim)
{
    jmp_buf death;
    const char *refusal = "";
    if (setjmp(death) != 0) {
        sim_note("--- crash in recovery ---");
        sim->tally.deaths++;
        harness_crash_inside(sim->chaos.opening);
        lose_all(sim);
        return false;
    }
    if (strikes(sim, TROUBLE_DEATH, 4))
        disk_die_in(1 + chaos_below(&sim->chaos, 80), &death);
    struct harness_options options = {.shards = sim->shards,
                                      .dir = sim->dir,
                                      .chaos = &sim->chaos,
                                      .wall_us = sim->wall_us,
                                      .memtable_bytes = sim->memtable_bytes,
                                      .retention_s = sim->retention_s,
                                      .erase_within_s = ERASE_WITHIN_S,
                                      .output_bytes = 64u << 10};
    sim->harness = harness_try_open(&options, &refusal);
    disk_die_in(0, NULL);
    if (sim->harness == NULL)
        sim_fail("the start is refused: %s", refusal);
    sim->tally.full_starts += disk_is_full();
    return true;
}

/* A full disk may have room for runs all the same: they are smaller than a segment. */
static void fill_disk(struct sim *sim)
{
    disk_fill(true);
    if (chaos_hits(&sim->chaos, 2))
        disk_fill_most();
}

static void begin_life(struct sim *sim)
{
    static const uint32_t odds[] = {1, 2, 5, 30};
    sim->chaos.job_odds = odds[chaos_below(&sim->chaos, 4)];
    sim->calls_to_death = 0;
    disk_fail(0);
    disk_fill(false);
    if (strikes(sim, TROUBLE_FULL, 12))
        fill_disk(sim);
    for (uint32_t rounds = 0; !try_life(sim); rounds++)
        if (rounds > ROUNDS_MAX)
            sim_fail("no start succeeds: the run does not end");
    sim->is_store_failing = false;
    sim_clock_begin(sim);
    note_retention(sim);
}

/* The next life begins with a clock that is right. */
static void keep_time(struct sim *sim)
{
    sim_clock_watch(sim);
    sim->wall_us = harness_now(sim->harness) - (uint64_t)sim->leap_us;
    sim->leap_us = 0;
}

static int ignore_record(void *context, const struct record_fields *fields)
{
    (void)context, (void)fields;
    return 0;
}

/* Whether the newest segment of the survey has what no run has: *path_r is its file. */
static bool is_newest_needed(struct wal_survey *survey, char path_r[PATH_MAX + 64])
{
    struct wal_scan scan;
    struct wal_file *file = survey->file_count == 0 ? NULL : &survey->files[survey->file_count - 1];
    if (file == NULL || !file->is_live || !wal_survey_is_newest(survey, file)
        || wal_survey_scan(survey, file, ignore_record, NULL, &scan) != 0 || scan.batch_count == 0)
        return false;
    snprintf(path_r, PATH_MAX + 64, "%s/segment-%06u.wal", survey->dir, file->number);
    return file->generation > survey->applied.generation || file->end_bytes > survey->applied.bytes;
}

/* After a crash: a start without the newest segment of a shard would be refused. */
static void check_missing_segment(struct sim *sim)
{
    char path[PATH_MAX + 64], wal[PATH_MAX], aside[PATH_MAX + 72];
    struct manifest_state state;
    struct store_error error;
    struct wal_survey survey, without = {.file_count = 0};
    uint32_t shard = chaos_below(&sim->chaos, sim->shards);
    snprintf(path, sizeof path, "%s/shard-%04u/runs/manifest.mdb", sim->dir, shard);
    snprintf(wal, sizeof wal, "%s/shard-%04u/wal", sim->dir, shard);
    if (manifest_read(path, false, &state, &error) != 0)
        return;
    if (wal_survey_read(&survey, wal, shard, state.marks.applied, &state.assigned) == 0
        && is_newest_needed(&survey, path)) {
        snprintf(aside, sizeof aside, "%s.aside", path);
        HARNESS_MUST(rename(path, aside) == 0);
        if (wal_survey_read(&without, wal, shard, state.marks.applied, &state.assigned) == 0)
            sim_fail("a start without %s would not be refused", path);
        HARNESS_MUST(rename(aside, path) == 0);
        sim->tally.missing++;
    }
    wal_survey_fini(&survey);
    wal_survey_fini(&without);
    free(state.entries);
}

static void crash(struct sim *sim)
{
    sim->is_crash_due = false;
    sim_note("--- crash ---");
    keep_time(sim);
    harness_crash(sim->harness);
    lose_all(sim);
    check_missing_segment(sim);
    begin_life(sim);
}

static void die_inside(struct sim *sim)
{
    sim_note("--- crash in a job ---");
    keep_time(sim);
    sim->tally.deaths++;
    harness_crash_inside(sim->harness);
    lose_all(sim);
    begin_life(sim);
}

/* Ends all trouble of the disk. */
static void calm_down(struct sim *sim)
{
    sim->chaos.is_calm = true;
    disk_fill(false);
    disk_fail(0);
    disk_die_in(0, NULL);
}

static void stop(struct sim *sim)
{
    struct harness *old = sim->harness;
    sim_note("--- stop ---");
    calm_down(sim);
    sim->is_stopping = true;
    harness_stop(old);
    harness_run_until_idle(old);
    for (uint32_t i = 0; i < SIM_PEOPLE; i++) {
        if (sim->people[i].client != NULL)
            client_stall(sim->people[i].client, sim->people[i].is_stalled = false);
        harness_run_until_idle(old);
        person_take(sim, i);
        person_lose(sim, i, false);
    }
    sim->is_stopping = false;
    keep_time(sim);
    harness_close(old);
    for (uint32_t i = 0; i < SIM_PROGRAMS; i++)
        program_lose(sim, i, true);
    sim->chaos.is_calm = false;
    sim->tally.stops++;
    begin_life(sim);
}

/* All clients leave, and the disk is without trouble: all that was taken for them must be given back. */
static void all_leave(struct sim *sim)
{
    sim_note("--- all leave ---");
    calm_down(sim);
    clients_drop(sim->harness);
    for (uint32_t i = 0; i < SIM_PEOPLE; i++)
        person_lose(sim, i, false);
    for (uint32_t step = 0; step < REST_STEPS; step++) {
        harness_run_until_idle(sim->harness);
        harness_advance(sim->harness, REST_STEP_US);
        note_retention(sim);
    }
    harness_check_rest(sim->harness);
    for (uint32_t i = 0; i < SIM_PROGRAMS; i++)
        if (sim->programs[i].is_waiting)
            sim_fail("the posts of program %u are never answered", i);
    sim->chaos.is_calm = false;
    sim->tally.rests++;
}

/* -- events -- */

/* The clock is wrong by a year, in either direction, for a time in which the server does not follow it. */
static void leap_clock(struct sim *sim)
{
    uint64_t lasts_us = harness_monotonic(sim->harness) - sim->leap_since_us;
    if (sim->leap_us == 0 && strikes(sim, TROUBLE_CLOCK, 3000)) {
        sim->leap_us = chaos_hits(&sim->chaos, 2) ? LEAP_US : -LEAP_US;
        sim->leap_since_us = harness_monotonic(sim->harness);
        sim_note("the clock leaps %s a year", sim->leap_us > 0 ? "ahead" : "back");
        harness_leap(sim->harness, sim->leap_us);
        sim->tally.leaps++;
    } else if (sim->leap_us != 0 && (lasts_us > LEAP_LASTS_US || chaos_hits(&sim->chaos, 1500))) {
        sim_note("the clock is right again");
        harness_leap(sim->harness, -sim->leap_us);
        sim->leap_us = 0;
    }
}

/* The clock advances a little, and now and then jumps, also back. A jump forward causes a checkpoint. */
static void move_clock(struct sim *sim)
{
    sim_clock_watch(sim);
    if (chaos_hits(&sim->chaos, 2))
        harness_advance(sim->harness, chaos_below(&sim->chaos, 200));
    if (strikes(sim, TROUBLE_CLOCK, 600)) {
        sim_note("the clock jumps forward");
        harness_advance(sim->harness, 6000000);
    }
    if (strikes(sim, TROUBLE_CLOCK, 3000)) {
        sim_note("the clock steps back");
        harness_advance(sim->harness, -(int64_t)chaos_below(&sim->chaos, 30000000));
    }
    leap_clock(sim);
}

static void fail_wal(struct sim *sim)
{
    uint32_t shard = chaos_below(&sim->chaos, sim->shards);
    sim_note("WAL writes of shard %u fail from now on", shard);
    harness_fail_writes(sim->harness, shard);
    sim->is_store_failing = true;
    sim->tally.failed_logs++;
}

/* For a while the disk has no room, or its calls fail. */
static void trouble_disk(struct sim *sim)
{
    if (strikes(sim, TROUBLE_FULL, 2500)) {
        sim_note("the disk is full");
        fill_disk(sim);
        sim->tally.full_disks++;
    } else if (disk_is_full() && chaos_hits(&sim->chaos, 400)) {
        sim_note("the disk has room again");
        disk_fill(false);
    }
    if (strikes(sim, TROUBLE_DISK, 2000)) {
        sim_note("the disk fails now and then");
        disk_fail(2 + chaos_below(&sim->chaos, 8));
        sim->tally.failed_calls++;
    } else if (chaos_hits(&sim->chaos, 400)) {
        disk_fail(0);
    }
}

static void act(struct sim *sim)
{
    uint32_t what = chaos_below(&sim->chaos, 100);
    uint32_t person = chaos_below(&sim->chaos, SIM_PEOPLE);
    if (what < 62)
        harness_turn(sim->harness, chaos_below(&sim->chaos, sim->shards));
    else if (what < 80)
        person_take(sim, person);
    else if (what < 82)
        program_act(sim, chaos_below(&sim->chaos, SIM_PROGRAMS));
    else
        person_act(sim, person);
}

/* A commit in doubt can only be resolved by a start, not after a stop in order. */
static void end_life_at_times(struct sim *sim)
{
    if (strikes(sim, TROUBLE_CRASH, 3500) || (sim->is_crash_due && may(sim, TROUBLE_CRASH)))
        crash(sim);
    else if (strikes(sim, TROUBLE_STOP, 9000) && !disk_trouble().is_in_doubt)
        stop(sim);
    else if (strikes(sim, TROUBLE_LOG, 12000))
        fail_wal(sim);
    else if (strikes(sim, TROUBLE_VANISH, 5000))
        all_leave(sim);
}

static void one_event(struct sim *sim)
{
    jmp_buf death;
    move_clock(sim);
    note_retention(sim);
    trouble_disk(sim);
    end_life_at_times(sim);
    if (setjmp(death) != 0) {
        die_inside(sim);
        return;
    }
    if (strikes(sim, TROUBLE_DEATH, 2500))
        sim->calls_to_death = 1 + chaos_below(&sim->chaos, 60);
    disk_die_in(sim->calls_to_death, &death);
    if (strikes(sim, TROUBLE_ERASE, 1500))
        erase_someone(sim);
    act(sim);
    sim->calls_to_death = disk_calls_left();
    disk_die_in(0, NULL);
}

/* -- the end -- */

/* Every request on a connection that is still open, with no close frame on it, is answered once nothing is held any
 * more.
 */
static void check_answered(struct sim *sim)
{
    for (uint32_t i = 0; i < SIM_PEOPLE; i++) {
        struct person *person = &sim->people[i];
        uint32_t rounds = 0;
        if (person->client == NULL)
            continue;
        do {
            client_stall(person->client, person->is_stalled = false);
            harness_run_until_idle(sim->harness);
            person_take(sim, i);
            if (++rounds > ROUNDS_MAX)
                sim_fail("person %u repeats requests without end: the run does not become idle", i);
        } while (person->client != NULL && person->asked_anew);
        if (person->client != NULL && person->has_ended)
            sim_fail("person %u ended their side, and the connection is never closed", i);
        for (uint32_t k = 0; person->client != NULL && !person->has_close && k < SIM_REQUESTS_MAX; k++)
            if (person->asked[k].ask != ASK_NOTHING)
                sim_fail("person %u: request %u, of kind %u, is never answered", i, k, person->asked[k].ask);
    }
}

static void let_time_pass(struct sim *sim)
{
    for (uint32_t second = 0; second < PROBE_SECONDS; second++) {
        harness_advance(sim->harness, 1000000);
        note_retention(sim);
        harness_run_until_idle(sim->harness);
    }
}

static void finish(struct sim *sim)
{
    calm_down(sim);
    harness_run_until_idle(sim->harness);
    if (!sim->is_store_failing) {
        let_time_pass(sim); /* the server tries again what had no room */
        check_answered(sim);
        if (!disk_trouble().is_in_doubt)
            people_probe(sim);
    }
    all_leave(sim);
    sim->chaos.is_calm = true;
    sim->without = ~0u;
    crash(sim);
    harness_run_until_idle(sim->harness);
    for (uint32_t user = 0; user < SIM_USERS; user++)
        people_check(sim, user);
    model_check_all(&sim->model);
    marks_check_all(sim);
    erase_check_files(sim);
}

/* The name has the process, so that sim_run_apart finds what a run that failed has left. */
static void make_dir(char *out, size_t bytes)
{
    snprintf(out, bytes, "%s/" SIM_DIR_NAME "XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
             (int)getpid());
    HARNESS_MUST(mkdtemp(out) != NULL);
}

struct sim_tally sim_run(const struct sim_run_options *asked)
{
    static const uint32_t memtable_kib[] = {256, 1024, 4096};
    char trash[64];
    struct sim *sim = calloc(1, sizeof *sim);
    HARNESS_MUST(sim != NULL);
    frame_reader_open(&sim->reader); /* before memory_begin: it outlives all lives */
    memory_begin();
    sim_report_begin(asked, &sim->chaos);
    sim->without = asked->without;
    /* Not times the step of chaos_below: then a seed would draw what the seed before it drew, but for the first. */
    sim->chaos = (struct chaos){.state = asked->seed * 0xd1342543de82ef95u + 1, .on_durable = on_durable};
    sim->wall_us = UINT64_C(1800000000000000);
    sim->shards = 1 + (uint32_t)(asked->seed % SIM_SHARDS_MAX);
    sim->memtable_bytes = (uint64_t)memtable_kib[asked->seed / 4 % 3] << 10;
    for (uint32_t i = 0; i < SIM_USERS; i++)
        snprintf(sim->names[i], sizeof sim->names[i], i == SIM_USERS - 1 ? "u0%u" : "u%u", i); /* u0 begins u05 */
    sim->retention_s = asked->seed % 3 == 0 ? RETENTION_S : 0;
    make_dir(sim->dir, sizeof sim->dir);
    make_dir(trash, sizeof trash);
    disk_begin(&sim->chaos, trash);
    make_data_set(sim, asked->seed);
    begin_life(sim);
    for (uint64_t event = 0; event < asked->events; event++) {
        sim_report_event(event);
        one_event(sim);
    }
    sim_report_event(asked->events);
    finish(sim);
    sim->tally.acknowledged = sim->model.acknowledged;
    sim->tally.entries = sim->model.entries;
    sim->tally.sent = sim->model.count;
    sim->tally.conns = sim->conn_count;
    harness_dir_remove(sim->dir);
    harness_dir_remove(trash);
    return sim->tally;
}
