/* wal.h. The test performs the writes, into memory: one buffer for each segment file. */
#include "storage/wal/wal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "storage/log.h"
#include "storage/memtable/record_heap.h"
#include "storage/wal/wal_format.h"

#define SEGMENT_BYTES WAL_SEGMENT_BYTES_MIN
#define FILES_MAX 160
#define SEEN_MAX 10000u
/* The first of the descriptors. None is open: the WAL only passes them on, and closing them does nothing. */
#define FD_BASE 100000

static struct record_heap *heap;
static struct wal *wal;
static uint8_t *files[FILES_MAX]; /* by descriptor - FD_BASE */
static uint32_t file_count;
static uint64_t seen[SEEN_MAX]; /* the ts that a scan found */
static uint32_t seen_count;

static void give_spare(void)
{
    files[file_count] = calloc(1, SEGMENT_BYTES);
    wal_give_spare(wal, (struct wal_spare){.file = file_count + 1, .fd = FD_BASE + (int)file_count});
    file_count++;
}

static void open_with(uint64_t generation_last, const struct wal_sealed *sealed, uint32_t count)
{
    struct wal_options options = {.shard = 3, .segment_bytes = SEGMENT_BYTES};
    cr_assert_eq(record_heap_open(&heap, 64u << 20), 0);
    cr_assert_eq(wal_open(&wal, &options, generation_last, sealed, count), 0);
}

static void open_wal(void)
{
    open_with(10, NULL, 0);
}

static void close_wal(void)
{
    wal_close(&wal);
    cr_assert_null(wal);
    for (uint32_t i = 0; i < file_count; i++)
        free(files[i]);
    file_count = 0;
    seen_count = 0;
    record_heap_close(&heap);
}

TestSuite(wal, .fini = close_wal);

static int append(size_t text_bytes, uint64_t ts, uint64_t *sequence_r)
{
    static char text[LIMIT_TEXT_BYTES];
    memset(text, 't', sizeof text);
    struct record *record = record_heap_take(heap, SPAN_LITERAL("alice"), SPAN_LITERAL("bob"), SPAN_LITERAL(""),
                                             (struct span){text, text_bytes});
    record->ts_from = ts;
    record->ts_to = ts + 1;
    int status = log_append(&(struct log){.file = wal}, record, sequence_r);
    record_heap_unref(heap, &record);
    return status;
}

static void must_append(uint64_t ts)
{
    uint64_t sequence;
    cr_assert_eq(append(100, ts, &sequence), 0);
}

/* Performs the pending write, if there is one. Returns the sequence up to which all is durable; 0: no write. */
static uint64_t write_one(void)
{
    struct wal_write write;
    uint64_t sequence;
    if (!wal_write_take(wal, &write))
        return 0;
    cr_assert_eq((uintptr_t)write.data % WAL_BLOCK_BYTES, 0);
    cr_assert(write.bytes % WAL_BLOCK_BYTES == 0 && write.offset % WAL_BLOCK_BYTES == 0);
    cr_assert(write.offset + write.bytes <= SEGMENT_BYTES);
    memcpy(files[write.fd - FD_BASE] + write.offset, write.data, write.bytes);
    cr_assert_eq(wal_write_done(wal, (int)write.bytes, &sequence), 0);
    return sequence;
}

static int see(void *context, const struct record_fields *fields)
{
    (void)context;
    cr_assert_lt(seen_count, SEEN_MAX);
    seen[seen_count++] = fields->ts_from;
    return 0;
}

/* Scans file `fd` as its header says; appends to `seen`. */
static struct wal_scan scan(uint32_t fd, struct wal_header *header_r)
{
    struct wal_scan result;
    cr_assert_eq(wal_header_decode(files[fd], header_r), 0);
    cr_assert_eq(wal_scan(files[fd], SEGMENT_BYTES, header_r->generation, SEGMENT_BYTES, see, NULL, &result), 0);
    cr_assert_eq(result.end, WAL_END_CLEAN);
    return result;
}

Test(wal, without_a_spare_nothing_is_taken, .init = open_wal)
{
    uint64_t sequence;
    cr_assert_gt(wal_spares_wanted(wal), 0);
    cr_assert_eq(append(10, 1, &sequence), -ENOSPC);
    give_spare();
    cr_assert_eq(wal_spare_count(wal), 1);
    cr_assert_eq(append(10, 1, &sequence), 0);
    cr_assert_eq(write_one(), sequence);
}

