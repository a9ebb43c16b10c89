#include "history/reads.h"

#include "base/fault.h"
#include "base/log.h"
#include "connection/backpressure.h"
#include "server/core.h"

/* Jobs of one lane that the worker has at once; more wait in core->reads.jobs. */
#define JOBS_IN_LANE_MAX 64u
/* Entries in memory that are indexed by peer at a time. */
#define INDEX_SLICE 256u

void reads_init(struct reads *reads)
{
    *reads = (struct reads){.worker = NULL};
    for (uint32_t lane = 0; lane < WORKER_LANES; lane++)
        list_init(&reads->jobs[lane]);
}

void reads_start(struct core *core)
{
    core_open_worker(core, "reader", SHARD_WORKER_PROMPT, &core->reads.worker);
}

void reads_finish(struct core *core)
{
    shard_worker_close(core->shard, &core->reads.worker);
}

/* On the reader's thread. */
static void log_error(struct core *core)
{
    struct store_error error;
    uint32_t left_out;
    if (store_reader_take_error(core->reads.store_reader, &error)
        && log_limit_take(&core->reads.log_limit, clock_monotonic_us(core->server->clock), CORE_LOG_INTERVAL_US,
                          &left_out))
        log_line(LOG_ERROR, "read_failed", "shard=%u error=\"%s\" left_out=%u", core->index, error.text, left_out);
}

static void job_run(struct worker_job *job)
{
    struct reader_job *reader_job = container_of(job, struct reader_job, job);
    reader_job->read(reader_job);
    log_error(reader_job->core);
}

static void job_post(struct core *core, struct reader_job *job)
{
    ASSERT(core->reads.jobs_out[job->lane] < JOBS_IN_LANE_MAX);
    core->reads.jobs_out[job->lane]++;
    worker_post(core->reads.worker, job->lane, &job->job);
}

/* Whether a job of the lane can be posted. Pages are deferred while the output memory has no room for them. */
static bool lane_has_room(struct core *core, uint8_t lane)
{
    if (lane == READS_LOGIN || !backpressure_is_full(core))
        return core->reads.jobs_out[lane] < JOBS_IN_LANE_MAX;
    backpressure_defer(core);
    return false;
}

static void lane_post(struct core *core, uint8_t lane)
{
    while (!list_is_empty(&core->reads.jobs[lane]) && lane_has_room(core, lane))
        job_post(core, container_of(list_shift(&core->reads.jobs[lane]), struct reader_job, link));
}

void reads_continue(struct core *core)
{
    lane_post(core, READS_HISTORY);
    lane_post(core, READS_REPLAY);
}

static void job_done(struct worker_job *worker_job)
{
    struct reader_job *job = container_of(worker_job, struct reader_job, job);
    struct core *core = job->core;
    ASSERT(core->reads.jobs_out[job->lane] > 0);
    core->reads.jobs_out[job->lane]--;
    lane_post(core, job->lane);
    job->done(job);
}

void reads_post(struct core *core, struct reader_job *job, enum reads_lane lane)
{
    ASSERT(lane < WORKER_LANES);
    ASSERT(job->read != NULL && job->done != NULL);
    job->core = core;
    job->lane = (uint8_t)lane;
    job->job = (struct worker_job){job_run, job_done};
    list_init(&job->link);
    list_append(&core->reads.jobs[lane], &job->link);
    lane_post(core, job->lane);
}

uint64_t reads_bound(const struct core *core, const struct user *user)
{
    uint64_t mark = FAULT(MARK_IGNORED) ? TIMELINE_MARK_NONE : timeline_mark(&user->timeline);
    return mark < core->last_ts + 1 ? mark : core->last_ts + 1;
}

uint64_t reads_memory_newest(const struct core *core, struct span user, uint64_t before)
{
    uint64_t newest = memtable_newest(core->generations.filling, user, before);
    uint64_t older = core->generations.frozen != NULL ? memtable_newest(core->generations.frozen, user, before) : 0;
    return newest > older ? newest : older;
}

bool reads_memory_find(const struct core *core, struct span user, uint64_t ts, struct memtable_hit *hit_r)
{
    return memtable_find(core->generations.filling, user, ts, hit_r)
           || (core->generations.frozen != NULL && memtable_find(core->generations.frozen, user, ts, hit_r));
}

uint64_t reads_pair_hash(const struct core *core, struct span user, struct span peer)
{
    return memtable_pair_hash(core->generations.filling, user, peer);
}

struct seen_marks reads_memory_marks(const struct core *core, uint64_t hash, struct span user, struct span peer)
{
    struct seen_marks marks = memtable_marks_of_pair(core->generations.filling, hash, user, peer);
    if (core->generations.frozen != NULL)
        seen_marks_raise(&marks, memtable_marks_of_pair(core->generations.frozen, hash, user, peer));
    return marks;
}

static int index_peers_in(struct core *core, struct memtable *table, struct span user)
{
    int status = memtable_index_peers(table, user, INDEX_SLICE);
    while (status == 0 && turn_may(&core->turn, TURN_READS)) {
        turn_spend(&core->turn, TURN_READS, INDEX_SLICE);
        status = memtable_index_peers(table, user, INDEX_SLICE);
    }
    return status;
}

int reads_index_peers(struct core *core, struct span user)
{
    struct generations *generations = &core->generations;
    int status = generations->frozen == NULL ? 1 : index_peers_in(core, generations->frozen, user);
    return status == 1 ? index_peers_in(core, generations->filling, user) : status;
}

uint64_t reads_cut(const struct core *core, const struct user *user)
{
    uint64_t cut = erasure_gone_ts(core, user_name(user));
    uint64_t bound = cut == 0 ? 0 : reads_bound(core, user);
    return cut < bound || cut == 0 ? cut : bound - 1;
}

bool reads_runs_reach(const struct core *core, uint64_t after)
{
    return core->runs.count > 0 && after < core->runs.ts_max;
}
