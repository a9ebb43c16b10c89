/* run_pages.h: whatever the number and sizes of rows, LMDB reads the tree as its own, and goes on writing in it. */
#include "storage/runs/run_pages.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <lmdb.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAP_BYTES ((size_t)1 << 30)

/* Rows at 0, 1, …: how long their keys and values are. */
struct shape {
    uint32_t count;
    uint32_t key_bytes; /* at least 8 */
    uint32_t value_bytes;
    uint32_t value_step; /* the value of row `at` has value_bytes + at * value_step % value_room bytes */
    uint32_t value_room;
};

static char dir[64];
static char path[96];

static void open_dir(void)
{
    strcpy(dir, "/var/tmp/chitchat-test-XXXXXX"); /* on a disk, with O_DIRECT */
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/run.mdb", dir);
}

static void close_dir(void)
{
    (void)unlink(path);
    cr_assert_eq(rmdir(dir), 0);
}

TestSuite(run_pages, .init = open_dir, .fini = close_dir);

/* The key of row `at`. Another key fits between this one and the next. */
static struct span key_of(const struct shape *shape, uint32_t at, char *out)
{
    memset(out, 'k', shape->key_bytes);
    char digits[9];
    snprintf(digits, sizeof digits, "%08u", at * 2);
    memcpy(out + shape->key_bytes - 8, digits, 8);
    return (struct span){out, shape->key_bytes};
}

static struct span value_of(const struct shape *shape, uint32_t at, char *out)
{
    uint32_t bytes = shape->value_bytes + (shape->value_room == 0 ? 0 : at * shape->value_step % shape->value_room);
    memset(out, 'a' + (int)(at % 26), bytes);
    return (struct span){out, bytes};
}

static void write_rows(const struct shape *shape)
{
    static char key[RUN_PAGES_KEY_BYTES_MAX], value[RUN_PAGES_VALUE_BYTES_MAX];
    struct run_pages *pages;
    uint64_t file_bytes;
    struct stat status;
    cr_assert_eq(run_pages_open(&pages, path, true), 0);
    for (uint32_t i = 0; i < shape->count; i++)
        cr_assert_eq(run_pages_put(pages, key_of(shape, i, key), value_of(shape, i, value)), 0);
    cr_assert_eq(run_pages_finish(pages, &file_bytes), 0);
    run_pages_close(&pages);
    cr_assert_null(pages);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq((uint64_t)status.st_size, file_bytes);
}

struct opened {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_cursor *cursor;
};

static struct opened open_env(unsigned flags)
{
    struct opened opened;
    cr_assert_eq(mdb_env_create(&opened.env), 0);
    cr_assert_eq(mdb_env_set_mapsize(opened.env, MAP_BYTES), 0);
    cr_assert_eq(mdb_env_open(opened.env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC | flags, 0600), 0);
    cr_assert_eq(mdb_txn_begin(opened.env, NULL, flags, &opened.txn), 0);
    cr_assert_eq(mdb_dbi_open(opened.txn, NULL, 0, &opened.dbi), 0);
    cr_assert_eq(mdb_cursor_open(opened.txn, opened.dbi, &opened.cursor), 0);
    return opened;
}

static void close_env(struct opened *opened)
{
    mdb_cursor_close(opened->cursor);
    mdb_txn_abort(opened->txn);
    mdb_env_close(opened->env);
}

static void is_row(const struct shape *shape, uint32_t at, MDB_val key, MDB_val value)
{
    static char wanted[RUN_PAGES_KEY_BYTES_MAX], text[RUN_PAGES_VALUE_BYTES_MAX];
    struct span wanted_key = key_of(shape, at, wanted), wanted_value = value_of(shape, at, text);
    cr_assert(span_equal((struct span){key.mv_data, key.mv_size}, wanted_key), "row %u of %u", at, shape->count);
    cr_assert(span_equal((struct span){value.mv_data, value.mv_size}, wanted_value), "row %u of %u", at, shape->count);
}

