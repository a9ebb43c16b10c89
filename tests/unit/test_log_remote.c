/* storage/log_remote.h over a log engine in memory, whose appends go well, fail, or have an unknown outcome. */
#include "storage/log_remote.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "storage/log.h"
#include "storage/memtable/record_heap.h"

#define BATCHES_MAX 32u

/* What the engine does with the next append. */
enum next {
    NEXT_WELL,
    NEXT_FAILED,
    NEXT_UNKNOWN_LANDED,
    NEXT_UNKNOWN_LOST,
};

static struct stored {
    unsigned char *data;
    uint32_t bytes;
    uint64_t generation;
    uint8_t hash[LOG_HASH_BYTES];
} batches[BATCHES_MAX];
static uint32_t batch_count;
static enum next next;
static uint64_t found[64]; /* the ts of what the log gave */
static uint32_t found_count;
static struct record_heap *heap;

static const uint8_t no_hash[LOG_HASH_BYTES];

static int engine_open(struct log_session **session_r, const struct log_engine_options *options,
                       struct log_engine_error *error_r)
{
    (void)options;
    (void)error_r;
    *session_r = malloc(1);
    return 0;
}

static void engine_close(struct log_session **session)
{
    free(*session);
    *session = NULL;
}

static bool continues(const struct log_append *append)
{
    const struct stored *last = batch_count == 0 ? NULL : &batches[batch_count - 1];
    const uint8_t *hash = last == NULL ? no_hash : last->hash;
    return append->last == batch_count && memcmp(append->previous, hash, LOG_HASH_BYTES) == 0
           && (last == NULL || append->generation >= last->generation);
}

static void store(const struct log_append *append)
{
    struct stored *batch = &batches[batch_count++];
    cr_assert_leq(batch_count, BATCHES_MAX);
    batch->data = malloc(append->bytes);
    memcpy(batch->data, append->data, append->bytes);
    memcpy(batch->hash, append->hash, LOG_HASH_BYTES);
    batch->bytes = append->bytes;
    batch->generation = append->generation;
}

static enum log_append_result engine_append(struct log_session *session, const struct log_append *append,
                                            uint32_t timeout_ms, struct log_extent *extent_r, int *status_r,
                                            struct log_engine_error *error_r)
{
    (void)session;
    (void)timeout_ms;
    enum next now = next;
    next = NEXT_WELL;
    *status_r = now == NEXT_WELL ? 0 : -ETIMEDOUT;
    if (now == NEXT_FAILED || now == NEXT_UNKNOWN_LOST) {
        strcpy(error_r->text, "no log server answers");
        return now == NEXT_FAILED ? LOG_APPEND_FAILED : LOG_APPEND_UNKNOWN;
    }
    if (!continues(append)) {
        *extent_r = (struct log_extent){1, batch_count, 0};
        return LOG_APPEND_REFUSED;
    }
    store(append);
    return now == NEXT_WELL ? LOG_APPEND_ACKED : LOG_APPEND_UNKNOWN;
}

static int engine_read(struct log_session *session, uint32_t slot, uint64_t from, uint32_t bytes_max,
                       uint32_t timeout_ms, int (*visit)(void *context, const struct log_batch *batch), void *context,
                       struct log_engine_error *error_r)
{
    (void)session;
    (void)timeout_ms;
    (void)error_r;
    cr_assert_eq(slot, 3);
    int visited = 0;
    uint32_t bytes = 0;
    for (uint64_t i = from; i <= batch_count && (visited == 0 || bytes < bytes_max); i++, visited++) {
        const struct stored *batch = &batches[i - 1];
        int status = visit(context, &(struct log_batch){i, batch->generation, batch->data, batch->bytes});
        if (status != 0)
            return status;
        bytes += batch->bytes;
    }
    return visited;
}

static const struct log_engine engine = {.version = LOG_ENGINE_VERSION,
                                         .open = engine_open,
                                         .close = engine_close,
                                         .append = engine_append,
                                         .read = engine_read};

static void set_up(void)
{
    next = NEXT_WELL;
    cr_assert_eq(record_heap_open(&heap, 64u << 20), 0);
}

static void tear_down(void)
{
    record_heap_close(&heap);
    for (uint32_t i = 0; i < batch_count; i++)
        free(batches[i].data);
    batch_count = 0;
    found_count = 0;
}

TestSuite(log_remote, .init = set_up, .fini = tear_down);

static struct clock the_clock;

static struct log open_log(const char *node, struct store_position position)
{
    static const struct log_engine_options where = {.uris = "", .cluster = "test"};
    struct log log = {.file = NULL};
    struct log_remote_error error;
    clock_init_system(&the_clock);
    struct log_remote_options options = {
        .engine = &engine, .where = &where, .node = node, .clock = &the_clock, .slot = 3};
    cr_assert_eq(log_remote_open(&log.remote, &options, &error), 0);
    cr_assert_eq(log_remote_seek(log.remote, position, NULL, &error), 0, "%s", error.text);
    return log;
}