Test(wal, records_are_found_again_in_order_behind_a_header, .init = open_wal)
{
    struct wal_header header;
    give_spare();
    for (uint64_t ts = 1; ts <= 50; ts++) {
        must_append(ts);
        if (ts % 7 == 0)
            cr_assert_gt(write_one(), 0);
    }
    write_one();
    cr_assert(wal_is_empty(wal));
    struct wal_scan result = scan(0, &header);
    cr_assert_eq(seen_count, 50);
    for (uint32_t i = 0; i < 50; i++)
        cr_assert_eq(seen[i], i + 1);
    cr_assert(header.shard == 3 && header.generation == 11 && header.sealed_count == 0);
    cr_assert_eq(result.batch_count, 8);
    struct store_position position = wal_position(wal);
    cr_assert(position.generation == 11 && position.bytes == result.end_bytes);
}

Test(wal, one_write_is_in_flight_and_the_next_batch_fills_meanwhile, .init = open_wal)
{
    struct wal_write write, second;
    uint64_t first, next, done;
    give_spare();
    cr_assert_eq(append(100, 1, &first), 0);
    cr_assert(wal_write_take(wal, &write));
    cr_assert(wal_write_is_in_flight(wal));
    cr_assert_eq(append(100, 2, &next), 0);
    cr_assert_gt(next, first);
    cr_assert_not(wal_write_take(wal, &second));
    cr_assert_eq(wal_write_done(wal, (int)write.bytes, &done), 0);
    cr_assert_eq(done, first);
    cr_assert_eq(write_one(), next);
}

Test(wal, a_full_batch_says_to_come_back_and_takes_again_after_the_write, .init = open_wal)
{
    struct wal_write write;
    uint64_t sequence, count = 0;
    give_spare();
    give_spare();
    int status;
    while ((status = append(16000, ++count, &sequence)) == 0)
        cr_assert_lt(count, 200);
    cr_assert_eq(status, -EAGAIN);
    cr_assert(wal_write_take(wal, &write));
    cr_assert_eq(append(16000, count, &sequence), 0);
    cr_assert_eq(wal_write_done(wal, (int)write.bytes, &sequence), 0);
}

Test(wal, a_failed_or_short_write_is_final, .init = open_wal)
{
    struct wal_write write;
    uint64_t sequence;
    give_spare();
    must_append(1);
    cr_assert(wal_write_take(wal, &write));
    cr_assert_eq(wal_write_done(wal, (int)write.bytes - 4096, &sequence), -EIO);
    cr_assert(wal_has_failed(wal));
    cr_assert_eq(append(10, 2, &sequence), -EIO);
    cr_assert_eq(wal_can_append(wal, 10), -EIO);
    cr_assert_not(wal_write_take(wal, &write));
    cr_assert_not(wal_is_empty(wal), "it stays unsettled for ever");
    cr_assert_eq(wal_spares_wanted(wal), 0);
}

/* Fills segment after segment; the newest header must say where every earlier live one ends. */
Test(wal, segments_follow_each_other_and_headers_name_the_ends_of_the_earlier_ones, .init = open_wal)
{
    struct wal_header header;
    uint64_t ts = 0, sequence;
    for (int i = 0; i < 4; i++)
        give_spare();
    while (wal_live_segments(wal) < 4) {
        int status = append(16000, ts + 1, &sequence);
        ts += status == 0;
        if (status == -EAGAIN || ts % 20 == 0)
            write_one();
    }
    while (write_one() > 0)
        continue;
    uint64_t ends[4];
    for (uint32_t i = 0; i < 4; i++)
        ends[i] = scan(i, &header).end_bytes;
    cr_assert_eq(header.generation, 14);
    cr_assert_eq(header.previous, 13);
    cr_assert_eq(header.sealed_count, 3);
    for (uint32_t i = 0; i < 3; i++)
        cr_assert(header.sealed[i].generation == 11 + i && header.sealed[i].bytes == ends[i]);
    cr_assert_eq(seen_count, ts);
    for (uint32_t i = 0; i < ts; i++)
        cr_assert_eq(seen[i], i + 1);
}

