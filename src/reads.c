#include "reads.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "core.h"
#include "pressure.h"

/* Jobs of one lane that the reader has at once; the others wait in core->jobs. */
#define JOBS_IN_LANE_MAX 64u

/* On the reader's thread. */
static void log_error(struct core *core)
{
    struct store_error error;
    uint32_t left_out;
    if (store_reader_take_error(core->store_reader, &error)
        && log_limit_take(&core->read_limit, clock_monotonic_us(core->server->clock), CORE_LOG_INTERVAL_US, &left_out))
        log_line(LOG_ERROR, "read_failed", "shard=%u error=\"%s\" left_out=%u", core->index, error.text, left_out);
}

static void job_run(struct worker_job *job)
{
    struct reader_job *reader_job = container_of(job, struct reader_job, job);
    reader_job->run(reader_job);
    log_error(reader_job->core);
}

static void job_give(struct core *core, struct reader_job *job)
{
    core->jobs_out[job->lane]++;
    worker_post(core->reader_worker, job->lane, &job->job);
}

/* Pages are not read while there is no room for what they would give. */
static bool lane_may_go(struct core *core, uint8_t lane)
{
    if (lane == READS_LOGIN || !pressure_is_full(core))
        return core->jobs_out[lane] < JOBS_IN_LANE_MAX;
    pressure_starve(core);
    return false;
}

static void lane_go_on(struct core *core, uint8_t lane)
{
    while (!list_is_empty(&core->jobs[lane]) && lane_may_go(core, lane))
        job_give(core, container_of(list_shift(&core->jobs[lane]), struct reader_job, link));
}

void reads_go_on(struct core *core)
{
    lane_go_on(core, READS_HISTORY);
    lane_go_on(core, READS_REPLAY);
}

static void job_done(struct worker_job *worker_job)
{
    struct reader_job *job = container_of(worker_job, struct reader_job, job);
    struct core *core = job->core;
    core->jobs_out[job->lane]--;
    lane_go_on(core, job->lane);
    job->done(job);
}

