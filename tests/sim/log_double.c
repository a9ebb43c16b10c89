#include "log_double.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define LATE_MAX 32u

struct batch {
    struct log_hash hash;
    uint64_t generation;
    uint32_t bytes;
    uint8_t *data; /* owned; NULL: purged */
};

struct log {
    struct batch *batches;
    uint64_t last, room;
    uint64_t durable; /* all up to this number */
    uint64_t first;   /* the oldest that is there */
};

struct late {
    struct log_append append;
    struct batch batch;
    struct log_hash previous;
};

struct log_double {
    struct log_double_options options;
    struct log *logs;
    struct late late[LATE_MAX];
    uint32_t late_count;
    bool is_stalled; /* nothing is replicated: what is appended is visible and not durable */
};

struct log_session {
    struct log_double *log_double;
    bool is_cut;
};

static struct log_double *in_use;

uint32_t dice_below(struct dice *dice, uint32_t below)
{
    uint64_t z = dice->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ z >> 31) >> 32) % below;
}

struct log_double *log_double_open(const struct log_double_options *options)
{
    struct log_double *log_double = calloc(1, sizeof *log_double);
    ASSERT(log_double != NULL);
    log_double->options = *options;
    log_double->logs = calloc(options->logs, sizeof *log_double->logs);
    ASSERT(log_double->logs != NULL);
    for (uint32_t i = 0; i < options->logs; i++)
        log_double->logs[i].first = 1;
    return log_double;
}

static void truncate_to(struct log *log, uint64_t last)
{
    while (log->last > last)
        free(log->batches[--log->last].data);
    log->durable = log->durable > last ? last : log->durable;
}

void log_double_close(struct log_double **log_double)
{
    struct log_double *closing = *log_double;
    *log_double = NULL;
    for (uint32_t i = 0; i < closing->late_count; i++)
        free(closing->late[i].batch.data);
    for (uint32_t i = 0; i < closing->options.logs; i++) {
        truncate_to(&closing->logs[i], 0);
        free(closing->logs[i].batches);
    }
    free(closing->logs);
    free(closing);
}

void log_double_use(struct log_double *log_double)
{
    in_use = log_double;
}

void log_double_cut(struct log_session *session, bool is_cut)
{
    session->is_cut = is_cut;
}

/* -- Appends -- */

static struct log_extent extent_of(const struct log *log)
{
    uint64_t generation = log->last == 0 ? 0 : log->batches[log->last - 1].generation;
    return (struct log_extent){.first = log->first, .last = log->last, .generation = generation};
}

static bool is_expected(const struct log_double *log_double, const struct log *log, const struct log_append *append,
                        const struct log_hash *previous)
{
    static const struct log_hash none = {{0}};
    const struct log_hash *hash = log->last == 0 ? &none : &log->batches[log->last - 1].hash;
    if (log->last != append->last)
        return false;
    if (log_double->options.compares_positions)
        return true;
    return log_hash_equal(hash, previous) && extent_of(log).generation <= append->generation;
}

/* Owns batch.data. */
static bool execute(struct log_double *log_double, const struct log_append *append, const struct log_hash *previous,
                    struct batch batch)
{
    struct log *log = &log_double->logs[append->slot];
    if (!is_expected(log_double, log, append, previous)) {
        free(batch.data);
        return false;
    }
    if (log->last == log->room) {
        log->room = log->room == 0 ? 64 : 2 * log->room;
        log->batches = realloc(log->batches, log->room * sizeof *log->batches);
        ASSERT(log->batches != NULL);
    }
    log->batches[log->last++] = batch;
    return true;
}

static struct batch copy_of(const struct log_append *append, struct log_hash *previous_r)
{
    struct batch batch = {.generation = append->generation, .bytes = append->bytes, .data = malloc(append->bytes)};
    ASSERT(batch.data != NULL);
    memcpy(batch.data, append->data, append->bytes);
    memcpy(batch.hash.bytes, append->hash, LOG_HASH_BYTES);
    memcpy(previous_r->bytes, append->previous, LOG_HASH_BYTES);
    return batch;
}

enum trouble {
    TROUBLE_FAILED,   /* not sent */
    TROUBLE_LOST,     /* sent, and nothing came of it */
    TROUBLE_NO_REPLY, /* appended */
    TROUBLE_LATE,     /* appended later, or never */
    TROUBLE_VISIBLE,  /* appended, not durable */
    TROUBLE_COUNT,
    TROUBLE_NONE,
};

