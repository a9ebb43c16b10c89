#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "remove_tree.h"
#include "storage/wal/wal_format.h"
#include "storage/wal/wal_survey.h"

#define FILE_BYTES (16u * WAL_BLOCK_BYTES)

static char dir[32];
static unsigned char image[FILE_BYTES];
static struct wal_survey survey;
static struct wal_assigned assigned; /* by the manifest; empty unless a test fills it */

static void setup(void)
{
    strcpy(dir, "/tmp/chitchat-survey-XXXXXX");
    memset(image, 0, sizeof image);
    assigned = (struct wal_assigned){.count = 0};
    cr_assert_not_null(mkdtemp(dir));
}

static void teardown(void)
{
    wal_survey_fini(&survey);
    remove_tree(dir);
}

TestSuite(wal_survey, .init = setup, .fini = teardown);

/* A batch of one record at `at` of the image; where it ends. */
static uint64_t put_batch(uint64_t at, uint64_t generation, uint64_t sequence)
{
    union {
        struct record record;
        char bytes[sizeof(struct record) + 16];
    } memory = {.record = {.ts_from = sequence, .ts_to = sequence, .from_bytes = 1, .to_bytes = 1, .text_bytes = 1}};
    memcpy(memory.record.body, "abt", 3);
    uint32_t bytes = record_encode(&memory.record, image + at + WAL_BATCH_HEADER_BYTES);
    struct wal_batch batch = {sequence, bytes, 1};
    return at + wal_batch_encode(generation, &batch, image + at);
}

static void put_file(const struct wal_header *header, uint32_t batches)
{
    memset(image, 0, sizeof image);
    wal_header_encode(header, image);
    uint64_t at = WAL_BLOCK_BYTES;
    for (uint32_t i = 0; i < batches; i++)
        at = put_batch(at, header->generation, i + 1);
}

static void write_file(uint32_t number, size_t bytes)
{
    char path[128];
    snprintf(path, sizeof path, "%s/segment-%06u.wal", dir, number);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(image, 1, bytes, file), bytes);
    cr_assert_eq(fclose(file), 0);
}

static void add_segment(uint32_t number, const struct wal_header *header, uint32_t batches)
{
    put_file(header, batches);
    write_file(number, sizeof image);
}

static int read_at(uint64_t generation, uint64_t bytes)
{
    wal_survey_fini(&survey);
    return wal_survey_read(&survey, dir, 0, (struct store_position){generation, bytes}, &assigned);
}

static const struct wal_header first = {.generation = 3, .previous = 1, .file_bytes = FILE_BYTES};
static const struct wal_header second = {
    .generation = 4,
    .previous = 3,
    .file_bytes = FILE_BYTES,
    .sealed_count = 1,
    .sealed = {{3, 3 * WAL_BLOCK_BYTES}},
};

Test(wal_survey, the_newest_and_those_that_it_names_are_live)
{
    struct wal_header old = {.generation = 1, .file_bytes = FILE_BYTES};
    add_segment(7, &second, 1);
    add_segment(8, &old, 1);
    add_segment(9, &first, 2);
    cr_assert_eq(read_at(2, 4096), 0, "%s", survey.error);
    cr_assert_eq(survey.file_count, 3);
    cr_assert(!survey.files[0].is_live && survey.files[1].is_live && survey.files[2].is_live);
    cr_assert_eq(survey.files[1].end_bytes, 3 * WAL_BLOCK_BYTES);
    cr_assert(wal_survey_is_newest(&survey, &survey.files[2]));
    cr_assert_eq(survey.generation_last, 4);
}

Test(wal_survey, a_named_segment_may_be_missing_only_if_the_runs_hold_it)
{
    add_segment(7, &second, 1);
    cr_assert_eq(read_at(3, 3 * WAL_BLOCK_BYTES), 0, "%s", survey.error);
    cr_assert_eq(read_at(3, 2 * WAL_BLOCK_BYTES), -EBADMSG);
    cr_assert_not_null(strstr(survey.error, "generation 3 is missing"), "%s", survey.error);
}

Test(wal_survey, a_missing_file_with_a_generation_above_the_newest_header_is_refused)
{
    add_segment(7, &first, 2);
    wal_assigned_add(&assigned, 3, 7);
    cr_assert_eq(read_at(2, 4096), 0, "%s", survey.error);
    wal_assigned_add(&assigned, 4, 8);
    cr_assert_eq(read_at(2, 4096), -EBADMSG);
    cr_assert_not_null(strstr(survey.error, "segment-000008.wal is missing"), "%s", survey.error);
    cr_assert_not_null(strstr(survey.error, "generation 4"), "%s", survey.error);
    cr_assert_eq(read_at(4, 4096), -EBADMSG, "what is above the applied position of its segment may be lost");
    cr_assert_eq(read_at(5, 0), 0, "the runs hold all of it: %s", survey.error);
    memset(image, 0, sizeof image);
    write_file(8, sizeof image);
    cr_assert_eq(read_at(2, 4096), 0, "a spare: %s", survey.error);
}

Test(wal_survey, the_only_segment_is_missed_too)
{
    wal_assigned_add(&assigned, 2, 1);
    cr_assert_eq(read_at(0, 0), -EBADMSG);
    cr_assert_not_null(strstr(survey.error, "segment-000001.wal is missing"), "%s", survey.error);
}

Test(wal_survey, an_older_segment_in_place_of_an_assigned_one_is_refused)
{
    struct wal_header old = {.generation = 1, .file_bytes = FILE_BYTES};
    add_segment(7, &first, 2);
    add_segment(8, &old, 1);
    wal_assigned_add(&assigned, 4, 8);
    cr_assert_eq(read_at(2, 4096), -EBADMSG);
    cr_assert_not_null(strstr(survey.error, "segment-000008.wal is an older segment"), "%s", survey.error);
}