static int find(void *context, const struct record_fields *fields)
{
    (void)context;
    found[found_count++] = fields->ts_from;
    return 0;
}

static void assert_found(uint32_t count, const uint64_t *expected)
{
    cr_assert_eq(found_count, count);
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(found[i], expected[i]);
    found_count = 0;
}
#define ASSERT_FOUND(...) assert_found(sizeof((const uint64_t[]){__VA_ARGS__}) / 8, (const uint64_t[]){__VA_ARGS__})

/* Follows the log to its end and takes it; `found` has what was in it. */
static void own(struct log *log)
{
    struct log_remote_error error;
    struct ownership *ownership = log_remote_ownership(log->remote);
    int status;
    do {
        cr_assert_eq(log_remote_apply(log->remote, find, NULL), 0);
        if (ownership_may_take(ownership))
            cr_assert(ownership_take(ownership, ownership->seen.generation + 1, span_of("ws://here"), 1));
        status = log_remote_call(log->remote, &error);
        cr_assert_geq(status, 0, "%s", error.text);
    } while (status > 0);
    cr_assert_eq(ownership->state, OWNERSHIP_OWNS);
}

static uint64_t append(struct log *log, uint64_t ts)
{
    uint64_t sequence;
    struct record *record =
        record_heap_take(heap, SPAN_LITERAL("alice"), SPAN_LITERAL("bob"), SPAN_LITERAL("key"), SPAN_LITERAL("hello"));
    record->ts_from = ts;
    record->ts_to = ts + 1;
    cr_assert_eq(log_append(log, record, &sequence), 0);
    record_heap_unref(heap, &record);
    return sequence;
}

static void take(struct log *log)
{
    struct log_write write;
    cr_assert(log_write_take(log, &write));
    cr_assert(write.is_job);
    cr_assert_gt(write.bytes, 0);
}

static enum log_outcome run(struct log *log)
{
    uint64_t sequence;
    log_write_run(log);
    return log_write_done(log, 0, &sequence);
}

static void write_all(struct log *log)
{
    take(log);
    cr_assert_eq(run(log), LOG_DURABLE);
}

static const struct store_position beginning = {0, 0};

/* Another node takes the log behind `from`: asserts what it finds there. */
static void assert_next_finds(const char *name, struct store_position from, uint32_t count, const uint64_t *expected)
{
    struct log log = open_log(name, from);
    own(&log);
    assert_found(count, expected);
    log_close(&log);
}
#define ASSERT_NEXT_FINDS(name, from, ...)                                                                             \
    assert_next_finds(name, from, sizeof((const uint64_t[]){__VA_ARGS__}) / 8, (const uint64_t[]){__VA_ARGS__})

Test(log_remote, what_one_node_appended_another_one_reads_in_order)
{
    struct log a = open_log("a", beginning);
    own(&a);
    uint64_t first = append(&a, 10);
    cr_assert_eq(append(&a, 20), first);
    take(&a);
    cr_assert_eq(append(&a, 30), first + 1, "the next batch is filled while one is in flight");
    cr_assert_eq(log_filling_records(&a), 1);
    cr_assert(log_write_is_in_flight(&a));
    cr_assert_eq(run(&a), LOG_DURABLE);
    cr_assert_not(log_write_is_in_flight(&a));
    write_all(&a);
    log_close(&a);
    ASSERT_NEXT_FINDS("b", beginning, 10, 20, 30);
}

Test(log_remote, what_a_newer_version_wrote_is_refused_with_what_to_do)
{
    struct log_remote_error error = {""};
    struct log a = open_log("a", beginning);
    own(&a);
    append(&a, 10);
    write_all(&a);
    log_close(&a);
    uint8_t *data = batches[1].data;
    bytes_store_le32(data + 8, LOG_BATCH_VERSION + 1);
    memset(data + 12, 0, 4);
    bytes_store_le32(data + 12, hash_crc32c(0, data, batches[1].bytes));
    a = open_log("b", beginning);
    cr_assert_eq(log_remote_call(a.remote, &error), -EBADMSG);
    cr_assert_str_eq(error.text,
                     "slot 3: a newer chitchat wrote what is behind batch 1 of the log: install that version on this "
                     "node");
    log_close(&a);
}

