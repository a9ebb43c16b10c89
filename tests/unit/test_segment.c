#include "storage/wal/segment.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remove_tree.h"

#define BYTES (1u << 20)

static char dir[64];

static void make_dir(void)
{
    strcpy(dir, "/tmp/chitchat-segment-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
    remove_tree(dir);
}

TestSuite(segment, .init = make_dir, .fini = remove_dir);

Test(segment, a_new_one_is_all_zeros_of_its_whole_size_and_written_durably)
{
    struct wal_spare spare;
    struct segment_map map;
    cr_assert_eq(segment_create(dir, 7, BYTES, &spare), 0);
    cr_assert_eq(spare.file, 7);
    cr_assert_neq(fcntl(spare.fd, F_GETFL) & O_DSYNC, 0);
    cr_assert_eq(segment_map(dir, 7, &map), 0);
    cr_assert_eq(map.bytes, BYTES);
    for (uint32_t i = 0; i < BYTES; i++)
        cr_assert_eq(((const uint8_t *)map.data)[i], 0);
    segment_unmap(&map);
    cr_assert_eq(segment_remove(dir, spare), 0);
}

Test(segment, files_are_listed_by_number_and_others_are_not)
{
    static const uint32_t numbers[] = {12, 3, 1000000, 4};
    struct wal_spare spare;
    uint32_t *files, count;
    char path[128];
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(segment_create(dir, numbers[i], 65536, &spare), 0);
        close(spare.fd);
    }
    static const char *const others[] = {"notes",
                                         "segment-5.wal",
                                         "segment-000006.wal.old",
                                         "segment--00007.wal",
                                         "segment- 00008.wal",
                                         "segment-4294967297.wal"};
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, others[i]);
        close(open(path, O_CREAT | O_WRONLY, 0600));
    }
    cr_assert_eq(segment_list(dir, &files, &count), 0);
    cr_assert_eq(count, 4);
    cr_assert(files[0] == 3 && files[1] == 4 && files[2] == 12 && files[3] == 1000000);
    free(files);
    cr_assert_eq(segment_remove(dir, (struct wal_spare){.file = 4, .fd = -1}), 0);
    cr_assert_eq(segment_list(dir, &files, &count), 0);
    cr_assert_eq(count, 3);
    free(files);
}

Test(segment, one_that_is_recycled_loses_its_header_and_keeps_its_size)
{
    struct wal_spare spare;
    struct segment_map map;
    void *block = aligned_alloc(4096, 4096);
    cr_assert_eq(segment_create(dir, 1, BYTES, &spare), 0);
    memset(block, 0xAB, 4096);
    cr_assert(pwrite(spare.fd, block, 4096, 0) == 4096 && pwrite(spare.fd, block, 4096, 4096) == 4096);
    cr_assert_eq(segment_clear(spare), 0);
    close(spare.fd);
    cr_assert_eq(segment_map(dir, 1, &map), 0);
    cr_assert(map.bytes == BYTES && ((const uint8_t *)map.data)[0] == 0 && ((const uint8_t *)map.data)[4096] == 0xAB);
    segment_unmap(&map);
    free(block);
}

/* A limit on the size of files stands for a full disk: the write fails when part of the file is there. */
Test(segment, without_room_nothing_is_left_behind)
{
    struct wal_spare spare;
    uint32_t *files, count;
    struct rlimit limit = {.rlim_cur = BYTES + BYTES / 2, .rlim_max = RLIM_INFINITY}, before;
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit.rlim_max = before.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_assert_eq(segment_create(dir, 1, 2 * BYTES, &spare), -EFBIG);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    cr_assert_eq(segment_list(dir, &files, &count), 0);
    cr_assert_eq(count, 0);
    free(files);
    cr_assert_eq(segment_create(dir, 1, 2 * BYTES, &spare), 0, "with room it may be tried again");
    close(spare.fd);
}

Test(segment, a_file_that_is_there_already_is_never_written_over)
{
    struct wal_spare spare, second;
    struct segment_map map;
    void *block = aligned_alloc(4096, 4096);
    memset(block, 0xAB, 4096);
    cr_assert_eq(segment_create(dir, 1, BYTES, &spare), 0);
    cr_assert_eq(pwrite(spare.fd, block, 4096, 0), 4096);
    cr_assert_eq(segment_create(dir, 1, BYTES, &second), -EEXIST);
    cr_assert_eq(segment_map(dir, 1, &map), 0);
    cr_assert_eq(((const uint8_t *)map.data)[0], 0xAB);
    segment_unmap(&map);
    close(spare.fd);
    free(block);
}

Test(segment, a_directory_that_is_not_there_is_an_error_of_every_call)
{
    struct wal_spare spare;
    struct segment_map map;
    uint32_t *files, count;
    char path[128];
    snprintf(path, sizeof path, "%s/nowhere", dir);
    cr_assert_eq(segment_create(path, 1, BYTES, &spare), -ENOENT);
    cr_assert_eq(segment_list(path, &files, &count), -ENOENT);
    cr_assert_eq(segment_map(path, 1, &map), -ENOENT);
    cr_assert_eq(segment_sync_dir(path), -ENOENT);
    cr_assert_eq(segment_remove(path, (struct wal_spare){.file = 1, .fd = -1}), -ENOENT);
}

Test(segment, syncs_what_is_there_and_says_what_is_not)
{
    struct wal_spare spare;
    cr_assert_eq(segment_create(dir, 1, 65536, &spare), 0);
    close(spare.fd);
    cr_assert_eq(segment_sync(dir, 1), 0);
    cr_assert_eq(segment_sync_dir(dir), 0);
    cr_assert_eq(segment_sync(dir, 2), -ENOENT);
}
