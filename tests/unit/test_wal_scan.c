/* wal_scan: tails torn at every sector, bytes garbled anywhere, damage before a valid batch. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "storage/memtable/record_heap.h"
#include "storage/wal/wal_format.h"

#define GENERATION 42u
#define BATCHES 5u
#define FILE_BYTES (256u << 10)
#define SECTOR_BYTES 512u

static uint8_t *file;
static uint32_t starts[BATCHES + 1]; /* offsets of the batches, and of the end */

/* A batch of `records` records of `text_bytes` each, with ts from `ts` on. Returns its bytes on the disk. */
static uint32_t put_batch(uint8_t *at, uint64_t generation, uint64_t sequence, uint32_t records, uint32_t text_bytes,
                          uint64_t ts)
{
    struct record *record = calloc(1, sizeof *record + 64 + text_bytes);
    struct wal_batch batch = {.sequence = sequence, .record_count = records};
    record->from_bytes = 5;
    record->to_bytes = 3;
    record->text_bytes = (uint16_t)text_bytes;
    memcpy(record->body, "alicebob", 8);
    memset(record->body + 8, 't', text_bytes);
    for (uint32_t i = 0; i < records; i++) {
        record->ts_from = ts + i;
        batch.payload_bytes += record_encode(record, at + WAL_BATCH_HEADER_BYTES + batch.payload_bytes);
    }
    free(record);
    return wal_batch_encode(generation, &batch, at);
}

/* Five batches of ten records; the third has several blocks. */
static void make_file(void)
{
    file = calloc(1, FILE_BYTES);
    uint32_t at = WAL_BLOCK_BYTES;
    for (uint32_t i = 0; i < BATCHES; i++) {
        starts[i] = at;
        at += put_batch(file + at, GENERATION, i + 7, 10, i == 2 ? 2000 : 50, 10 * i);
    }
    starts[BATCHES] = at;
}

static void free_file(void)
{
    free(file);
}

TestSuite(wal_scan, .init = make_file, .fini = free_file);

static uint64_t next_ts;

static int see(void *context, const struct record_fields *fields)
{
    (void)context;
    cr_assert_eq(fields->ts_from, next_ts++, "records come in order");
    return 0;
}

static struct wal_scan scan_up_to(uint64_t limit)
{
    struct wal_scan scan;
    next_ts = 0;
    cr_assert_eq(wal_scan(file, FILE_BYTES, GENERATION, limit, see, NULL, &scan), 0);
    cr_assert_eq(scan.record_count, next_ts);
    return scan;
}

static struct wal_scan scan_all(void)
{
    return scan_up_to(FILE_BYTES);
}

Test(wal_scan, a_whole_log_ends_clean)
{
    struct wal_scan scan = scan_all();
    cr_assert(scan.end == WAL_END_CLEAN && scan.batch_count == BATCHES && scan.record_count == 10 * BATCHES);
    cr_assert_eq(scan.end_bytes, starts[BATCHES]);
}

Test(wal_scan, a_last_batch_torn_at_any_sector_is_cut_there)
{
    uint32_t last = starts[BATCHES - 1], bytes = starts[BATCHES] - last;
    uint8_t *whole = malloc(bytes);
    memcpy(whole, file + last, bytes);
    for (uint32_t cut = 0; cut < bytes; cut += SECTOR_BYTES) {
        memset(file + last, 0, bytes);
        memcpy(file + last, whole, cut);
        struct wal_scan scan = scan_all();
        bool is_whole = memcmp(file + last, whole, bytes) == 0; /* what was cut off may have been padding */
        cr_assert_eq(scan.end_bytes, is_whole ? starts[BATCHES] : last);
        cr_assert_neq(scan.end, WAL_END_DAMAGE);
        cr_assert_eq(scan.batch_count, is_whole ? BATCHES : BATCHES - 1);
    }
    free(whole);
}

/* Not only whole sectors: what a failing disk leaves may end at any byte, and what follows may be anything. */
Test(wal_scan, a_last_batch_torn_at_any_byte_is_cut_there)
{
    struct wal_batch batch;
    uint32_t last = starts[BATCHES - 1];
    cr_assert_eq(wal_batch_decode(file + last, FILE_BYTES - last, GENERATION, &batch), 0);
    uint32_t bytes = WAL_BATCH_HEADER_BYTES + batch.payload_bytes; /* the last byte is one of a text: not zero */
    uint8_t *whole = malloc(bytes);
    memcpy(whole, file + last, bytes);
    for (uint32_t cut = 0; cut < bytes; cut++) {
        memcpy(file + last, whole, cut);
        for (uint32_t i = cut; i < bytes; i++)
            file[last + i] = cut % 2 == 0 ? 0 : (uint8_t)~whole[i];
        struct wal_scan scan = scan_all();
        cr_assert_eq(scan.batch_count, BATCHES - 1, "cut at %u", cut);
        cr_assert_eq(scan.end_bytes, last);
        cr_assert_neq(scan.end, WAL_END_DAMAGE);
        cr_assert(scan.end == WAL_END_CLEAN || scan.damage_bytes == last);
    }
    free(whole);
}