static enum trouble draw(struct log_session *session)
{
    struct log_double *log_double = session->log_double;
    struct log_double_options *options = &log_double->options;
    if (session->is_cut)
        return TROUBLE_FAILED;
    if (log_double->is_stalled)
        return TROUBLE_VISIBLE;
    if (options->trouble_in == 0 || !dice_hits(&options->dice, options->trouble_in))
        return TROUBLE_NONE;
    enum trouble trouble = (enum trouble)dice_below(&options->dice, TROUBLE_COUNT);
    if (trouble == TROUBLE_VISIBLE && options->compares_positions)
        return TROUBLE_NO_REPLY;
    return trouble == TROUBLE_LATE && log_double->late_count == LATE_MAX ? TROUBLE_LOST : trouble;
}

static enum log_append_result append_batch(struct log_session *session, const struct log_append *append,
                                           uint32_t timeout_ms, struct log_extent *extent_r, int *status_r,
                                           struct log_engine_error *error_r)
{
    (void)timeout_ms, (void)error_r;
    struct log_double *log_double = session->log_double;
    struct log *log = &log_double->logs[append->slot];
    enum trouble trouble = draw(session);
    struct log_hash previous;
    *status_r = trouble == TROUBLE_NONE ? 0 : -ETIMEDOUT;
    if (trouble == TROUBLE_FAILED)
        return LOG_APPEND_FAILED;
    if (trouble == TROUBLE_LOST)
        return LOG_APPEND_UNKNOWN;
    struct batch batch = copy_of(append, &previous);
    if (trouble == TROUBLE_LATE) {
        log_double->late[log_double->late_count++] = (struct late){*append, batch, previous};
        return LOG_APPEND_UNKNOWN;
    }
    bool is_appended = execute(log_double, append, &previous, batch);
    if (is_appended && trouble != TROUBLE_VISIBLE)
        log->durable = log->last;
    *extent_r = extent_of(log);
    if (trouble == TROUBLE_NO_REPLY || (trouble == TROUBLE_VISIBLE && is_appended))
        return LOG_APPEND_UNKNOWN;
    return is_appended ? LOG_APPEND_ACKED : LOG_APPEND_REFUSED;
}

static void land(struct log_double *log_double, uint32_t index)
{
    struct late late = log_double->late[index];
    log_double->late[index] = log_double->late[--log_double->late_count];
    struct log *log = &log_double->logs[late.append.slot];
    if (execute(log_double, &late.append, &late.previous, late.batch))
        log->durable = log->last;
}

void log_double_step(struct log_double *log_double)
{
    struct dice *dice = &log_double->options.dice;
    if (log_double->late_count > 0 && dice_hits(dice, 2))
        land(log_double, dice_below(dice, log_double->late_count));
    if (log_double->options.compares_positions)
        return;
    log_double->is_stalled =
        log_double->is_stalled ? !dice_hits(dice, 20) : log_double->options.trouble_in > 0 && dice_hits(dice, 100);
    struct log *log = &log_double->logs[dice_below(dice, log_double->options.logs)];
    if (!log_double->is_stalled && log->durable < log->last && dice_hits(dice, 4))
        log->durable++;
}

void log_double_fail_over(struct log_double *log_double)
{
    if (log_double->options.compares_positions)
        return;
    log_double->is_stalled = false;
    for (uint32_t i = 0; i < log_double->options.logs; i++)
        truncate_to(&log_double->logs[i], log_double->logs[i].durable);
}

void log_double_drop(struct log_double *log_double, uint32_t log, uint32_t count)
{
    uint64_t last = log_double->logs[log].last;
    uint64_t kept = last < count ? 0 : last - count;
    uint64_t below = log_double->logs[log].first - 1;
    truncate_to(&log_double->logs[log], kept < below ? below : kept);
}

void log_double_calm(struct log_double *log_double)
{
    log_double->options.trouble_in = 0;
    log_double->is_stalled = false;
    while (log_double->late_count > 0)
        land(log_double, 0);
    for (uint32_t i = 0; i < log_double->options.logs; i++)
        log_double->logs[i].durable = log_double->logs[i].last;
}

