/*
 * wal.h and its reader together, against a model: random appends, writes, rotations and recycling, then a crash that
 * leaves any sectors of the write in flight; and a second life that records where it cut them, after which the
 * rest of that write reaches the disk late.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "storage/log.h"
#include "storage/memtable/record_heap.h"
#include "storage/wal/wal.h"

#define SEGMENT_BYTES WAL_SEGMENT_BYTES_MIN
/* The first of the descriptors. None is open: the WAL only passes them on, and closing them does nothing. */
#define FD_BASE 100000
#define FILES 12u
#define STEPS 5000u
#define SECTOR_BYTES 512u
#define TS_MAX 4000u

static struct record_heap *heap;
static uint8_t *files[FILES];

struct life {
    struct wal *wal;
    struct wal_write write; /* in flight, if `is_writing` */
    bool is_writing;
    uint64_t ts_of_batch[TS_MAX + 1]; /* the last ts in it, by sequence */
    uint64_t ts_appended;
    uint64_t ts_durable;
    uint64_t ts_rotated; /* the last ts of `round` */
    uint64_t ts_released;
    uint64_t round;
    uint64_t round_released;
    uint64_t generation_last; /* before it began */
    struct store_position applied;
    uint32_t segments_max; /* live at once, to know that the test got there */
};

static uint32_t below(uint32_t bound)
{
    return (uint32_t)rand() % bound;
}

static void open_files(void)
{
    cr_assert_eq(record_heap_open(&heap, 8u << 20), 0);
    for (uint32_t i = 0; i < FILES; i++)
        files[i] = calloc(1, SEGMENT_BYTES);
}

static void free_files(void)
{
    for (uint32_t i = 0; i < FILES; i++)
        free(files[i]);
    record_heap_close(&heap);
}

TestSuite(wal_crash, .init = open_files, .fini = free_files);

/* -- one life of the WAL -- */

/* Generations are never used twice, over all lives: `generation_last` is above all that the files were written with. */
static void begin_life(struct life *life, uint64_t generation_last)
{
    struct wal_options options = {.shard = 1, .segment_bytes = SEGMENT_BYTES};
    *life = (struct life){.generation_last = generation_last};
    cr_assert_eq(wal_open(&life->wal, &options, generation_last, NULL, 0), 0);
    for (uint32_t i = 0; i < FILES; i++) {
        memset(files[i], 0, WAL_BLOCK_BYTES); /* recycled from the life before: only the header is cleared */
        wal_give_spare(life->wal, (struct wal_spare){.file = i, .fd = FD_BASE + (int)i});
    }
}

static void append(struct life *life)
{
    static char text[LIMIT_TEXT_BYTES];
    memset(text, 't', sizeof text);
    uint64_t sequence;
    if (life->ts_appended == TS_MAX)
        return;
    struct record *record = record_heap_take(heap, SPAN_LITERAL("alice"), SPAN_LITERAL("bob"), SPAN_LITERAL(""),
                                             (struct span){text, 1 + below(LIMIT_TEXT_BYTES)});
    record->ts_from = life->ts_appended + 1;
    int status = log_append(&(struct log){.file = life->wal}, record, &sequence);
    record_heap_unref(heap, &record);
    if (status == 0)
        life->ts_of_batch[sequence] = ++life->ts_appended;
    else
        cr_assert(status == -EAGAIN || status == -ENOSPC);
}

static void land(const struct wal_write *write, uint32_t at, uint32_t bytes)
{
    memcpy(files[write->fd - FD_BASE] + write->offset + at, (const uint8_t *)write->data + at, bytes);
}

static void write_on(struct life *life)
{
    uint64_t sequence;
    if (!life->is_writing) {
        life->is_writing = wal_write_take(life->wal, &life->write);
        return;
    }
    land(&life->write, 0, life->write.bytes);
    cr_assert_eq(wal_write_done(life->wal, (int)life->write.bytes, &sequence), 0);
    cr_assert_gt(life->ts_of_batch[sequence], life->ts_durable, "each write makes more durable");
    life->ts_durable = life->ts_of_batch[sequence];
    life->is_writing = false;
}

