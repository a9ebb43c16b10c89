#include "durability/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/state.h"
#include "durability/merge_schedule.h"
#include "durability/retry.h"
#include "durability/segment_recycler.h"
#include "server/core.h"
#include "timeline/delivery.h"

/* Blocks of 1 MiB of a generation's memory that a turn gives back. */
#define RELEASE_BLOCKS_PER_TURN 4u
/* A failed run is tried again soon (retry.h), since it frees memory. */
#define WRITE_RETRY_MAX_S 8u

enum phase { PHASE_IDLE, PHASE_ENDING, PHASE_ENDED, PHASE_WRITING, PHASE_RETRY, PHASE_RELEASING, PHASE_DONE };

struct checkpoint {
    struct core *core;
    uint64_t round;    /* the one in progress, or the next */
    uint64_t begun_us; /* when the last round began, monotonic */
    uint8_t phase;     /* set_phase */
    bool is_wanted;
    /* By parity of the round: another shard may be one round ahead, never two. */
    uint32_t ends[2];
    uint32_t dones[2];
    struct letter_control *letters; /* END, then DONE, of each parity, for each shard */

    struct worker *worker;

    /* The job's while PHASE_WRITING. */
    struct worker_job job;
    struct memtable *writing; /* borrowed: the frozen generation */
    struct store_position applied;
    struct store_position applied_next; /* of a remote log: see position_applied */
    uint64_t last_ts;
    int result; /* 0 or -errno; -EAGAIN: at the limit of runs */
    struct store_error error;
    uint64_t write_begun_us; /* monotonic */
    struct retry write_retry;

    uint64_t filled_us; /* when the generation that is being filled began, monotonic */
};

int checkpoint_open(struct checkpoint **checkpoint_r, struct core *core)
{
    struct checkpoint *checkpoint = calloc(1, sizeof *checkpoint);
    if (checkpoint == NULL)
        return -ENOMEM;
    checkpoint->letters = calloc(4 * (size_t)core->server->core_count, sizeof *checkpoint->letters);
    if (checkpoint->letters == NULL) {
        free(checkpoint);
        return -ENOMEM;
    }
    checkpoint->core = core;
    checkpoint->round = 1; /* what recovery found is of round 0: its segments are released with the first round */
    checkpoint->begun_us = clock_monotonic_us(core->server->clock);
    checkpoint->filled_us = checkpoint->begun_us;
    *checkpoint_r = checkpoint;
    return 0;
}

void checkpoint_close(struct checkpoint **checkpoint)
{
    if (*checkpoint == NULL)
        return;
    ASSERT((*checkpoint)->phase != PHASE_WRITING);
    free((*checkpoint)->letters);
    free(*checkpoint);
    *checkpoint = NULL;
}

void checkpoint_start(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(core->checkpoint->worker == NULL);
    struct store_throttle throttle = background_throttle(&core->background);
    struct store_info info;
    store_set_throttle(core->runs.store, &throttle);
    store_info(core->runs.store, &info);
    core->checkpoint->applied_next = info.applied;
    core_open_worker(core, "checkpoint", SHARD_WORKER_BACKGROUND, &core->checkpoint->worker);
}

void checkpoint_finish(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(core->checkpoint->phase != PHASE_WRITING);
    shard_worker_close(core->shard, &core->checkpoint->worker);
}

/* The phases that may follow each. */
static const uint8_t transitions[] = {
    [PHASE_IDLE] = STATE_TO(PHASE_ENDING),   [PHASE_ENDING] = STATE_TO(PHASE_ENDED),
    [PHASE_ENDED] = STATE_TO(PHASE_WRITING), [PHASE_WRITING] = STATE_TO(PHASE_RETRY) | STATE_TO(PHASE_RELEASING),
    [PHASE_RETRY] = STATE_TO(PHASE_WRITING), [PHASE_RELEASING] = STATE_TO(PHASE_DONE),
    [PHASE_DONE] = STATE_TO(PHASE_IDLE),
};

static void set_phase(struct checkpoint *checkpoint, enum phase phase)
{
    ASSERT_TRANSITION(transitions, checkpoint->phase, phase);
    checkpoint->phase = (uint8_t)phase;
    checkpoint->core->generations.must_wait = phase >= PHASE_WRITING;
}

