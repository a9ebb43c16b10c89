#include "durability/merge_schedule.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "durability/retry.h"
#include "server/core.h"

/* A failed merge may wait long (retry.h): until then reads only have more runs to look into. */
#define MERGE_RETRY_MAX_S 64u

struct merge_schedule {
    struct core *core;
    bool is_wanted;  /* the next step looks whether a merge is due */
    bool is_merging; /* the job is in flight */
    struct retry retry;
    struct worker *worker;

    /* The job's while it is in flight. */
    struct worker_job job;
    int result; /* 0 or -errno; -ECANCELED: given up, or a backup keeps the old runs */
    struct store_error error;

    uint64_t begun_us; /* when it was posted, monotonic */
};

int merge_schedule_open(struct merge_schedule **schedule_r, struct core *core)
{
    struct merge_schedule *schedule = calloc(1, sizeof *schedule);
    if (schedule == NULL)
        return -ENOMEM;
    schedule->core = core;
    schedule->is_wanted = true;
    *schedule_r = schedule;
    return 0;
}

void merge_schedule_close(struct merge_schedule **schedule)
{
    free(*schedule);
    *schedule = NULL;
}

void merge_schedule_start(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(core->merge_schedule->worker == NULL);
    core_open_worker(core, "merge", SHARD_WORKER_BACKGROUND, &core->merge_schedule->worker);
}

void merge_schedule_finish(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(!core->merge_schedule->is_merging);
    shard_worker_close(core->shard, &core->merge_schedule->worker);
}

void merge_schedule_on_checkpoint(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    core->merge_schedule->is_wanted = core->merge_schedule->retry.left_s == 0;
}

bool merge_schedule_is_busy(const struct core *core)
{
    return core->merge_schedule->is_merging;
}

uint32_t merge_schedule_failures(const struct core *core)
{
    return core->merge_schedule->retry.failures;
}

/* On the merge thread, as merge_work. */
static bool merge_should_stop(void *context)
{
    struct merge_schedule *schedule = context;
    return background_is_stopping(&schedule->core->background);
}

static void merge_work(struct worker_job *job)
{
    struct merge_schedule *schedule = container_of(job, struct merge_schedule, job);
    schedule->result = store_merge_run(schedule->core->runs.store, merge_should_stop, schedule, &schedule->error);
}

static void on_merge_failed(struct core *core, struct merge_schedule *schedule)
{
    uint32_t left_out;
    metric_add(&core->metrics.merges[METRICS_FAILED], 1);
    retry_failed(&schedule->retry, MERGE_RETRY_MAX_S);
    if (log_limit_take(&schedule->retry.limit, shard_monotonic_us(core->shard), CORE_LOG_INTERVAL_US, &left_out))
        log_line(LOG_ERROR, "merge_failed",
                 "shard=%u errno=%d error=\"%s\" hint=\"the runs stay as they are; the merge is tried again: "
                 "make room or look at the disk\" left_out=%u",
                 core->index, -schedule->result,
                 schedule->error.text[0] != '\0' ? schedule->error.text : strerror(-schedule->result), left_out);
}

static void merge_done(struct worker_job *job)
{
    struct merge_schedule *schedule = container_of(job, struct merge_schedule, job);
    struct core *core = schedule->core;
    ASSERT_ON_SHARD(core->shard);
    ASSERT(schedule->is_merging);
    schedule->is_merging = false;
    if (schedule->result == 0) {
        schedule->is_wanted = true;
        schedule->retry = (struct retry){0};
        metric_add(&core->metrics.merges[METRICS_OK], 1);
        histogram_record(&core->metrics.merge, metrics_job_shape, shard_monotonic_us(core->shard) - schedule->begun_us);
    } else if (schedule->result != -ECANCELED) {
        on_merge_failed(core, schedule);
    }
    struct store_info info;
    store_info(core->runs.store, &info);
    core->runs.count = info.run_count;
}

void merge_schedule_step(struct core *core)
{
    struct merge_schedule *schedule = core->merge_schedule;
    ASSERT_ON_SHARD(core->shard);
    if (schedule->is_merging || !schedule->is_wanted || core->stop.step > 0)
        return;
    schedule->is_wanted = false;
    if (!store_merge_is_due(core->runs.store))
        return;
    schedule->is_merging = true;
    schedule->error.text[0] = '\0';
    schedule->begun_us = shard_monotonic_us(core->shard);
    schedule->job = (struct worker_job){merge_work, merge_done};
    worker_post(schedule->worker, 0, &schedule->job);
}

void merge_schedule_tick(struct core *core)
{
    struct merge_schedule *schedule = core->merge_schedule;
    ASSERT_ON_SHARD(core->shard);
    bool is_look_due = schedule->retry.left_s == 0 && store_look_is_due(core->runs.store);
    if (!schedule->is_merging && (retry_is_due(&schedule->retry) || is_look_due))
        schedule->is_wanted = true;
}