Test(wal_scan, a_last_batch_of_several_blocks_with_any_sector_missing_is_torn)
{
    memset(file + starts[3], 0, starts[BATCHES] - starts[3]); /* the third is the last now */
    uint32_t end = starts[3];
    uint8_t sector[SECTOR_BYTES];
    uint32_t torn = 0;
    for (uint32_t at = starts[2]; at < end; at += SECTOR_BYTES) {
        memcpy(sector, file + at, SECTOR_BYTES);
        memset(file + at, 0, SECTOR_BYTES);
        bool was_padding = memcmp(sector, file + at, SECTOR_BYTES) == 0;
        struct wal_scan scan = scan_all();
        cr_assert_eq(scan.batch_count, was_padding ? 3 : 2, "sector at %u", at);
        cr_assert_neq(scan.end, WAL_END_DAMAGE);
        torn += scan.end == WAL_END_TORN;
        memcpy(file + at, sector, SECTOR_BYTES);
    }
    cr_assert_gt(torn, 20);
}

Test(wal_scan, any_bit_garbled_in_the_last_batch_cuts_it)
{
    uint32_t last = starts[BATCHES - 1];
    uint32_t bytes = WAL_BATCH_HEADER_BYTES + 10 * 90; /* header and most of the payload */
    for (uint32_t i = 0; i < bytes; i++) {
        file[last + i] ^= (uint8_t)(1u << i % 8);
        struct wal_scan scan = scan_all();
        cr_assert_eq(scan.batch_count, BATCHES - 1, "byte %u", i);
        cr_assert_eq(scan.end_bytes, last);
        cr_assert_neq(scan.end, WAL_END_DAMAGE);
        file[last + i] ^= (uint8_t)(1u << i % 8);
    }
    cr_assert_eq(scan_all().end, WAL_END_CLEAN);
}

Test(wal_scan, a_bad_batch_before_a_valid_one_is_damage_with_its_offset)
{
    for (uint32_t batch = 0; batch + 1 < BATCHES; batch++)
        for (uint32_t i = 0; i < 600; i += 7) {
            file[starts[batch] + i] ^= 0x10;
            struct wal_scan scan = scan_all();
            cr_assert_eq(scan.end, WAL_END_DAMAGE, "batch %u byte %u", batch, i);
            cr_assert_eq(scan.damage_bytes, starts[batch]);
            cr_assert_eq(scan.end_bytes, starts[batch]);
            file[starts[batch] + i] ^= 0x10;
        }
}

Test(wal_scan, a_batch_that_is_missing_in_the_middle_is_damage)
{
    memset(file + starts[1], 0, starts[2] - starts[1]);
    struct wal_scan scan = scan_all();
    cr_assert_eq(scan.end, WAL_END_DAMAGE);
    cr_assert_eq(scan.damage_bytes, starts[1]);
}

Test(wal_scan, a_batch_out_of_sequence_is_damage)
{
    put_batch(file + starts[BATCHES], GENERATION, 99, 1, 10, 50);
    struct wal_scan scan = scan_all();
    cr_assert_eq(scan.end, WAL_END_DAMAGE);
    cr_assert_eq(scan.damage_bytes, starts[BATCHES]);
}

Test(wal_scan, batches_of_another_generation_are_the_clean_end)
{
    put_batch(file + starts[BATCHES], GENERATION - 1, 12, 3, 10, 50);
    struct wal_scan scan = scan_all();
    cr_assert(scan.end == WAL_END_CLEAN && scan.end_bytes == starts[BATCHES]);
    put_batch(file + starts[BATCHES], GENERATION + 1, 12, 3, 10, 50);
    cr_assert_eq(scan_all().end, WAL_END_CLEAN);
}

/* The bytes on the disk are a promise: computed here by the words of wal_format.h. */
Test(wal_scan, the_crc_of_a_batch_begins_with_its_generation)
{
    const uint8_t *batch = file + starts[2];
    uint8_t seed[8];
    bytes_store_le64(seed, GENERATION);
    uint32_t crc = hash_crc32c(0, seed, sizeof seed);
    crc = hash_crc32c(crc, batch, 36);
    crc = hash_crc32c(crc, batch + WAL_BATCH_HEADER_BYTES, bytes_load_le32(batch + 24));
    cr_assert_eq(bytes_load_le32(batch + 36), crc);
    cr_assert(bytes_load_le64(batch + 8) == GENERATION && bytes_load_le64(batch + 16) == 9);
    cr_assert(bytes_load_le32(batch + 28) == 10 && bytes_load_le32(batch + 32) == 0);
}

/* A batch of another life is not valid even where its header says this one. */
Test(wal_scan, a_batch_that_only_claims_this_generation_is_torn)
{
    uint8_t *next = file + starts[BATCHES];
    put_batch(next, GENERATION - 1, BATCHES + 7, 3, 10, 10 * BATCHES);
    bytes_store_le64(next + 8, GENERATION);
    struct wal_scan scan = scan_all();
    cr_assert(scan.end == WAL_END_TORN && scan.batch_count == BATCHES && scan.damage_bytes == starts[BATCHES]);
    put_batch(next, GENERATION, BATCHES + 7, 3, 10, 10 * BATCHES);
    cr_assert_eq(scan_all().batch_count, BATCHES + 1, "the same bytes with the right seed are valid");
}

