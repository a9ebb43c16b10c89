#include "storage/log_remote.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

/* Of one read. */
#define READ_BYTES_MAX (4u << 20)
/* The round of what was appended since the last rotation, which the next one gives its number. */
#define ROUND_OPEN UINT64_MAX

struct buffer {
    unsigned char *data; /* room for the header, then the payload; owned */
    uint32_t bytes;      /* of header and payload; 0: no batch is begun */
    uint32_t record_count;
    uint64_t sequence;
    uint64_t round;
};

struct log_remote {
    /* Set by open, then only read. */
    struct log_remote_options options;
    struct log_session *session;

    /* Of the thread that follows; then of the shard's, and of the worker's while a batch is in flight. */
    struct ownership ownership;
    bool has_sought;
    bool is_sealed; /* the batch in flight is */
    bool is_late;   /* the last call of the engine has failed */
    struct log_remote_error error;

    /* Owned by the shard's thread. */
    struct buffer buffers[2];
    uint32_t filling; /* index of the buffer that records are put into; the other is empty or in flight */
    bool is_in_flight;
    bool has_failed;
    bool has_batches;
    uint32_t reserved_bytes;
    uint64_t sequence_last;
    uint64_t sequence_durable;
    uint64_t round;
    struct ownership_mark newest;    /* the newest batch that was applied or acknowledged */
    struct store_position position;  /* of it */
    struct store_position round_end; /* the same, of those in rounds that were rotated */
};

static int __attribute__((format(printf, 4, 5)))
refuse(const struct log_remote *remote, struct log_remote_error *error, int code, const char *format, ...)
{
    va_list arguments;
    int bytes = snprintf(error->text, sizeof error->text, "slot %u: ", remote->options.slot);
    va_start(arguments, format);
    vsnprintf(error->text + bytes, sizeof error->text - (size_t)bytes, format, arguments);
    va_end(arguments);
    return code;
}

/* -- damage -- */

#define ADVICE " (docs/CLUSTER.md, \"A slot that is damaged\")"
#define ADVICE_COPY                                                                                                    \
    "start this node on a copy of the data directory of another node (docs/CLUSTER.md, \"Loss of a node\")"
#define ADVICE_LOST "a log server was promoted or restored that lacks what another one has: promote that one"

static int refuse_damage(const struct log_remote *remote, struct log_remote_error *error)
{
    const struct ownership *ownership = &remote->ownership;
    uint64_t seen = ownership->seen.number, expected = ownership->expected.number;
    switch (ownership->damage) {
    case OWNERSHIP_DAMAGE_VERSION:
        return refuse(remote, error, -EBADMSG,
                      "a newer chitchat wrote what is behind batch %" PRIu64
                      " of the log: install that version on this node",
                      seen);
    case OWNERSHIP_DAMAGE_BATCH:
        return refuse(remote, error, -EBADMSG,
                      "batch %" PRIu64
                      " of the log is damaged: promote a log server that has it whole, or copy its row "
                      "from there" ADVICE,
                      seen + 1);
    case OWNERSHIP_DAMAGE_TAIL:
        return refuse(remote, error, -EBADMSG,
                      "the log ends before batch %" PRIu64
                      ", which this node holds, or knows to have been acknowledged: " ADVICE_LOST ADVICE,
                      seen > expected ? seen : expected);
    case OWNERSHIP_DAMAGE_PURGED:
        if (seen == 0)
            return refuse(remote, error, -EBADMSG,
                          "the log was purged of its beginning, which an empty data directory needs: " ADVICE_COPY);
        return refuse(remote, error, -EBADMSG,
                      "the log was purged of what follows batch %" PRIu64
                      ", the newest that this node holds: " ADVICE_COPY,
                      seen);
    case OWNERSHIP_DAMAGE_NONE:
    case OWNERSHIP_DAMAGE_CHAIN:
    case OWNERSHIP_DAMAGE_GENERATION: break;
    }
    return refuse(remote, error, -EBADMSG, "%s, batch %" PRIu64 ": " ADVICE_LOST ADVICE,
                  ownership_damage_text(ownership->damage), seen);
}

static int open_buffers(struct log_remote *remote)
{
    for (uint32_t i = 0; i < 2; i++) {
        remote->buffers[i].data = malloc(LOG_BATCH_BYTES_MAX);
        if (remote->buffers[i].data == NULL)
            return -ENOMEM;
    }
    return 0;
}