void checkpoint_request(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    core->checkpoint->is_wanted = true;
}

uint64_t checkpoint_rounds_done(const struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    return core->checkpoint->round - 1;
}

uint64_t checkpoint_next_round(const struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    return core->checkpoint->round + (core->checkpoint->phase != PHASE_IDLE);
}

uint64_t checkpoint_age_us(const struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    return shard_monotonic_us(core->shard) - core->checkpoint->begun_us;
}

uint32_t checkpoint_failures(const struct core *core)
{
    return core->checkpoint->write_retry.failures;
}

bool checkpoint_is_busy(const struct core *core)
{
    return core->checkpoint->phase == PHASE_WRITING;
}

bool checkpoint_waits_for_merge(const struct core *core)
{
    return core->checkpoint->phase == PHASE_RETRY && core->checkpoint->result == -EAGAIN
           && store_is_at_cap(core->runs.store);
}

/* -- letters between the shards -- */

static void post_to_all(struct core *core, enum letter_kind kind)
{
    struct checkpoint *checkpoint = core->checkpoint;
    uint32_t parity = checkpoint->round & 1;
    ASSERT(kind == LETTER_ROUND_END || kind == LETTER_ROUND_DONE);
    uint32_t group = 2 * parity + (kind == LETTER_ROUND_DONE);
    core_post_to_others(core, &checkpoint->letters[group * core->server->core_count], kind, checkpoint->round);
    if (kind == LETTER_ROUND_END)
        checkpoint_on_end(core, checkpoint->round);
    else
        checkpoint_on_done(core, checkpoint->round);
}

void checkpoint_on_end(struct core *core, uint64_t round)
{
    struct checkpoint *checkpoint = core->checkpoint;
    ASSERT_ON_SHARD(core->shard);
    ASSERT(round == checkpoint->round || round == checkpoint->round + 1);
    checkpoint->ends[round & 1]++;
    ASSERT(checkpoint->ends[round & 1] <= core->server->core_count || FAULT(FREEZE_ALONE));
    if (round == checkpoint->round)
        checkpoint->is_wanted = true;
}

void checkpoint_on_done(struct core *core, uint64_t round)
{
    struct checkpoint *checkpoint = core->checkpoint;
    ASSERT_ON_SHARD(core->shard);
    ASSERT(round == checkpoint->round);
    checkpoint->dones[round & 1]++;
    ASSERT(checkpoint->dones[round & 1] <= core->server->core_count);
}

/* -- writing a run -- */

/* On the checkpoint thread. */
static void write_work(struct worker_job *job)
{
    struct checkpoint *checkpoint = container_of(job, struct checkpoint, job);
    struct run_source *source;
    checkpoint->result = memtable_source_open(&source, checkpoint->writing);
    if (checkpoint->result != 0)
        return;
    checkpoint->result = store_add_run(checkpoint->core->runs.store, source, checkpoint->applied, checkpoint->last_ts,
                                       &checkpoint->error);
    run_source_close(&source);
}

static void on_write_failed(struct core *core, struct checkpoint *checkpoint)
{
    uint32_t left_out;
    set_phase(checkpoint, PHASE_RETRY);
    if (checkpoint->result == -EAGAIN)
        return;
    metric_add(&core->metrics.checkpoints[METRICS_FAILED], 1);
    retry_failed(&checkpoint->write_retry, WRITE_RETRY_MAX_S);
    if (log_limit_take(&checkpoint->write_retry.limit, shard_monotonic_us(core->shard), CORE_LOG_INTERVAL_US,
                       &left_out))
        log_line(
            LOG_ERROR, "checkpoint_failed",
            "shard=%u round=%" PRIu64 " errno=%d error=\"%s\" hint=\"recent messages stay in memory and in the "
            "WAL; the checkpoint is tried again; when memory is full, sends get busy: make room or repair the disk\" "
            "left_out=%u",
            core->index, checkpoint->round, -checkpoint->result,
            checkpoint->error.text[0] != '\0' ? checkpoint->error.text : strerror(-checkpoint->result), left_out);
}

