/* api_pages.c: GET /api/v1/users/{user}/messages, a page of a timeline, and GET /api/v1/users/{user}/export, all of it
 * as lines. The user's shard reads (history/page_reads.h), the shard of the connection answers. */
#include <stdlib.h>

#include "api/api.h"
#include "history/page_reads.h"
#include "server/core.h"

/* Messages in one part of an export, whose bytes a page limits, too. */
#define EXPORT_PART_MESSAGES 500u
#define EXPORT_TYPE "application/x-ndjson"

/* The job of a request that reads page by page. It is freed when its call has returned. */
struct page_job {
    struct call call;
    struct exchange_ref ref;
    struct page_read read;
    struct barrier barrier;
    bool is_reading;
    bool is_past_barrier;
    /* Of an export. */
    bool has_begun; /* a stream is open */
    bool is_gone;   /* its connection has ended */
    char user[LIMIT_USER_BYTES];
    char with[LIMIT_USER_BYTES];
};

static struct page_job *job_of(struct call *call)
{
    return container_of(call, struct page_job, call);
}

/* On the shard of the user. */
static void on_read(struct core *core, struct page_read *read)
{
    call_return(core, &container_of(read, struct page_job, read)->call);
}

static void on_barrier(struct core *core, struct barrier *barrier, enum barrier_end end)
{
    struct page_job *job = container_of(barrier, struct page_job, barrier);
    struct page_read *read = &job->read;
    job->is_past_barrier = end == BARRIER_PASSED;
    if (job->is_past_barrier) {
        page_reads_take(core, read);
        return;
    }
    api_refuse_barrier(end, &read->code, &read->message, &read->retry_after_ms);
    call_return(core, &job->call);
}

/* The later parts of an export show nothing that is newer than the first. */
static void run(struct core *core, struct call *call)
{
    struct page_job *job = job_of(call);
    job->barrier.on_end = on_barrier;
    if (job->is_past_barrier)
        page_reads_take(core, &job->read);
    else
        barrier_begin(core, &job->barrier);
}

static struct page_job *make_job(struct core *core, struct exchange *exchange, struct span user,
                                 const struct request_history *asked, void (*done)(struct core *, struct call *))
{
    struct page_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        exchange_refuse_as(core, exchange, ERROR_BUSY, "no memory for the request: wait and send it again", 1000);
        return NULL;
    }
    job->call = (struct call){.run = run, .done = done};
    job->ref = exchange_ref(exchange);
    memcpy(job->user, user.data, user.bytes);
    job->read = (struct page_read){.user = {job->user, user.bytes}, .asked = *asked, .on_done = on_read};
    if (asked->has_with) {
        memcpy(job->with, asked->with.data, asked->with.bytes);
        job->read.asked.with = (struct span){job->with, asked->with.bytes};
    }
    return job;
}

static void post_read(struct core *core, struct page_job *job)
{
    ASSERT(!job->is_reading);
    job->is_reading = true;
    call_post(core, core_shard_of(core, job->read.user), &job->call);
}

static void job_free(struct page_job *job)
{
    free(job->read.text);
    free(job);
}

static void refuse(struct core *core, struct exchange *exchange, const struct page_read *read)
{
    exchange_refuse_as(core, exchange, read->code, read->message, read->retry_after_ms);
}

/* -- a page -- */

static void on_page(struct core *core, struct call *call)
{
    struct page_job *job = job_of(call);
    const struct page_read *read = &job->read;
    struct exchange *exchange = exchange_find(core, job->ref);
    if (exchange != NULL && read->code != ERROR_NONE)
        refuse(core, exchange, read);
    else if (exchange != NULL)
        exchange_answer_json(core, exchange, 200, (struct span){read->text, read->text_bytes});
    job_free(job);
}