void reads_post(struct core *core, struct reader_job *job, enum reads_lane lane)
{
    job->core = core;
    job->lane = (uint8_t)lane;
    job->job = (struct worker_job){job_run, job_done};
    list_init(&job->link);
    list_append(&core->jobs[lane], &job->link);
    lane_go_on(core, job->lane);
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

struct range_read {
    struct reader_job job;
    struct core *core;
    struct store_range range;

    /* Of memory, ascending, each record referenced. */
    struct memtable_hit *hits;
    uint32_t hit_count;
    bool memory_has_more;

    /* Of runs; the reader's while it is posted. */
    struct store_page *page;
    bool runs_have_more;
    int result;

    bool is_posted;
    bool is_closed;
    void (*on_done)(void *context, int result);
    void *context;

    struct message *messages;
    uint32_t count;
    bool has_more;

    uint8_t user_bytes;
    char user[LIMIT_USER_BYTES];
};

static struct span read_user(const struct range_read *read)
{
    return (struct span){read->user, read->user_bytes};
}

/* Merges two ascending runs of hits, equal ts once. Returns the count. */
static uint32_t hits_merge(struct memtable_hit *out, const struct memtable_hit *a, uint32_t a_count,
                           const struct memtable_hit *b, uint32_t b_count)
{
    uint32_t count = 0;
    for (uint32_t i = 0, k = 0; i < a_count || k < b_count;) {
        bool take_a = k == b_count || (i < a_count && a[i].ts <= b[k].ts);
        const struct memtable_hit *hit = take_a ? &a[i++] : &b[k++];
        if (count == 0 || out[count - 1].ts != hit->ts)
            out[count++] = *hit;
    }
    return count;
}

/* Keeps what the range's row and byte limits allow, from the end that it asks for. */
static void hits_cut(struct range_read *read)
{
    uint32_t keep = 0;
    uint64_t bytes = 0;
    while (keep < read->hit_count && keep < read->range.rows_max) {
        uint32_t at = read->range.oldest_first ? keep : read->hit_count - 1 - keep;
        bytes += record_body_bytes(read->hits[at].record);
        if (keep > 0 && bytes > read->range.bytes_max)
            break;
        keep++;
    }
    read->memory_has_more = keep < read->hit_count;
    if (!read->range.oldest_first)
        memmove(read->hits, read->hits + (read->hit_count - keep), keep * sizeof *read->hits);
    read->hit_count = keep;
}

static int hits_gather(struct range_read *read)
{
    struct core *core = read->core;
    uint32_t rows_max = read->range.rows_max + 1; /* one more tells whether there is more */
    struct memtable_hit *hits = malloc(4 * (size_t)rows_max * sizeof *hits);
    if (hits == NULL)
        return -ENOMEM;
    struct memtable_hit *older = hits + 2 * (size_t)rows_max;
    struct memtable_hit *newer = hits + 3 * (size_t)rows_max;
    uint32_t older_count = 0;
    const struct store_range *range = &read->range;
    if (core->frozen != NULL && !FAULT(LOSE_FROZEN))
        older_count = memtable_range(core->frozen, read_user(read), range->after, range->before, range->oldest_first,
                                     older, rows_max);
    uint32_t newer_count = memtable_range(core->filling, read_user(read), range->after, range->before,
                                          range->oldest_first, newer, rows_max);
    read->hits = hits;
    read->hit_count = hits_merge(hits, older, older_count, newer, newer_count);
    hits_cut(read);
    for (uint32_t i = 0; i < read->hit_count; i++)
        record_ref(read->hits[i].record);
    return 0;
}

struct range_read *range_read_open(struct core *core, struct span user, const struct store_range *range)
{
    struct range_read *read = calloc(1, sizeof *read);
    if (read == NULL)
        return NULL;
    read->core = core;
    read->range = *range;
    read->user_bytes = (uint8_t)user.bytes;
    memcpy(read->user, user.data, user.bytes);
    if (range->after + 1 < range->before && hits_gather(read) != 0) {
        free(read);
        return NULL;
    }
    return read;
}

bool range_read_needs_runs(const struct range_read *read)
{
    if (read->range.after + 1 >= read->range.before || !reads_runs_reach(read->core, read->range.after))
        return false;
    if (read->range.oldest_first)
        return true;
    return !read->memory_has_more || read->hits[0].ts <= read->core->runs_ts_max;
}

static void range_run(struct reader_job *job)
{
    struct range_read *read = container_of(job, struct range_read, job);
    read->result = read->page == NULL ? store_page_open(&read->page) : 0;
    if (read->result == 0)
        read->result = store_reader_range(job->core->store_reader, read_user(read), &read->range, read->page,
                                          &read->runs_have_more);
}

static void range_done(struct reader_job *job)
{
    struct range_read *read = container_of(job, struct range_read, job);
    read->is_posted = false;
    if (read->is_closed)
        range_read_close(&read);
    else
        read->on_done(read->context, read->result);
}

void range_read_post(struct range_read *read, enum reads_lane lane, void (*on_done)(void *context, int result),
                     void *context)
{
    read->on_done = on_done;
    read->context = context;
    read->is_posted = true;
    read->job.run = range_run;
    read->job.done = range_done;
    reads_post(read->core, &read->job, lane);
}

/* What lies beyond where a source stopped short is not known of that source: the merge ends there. */
static bool is_known(const struct range_read *read, uint64_t ts)
{
    bool oldest_first = read->range.oldest_first;
    if (read->memory_has_more) {
        uint64_t end = oldest_first ? read->hits[read->hit_count - 1].ts : read->hits[0].ts;
        if (oldest_first ? ts > end : ts < end)
            return false;
    }
    if (read->runs_have_more) {
        uint32_t count = store_page_count(read->page);
        uint64_t end = store_page_message(read->page, oldest_first ? count - 1 : 0).ts;
        if (oldest_first ? ts > end : ts < end)
            return false;
    }
    return true;
}

static void messages_add(struct range_read *read, struct message message)
{
    if (read->count > 0 && read->messages[read->count - 1].ts == message.ts)
        return;
    if (is_known(read, message.ts))
        read->messages[read->count++] = message;
    else
        read->has_more = true;
}

static void messages_merge(struct range_read *read)
{
    uint32_t page_count = read->page == NULL ? 0 : store_page_count(read->page);
    for (uint32_t i = 0, k = 0; i < read->hit_count || k < page_count;) {
        struct message row = {.ts = UINT64_MAX};
        if (k < page_count)
            row = store_page_message(read->page, k);
        if (i < read->hit_count && read->hits[i].ts <= row.ts) {
            messages_add(read, record_view(read->hits[i].record, read->hits[i].role));
            i++;
        } else {
            messages_add(read, row);
            k++;
        }
    }
}

const struct message *range_read_messages(struct range_read *read, uint32_t *count_r, bool *more_r)
{
    ASSERT(!read->is_posted);
    uint32_t total = read->hit_count + (read->page == NULL ? 0 : store_page_count(read->page));
    if (read->messages == NULL && total > 0) {
        read->messages = malloc(total * sizeof *read->messages);
        ASSERT(read->messages != NULL);
        read->has_more = read->memory_has_more || read->runs_have_more;
        messages_merge(read);
    }
    const struct message *messages = read->messages;
    *count_r = read->count;
    *more_r = read->has_more;
    if (read->count > read->range.rows_max) {
        *count_r = read->range.rows_max;
        *more_r = true;
        if (!read->range.oldest_first)
            messages += read->count - read->range.rows_max;
    }
    return messages;
}

void range_read_close(struct range_read **read_p)
{
    struct range_read *read = *read_p;
    *read_p = NULL;
    if (read == NULL)
        return;
    read->is_closed = true;
    if (read->is_posted)
        return;
    for (uint32_t i = 0; i < read->hit_count; i++)
        record_heap_unref(read->core->heap, &read->hits[i].record);
    if (read->page != NULL)
        store_page_close(&read->page);
    free(read->hits);
    free(read->messages);
    free(read);
}