int log_remote_open(struct log_remote **remote_r, const struct log_remote_options *options,
                    struct log_remote_error *error_r)
{
    struct log_engine_error why;
    struct log_remote *remote = calloc(1, sizeof *remote);
    if (remote == NULL)
        return -ENOMEM;
    remote->options = *options;
    int status = open_buffers(remote);
    if (status != 0)
        (void)refuse(remote, error_r, status, "no memory for the log: give the server more memory");
    if (status == 0) {
        status = options->engine->open(&remote->session, options->where, &why);
        if (status != 0)
            (void)refuse(remote, error_r, status, "%s", why.text);
    }
    if (status != 0)
        log_remote_close(&remote);
    *remote_r = remote;
    return status;
}

void log_remote_close(struct log_remote **remote_p)
{
    struct log_remote *remote = *remote_p;
    *remote_p = NULL;
    if (remote == NULL)
        return;
    if (remote->session != NULL)
        remote->options.engine->close(&remote->session);
    if (remote->has_sought)
        ownership_fini(&remote->ownership);
    for (uint32_t i = 0; i < 2; i++)
        free(remote->buffers[i].data);
    free(remote);
}

/* -- following -- */

static struct store_position position_of(const struct ownership_mark *mark)
{
    return (struct store_position){mark->number, bytes_load_le64(mark->hash.bytes)};
}

/* What a manifest keeps of a mark is a part of its hash; the batch itself has all. */
static int read_mark(void *context, const struct log_batch *batch)
{
    struct ownership_mark *mark = context;
    struct log_batch_header header;
    mark->number = batch->number;
    log_batch_hash(batch->data, batch->bytes, &mark->hash);
    mark->generation = log_batch_decode(batch->data, batch->bytes, &header) == 0 ? header.generation : 0;
    return 0;
}

int log_remote_seek(struct log_remote *remote, struct store_position position, const struct ownership_mark *tail,
                    struct log_remote_error *error_r)
{
    struct log_engine_error why;
    struct ownership_mark held = {0};
    ASSERT(!remote->has_sought);
    if (position.generation > 0) {
        int status = remote->options.engine->read(remote->session, remote->options.slot, position.generation, 1,
                                                  remote->options.timeout_ms, read_mark, &held, &why);
        if (status < 0)
            return refuse(remote, error_r, status, "%s", why.text);
        if (status == 0)
            return refuse(remote, error_r, -EBADMSG,
                          "the log ends before batch %" PRIu64
                          ", which this data directory has: the log has lost its end: " ADVICE_LOST ADVICE,
                          position.generation);
        struct store_position found = position_of(&held);
        if (found.generation != position.generation || found.bytes != position.bytes)
            return refuse(remote, error_r, -EBADMSG,
                          "batch %" PRIu64 " of the log is not the one that this data directory has: it is of another "
                          "cluster of this name, or " ADVICE_LOST ADVICE,
                          position.generation);
    }
    ownership_init(&remote->ownership, remote->options.slot, 1, remote->options.node, &held);
    if (tail != NULL && tail->number > held.number)
        ownership_expect(&remote->ownership, tail);
    remote->has_sought = true;
    remote->newest = held;
    remote->position = remote->round_end = position;
    return 0;
}

static int on_batch(void *context, const struct log_batch *batch)
{
    return ownership_on_batch(context, batch->number, batch->data, batch->bytes);
}

static int call_read(struct log_remote *remote, const struct ownership_call *call, struct log_engine_error *why)
{
    int status = remote->options.engine->read(remote->session, remote->options.slot, call->from, READ_BYTES_MAX,
                                              remote->options.timeout_ms, on_batch, &remote->ownership, why);
    ownership_on_read(&remote->ownership, status);
    return status >= 0 || status == -ECANCELED || status == -ERANGE ? 1 : status;
}

static void count_append(struct log_remote *remote, enum log_append_result result, uint64_t took_us)
{
    struct log_remote_metrics *metrics = remote->options.metrics;
    if (metrics == NULL)
        return;
    metric_add(&metrics->appends[result], 1);
    histogram_record(&metrics->append, log_remote_append_shape, took_us);
}

static int call_append(struct log_remote *remote, const struct ownership_call *call, struct log_engine_error *why)
{
    struct log_append append = {.slot = remote->options.slot,
                                .bytes = call->bytes,
                                .generation = call->generation,
                                .last = call->last,
                                .previous = call->previous->bytes,
                                .hash = call->hash->bytes,
                                .data = call->data};
    struct log_extent extent;
    int status = 0;
    uint64_t begun_us = clock_monotonic_us(remote->options.clock);
    enum log_append_result result =
        remote->options.engine->append(remote->session, &append, remote->options.timeout_ms, &extent, &status, why);
    count_append(remote, result, clock_monotonic_us(remote->options.clock) - begun_us);
    ownership_on_append(&remote->ownership, result);
    if (result == LOG_APPEND_ACKED || result == LOG_APPEND_REFUSED)
        return 1;
    return status < 0 ? status : -EIO;
}