static void rotate(struct life *life)
{
    if (life->round != life->round_released)
        return; /* one at a time, as checkpoints are */
    wal_rotate(life->wal, ++life->round);
    life->ts_rotated = life->ts_appended;
}

/* The end of a checkpoint: the position is in the store, the files are recycled. */
static void release(struct life *life)
{
    struct wal_spare spare;
    if (life->round == life->round_released || !wal_round_is_written(life->wal, life->round))
        return;
    cr_assert_geq(life->ts_durable, life->ts_rotated);
    life->applied = wal_position(life->wal);
    life->ts_released = life->ts_rotated; /* what came after is in no run yet, durable or not */
    life->round_released = life->round;
    while (wal_release(life->wal, life->round, &spare)) {
        memset(files[spare.fd - FD_BASE], 0, WAL_BLOCK_BYTES);
        wal_give_spare(life->wal, spare);
    }
}

static void live(struct life *life, uint32_t steps)
{
    while (steps-- > 0) {
        uint32_t dice = below(1000);
        if (dice < 600)
            append(life);
        else if (dice < 990)
            write_on(life);
        else if (dice < 994)
            rotate(life);
        else
            release(life);
        if (wal_live_segments(life->wal) > life->segments_max)
            life->segments_max = wal_live_segments(life->wal);
    }
}

/* -- what the next life finds -- */

struct found {
    struct wal_header newest;
    struct wal_sealed sealed[FILES]; /* ascending by generation, at which ends they were cut */
    uint32_t sealed_count;
    uint64_t ts_first; /* 0: nothing */
    uint64_t ts_last;
};

static int see(void *context, const struct record_fields *fields)
{
    struct found *found = context;
    if (found->ts_first == 0)
        found->ts_first = fields->ts_from;
    else
        cr_assert_eq(fields->ts_from, found->ts_last + 1, "nothing is missing inside");
    found->ts_last = fields->ts_from;
    return 0;
}

static uint32_t file_of(uint64_t generation)
{
    struct wal_header header;
    for (uint32_t i = 0; i < FILES; i++)
        if (wal_header_decode(files[i], &header) == 0 && header.generation == generation)
            return i;
    return FILES;
}

static void scan_one(struct found *found, uint64_t generation, uint64_t limit)
{
    struct wal_scan scan;
    uint32_t file = file_of(generation);
    bool is_newest = generation == found->newest.generation;
    cr_assert_eq(wal_scan(files[file], SEGMENT_BYTES, generation, limit, see, found, &scan), 0);
    cr_assert_neq(scan.end, WAL_END_DAMAGE, "a crash is no damage");
    cr_assert(is_newest || scan.end_bytes == limit, "what is sealed is whole");
    if (scan.end_bytes > WAL_BLOCK_BYTES)
        found->sealed[found->sealed_count++] =
            (struct wal_sealed){.generation = generation, .bytes = scan.end_bytes, .file = file, .fd = -1};
}

static struct found recover(struct store_position applied)
{
    struct found found = {.ts_first = 0};
    struct wal_header header;
    for (uint32_t i = 0; i < FILES; i++)
        if (wal_header_decode(files[i], &header) == 0 && header.generation > found.newest.generation)
            found.newest = header;
    if (found.newest.generation == 0)
        return found;
    for (uint32_t i = 0; i < found.newest.sealed_count; i++) {
        uint64_t generation = found.newest.sealed[i].generation, bytes = found.newest.sealed[i].bytes;
        if (file_of(generation) < FILES)
            scan_one(&found, generation, bytes);
        else
            cr_assert(generation < applied.generation || (generation == applied.generation && bytes <= applied.bytes),
                      "only what is applied may be gone");
    }
    scan_one(&found, found.newest.generation, SEGMENT_BYTES);
    return found;
}