static void on_write_recovered(struct core *core, struct checkpoint *checkpoint)
{
    if (checkpoint->write_retry.failures > 0)
        log_line(LOG_INFO, "checkpoint_recovered", "shard=%u round=%" PRIu64 " failures=%u", core->index,
                 checkpoint->round, checkpoint->write_retry.failures);
    checkpoint->write_retry = (struct retry){0};
    metric_add(&core->metrics.checkpoints[METRICS_OK], 1);
    histogram_record(&core->metrics.checkpoint, metrics_job_shape,
                     shard_monotonic_us(core->shard) - checkpoint->write_begun_us);
}

static void write_done(struct worker_job *job)
{
    struct checkpoint *checkpoint = container_of(job, struct checkpoint, job);
    struct core *core = checkpoint->core;
    ASSERT_ON_SHARD(core->shard);
    ASSERT(checkpoint->phase == PHASE_WRITING);
    merge_schedule_on_checkpoint(core);
    if (checkpoint->result != 0 && !FAULT(FAILED_RUN_RELEASED)) {
        on_write_failed(core, checkpoint);
        return;
    }
    on_write_recovered(core, checkpoint);
    ASSERT(core->generations.frozen != NULL && core->generations.leaving == NULL);
    struct store_info info;
    store_info(core->runs.store, &info);
    core->runs.ts_max = info.ts_max;
    core->runs.count = info.run_count;
    core->generations.leaving = core->generations.frozen;
    core->generations.frozen = NULL;
    set_phase(checkpoint, PHASE_RELEASING);
}

static void start_write(struct core *core)
{
    struct checkpoint *checkpoint = core->checkpoint;
    ASSERT(checkpoint->writing == core->generations.frozen);
    set_phase(checkpoint, PHASE_WRITING);
    checkpoint->error.text[0] = '\0';
    checkpoint->write_begun_us = shard_monotonic_us(core->shard);
    checkpoint->job = (struct worker_job){write_work, write_done};
    worker_post(checkpoint->worker, 0, &checkpoint->job);
}

/* -- the steps of a round; true: the phase or what it waits for has moved on -- */

static bool step_begin(struct core *core)
{
    struct checkpoint *checkpoint = core->checkpoint;
    if (!checkpoint->is_wanted)
        return false;
    checkpoint->is_wanted = false;
    checkpoint->begun_us = shard_monotonic_us(core->shard);
    log_rotate(&core->wal_writer.log, checkpoint->round);
    set_phase(checkpoint, PHASE_ENDING);
    return true;
}

static bool step_end(struct core *core)
{
    struct checkpoint *checkpoint = core->checkpoint;
    if (!log_round_is_written(&core->wal_writer.log, checkpoint->round) || delivery_is_behind(core)
        || seens_are_behind(core))
        return false;
    set_phase(checkpoint, PHASE_ENDED);
    post_to_all(core, LETTER_ROUND_END);
    return true;
}

/* Up to where the log need not be read again once this round is committed. Files are read again as long as they are
 * there, and go when all shards are done. A remote log is read again from here on: this shard's log has records of
 * users of other shards, whose runs may not be committed, so the end of the round before counts. */
static struct store_position position_applied(struct core *core)
{
    struct checkpoint *checkpoint = core->checkpoint;
    struct store_position applied = checkpoint->applied_next;
    checkpoint->applied_next = log_position(&core->wal_writer.log);
    return core->wal_writer.log.remote != NULL ? applied : checkpoint->applied_next;
}

static bool step_freeze(struct core *core)
{
    struct checkpoint *checkpoint = core->checkpoint;
    uint32_t *ends = &checkpoint->ends[checkpoint->round & 1];
    struct memtable *filling;
    if ((*ends < core->server->core_count && !FAULT(FREEZE_ALONE)) || core_open_memtable(core, &filling) != 0)
        return false;
    ASSERT(core->generations.frozen == NULL);
    *ends = 0;
    checkpoint->is_wanted = false;
    memtable_freeze(core->generations.filling);
    core->generations.frozen = core->generations.filling;
    core->generations.filling = filling;
    checkpoint->writing = core->generations.frozen;
    checkpoint->applied = position_applied(core);
    checkpoint->last_ts = core->last_ts;
    background_on_freeze(&core->background, memtable_entry_count(core->generations.frozen),
                         shard_monotonic_us(core->shard) - checkpoint->filled_us);
    checkpoint->filled_us = shard_monotonic_us(core->shard);
    start_write(core);
    return true;
}