Test(wal, a_rotation_begins_a_new_segment_and_releases_the_old_ones_by_their_round, .init = open_wal)
{
    struct wal_spare spare;
    struct wal_header header;
    for (int i = 0; i < 3; i++)
        give_spare();
    must_append(1);
    write_one();
    must_append(2); /* filling: it still belongs to round 1 */
    wal_rotate(wal, 1);
    cr_assert_not(wal_round_is_written(wal, 1));
    cr_assert_gt(write_one(), 0);
    cr_assert(wal_round_is_written(wal, 1));
    struct store_position end = wal_position(wal);
    must_append(3);
    write_one();
    cr_assert_eq(wal_live_segments(wal), 2);
    cr_assert_eq(scan(0, &header).end_bytes, end.bytes);
    cr_assert_eq(header.generation, end.generation);
    cr_assert_not(wal_release(wal, 0, &spare));
    cr_assert(wal_release(wal, 1, &spare));
    cr_assert_eq(spare.file, 1);
    cr_assert_not(wal_release(wal, 1, &spare), "the segment of round 2 stays");
    cr_assert_eq(wal_live_segments(wal), 1);
    wal_give_spare(wal, spare); /* recycled */
    wal_rotate(wal, 2);
    cr_assert(wal_round_is_written(wal, 2));
    must_append(4);
    write_one();
    seen_count = 0;
    scan(2, &header);
    cr_assert(seen_count == 1 && seen[0] == 4);
}

Test(wal, a_segment_that_is_being_written_is_not_released, .init = open_wal)
{
    struct wal_write write;
    struct wal_spare spare;
    uint64_t sequence;
    give_spare();
    must_append(1);
    cr_assert(wal_write_take(wal, &write));
    wal_rotate(wal, 1);
    cr_assert_not(wal_round_is_written(wal, 1));
    cr_assert_not(wal_release(wal, 1, &spare), "the kernel still writes to it");
    cr_assert_eq(wal_write_done(wal, (int)write.bytes, &sequence), 0);
    cr_assert(wal_round_is_written(wal, 1));
    cr_assert(wal_release(wal, 1, &spare));
    cr_assert_eq(wal_live_segments(wal), 0);
}

Test(wal, what_a_recycled_file_held_is_never_taken_for_valid, .init = open_wal)
{
    struct wal_spare spare;
    struct wal_header header;
    give_spare();
    for (uint64_t ts = 1; ts <= 20; ts++) {
        must_append(ts);
        write_one();
    }
    wal_rotate(wal, 1);
    cr_assert(wal_release(wal, 1, &spare));
    wal_give_spare(wal, spare);
    must_append(100);
    write_one();
    scan(0, &header);
    cr_assert_eq(seen_count, 1, "the 19 batches behind are of an earlier life");
    cr_assert_eq(seen[0], 100);
}

static void open_after_recovery(void)
{
    struct wal_sealed sealed[] = {{.generation = 5, .bytes = 8192, .file = 7, .fd = -1, .round = 0},
                                  {.generation = 8, .bytes = 12288, .file = 9, .fd = -1, .round = 0}};
    open_with(8, sealed, 2);
}

static void expect_position(uint64_t generation_last, struct store_position applied, uint32_t sealed_count,
                            struct store_position expected)
{
    struct wal_sealed sealed[] = {{.generation = 5, .bytes = 8192, .file = 7, .fd = -1, .round = 0},
                                  {.generation = 8, .bytes = 12288, .file = 9, .fd = -1, .round = 0}};
    struct wal_options options = {.shard = 3, .segment_bytes = SEGMENT_BYTES, .applied = applied};
    cr_assert_eq(wal_open(&wal, &options, generation_last, sealed, sealed_count), 0);
    struct store_position position = wal_position(wal);
    cr_assert(position.generation == expected.generation && position.bytes == expected.bytes);
    wal_close(&wal);
}

/* Segment 8 may be the newest with a header: a position of generation 10 would say that it may be gone. */
Test(wal, without_a_segment_of_its_own_the_position_is_the_end_of_the_newest_old_one_or_what_is_applied)
{
    expect_position(10, (struct store_position){0, 0}, 0, (struct store_position){0, 0});
    expect_position(10, (struct store_position){0, 0}, 2, (struct store_position){8, 12288});
    expect_position(10, (struct store_position){8, 8192}, 2, (struct store_position){8, 12288});
    expect_position(10, (struct store_position){8, 16384}, 2, (struct store_position){8, 16384});
    expect_position(10, (struct store_position){9, 0}, 2, (struct store_position){9, 0});
    expect_position(10, (struct store_position){9, 4096}, 0, (struct store_position){9, 4096});
}