Test(wal_survey, files_assigned_up_to_the_newest_header_may_be_anywhere)
{
    add_segment(7, &second, 1);
    add_segment(9, &first, 2);
    wal_assigned_add(&assigned, 3, 1);
    wal_assigned_add(&assigned, 4, 2);
    cr_assert_eq(read_at(2, 4096), 0, "%s", survey.error);
}

Test(wal_survey, the_newest_generation_that_any_file_may_have_is_that_of_the_list)
{
    add_segment(7, &first, 2);
    cr_assert_eq(read_at(2, 4096), 0, "%s", survey.error);
    cr_assert_eq(survey.generation_given, 3);
    wal_assigned_add(&assigned, 9, WAL_ASSIGNED_NO_FILE);
    cr_assert_eq(read_at(2, 4096), 0, "no file has it: %s", survey.error);
    cr_assert_eq(survey.generation_given, 9);
    cr_assert_eq(survey.generation_last, 3, "a file without a header may have lost that of any above");
}

Test(wal_survey, two_files_with_the_generation_of_a_live_segment_are_damage)
{
    add_segment(7, &first, 2);
    add_segment(9, &second, 1);
    add_segment(8, &second, 0);
    cr_assert_eq(read_at(2, 4096), -EBADMSG);
    cr_assert_not_null(strstr(survey.error, "both have generation 4"), "%s", survey.error);
    cr_assert_eq(read_at(5, 0), 0, "the runs hold all of it: %s", survey.error);
}

Test(wal_survey, a_header_of_generation_0_is_damage)
{
    static const unsigned char zero[4];
    put_file(&first, 1);
    memset(image + 24, 0, 8);
    uint32_t crc = hash_crc32c(hash_crc32c(hash_crc32c(0, image, 12), zero, 4), image + 16, WAL_BLOCK_BYTES - 16);
    bytes_store_le32(image + 12, crc);
    write_file(1, sizeof image);
    cr_assert_eq(read_at(0, 0), -EBADMSG);
    cr_assert_not_null(strstr(survey.error, "at offset 0: its header is damaged"), "%s", survey.error);
}

Test(wal_survey, any_flip_in_a_header_is_refused_at_offset_0)
{
    for (uint32_t at = 0; at < WAL_BLOCK_BYTES; at++) {
        put_file(&second, 1);
        image[at] ^= 0x10;
        write_file(1, sizeof image);
        cr_assert_lt(read_at(3, 3 * WAL_BLOCK_BYTES), 0, "byte %u", at);
        cr_assert_not_null(strstr(survey.error, "segment-000001.wal"), "byte %u: %s", at, survey.error);
    }
}

Test(wal_survey, a_header_torn_at_sectors_is_the_work_of_a_crash)
{
    struct wal_header full = {.generation = 200, .previous = 199, .file_bytes = FILE_BYTES, .sealed_count = 100};
    for (uint32_t i = 0; i < full.sealed_count; i++)
        full.sealed[i].generation = 50 + i, full.sealed[i].bytes = 3 * WAL_BLOCK_BYTES;
    for (uint32_t written = 0; written < 255; written++) {
        put_file(&full, 0);
        for (uint32_t sector = 0; sector < 8; sector++)
            if ((written >> sector & 1) == 0)
                memset(image + sector * 512, 0, 512);
        write_file(1, sizeof image);
        int status = read_at(300, 4096);
        cr_assert_eq(status, 0, "sectors %02x: %s", written, survey.error);
    }
}

Test(wal_survey, the_newest_segment_cut_short_is_refused_wherever_it_was_cut)
{
    for (size_t bytes = 0; bytes < FILE_BYTES; bytes += 2048) {
        put_file(&first, 3);
        write_file(1, bytes);
        cr_assert_eq(read_at(2, 4096), -EBADMSG, "%zu bytes", bytes);
        cr_assert_not_null(strstr(survey.error, "cut short"), "%s", survey.error);
    }
}

static int count_one(void *context, const struct record_fields *fields)
{
    (void)fields;
    ++*(uint32_t *)context;
    return 0;
}

Test(wal_survey, a_scan_judges_finished_segments_by_their_length_and_the_newest_by_its_end)
{
    struct wal_scan scan;
    uint32_t records = 0;
    add_segment(1, &first, 2);
    add_segment(2, &second, 2);
    cr_assert_eq(read_at(2, 4096), 0, "%s", survey.error);
    cr_assert_eq(wal_survey_scan(&survey, &survey.files[0], count_one, &records, &scan), 0);
    cr_assert_eq(wal_survey_scan(&survey, &survey.files[1], count_one, &records, &scan), 0);
    cr_assert_eq(records, 4);
    put_file(&first, 2);
    image[2 * WAL_BLOCK_BYTES + WAL_BATCH_HEADER_BYTES] ^= 1;
    write_file(1, sizeof image);
    cr_assert_eq(wal_survey_scan(&survey, &survey.files[0], count_one, &records, &scan), -EBADMSG);
    cr_assert_not_null(strstr(survey.error, "offset 8192"), "%s", survey.error);
    put_file(&second, 2);
    image[2 * WAL_BLOCK_BYTES + WAL_BATCH_HEADER_BYTES] ^= 1;
    write_file(2, sizeof image);
    cr_assert_eq(wal_survey_scan(&survey, &survey.files[1], count_one, &records, &scan), 0, "a torn tail");
    cr_assert_eq(scan.end, WAL_END_TORN);
    cr_assert_eq(survey.files[1].end_bytes, 2 * WAL_BLOCK_BYTES);
}