Test(wal_scan, a_batch_whose_records_do_not_add_up_is_refused_though_its_crc_is_good)
{
    static const int changes[] = {-1, 1};
    for (int i = 0; i < 2; i++) {
        struct wal_scan scan;
        struct wal_batch batch;
        cr_assert_eq(wal_batch_decode(file + starts[1], FILE_BYTES - starts[1], GENERATION, &batch), 0);
        batch.record_count = (uint32_t)(10 + changes[i]);
        wal_batch_encode(GENERATION, &batch, file + starts[1]);
        next_ts = 0;
        cr_assert_eq(wal_scan(file, FILE_BYTES, GENERATION, FILE_BYTES, see, NULL, &scan), -EBADMSG);
        cr_assert_eq(scan.end_bytes, starts[1], "where it is, for who reports it");
    }
}

/* A killed server's last write may land after the next one has named its cut: torn, whole, or more than one. */
Test(wal_scan, a_late_write_beyond_the_named_cut_is_ignored)
{
    uint64_t cut = starts[BATCHES];
    uint8_t *late = file + cut;
    uint32_t bytes = put_batch(late, GENERATION, BATCHES + 7, 10, 2000, 10 * BATCHES);
    cr_assert_eq(scan_all().batch_count, BATCHES + 1, "without a cut it would count");
    for (uint32_t landed = bytes + SECTOR_BYTES; landed > 0;) {
        landed -= SECTOR_BYTES;
        memset(late + landed, 0, bytes - landed);
        struct wal_scan scan = scan_up_to(cut);
        cr_assert(scan.end == WAL_END_CLEAN && scan.batch_count == BATCHES && scan.end_bytes == cut);
    }
}

Test(wal_scan, nothing_beyond_the_sealed_length_is_looked_at)
{
    struct wal_scan scan = scan_up_to(starts[3]);
    cr_assert(scan.end == WAL_END_CLEAN && scan.batch_count == 3 && scan.end_bytes == starts[3]);
    file[starts[4] + 50] ^= 1;
    cr_assert_eq(scan_up_to(starts[3]).end, WAL_END_CLEAN);
    file[starts[1] + 50] ^= 1;
    scan = scan_up_to(starts[3]);
    cr_assert_lt(scan.end_bytes, starts[3], "short of the sealed length: the caller calls that damage");
}

static int stop_at_three(void *context, const struct record_fields *fields)
{
    (void)context;
    return fields->ts_from == 3 ? -ECANCELED : 0;
}

Test(wal_scan, the_visitor_may_end_it)
{
    struct wal_scan scan;
    cr_assert_eq(wal_scan(file, FILE_BYTES, GENERATION, FILE_BYTES, stop_at_three, NULL, &scan), -ECANCELED);
    cr_assert_eq(scan.record_count, 3);
}

Test(wal_scan, a_users_text_is_never_taken_for_a_batch)
{
    uint64_t generation;
    char text[64];
    memcpy(text, file + starts[0], 8); /* the magic */
    cr_assert(wal_batch_peek(file + starts[0], 4096, &generation));
    bool is_utf8_possible = true;
    for (int i = 0; i < 8; i++)
        is_utf8_possible &= (uint8_t)text[i] < 0x80;
    cr_assert_not(is_utf8_possible);
}

Test(wal_scan, random_bytes_never_lead_it_astray)
{
    struct wal_scan scan;
    srand(8);
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t changes = 1 + (uint32_t)rand() % 20;
        uint8_t *copy = malloc(FILE_BYTES);
        memcpy(copy, file, FILE_BYTES);
        while (changes-- > 0)
            copy[WAL_BLOCK_BYTES + (uint32_t)rand() % (starts[BATCHES] - WAL_BLOCK_BYTES)] = (uint8_t)rand();
        next_ts = 0;
        cr_assert_eq(wal_scan(copy, FILE_BYTES, GENERATION, FILE_BYTES, see, NULL, &scan), 0);
        cr_assert_leq(scan.end_bytes, starts[BATCHES]);
        free(copy);
    }
}

Test(wal_scan, a_file_without_a_header_says_which_batches_it_holds)
{
    struct wal_stray stray;
    wal_scan_stray(file, FILE_BYTES, &stray);
    cr_assert(stray.generation == GENERATION && stray.first_bytes == starts[0] && stray.last_bytes == starts[4]);
    put_batch(file + starts[BATCHES] + 8192, GENERATION + 5, 1, 1, 10, 0);
    wal_scan_stray(file, FILE_BYTES, &stray);
    cr_assert(stray.generation == GENERATION + 5 && stray.first_bytes == starts[BATCHES] + 8192);
    memset(file, 0, FILE_BYTES);
    wal_scan_stray(file, FILE_BYTES, &stray);
    cr_assert_eq(stray.generation, 0);
}