/* Any of the write's sectors are on the disk, in no order. */
static void crash(struct life *life)
{
    if (!life->is_writing)
        return;
    uint32_t chance = below(5);
    for (uint32_t at = 0; at < life->write.bytes; at += SECTOR_BYTES)
        if (below(4) < chance)
            land(&life->write, at, SECTOR_BYTES);
}

static void expect_all_durable(const struct life *life, const struct found *found)
{
    cr_assert_leq(found->ts_last, life->ts_appended);
    if (life->ts_durable == life->ts_released)
        return;
    cr_assert_geq(found->ts_last, life->ts_durable, "what was durable is found");
    cr_assert_leq(found->ts_first, life->ts_released + 1);
}

Test(wal_crash, whatever_is_left_of_the_write_in_flight_all_that_was_durable_is_found)
{
    static struct life life;
    uint32_t writing = 0, rounds = 0, segments_max = 0;
    for (uint32_t seed = 1; seed <= 60; seed++) {
        srand(seed);
        begin_life(&life, 1000 * seed);
        live(&life, 1 + below(STEPS));
        crash(&life);
        struct found found = recover(life.applied);
        expect_all_durable(&life, &found);
        writing += life.is_writing;
        rounds += life.round_released > 0;
        segments_max = life.segments_max > segments_max ? life.segments_max : segments_max;
        wal_close(&life.wal);
    }
    cr_assert(writing > 15 && rounds > 30 && segments_max > 2, "%u %u %u", writing, rounds, segments_max);
}

/* The second life, as recovery does it: one generation is left out, and a header with the cuts comes before all. */
static void begin_second_life(const struct life *life, const struct found *found, uint8_t *fresh, struct wal **wal_r)
{
    struct wal_options options = {.shard = 1, .segment_bytes = SEGMENT_BYTES};
    struct wal_write write;
    uint64_t sequence;
    uint64_t last = found->newest.generation > 0 ? found->newest.generation : life->generation_last;
    cr_assert_eq(wal_open(wal_r, &options, last + 1, found->sealed, found->sealed_count), 0);
    wal_give_spare(*wal_r, (struct wal_spare){.file = 99, .fd = FD_BASE + 99});
    cr_assert(wal_write_take_header(*wal_r, &write));
    memcpy(fresh, write.data, write.bytes);
    cr_assert_eq(wal_write_done(*wal_r, (int)write.bytes, &sequence), 0);
}

Test(wal_crash, a_write_that_lands_after_the_cut_was_named_changes_nothing)
{
    static struct life life;
    uint32_t late = 0;
    for (uint32_t seed = 100; seed < 160; seed++) {
        struct wal *second;
        struct wal_header header;
        struct wal_scan scan;
        uint8_t *fresh = calloc(1, SEGMENT_BYTES);
        srand(seed);
        begin_life(&life, 1000 * seed);
        live(&life, 50 + below(STEPS));
        crash(&life);
        struct found found = recover(life.applied), again = {.ts_first = 0};
        begin_second_life(&life, &found, fresh, &second);
        if (life.is_writing) {
            land(&life.write, 0, life.write.bytes);
            late += recover(life.applied).ts_last > found.ts_last;
        }
        cr_assert_eq(wal_header_decode(fresh, &header), 0);
        for (uint32_t i = 0; i < FILES; i++) {
            struct wal_header old;
            cr_assert(wal_header_decode(files[i], &old) != 0 || old.generation < header.generation, "ours is newest");
        }
        for (uint32_t i = 0; i < header.sealed_count; i++) {
            const uint8_t *data = files[file_of(header.sealed[i].generation)];
            cr_assert_eq(
                wal_scan(data, SEGMENT_BYTES, header.sealed[i].generation, header.sealed[i].bytes, see, &again, &scan),
                0);
            cr_assert(scan.end == WAL_END_CLEAN && scan.end_bytes == header.sealed[i].bytes);
        }
        cr_assert(again.ts_first == found.ts_first && again.ts_last == found.ts_last);
        wal_close(&second);
        wal_close(&life.wal);
        free(fresh);
    }
    cr_assert_gt(late, 10, "%u writes would have shown up", late);
}