int log_remote_call(struct log_remote *remote, struct log_remote_error *error_r)
{
    struct ownership_call call;
    struct log_engine_error why = {""};
    int status = 0;
    ASSERT(remote->has_sought);
    ownership_next(&remote->ownership, &call);
    switch (call.kind) {
    case OWNERSHIP_CALL_READ: status = call_read(remote, &call, &why); break;
    case OWNERSHIP_CALL_APPEND: status = call_append(remote, &call, &why); break;
    case OWNERSHIP_CALL_NONE: break;
    }
    if (remote->options.metrics != NULL && call.kind != OWNERSHIP_CALL_NONE)
        metric_set(&remote->options.metrics->connected, status >= 0);
    if (remote->ownership.state == OWNERSHIP_DAMAGED)
        return refuse_damage(remote, error_r);
    return status < 0 ? refuse(remote, error_r, status, "%s", why.text) : status;
}

static int visit_records(const struct ownership_kept *batch,
                         int (*visit)(void *context, const struct record_fields *fields), void *context)
{
    struct span payload = log_batch_payload(&batch->header, batch->data);
    if (batch->header.kind != LOG_BATCH_RECORDS)
        return 0;
    for (uint32_t i = 0; i < batch->header.record_count; i++) {
        struct record_fields fields;
        int bytes = record_decode(payload.data, payload.bytes, &fields);
        if (bytes <= 0)
            return -EBADMSG;
        int status = visit(context, &fields);
        if (status != 0)
            return status;
        payload.data += bytes;
        payload.bytes -= (size_t)bytes;
    }
    return payload.bytes == 0 ? 0 : -EBADMSG;
}

int log_remote_apply(struct log_remote *remote, int (*visit)(void *context, const struct record_fields *fields),
                     void *context)
{
    const struct ownership_kept *batch;
    int status = 0;
    while (status == 0 && (batch = ownership_applicable(&remote->ownership)) != NULL) {
        status = visit_records(batch, visit, context);
        if (status == 0)
            ownership_on_applied(&remote->ownership);
    }
    remote->newest = remote->ownership.applied;
    remote->position = remote->round_end = position_of(&remote->newest);
    return status;
}

struct ownership *log_remote_ownership(struct log_remote *remote)
{
    return &remote->ownership;
}

/* -- the filling batch -- */

int log_remote_can_append(const struct log_remote *remote, uint32_t record_bytes)
{
    const struct buffer *buffer = &remote->buffers[remote->filling];
    uint32_t bytes = record_bytes + (buffer->bytes > 0 ? buffer->bytes : LOG_BATCH_HEADER_BYTES);
    if (remote->has_failed)
        return -EIO;
    if (buffer->bytes > 0 && buffer->round != ROUND_OPEN)
        return -EAGAIN;
    return bytes > LOG_BATCH_BYTES_MAX ? -EAGAIN : 0;
}

static struct buffer *begin_batch(struct log_remote *remote)
{
    struct buffer *buffer = &remote->buffers[remote->filling];
    if (buffer->bytes > 0)
        return buffer;
    buffer->bytes = LOG_BATCH_HEADER_BYTES;
    buffer->record_count = 0;
    buffer->sequence = ++remote->sequence_last;
    buffer->round = ROUND_OPEN;
    return buffer;
}

int log_remote_reserve(struct log_remote *remote, uint32_t record_bytes, void **at_r)
{
    int status = log_remote_can_append(remote, record_bytes);
    if (status != 0)
        return status;
    struct buffer *buffer = begin_batch(remote);
    *at_r = buffer->data + buffer->bytes;
    remote->reserved_bytes = record_bytes;
    return 0;
}

uint64_t log_remote_commit(struct log_remote *remote, uint32_t record_bytes)
{
    struct buffer *buffer = &remote->buffers[remote->filling];
    ASSERT(record_bytes > 0);
    ASSERT(record_bytes <= remote->reserved_bytes);
    remote->reserved_bytes = 0;
    buffer->bytes += record_bytes;
    buffer->record_count++;
    return buffer->sequence;
}

int log_remote_begin(struct log_remote *remote, uint64_t *sequence_r)
{
    int status = log_remote_can_append(remote, 1);
    if (status == 0)
        *sequence_r = begin_batch(remote)->sequence;
    return status;
}