Test(log_remote, a_batch_may_be_without_a_record)
{
    uint64_t sequence;
    struct log a = open_log("a", beginning);
    struct log_write write;
    own(&a);
    cr_assert_not(log_write_take(&a, &write));
    cr_assert_eq(log_remote_begin(a.remote, &sequence), 0);
    write_all(&a);
    cr_assert_eq(batch_count, 2, "a TAKE, and the empty batch");
    cr_assert_not(log_has_batches(&a), "an empty batch is no reason for a checkpoint");
    append(&a, 10);
    write_all(&a);
    cr_assert(log_has_batches(&a));
    log_close(&a);
}

Test(log_remote, a_batch_is_appended_again_as_it_was_while_the_engine_does_not_answer)
{
    struct log a = open_log("a", beginning);
    own(&a);
    append(&a, 10);
    take(&a);
    next = NEXT_FAILED;
    cr_assert_eq(run(&a), LOG_LATER);
    cr_assert_str_eq(log_error_text(&a), "slot 3: no log server answers");
    next = NEXT_UNKNOWN_LOST;
    cr_assert_eq(run(&a), LOG_LATER);
    append(&a, 20);
    cr_assert_eq(run(&a), LOG_DURABLE);
    cr_assert_str_eq(log_error_text(&a), "");
    write_all(&a);
    log_close(&a);
    ASSERT_NEXT_FINDS("b", beginning, 10, 20);
}

Test(log_remote, an_unknown_append_that_landed_counts_once_a_batch_behind_it_is_acknowledged)
{
    struct log a = open_log("a", beginning);
    own(&a);
    append(&a, 10);
    take(&a);
    next = NEXT_UNKNOWN_LANDED;
    cr_assert_eq(run(&a), LOG_LATER);
    cr_assert_eq(run(&a), LOG_AGAIN, "refused: what is there?");
    cr_assert_eq(batch_count, 2);
    enum log_outcome outcome;
    while ((outcome = run(&a)) == LOG_AGAIN)
        cr_assert_lt(batch_count, 4);
    cr_assert_eq(outcome, LOG_DURABLE);
    cr_assert_eq(batch_count, 3, "an empty batch is behind it");
    append(&a, 20);
    write_all(&a);
    log_close(&a);
    ASSERT_NEXT_FINDS("b", beginning, 10, 20);
}

Test(log_remote, who_gives_up_does_not_say_that_another_node_has_the_log)
{
    struct log a = open_log("a", beginning);
    own(&a);
    append(&a, 10);
    take(&a);
    enum log_outcome outcome;
    do {
        next = NEXT_UNKNOWN_LANDED; /* of an append that continues the log */
        outcome = run(&a);
    } while (outcome == LOG_AGAIN || outcome == LOG_LATER);
    cr_assert_eq(outcome, LOG_DEPOSED);
    cr_assert_eq(batch_count, 1 + OWNERSHIP_UNSETTLED_MAX);
    cr_assert_str_eq(log_error_text(&a),
                     "slot 3: 8 appends in a row behind batch 1 had an unknown outcome: this node gives the slots up, "
                     "and who takes them settles what it had not acknowledged");
    log_close(&a);
    next = NEXT_WELL;
    ASSERT_NEXT_FINDS("b", beginning, 10);
}

Test(log_remote, who_has_lost_the_log_to_another_node_is_deposed_for_good)
{
    uint64_t sequence;
    struct log a = open_log("a", beginning), b;
    own(&a);
    append(&a, 10);
    write_all(&a);
    b = open_log("b", beginning);
    own(&b);
    ASSERT_FOUND(10);
    append(&a, 20);
    take(&a);
    enum log_outcome outcome;
    while ((outcome = run(&a)) == LOG_AGAIN)
        continue;
    cr_assert_eq(outcome, LOG_DEPOSED);
    cr_assert(log_has_failed(&a));
    cr_assert_not(log_write_is_in_flight(&a));
    cr_assert_not_null(strstr(log_error_text(&a), "another node has taken the log"));
    cr_assert_eq(log_append_cut(&a, SPAN_LITERAL("bob"), 1, &sequence), -EIO);
    log_close(&a);
    append(&b, 30);
    write_all(&b);
    log_close(&b);
    ASSERT_NEXT_FINDS("c", beginning, 10, 30);
}

Test(log_remote, the_position_of_a_round_has_nothing_of_the_next)
{
    struct log a = open_log("a", beginning);
    own(&a);
    append(&a, 10);
    take(&a);
    append(&a, 20);
    log_rotate(&a, 1);
    cr_assert_eq(log_can_append(&a, 100), -EAGAIN, "the filling batch is of the round before");
    cr_assert_eq(run(&a), LOG_DURABLE);
    cr_assert_not(log_round_is_written(&a, 1));
    write_all(&a);
    cr_assert(log_round_is_written(&a, 1));
    struct store_position position = log_position(&a);
    append(&a, 30);
    write_all(&a);
    cr_assert(position.generation == log_position(&a).generation && position.bytes == log_position(&a).bytes);
    log_close(&a);

    ASSERT_NEXT_FINDS("b", position, 30);
}

