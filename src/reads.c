#include "reads.h"


#include "base/fault.h"
#include "core.h"

/* Jobs of one lane that the reader has at once; the others wait in core->jobs. */
#define JOBS_IN_LANE_MAX 1024u

static void job_run(struct worker_job *job)
{
    struct reader_job *reader_job = container_of(job, struct reader_job, job);
    reader_job->run(reader_job);
}

static void job_give(struct core *core, struct reader_job *job)
{
    core->jobs_out[job->lane]++;
    worker_post(core->reader_worker, job->lane, &job->job);
}

static void job_done(struct worker_job *worker_job)
{
    struct reader_job *job = container_of(worker_job, struct reader_job, job);
    struct core *core = job->core;
    core->jobs_out[job->lane]--;
    struct list *next = list_shift(&core->jobs[job->lane]);
    if (next != NULL)
        job_give(core, container_of(next, struct reader_job, link));
    job->done(job);
}

void reads_post(struct core *core, struct reader_job *job, enum reads_lane lane)
{
    job->core = core;
    job->lane = (uint8_t)lane;
    job->job = (struct worker_job){job_run, job_done};
    list_init(&job->link);
    if (core->jobs_out[lane] < JOBS_IN_LANE_MAX)
        job_give(core, job);
    else
        list_append(&core->jobs[lane], &job->link);
}

uint64_t reads_bound(const struct core *core, const struct user *user)
{
    uint64_t mark = FAULT(MARK_IGNORED) ? TIMELINE_MARK_NONE : timeline_mark(&user->timeline);
    return mark < core->last_ts + 1 ? mark : core->last_ts + 1;
}

uint64_t reads_memory_newest(const struct core *core, struct span user, uint64_t before)
{
    uint64_t newest = memtable_newest(core->filling, user, before);
    uint64_t older = core->frozen != NULL ? memtable_newest(core->frozen, user, before) : 0;
    return newest > older ? newest : older;
}

bool reads_memory_find(const struct core *core, struct span user, uint64_t ts, struct memtable_hit *hit_r)
{
    return memtable_find(core->filling, user, ts, hit_r)
           || (core->frozen != NULL && memtable_find(core->frozen, user, ts, hit_r));
}

bool reads_runs_reach(const struct core *core, uint64_t after)
{
    return core->run_count > 0 && after < core->runs_ts_max;
}