uint32_t log_remote_filling_records(const struct log_remote *remote)
{
    const struct buffer *buffer = &remote->buffers[remote->filling];
    return buffer->bytes == 0 ? 0 : buffer->record_count;
}

/* -- appending -- */

bool log_remote_write_take(struct log_remote *remote, uint32_t *bytes_r)
{
    const struct buffer *buffer = &remote->buffers[remote->filling];
    if (remote->has_failed || remote->is_in_flight || buffer->bytes == 0)
        return false;
    ASSERT(ownership_may_seal(&remote->ownership));
    *bytes_r = buffer->bytes;
    remote->is_in_flight = true;
    remote->is_sealed = false;
    remote->filling ^= 1;
    ASSERT(remote->buffers[remote->filling].bytes == 0);
    return true;
}

static struct buffer *in_flight(struct log_remote *remote)
{
    ASSERT(remote->is_in_flight);
    return &remote->buffers[remote->filling ^ 1];
}

void log_remote_run(struct log_remote *remote)
{
    const struct buffer *buffer = &remote->buffers[remote->filling ^ 1];
    struct clock *clock = remote->options.clock;
    if (!remote->is_sealed)
        (void)ownership_seal(&remote->ownership, buffer->data, buffer->bytes - LOG_BATCH_HEADER_BYTES,
                             buffer->record_count, clock_wall_us(clock));
    remote->is_sealed = true;
    remote->error.text[0] = '\0';
    remote->is_late = log_remote_call(remote, &remote->error) < 0;
}

static enum log_remote_outcome fail(struct log_remote *remote)
{
    const struct ownership *ownership = &remote->ownership;
    remote->has_failed = true;
    if (ownership->state == OWNERSHIP_DAMAGED)
        return LOG_REMOTE_DAMAGED;
    if (ownership->has_given_up)
        (void)refuse(remote, &remote->error, 0,
                     "%u appends in a row behind batch %" PRIu64 " had an unknown outcome: this node gives the slots "
                     "up, and who takes them settles what it had not acknowledged",
                     OWNERSHIP_UNSETTLED_MAX, ownership->seen.number);
    else
        (void)refuse(remote, &remote->error, 0,
                     "another node has taken the log behind batch %" PRIu64
                     ": what this node had not acknowledged is void",
                     ownership->seen.number);
    return LOG_REMOTE_DEPOSED;
}

enum log_remote_outcome log_remote_write_done(struct log_remote *remote, uint64_t *sequence_r)
{
    struct buffer *buffer = in_flight(remote);
    const struct ownership *ownership = &remote->ownership;
    if (ownership->state != OWNERSHIP_OWNS)
        return fail(remote);
    if (ownership->unsettled_count > 0)
        return remote->is_late ? LOG_REMOTE_LATER : LOG_REMOTE_AGAIN;
    remote->newest = ownership->seen;
    remote->position = position_of(&remote->newest);
    if (buffer->round != ROUND_OPEN)
        remote->round_end = remote->position;
    remote->has_batches |= buffer->record_count > 0;
    remote->sequence_durable = buffer->sequence;
    buffer->bytes = 0;
    remote->is_in_flight = false;
    *sequence_r = remote->sequence_durable;
    return LOG_REMOTE_ACKED;
}

bool log_remote_write_is_in_flight(const struct log_remote *remote)
{
    return remote->is_in_flight && !remote->has_failed;
}

bool log_remote_has_failed(const struct log_remote *remote)
{
    return remote->has_failed;
}

const char *log_remote_error_text(const struct log_remote *remote)
{
    return remote->error.text;
}

/* -- rounds -- */

void log_remote_rotate(struct log_remote *remote, uint64_t round)
{
    ASSERT(round >= remote->round);
    remote->round = round;
    remote->round_end = remote->position;
    remote->has_batches = false;
    for (uint32_t i = 0; i < 2; i++)
        if (remote->buffers[i].round == ROUND_OPEN)
            remote->buffers[i].round = round;
}

bool log_remote_round_is_written(const struct log_remote *remote, uint64_t round)
{
    ASSERT(round <= remote->round);
    for (uint32_t i = 0; i < 2; i++)
        if (remote->buffers[i].bytes > 0 && remote->buffers[i].round <= round)
            return false;
    return true;
}

struct store_position log_remote_position(const struct log_remote *remote)
{
    return remote->round_end;
}

const struct ownership_mark *log_remote_newest(const struct log_remote *remote)
{
    return &remote->newest;
}

bool log_remote_has_batches(const struct log_remote *remote)
{
    return remote->has_batches;
}