Test(wal, after_a_recovery_the_first_write_is_a_header_with_the_ends_at_which_it_cut, .init = open_after_recovery)
{
    struct wal_write write;
    struct wal_header header;
    struct wal_spare spare;
    uint64_t sequence;
    struct store_position position = wal_position(wal);
    cr_assert(position.generation == 8 && position.bytes == 12288);
    cr_assert_not(wal_write_take_header(wal, &write), "no spare is available");
    give_spare();
    cr_assert(wal_write_take_header(wal, &write));
    cr_assert(write.offset == 0 && write.bytes == WAL_BLOCK_BYTES);
    memcpy(files[write.fd - FD_BASE], write.data, write.bytes);
    cr_assert_eq(wal_write_done(wal, (int)write.bytes, &sequence), 0);
    cr_assert_eq(wal_header_decode(files[0], &header), 0);
    cr_assert(header.generation > 8 && header.previous == 8 && header.sealed_count == 2);
    cr_assert(header.sealed[0].generation == 5 && header.sealed[0].bytes == 8192);
    cr_assert(header.sealed[1].generation == 8 && header.sealed[1].bytes == 12288);
    cr_assert_eq(wal_live_segments(wal), 3);
    cr_assert(wal_release(wal, 0, &spare) && spare.file == 7);
    cr_assert(wal_release(wal, 0, &spare) && spare.file == 9);
    cr_assert_not(wal_release(wal, 0, &spare));
    must_append(1);
    write_one();
    scan(0, &header);
    cr_assert_eq(seen_count, 1);
}

Test(wal, headers_of_another_version_or_garbled_ones_are_told_apart, .init = open_wal)
{
    struct wal_header header = {.shard = 1, .generation = 4, .previous = 3, .sealed_count = WAL_LIVE_SEGMENTS_MAX},
                      back;
    uint8_t block[WAL_BLOCK_BYTES], zero[WAL_BLOCK_BYTES] = {0};
    for (uint32_t i = 0; i < WAL_LIVE_SEGMENTS_MAX; i++) {
        header.sealed[i].generation = i;
        header.sealed[i].bytes = 4096 * i;
    }
    wal_header_encode(&header, block);
    cr_assert_eq(wal_header_decode(block, &back), 0);
    cr_assert(back.generation == 4 && back.previous == 3 && back.sealed_count == WAL_LIVE_SEGMENTS_MAX);
    cr_assert_eq(back.sealed[127].bytes, 4096 * 127);
    cr_assert_eq(wal_header_decode(zero, &back), -ENODATA);
    for (uint32_t i = 0; i < WAL_BLOCK_BYTES; i++) {
        block[i] ^= 0x40;
        cr_assert_eq(wal_header_decode(block, &back), -ENODATA, "byte %u garbled", i);
        block[i] ^= 0x40;
    }
    for (uint32_t cut = 0; cut < WAL_BLOCK_BYTES; cut += 512) {
        memcpy(zero, block, cut);
        cr_assert_eq(wal_header_decode(zero, &back), cut <= 40 + 16 * 127 ? -ENODATA : 0, "cut at %u", cut);
    }
    bytes_store_le32(block + 8, WAL_FORMAT_VERSION + 1);
    cr_assert_eq(wal_header_decode(block, &back), -ENODATA, "a version garbled is no other version");
    bytes_store_le32(block + 12, 0);
    bytes_store_le32(block + 12, hash_crc32c(0, block, WAL_BLOCK_BYTES));
    cr_assert_eq(wal_header_decode(block, &back), -EPROTO);
}

Test(wal, when_as_many_segments_are_live_as_a_header_can_name_it_is_busy, .init = open_wal)
{
    struct wal_header header;
    struct wal_spare spare;
    uint64_t sequence, ts = 0;
    while (wal_live_segments(wal) <= WAL_LIVE_SEGMENTS_MAX) {
        give_spare();
        must_append(++ts);
        cr_assert_gt(write_one(), 0);
        wal_rotate(wal, ts);
    }
    give_spare();
    cr_assert_eq(append(100, ts + 1, &sequence), -ENOSPC);
    cr_assert_eq(wal_header_decode(files[file_count - 2], &header), 0);
    cr_assert_eq(header.sealed_count, WAL_LIVE_SEGMENTS_MAX);
    cr_assert(wal_release(wal, 1, &spare));
    cr_assert_eq(append(100, ts + 1, &sequence), 0, "one has gone");
    cr_assert_eq(write_one(), sequence);
}

/* An accepted record always has a place: when the segment is full and no spare is available, the append is refused. */
Test(wal, what_was_taken_is_written_though_no_spare_is_left, .init = open_wal)
{
    uint64_t sequence = 0, taken = 0, durable = 0;
    int status;
    give_spare();
    while ((status = append(16000, 1, &sequence)) != -ENOSPC) {
        cr_assert(status == 0 || status == -EAGAIN);
        taken = sequence;
        if (status == -EAGAIN || sequence % 2 == 0)
            durable = write_one();
    }
    while (!wal_is_empty(wal))
        durable = write_one();
    cr_assert_eq(durable, taken);
    cr_assert_gt(wal_position(wal).bytes, SEGMENT_BYTES - WAL_BATCH_BYTES_MAX, "the segment was used to its end");
}