/* -- Reads -- */

static int read_batches(struct log_session *session, uint32_t slot, uint64_t from, uint32_t bytes_max,
                        uint32_t timeout_ms, int (*visit)(void *context, const struct log_batch *batch), void *context,
                        struct log_engine_error *error_r)
{
    (void)timeout_ms, (void)error_r;
    struct log_double *log_double = session->log_double;
    struct log *log = &log_double->logs[slot];
    uint64_t sum = 0;
    int visited = 0;
    if (session->is_cut
        || (log_double->options.trouble_in > 0 && dice_hits(&log_double->options.dice, log_double->options.trouble_in)))
        return -ETIMEDOUT;
    if (from < log->first)
        return -ERANGE;
    for (uint64_t number = from; number <= log->last; number++) {
        const struct batch *batch = &log->batches[number - 1];
        if (visited > 0 && (sum += batch->bytes) > bytes_max)
            break;
        struct log_batch view = {number, batch->generation, batch->data, batch->bytes};
        int result = visit(context, &view);
        if (result != 0)
            return result;
        visited++;
    }
    return visited;
}

static int tail(struct log_session *session, uint32_t slot, uint32_t timeout_ms, struct log_extent *extent_r,
                struct log_engine_error *error_r)
{
    (void)timeout_ms, (void)error_r;
    if (session->is_cut)
        return -ETIMEDOUT;
    *extent_r = extent_of(&session->log_double->logs[slot]);
    return 0;
}

static int follow(struct log_session *session, struct log_follow *slots, uint32_t count, uint32_t wait_ms,
                  struct log_engine_error *error_r)
{
    (void)wait_ms, (void)error_r;
    int news = 0;
    if (session->is_cut)
        return -ETIMEDOUT;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t last = session->log_double->logs[slots[i].slot].last;
        news += last > slots[i].last;
        slots[i].last = last;
    }
    return news;
}

static int purge(struct log_session *session, uint32_t slot, uint64_t below, uint32_t timeout_ms,
                 struct log_engine_error *error_r)
{
    (void)timeout_ms, (void)error_r;
    struct log *log = &session->log_double->logs[slot];
    if (session->is_cut)
        return -ETIMEDOUT;
    for (; log->first < below && log->first <= log->last; log->first++) {
        free(log->batches[log->first - 1].data);
        log->batches[log->first - 1].data = NULL;
    }
    return 0;
}

/* -- Sessions -- */

static int create(const struct log_engine_options *options, uint32_t slots, uint32_t timeout_ms,
                  struct log_engine_error *error_r)
{
    (void)options, (void)timeout_ms, (void)error_r;
    return slots + 1 == in_use->options.logs ? 0 : -EEXIST;
}

static int open_session(struct log_session **session_r, const struct log_engine_options *options,
                        struct log_engine_error *error_r)
{
    (void)options, (void)error_r;
    *session_r = calloc(1, sizeof **session_r);
    if (*session_r == NULL)
        return -ENOMEM;
    (*session_r)->log_double = in_use;
    return 0;
}

static void close_session(struct log_session **session)
{
    free(*session);
    *session = NULL;
}

static int check(struct log_session *session, uint32_t timeout_ms, struct log_engine_report *report_r,
                 struct log_engine_error *error_r)
{
    (void)timeout_ms, (void)error_r;
    if (session->is_cut)
        return -ETIMEDOUT;
    *report_r = (struct log_engine_report){.slots = session->log_double->options.logs - 1, .text = "a double"};
    return 0;
}

const struct log_engine log_double_engine = {
    .version = LOG_ENGINE_VERSION,
    .name = "double",
    .create = create,
    .open = open_session,
    .close = close_session,
    .check = check,
    .append = append_batch,
    .read = read_batches,
    .tail = tail,
    .follow = follow,
    .purge = purge,
};

uint64_t log_double_last(const struct log_double *log_double, uint32_t log)
{
    return log_double->logs[log].last;
}

const void *log_double_batch(const struct log_double *log_double, uint32_t log, uint64_t number, uint32_t *bytes_r)
{
    ASSERT(number > 0 && number <= log_double->logs[log].last);
    *bytes_r = log_double->logs[log].batches[number - 1].bytes;
    return log_double->logs[log].batches[number - 1].data;
}