/* NULL; or, static, what is wrong with the query. */
static const char *read_query(const struct http_request *request, struct request_history *asked_r)
{
    uint64_t limit = LIMIT_PAGE_ENTRIES_DEFAULT;
    *asked_r = (struct request_history){.before = LIMIT_TS_MAX + 1, .with = http_query(request, "with")};
    asked_r->has_after = http_query(request, "after").data != NULL;
    asked_r->has_with = asked_r->with.data != NULL;
    if (!http_query_number(request, "after", &asked_r->after))
        return "after must be an integer from 0 to 2^53 - 1";
    if (!http_query_number(request, "before", &asked_r->before))
        return "before must be an integer from 0 to 2^53 - 1";
    if (!http_query_number(request, "limit", &limit) || limit < 1 || limit > LIMIT_PAGE_ENTRIES)
        return "limit must be an integer from 1 to 1000";
    if (asked_r->has_with && !request_is_user_name(asked_r->with))
        return "with must be a user name: 1 to 128 printable ASCII characters, no blanks, quotes or backslashes";
    asked_r->limit = (uint32_t)limit;
    return NULL;
}

void api_messages(struct core *core, struct exchange *exchange, const struct http_request *request)
{
    struct request_history asked;
    const char *wrong = read_query(request, &asked);
    if (wrong != NULL) {
        exchange_refuse_as(core, exchange, ERROR_BAD_REQUEST, wrong, 0);
        return;
    }
    struct page_job *job = make_job(core, exchange, request->user, &asked, on_page);
    if (job != NULL)
        post_read(core, job);
}

/* -- an export -- */

static void on_export_more(struct core *core, struct exchange *exchange, void *context)
{
    struct page_job *job = context;
    (void)exchange;
    if (!job->is_reading)
        post_read(core, job);
}

static void on_export_gone(struct core *core, void *context)
{
    struct page_job *job = context;
    (void)core;
    job->is_gone = true;
    if (!job->is_reading)
        job_free(job);
}

/* The part that was read goes out, and the next one goes on behind it. */
static void write_part(struct core *core, struct exchange *exchange, struct page_job *job)
{
    struct page_read *read = &job->read;
    bool has_more = read->has_more && read->text_bytes > 0;
    if (!job->has_begun) {
        struct exchange_stream stream = {on_export_more, on_export_gone, job};
        job->has_begun = true;
        read->asked.before = read->bound;
        exchange_stream(core, exchange, 200, EXPORT_TYPE, &stream);
    }
    read->asked.after = read->next;
    if (read->text_bytes > 0)
        exchange_write(core, exchange, (struct span){read->text, read->text_bytes});
    free(read->text);
    read->text = NULL;
    if (has_more)
        return;
    exchange_finish(core, exchange);
    job_free(job);
}

/* Something behind the parts before is gone since then: the export would end without it, as if it were whole. */
static bool has_lost_part(const struct page_job *job)
{
    return job->has_begun && job->read.cut > job->read.asked.after;
}

static void on_export_read(struct core *core, struct call *call)
{
    struct page_job *job = job_of(call);
    struct exchange *exchange = job->is_gone ? NULL : exchange_find(core, job->ref);
    job->is_reading = false;
    if (exchange == NULL) {
        ASSERT(job->is_gone || !job->has_begun);
        job_free(job);
    } else if (job->read.code == ERROR_NONE && !has_lost_part(job)) {
        write_part(core, exchange, job);
    } else if (job->has_begun) {
        exchange_cut(core, exchange); /* which frees the job */
    } else {
        refuse(core, exchange, &job->read);
        job_free(job);
    }
}

void api_export(struct core *core, struct exchange *exchange, const struct http_request *request)
{
    struct request_history asked = {.has_after = true, .before = LIMIT_TS_MAX + 1, .limit = EXPORT_PART_MESSAGES};
    if (exchange_answer_head(core, exchange, 200, EXPORT_TYPE))
        return;
    struct page_job *job = make_job(core, exchange, request->user, &asked, on_export_read);
    if (job == NULL)
        return;
    job->read.as_lines = true;
    post_read(core, job);
}