/* Each page of the file is accounted for once, and the depth is what LMDB says it is. */
static void counts_are_right(const struct shape *shape, struct opened *opened)
{
    MDB_stat stat;
    MDB_envinfo info;
    struct stat status;
    cr_assert_eq(mdb_stat(opened->txn, opened->dbi, &stat), 0);
    cr_assert_eq(mdb_env_info(opened->env, &info), 0);
    cr_assert_eq(lstat(path, &status), 0);
    cr_assert_eq(stat.ms_entries, shape->count);
    cr_assert_eq(stat.ms_psize, 4096);
    size_t pages = stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages + 2;
    cr_assert_eq((size_t)status.st_size, pages * 4096, "%u rows", shape->count);
    cr_assert_eq(info.me_last_pgno, pages - 1);
    cr_assert_eq(stat.ms_depth == 1, stat.ms_branch_pages == 0);
}

static void reads_as_written(const struct shape *shape)
{
    struct opened opened = open_env(MDB_RDONLY);
    static char text[RUN_PAGES_KEY_BYTES_MAX];
    MDB_val key, value;
    counts_are_right(shape, &opened);
    for (uint32_t i = 0; i < shape->count; i++) {
        cr_assert_eq(mdb_cursor_get(opened.cursor, &key, &value, i == 0 ? MDB_FIRST : MDB_NEXT), 0);
        is_row(shape, i, key, value);
    }
    cr_assert_eq(mdb_cursor_get(opened.cursor, &key, &value, MDB_NEXT), MDB_NOTFOUND);
    cr_assert_eq(mdb_cursor_get(opened.cursor, &key, &value, MDB_LAST), 0);
    is_row(shape, shape->count - 1, key, value);
    for (uint32_t i = 0; i < shape->count; i += 1 + shape->count / 97) {
        struct span wanted = key_of(shape, i, text);
        key = (MDB_val){wanted.bytes, text};
        cr_assert_eq(mdb_get(opened.txn, opened.dbi, &key, &value), 0);
        is_row(shape, i, key, value);
        text[wanted.bytes - 1]++; /* between this key and the next */
        cr_assert_eq(mdb_get(opened.txn, opened.dbi, &key, &value), MDB_NOTFOUND);
        int result = mdb_cursor_get(opened.cursor, &key, &value, MDB_SET_RANGE);
        cr_assert_eq(result, i + 1 == shape->count ? MDB_NOTFOUND : 0);
        if (result == 0)
            is_row(shape, i + 1, key, value);
    }
    close_env(&opened);
}

static void goes(struct shape shape)
{
    write_rows(&shape);
    reads_as_written(&shape);
}

/* Two rows a leaf and seven children a branch: a tree of five levels, at each of its sizes. */
Test(run_pages, a_tree_of_any_size_is_whole, .timeout = 120)
{
    struct shape shape = {.key_bytes = 511, .value_bytes = 1400};
    for (shape.count = 1; shape.count < 800; shape.count++)
        goes(shape);
    for (; shape.count < 12000; shape.count += 977)
        goes(shape);
}

Test(run_pages, short_rows_fill_their_leaves)
{
    for (uint32_t count = 1; count < 1200; count += 13)
        goes((struct shape){.count = count, .key_bytes = 8, .value_bytes = 1});
    goes((struct shape){.count = 300000, .key_bytes = 24, .value_bytes = 90, .value_step = 7, .value_room = 60});
}

Test(run_pages, a_value_that_is_too_long_for_a_leaf_stands_on_pages_of_its_own)
{
    for (uint32_t bytes = 1990; bytes < 2060; bytes++)
        goes((struct shape){.count = 9, .key_bytes = 20, .value_bytes = bytes});
    for (uint32_t pages = 1; pages < 5; pages++)
        for (uint32_t less = 0; less < 3; less++)
            goes((struct shape){.count = 3, .key_bytes = 20, .value_bytes = pages * 4096 - 16 + 1 - less});
    goes((struct shape){.count = 700, .key_bytes = 40, .value_step = 977, .value_room = 16000});
    goes((struct shape){
        .count = 20, .key_bytes = 40, .value_bytes = RUN_PAGES_VALUE_BYTES_MAX - 1, .value_step = 1, .value_room = 2});
}