static void release_segments(struct core *core)
{
    struct wal_spare spare;
    while (log_release(&core->wal_writer.log, core->checkpoint->round, &spare))
        segment_recycler_give(core, spare);
}

/* The run is committed, so nothing reads the generation any more: frees it, a slice a turn. */
static bool step_release(struct core *core)
{
    if (!memtable_close_some(&core->generations.leaving, RELEASE_BLOCKS_PER_TURN))
        return true;
    set_phase(core->checkpoint, PHASE_DONE);
    if (FAULT(REUSE_SEGMENT_EARLY))
        release_segments(core);
    post_to_all(core, LETTER_ROUND_DONE);
    return true;
}

static bool step_done(struct core *core)
{
    struct checkpoint *checkpoint = core->checkpoint;
    uint32_t *dones = &checkpoint->dones[checkpoint->round & 1];
    if (*dones < core->server->core_count)
        return false;
    *dones = 0;
    release_segments(core);
    checkpoint->round++;
    set_phase(checkpoint, PHASE_IDLE);
    if (checkpoint->ends[checkpoint->round & 1] > 0)
        checkpoint->is_wanted = true;
    return true;
}

/* A run that waited at the limit of runs is written as soon as a merge has made room, even one between the slices of a
 * longer merge. One that failed is written again by checkpoint_tick. */
static bool step_retry(struct core *core)
{
    if (core->checkpoint->result != -EAGAIN || store_is_at_cap(core->runs.store))
        return false;
    start_write(core);
    return true;
}

static bool step(struct core *core)
{
    switch ((enum phase)core->checkpoint->phase) {
    case PHASE_IDLE: return step_begin(core);
    case PHASE_ENDING: return step_end(core);
    case PHASE_ENDED: return step_freeze(core);
    case PHASE_RELEASING: return step_release(core);
    case PHASE_DONE: return step_done(core);
    case PHASE_RETRY: return step_retry(core);
    case PHASE_WRITING: return false;
    }
    return false;
}

bool checkpoint_step(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    uint64_t filled_bytes = memtable_bytes(core->generations.filling);
    if (core->checkpoint->phase == PHASE_IDLE && filled_bytes >= core->server->config->memtable_bytes / 4 * 3)
        core->checkpoint->is_wanted = true;
    if (core->checkpoint->phase == PHASE_WRITING && filled_bytes >= core->server->config->memtable_bytes / 2)
        background_hurry(&core->background);
    if (core->stop.step > 0)
        background_stop(&core->background);
    if (core->checkpoint->phase == PHASE_RELEASING)
        return step(core); /* one slice a turn */
    while (step(core))
        if (core->checkpoint->phase == PHASE_RELEASING)
            return true;
    return false;
}

void checkpoint_tick(struct core *core)
{
    struct checkpoint *checkpoint = core->checkpoint;
    ASSERT_ON_SHARD(core->shard);
    ASSERT(shard_monotonic_us(core->shard) >= checkpoint->begun_us);
    uint64_t age_us = shard_monotonic_us(core->shard) - checkpoint->begun_us;
    bool is_given_up = FAULT(FULL_FOR_EVER) && checkpoint->result == -ENOSPC;
    if (checkpoint->phase == PHASE_RETRY && checkpoint->result != -EAGAIN && retry_is_due(&checkpoint->write_retry)
        && !is_given_up)
        start_write(core);
    /* Cuts are in the WAL only: without a message they would fill it. */
    bool has_work = memtable_entry_count(core->generations.filling) > 0
                    || memtable_mark_count(core->generations.filling) > 0 || log_has_batches(&core->wal_writer.log);
    if (checkpoint->phase == PHASE_IDLE && has_work && age_us >= seconds_us(core->server->config->checkpoint_s))
        checkpoint->is_wanted = true;
}