static int seek(struct store_position position, struct log_remote_error *error)
{
    static const struct log_engine_options where = {.uris = "", .cluster = "test"};
    struct log_remote *remote;
    struct log_remote_options options = {
        .engine = &engine, .where = &where, .node = "b", .clock = &the_clock, .slot = 3};
    cr_assert_eq(log_remote_open(&remote, &options, error), 0);
    int status = log_remote_seek(remote, position, NULL, error);
    log_remote_close(&remote);
    return status;
}

Test(log_remote, a_log_without_what_the_runs_have_is_refused)
{
    struct log_remote_error error;
    struct log a = open_log("a", beginning);
    own(&a);
    append(&a, 10);
    write_all(&a);
    append(&a, 20);
    log_rotate(&a, 1);
    write_all(&a);
    struct store_position position = log_position(&a);
    log_close(&a);
    cr_assert_eq(seek(position, &error), 0);
    struct store_position other = {position.generation, position.bytes + 1};
    cr_assert_eq(seek(other, &error), -EBADMSG);
    cr_assert_not_null(strstr(error.text, "slot 3: batch 3 of the log is not the one that this data directory has"));
    free(batches[--batch_count].data);
    cr_assert_eq(seek(position, &error), -EBADMSG);
    cr_assert_not_null(strstr(error.text, "slot 3: the log ends before batch 3"));
}

/* The tail of the data directory of a node that had the first `count` batches of the log. */
static struct ownership_mark tail_of(uint32_t count)
{
    struct ownership_mark mark = {.number = count, .generation = 1};
    log_batch_hash(batches[count - 1].data, batches[count - 1].bytes, &mark.hash);
    return mark;
}

/* Follows the log to its end, or to its damage. */
static int follow_with(const struct ownership_mark *tail, struct log_remote_error *error)
{
    static const struct log_engine_options where = {.uris = "", .cluster = "test"};
    struct log_remote *remote;
    struct log_remote_options options = {
        .engine = &engine, .where = &where, .node = "b", .clock = &the_clock, .slot = 3};
    cr_assert_eq(log_remote_open(&remote, &options, error), 0);
    cr_assert_eq(log_remote_seek(remote, beginning, tail, error), 0);
    int status;
    while ((status = log_remote_call(remote, error)) > 0)
        cr_assert_eq(log_remote_apply(remote, find, NULL), 0);
    log_remote_close(&remote);
    return status;
}

Test(log_remote, a_log_that_lost_what_was_acknowledged_above_the_runs_is_refused)
{
    struct log_remote_error error;
    struct log a = open_log("a", beginning);
    own(&a);
    for (uint64_t ts = 10; ts <= 30; ts += 10) {
        append(&a, ts);
        write_all(&a);
    }
    struct ownership_mark tail = *log_remote_newest(a.remote);
    log_close(&a);
    struct ownership_mark first = tail_of(1), last = tail_of(batch_count);
    cr_assert_eq(tail.number, batch_count);
    cr_assert(log_hash_equal(&tail.hash, &last.hash));
    cr_assert_eq(follow_with(&first, &error), 0);
    cr_assert_eq(follow_with(&tail, &error), 0);
    struct ownership_mark other = tail_of(2);
    other.hash.bytes[15] ^= 1;
    cr_assert_eq(follow_with(&other, &error), -EBADMSG);
    cr_assert_not_null(strstr(error.text, "the log does not continue what this node holds"), "%s", error.text);
    free(batches[--batch_count].data);
    cr_assert_eq(follow_with(&tail, &error), -EBADMSG);
    cr_assert_not_null(
        strstr(error.text, "the log ends before batch 4, which this node holds, or knows to have been acknowledged: "),
        "%s", error.text);
}

Test(log_remote, a_changed_batch_is_never_applied)
{
    struct log_remote_error error;
    struct log a = open_log("a", beginning);
    own(&a);
    for (uint64_t ts = 10; ts <= 30; ts += 10) {
        append(&a, ts);
        write_all(&a);
    }
    log_close(&a);
    batches[2].data[batches[2].bytes - 1] ^= 1;
    struct log b = open_log("b", beginning);
    int status;
    while ((status = log_remote_call(b.remote, &error)) > 0)
        cr_assert_eq(log_remote_apply(b.remote, find, NULL), 0);
    cr_assert_eq(status, -EBADMSG);
    cr_assert_not_null(strstr(error.text, "slot 3: batch 3 of the log is damaged: promote"));
    for (uint32_t i = 0; i < found_count; i++)
        cr_assert_eq(found[i], 10, "what is before it may have been applied");
    log_close(&b);
}