/* LMDB reports an error when it writes to a tree whose pages contradict each other. */
Test(run_pages, lmdb_goes_on_in_what_was_written)
{
    struct shape shape = {.count = 20000, .key_bytes = 60, .value_bytes = 50, .value_step = 611, .value_room = 3000};
    static char text[RUN_PAGES_KEY_BYTES_MAX];
    write_rows(&shape);
    struct opened opened = open_env(0);
    for (uint32_t i = 0; i < shape.count; i++) {
        struct span wanted = key_of(&shape, i, text);
        MDB_val key = {wanted.bytes, text}, value = {5, "added"};
        if (i % 3 == 0)
            cr_assert_eq(mdb_del(opened.txn, opened.dbi, &key, NULL), 0);
        text[wanted.bytes - 1]++;
        if (i % 2 == 0)
            cr_assert_eq(mdb_put(opened.txn, opened.dbi, &key, &value, MDB_NOOVERWRITE), 0);
    }
    MDB_stat stat;
    MDB_val key, value;
    cr_assert_eq(mdb_stat(opened.txn, opened.dbi, &stat), 0);
    cr_assert_eq(stat.ms_entries, shape.count - (shape.count + 2) / 3 + shape.count / 2);
    size_t seen = 0;
    while (mdb_cursor_get(opened.cursor, &key, &value, MDB_NEXT) == 0)
        seen++;
    cr_assert_eq(seen, stat.ms_entries);
    close_env(&opened);
}

Test(run_pages, an_unfinished_file_is_nothing_to_lmdb)
{
    struct run_pages *pages;
    MDB_env *env;
    char value[4000] = {0};
    cr_assert_eq(run_pages_open(&pages, path, true), 0);
    for (char key = '1'; key <= '9'; key++)
        for (char more = '1'; more <= '9'; more++) {
            char both[] = {key, more};
            cr_assert_eq(run_pages_put(pages, (struct span){both, 2}, (struct span){value, sizeof value}), 0);
        }
    run_pages_close(&pages);
    cr_assert_eq(mdb_env_create(&env), 0);
    cr_assert_neq(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_RDONLY, 0600), 0);
    mdb_env_close(env);
}

Test(run_pages, a_file_that_cannot_be_made_is_an_error)
{
    struct run_pages *pages;
    cr_assert_eq(run_pages_open(&pages, "/nonexistent/run.mdb", false), -ENOENT);
}

/* /dev/full takes O_DIRECT and has no room. */
Test(run_pages, an_error_of_the_disk_stays)
{
    struct run_pages *pages;
    uint64_t file_bytes;
    char key[16], value[4000] = {0};
    int status = 0;
    cr_assert_eq(run_pages_open(&pages, "/dev/full", false), 0);
    for (uint32_t i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "%08u", i);
        status = run_pages_put(pages, (struct span){key, 8}, (struct span){value, sizeof value});
        cr_assert(status == 0 || i >= 62, "%u", i);
    }
    cr_assert_eq(status, -ENOSPC);
    cr_assert_eq(run_pages_finish(pages, &file_bytes), -ENOSPC);
    run_pages_close(&pages);
}

static char *read_file(size_t *bytes_r)
{
    struct stat status;
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file);
    cr_assert_eq(fstat(fileno(file), &status), 0);
    char *data = malloc((size_t)status.st_size);
    *bytes_r = (size_t)status.st_size;
    cr_assert_eq(fread(data, 1, *bytes_r, file), *bytes_r);
    fclose(file);
    return data;
}

/* What is in memory by chance, parts of other messages maybe, does not get into a file. */
Test(run_pages, the_same_rows_give_the_same_bytes)
{
    const struct shape shape = {5000, 13, 21, 7, 90};
    size_t bytes[2];
    char *data[2];
    for (int i = 0; i < 2; i++) {
        (void)mallopt(M_PERTURB, 0x35 + i);
        write_rows(&shape);
        data[i] = read_file(&bytes[i]);
    }
    (void)mallopt(M_PERTURB, 0);
    cr_assert_eq(bytes[0], bytes[1]);
    cr_assert_eq(memcmp(data[0], data[1], bytes[0]), 0);
    free(data[0]);
    free(data[1]);
}
