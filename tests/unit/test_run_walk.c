/* run_walk.h: all rows in order, from any place, and the pages behind them asked for before they are needed. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/list.h"
#include "storage/page_guard.h"
#include "storage/runs/run_walk.h"

#define ROWS 40000u
#define VALUE_BYTES 200u

struct rows {
    struct run_source source;
    uint32_t at;
    uint8_t key[ROW_KEY_BYTES_MAX];
    uint8_t value[VALUE_BYTES];
};

static char dir[64];
static struct run_entry entry;
static struct run *run;

static uint32_t key_of(uint32_t at, uint8_t *out)
{
    char name[16];
    size_t bytes = (size_t)snprintf(name, sizeof name, "user-%05u", at / 4);
    return row_key((struct span){name, bytes}, 1000 + at % 4, out);
}

static int rows_next(struct run_source *base, struct span *key_r, struct span *value_r)
{
    struct rows *rows = container_of(base, struct rows, source);
    if (rows->at == ROWS)
        return 0;
    *key_r = (struct span){(const char *)rows->key, key_of(rows->at++, rows->key)};
    *value_r = (struct span){(const char *)rows->value, sizeof rows->value};
    return 1;
}

static void rows_close(struct run_source *base)
{
    (void)base;
}

static void open_run(void)
{
    struct rows rows = {.source = {rows_next, rows_close}, .value = {ROLE_SENT}};
    struct store_error error;
    page_guard_install();
    snprintf(dir, sizeof dir, "/var/tmp/chitchat-test-XXXXXX"); /* on a disk: what lies in tmpfs is always there */
    cr_assert_not_null(mkdtemp(dir));
    entry = (struct run_entry){.id = 1};
    cr_assert_eq(run_write(dir, &rows.source, &entry, NULL, NULL), 0);
    cr_assert_eq(run_open(&run, dir, &entry, &error), 0, "%s", error.text);
}

static void close_run(void)
{
    char path[RUN_PATH_BYTES];
    run_close(&run);
    run_path(path, dir, entry.id);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rmdir(dir), 0);
}

TestSuite(run_walk, .init = open_run, .fini = close_run);

static bool stands_at(const struct run_walk *walk, uint32_t at)
{
    uint8_t key[ROW_KEY_BYTES_MAX];
    uint32_t bytes = key_of(at, key);
    return !walk->is_at_end && span_equal(walk->key, (struct span){(const char *)key, bytes});
}

Test(run_walk, goes_through_all_rows_and_ends_before_the_filter)
{
    struct run_walk walk;
    cr_assert_eq(run_walk_open(&walk, run, (struct span){"", 0}), 0);
    for (uint32_t i = 0; i < ROWS; i++) {
        cr_assert(stands_at(&walk, i), "%u", i);
        cr_assert_eq(run_walk_step(&walk), 0);
    }
    cr_assert(walk.is_at_end);
    run_walk_close(&walk);
    run_walk_close(&walk);
}

Test(run_walk, begins_at_or_above_a_key)
{
    struct run_walk walk;
    uint8_t key[ROW_KEY_BYTES_MAX];
    uint32_t bytes = key_of(777, key);
    cr_assert_eq(run_walk_open(&walk, run, (struct span){(const char *)key, bytes}), 0);
    cr_assert(stands_at(&walk, 777));
    run_walk_close(&walk);
    cr_assert_eq(run_walk_open(&walk, run, (struct span){(const char *)key, bytes - 8}), 0);
    cr_assert(stands_at(&walk, 776), "the user's first");
    run_walk_close(&walk);
    cr_assert_eq(run_walk_open(&walk, run, SPAN_LITERAL("zz")), 0);
    cr_assert(walk.is_at_end);
    run_walk_close(&walk);
}

/* Pages of the file that are in memory, of `count` from `begin`. */
static size_t resident(int fd, size_t begin, size_t count)
{
    unsigned char pages[4096];
    size_t here = 0;
    void *map = mmap(NULL, count * 4096, PROT_READ, MAP_SHARED, fd, (off_t)(begin * 4096));
    cr_assert_neq(map, MAP_FAILED);
    cr_assert_eq(mincore(map, count * 4096, pages), 0);
    for (size_t i = 0; i < count; i++)
        here += pages[i] & 1;
    munmap(map, count * 4096);
    return here;
}

/* Without read-ahead a merge of runs that are no longer in memory reads each page by itself. */
Test(run_walk, has_what_comes_next_read_before_it_is_needed)
{
    struct run_walk walk;
    char path[RUN_PATH_BYTES];
    run_close(&run);
    run_path(path, dir, entry.id);
    int fd = open(path, O_RDONLY);
    size_t pages = (size_t)entry.file_bytes / 4096;
    cr_assert(fd >= 0 && pages > 2000 && pages < 4096);
    cr_assert_eq(fsync(fd), 0);
    cr_assert_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    struct store_error error;
    cr_assert_eq(run_open(&run, dir, &entry, &error), 0, "%s", error.text);
    if (resident(fd, 0, pages) > pages / 2)
        cr_skip_test("the file system keeps all pages in memory");
    cr_assert_lt(resident(fd, 64, 512), 100, "opening reads the filter at the end, and no rows");
    cr_assert_eq(run_walk_open(&walk, run, (struct span){"", 0}), 0);
    for (int i = 0; i < 100 && resident(fd, 8, 112) < 112; i++)
        usleep(20000);
    cr_assert_eq(resident(fd, 8, 112), 112);
    for (uint32_t i = 0; i < ROWS * 6 / 10; i++)
        cr_assert_eq(run_walk_step(&walk), 0);
    for (int i = 0; i < 100 && resident(fd, pages * 6 / 10, 48) < 48; i++)
        usleep(20000);
    cr_assert_eq(resident(fd, pages * 6 / 10, 48), 48, "and so on");
    run_walk_close(&walk);
    close(fd);
}