Test(wal, it_closes_the_descriptors_that_it_holds, .init = open_wal)
{
    int fds[3];
    uint64_t sequence;
    struct wal_write write;
    for (uint32_t i = 0; i < 3; i++) {
        fds[i] = open("/dev/null", O_RDWR);
        wal_give_spare(wal, (struct wal_spare){.file = i + 1, .fd = fds[i]});
    }
    for (uint64_t ts = 1; ts <= 2; ts++) { /* one sealed, one in use, one spare */
        must_append(ts);
        cr_assert(wal_write_take(wal, &write));
        cr_assert_eq(wal_write_done(wal, (int)write.bytes, &sequence), 0);
        wal_rotate(wal, ts);
    }
    cr_assert_eq(wal_live_segments(wal), 2);
    wal_close(&wal);
    for (uint32_t i = 0; i < 3; i++)
        cr_assert(fcntl(fds[i], F_GETFD) == -1 && errno == EBADF);
}

Test(wal, each_spare_has_its_generation_before_it_is_used, .init = open_wal)
{
    struct wal_assigned assigned;
    struct wal_write write;
    uint64_t sequence;
    uint64_t first = wal_generation_of_next_spare(wal);
    wal_assigned_read(wal, &assigned);
    cr_assert_eq(assigned.count, 1, "no file has the newest generation");
    cr_assert_eq(assigned.segments[0].generation, first - 1);
    cr_assert_eq(assigned.segments[0].file, WAL_ASSIGNED_NO_FILE);
    for (uint32_t i = 0; i < 3; i++)
        wal_give_spare(wal, (struct wal_spare){.file = 9 - i, .fd = open("/dev/null", O_RDWR)});
    cr_assert_eq(wal_generation_of_next_spare(wal), first + 3);
    for (uint32_t used = 0; used < 3; used++) {
        must_append(used + 1);
        cr_assert(wal_write_take(wal, &write));
        struct wal_header header;
        cr_assert_eq(wal_header_decode(write.data, &header), 0);
        cr_assert_eq(header.generation, first + used);
        cr_assert_eq(wal_write_done(wal, (int)write.bytes, &sequence), 0);
        cr_assert_eq(wal_generation_of_next_spare(wal), first + 3);
        wal_assigned_read(wal, &assigned);
        uint32_t sealed = used > 0;
        cr_assert_eq(assigned.count, 3 - used + sealed, "the newest sealed one, the one in use and the spares");
        for (uint32_t i = 0; i < assigned.count; i++) {
            cr_assert_eq(assigned.segments[i].generation, first + used + i - sealed);
            cr_assert_eq(assigned.segments[i].file, 9 - used - i + sealed);
        }
        wal_rotate(wal, used + 1);
    }
    wal_close(&wal);
}

Test(wal, spares_are_taken_back_while_the_segment_in_use_has_room_and_new_ones_get_their_generations, .init = open_wal)
{
    struct wal_spare spares[WAL_SPARES_MAX];
    struct wal_header header;
    for (uint32_t i = 0; i < 3; i++)
        give_spare();
    cr_assert_eq(wal_take_back_spares(wal, 1, spares), 0, "none is older");
    cr_assert_eq(wal_take_back_spares(wal, 2, spares), 3, "no segment is in use, and no record waits for one");
    for (uint32_t i = 0; i < 3; i++)
        wal_give_spare(wal, spares[i]);
    must_append(1);
    cr_assert_eq(wal_take_back_spares(wal, 4, spares), 0, "a record waits");
    write_one();
    cr_assert_eq(wal_take_back_spares(wal, 2, spares), 0, "only the file in use is older");
    uint64_t generation = wal_generation_of_next_spare(wal);
    cr_assert_eq(wal_take_back_spares(wal, 3, spares), 2, "one of both is older");
    cr_assert(spares[0].file == 2 && spares[1].file == 3);
    cr_assert_eq(wal_spare_count(wal), 0);
    cr_assert_eq(wal_generation_of_next_spare(wal), generation - 2);
    must_append(2);
    write_one();
    scan(0, &header);
    cr_assert_eq(seen_count, 2, "the segment in use goes on");
    wal_rotate(wal, 1);
    uint64_t sequence;
    cr_assert_eq(append(100, 3, &sequence), -ENOSPC);
    give_spare();
    must_append(3);
    write_one();
    scan(3, &header);
    cr_assert_eq(header.generation, generation - 2, "the new file has the generation of the first that was taken back");
}
