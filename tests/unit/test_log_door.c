/* storage/log.h with segment files behind it. The test performs the writes, into memory. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "storage/log.h"
#include "storage/memtable/record_heap.h"

#define SEGMENT_BYTES WAL_SEGMENT_BYTES_MIN
#define FILES_MAX 4
/* The first of the descriptors. None is open: the log only passes them on, and closing them does nothing. */
#define FD_BASE 100000

static struct record_heap *heap;
static struct log door;
static uint8_t *files[FILES_MAX]; /* by descriptor - FD_BASE */
static uint32_t file_count;

static void give_spare(void)
{
    files[file_count] = calloc(1, SEGMENT_BYTES);
    wal_give_spare(door.file, (struct wal_spare){.file = file_count + 1, .fd = FD_BASE + (int)file_count});
    file_count++;
}

static void open_door(void)
{
    struct wal_options options = {.shard = 3, .segment_bytes = SEGMENT_BYTES};
    cr_assert_eq(record_heap_open(&heap, 64u << 20), 0);
    cr_assert_eq(wal_open(&door.file, &options, 10, NULL, 0), 0);
}

static void close_door(void)
{
    log_close(&door);
    cr_assert_null(door.file);
    for (uint32_t i = 0; i < file_count; i++)
        free(files[i]);
    file_count = 0;
    record_heap_close(&heap);
}

TestSuite(log_door, .init = open_door, .fini = close_door);

static int append_message(uint64_t ts, uint64_t *sequence_r)
{
    struct record *record =
        record_heap_take(heap, SPAN_LITERAL("alice"), SPAN_LITERAL("bob"), SPAN_LITERAL("key"), SPAN_LITERAL("hello"));
    record->ts_from = ts;
    record->ts_to = ts + 1;
    int status = log_append(&door, record, sequence_r);
    record_heap_unref(heap, &record);
    return status;
}

static uint64_t must_append(uint64_t ts)
{
    uint64_t sequence;
    cr_assert_eq(append_message(ts, &sequence), 0);
    return sequence;
}

static struct log_write take(void)
{
    struct log_write write;
    cr_assert(log_write_take(&door, &write));
    cr_assert_not(write.is_job);
    memcpy(files[write.file.fd - FD_BASE] + write.file.offset, write.file.data, write.bytes);
    return write;
}

static uint64_t report(struct log_write write)
{
    uint64_t sequence;
    cr_assert_eq(log_write_done(&door, (int)write.bytes, &sequence), LOG_DURABLE);
    return sequence;
}

static struct record_fields found[3];
static uint32_t found_count;

static int find(void *context, const struct record_fields *fields)
{
    (void)context;
    cr_assert_lt(found_count, 3);
    found[found_count++] = *fields;
    return 0;
}

Test(log_door, records_of_each_kind_are_found_in_the_order_of_their_appends)
{
    static const uint8_t mid[LIMIT_MID_BYTES] = "fourteen bytes";
    struct record_mark mark = {SPAN_LITERAL("bob"), SPAN_LITERAL("alice"), 70, 80, mid};
    struct wal_scan scan;
    uint64_t sequences[3];
    give_spare();
    sequences[0] = must_append(5);
    cr_assert_eq(log_append_cut(&door, SPAN_LITERAL("carol"), 60, &sequences[1]), 0);
    cr_assert_eq(log_append_mark(&door, &mark, &sequences[2]), 0);
    cr_assert_eq(log_filling_records(&door), 3);
    cr_assert_eq(report(take()), sequences[2]);
    cr_assert_eq(sequences[0], sequences[2]);

    cr_assert_eq(wal_scan(files[0], SEGMENT_BYTES, 11, SEGMENT_BYTES, find, NULL, &scan), 0);
    cr_assert_eq(found_count, 3);
    cr_assert(!found[0].is_cut && !found[0].is_mark && found[0].ts_from == 5 && found[0].ts_to == 6);
    cr_assert(span_equal(found[0].key, SPAN_LITERAL("key")) && span_equal(found[0].text, SPAN_LITERAL("hello")));
    cr_assert(found[1].is_cut && found[1].ts_to == 60 && span_equal(found[1].to, SPAN_LITERAL("carol")));
    cr_assert(found[2].is_mark && found[2].ts_to == 70 && found[2].ts_from == 80);
    cr_assert(span_equal(found[2].to, SPAN_LITERAL("bob")) && span_equal(found[2].key, SPAN_LITERAL("alice")));
}

Test(log_door, a_batch_is_filled_while_the_one_before_is_written)
{
    struct log_write none;
    give_spare();
    uint64_t first = must_append(1);
    struct log_write write = take();
    cr_assert(log_write_is_in_flight(&door));
    uint64_t second = must_append(2);
    cr_assert_eq(second, first + 1);
    cr_assert_not(log_write_take(&door, &none));
    cr_assert_eq(report(write), first);
    cr_assert_eq(report(take()), second);
    cr_assert_not(log_write_is_in_flight(&door));
    cr_assert_eq(log_filling_records(&door), 0);
}

Test(log_door, without_a_place_for_a_batch_no_record_is_taken)
{
    uint64_t sequence;
    cr_assert_eq(log_can_append(&door, 100), -ENOSPC);
    cr_assert_eq(append_message(1, &sequence), -ENOSPC);
    cr_assert_eq(log_append_cut(&door, SPAN_LITERAL("bob"), 1, &sequence), -ENOSPC);
    cr_assert_eq(log_filling_records(&door), 0);
    give_spare();
    cr_assert_eq(log_can_append(&door, 100), 0);
    cr_assert_eq(append_message(1, &sequence), 0);
}

Test(log_door, a_failed_write_is_final)
{
    uint64_t sequence;
    give_spare();
    must_append(1);
    struct log_write write = take();
    cr_assert_eq(log_write_done(&door, (int)write.bytes - 1, &sequence), LOG_FAILED);
    cr_assert(log_has_failed(&door));
    cr_assert_not(log_write_is_in_flight(&door));
    cr_assert_eq(append_message(2, &sequence), -EIO);
    cr_assert_not(log_write_take(&door, &write));
}

Test(log_door, a_round_is_written_when_its_batches_are_and_releases_what_held_them)
{
    struct wal_spare spare;
    give_spare();
    give_spare();
    cr_assert_not(log_has_batches(&door));
    must_append(1);
    log_rotate(&door, 1);
    cr_assert_not(log_round_is_written(&door, 1));
    report(take());
    cr_assert(log_round_is_written(&door, 1));
    cr_assert(log_has_batches(&door));
    struct store_position end = log_position(&door);
    cr_assert(end.generation == 11 && end.bytes == 2 * WAL_BLOCK_BYTES);

    must_append(2); /* of the next round */
    report(take());
    cr_assert_gt(log_position(&door).generation, end.generation);
    cr_assert(log_release(&door, 1, &spare));
    cr_assert_eq(spare.fd, FD_BASE);
    cr_assert_not(log_release(&door, 1, &spare));
    cr_assert(log_has_batches(&door));
}
