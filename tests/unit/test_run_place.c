/* run_place.h: each row is found at the place that run_pages gave it, and nowhere else. */
#include "storage/runs/run_place.h"

#include <criterion/criterion.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/runs/run_pages.h"

#define ROWS 4000u

struct opened {
    char dir[64];
    char path[96];
    uint64_t bytes;
    uint64_t places[ROWS];
    MDB_env *env;
    MDB_txn *txn;
    MDB_cursor *cursor;
    struct run_map map;
};

static struct span key_of(uint32_t at, char out[16])
{
    return (struct span){out, (size_t)snprintf(out, 16, "k%07u", at)};
}

/* Every third value is on pages of its own: chunks are written while a leaf has room left. */
static struct span value_of(uint32_t at, bool has_large)
{
    static char text[RUN_PAGES_VALUE_BYTES_MAX];
    memset(text, 'a' + (int)(at % 26), sizeof text);
    return (struct span){text, has_large && at % 3 == 0 ? 3000 + at * 977 % 20000 : 1 + at % 90};
}

static void write_rows(struct opened *opened, bool has_large)
{
    struct run_pages *pages;
    char key[16];
    strcpy(opened->dir, "/var/tmp/chitchat-test-XXXXXX"); /* on a disk, with O_DIRECT */
    cr_assert_not_null(mkdtemp(opened->dir));
    snprintf(opened->path, sizeof opened->path, "%s/run.mdb", opened->dir);
    cr_assert_eq(run_pages_open(&pages, opened->path, false), 0);
    for (uint32_t i = 0; i < ROWS; i++) {
        cr_assert_eq(run_pages_put(pages, key_of(i, key), value_of(i, has_large)), 0);
        opened->places[i] = run_pages_place(pages);
        cr_assert(i == 0 || opened->places[i] > opened->places[i - 1]);
    }
    cr_assert_eq(run_pages_finish(pages, &opened->bytes), 0);
    run_pages_close(&pages);
}

static void open_rows(struct opened *opened, bool has_large)
{
    MDB_dbi dbi;
    MDB_val key, value;
    write_rows(opened, has_large);
    cr_assert_eq(mdb_env_create(&opened->env), 0);
    cr_assert_eq(mdb_env_set_mapsize(opened->env, opened->bytes), 0);
    cr_assert_eq(mdb_env_open(opened->env, opened->path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_RDONLY, 0600), 0);
    cr_assert_eq(mdb_txn_begin(opened->env, NULL, MDB_RDONLY, &opened->txn), 0);
    cr_assert_eq(mdb_dbi_open(opened->txn, NULL, 0, &dbi), 0);
    cr_assert_eq(mdb_cursor_open(opened->txn, dbi, &opened->cursor), 0);
    cr_assert_eq(mdb_cursor_get(opened->cursor, &key, &value, MDB_LAST), 0);
    run_map_find(&opened->map, key.mv_data, opened->bytes);
    cr_assert_eq(opened->map.count, opened->bytes / RUN_PAGE_BYTES);
}

static void close_rows(struct opened *opened)
{
    mdb_cursor_close(opened->cursor);
    mdb_txn_abort(opened->txn);
    mdb_env_close(opened->env);
    cr_assert_eq(unlink(opened->path), 0);
    cr_assert_eq(rmdir(opened->dir), 0);
}

static void each_row_is_at_its_place(bool has_large)
{
    static struct opened opened;
    char text[16];
    struct span value;
    MDB_val key, found;
    const void *before = NULL;
    uint32_t slot = 0;
    open_rows(&opened, has_large);
    for (uint32_t i = 0; i < ROWS; i++) {
        cr_assert_eq(mdb_cursor_get(opened.cursor, &key, &found, i == 0 ? MDB_FIRST : MDB_NEXT), 0);
        slot = i > 0 && run_place_is_same_page(before, key.mv_data) ? slot + 1 : 0;
        before = key.mv_data;
        cr_assert_eq(run_place_of(key.mv_data, slot), opened.places[i], "row %u", i);
        run_place_prefetch_page(&opened.map, opened.places[i]);
        run_place_prefetch_row(&opened.map, opened.places[i]);
        cr_assert(run_place_get(&opened.map, opened.places[i], key_of(i, text), &value), "row %u", i);
        cr_assert(span_equal(value, value_of(i, has_large)), "row %u", i);
        cr_assert_eq(value.data, found.mv_data);
        cr_assert_not(run_place_get(&opened.map, opened.places[i], key_of(i + 1, text), &value), "another key");
    }
    close_rows(&opened);
}

Test(run_place, each_row_is_read_at_its_place)
{
    each_row_is_at_its_place(false);
}

Test(run_place, so_are_values_on_pages_of_their_own_and_the_rows_between_them)
{
    each_row_is_at_its_place(true);
}

Test(run_place, another_place_has_no_such_row)
{
    static struct opened opened;
    char text[16];
    struct span value, key = key_of(7, text);
    open_rows(&opened, true);
    for (uint64_t page = 0; page < opened.map.count + 3; page++)
        for (uint32_t slot = 0; slot < RUN_PLACE_SLOTS; slot++)
            cr_assert_eq(run_place_get(&opened.map, run_place(page, slot), key, &value),
                         run_place(page, slot) == opened.places[7]);
    cr_assert_not(run_place_get(&opened.map, UINT64_MAX, key, &value));
    cr_assert_not(run_place_get(&(struct run_map){NULL, 0}, opened.places[7], key, &value), "no map");
    close_rows(&opened);
}

Test(run_place, rows_are_read_along_their_page)
{
    static struct opened opened;
    struct span key, value;
    struct run_page_rows rows;
    MDB_val at, found;
    char text[16];
    uint32_t given = 0;
    open_rows(&opened, true);
    for (uint32_t i = 0; i < ROWS; i++) {
        cr_assert_eq(mdb_cursor_get(opened.cursor, &at, &found, i == 0 ? MDB_FIRST : MDB_NEXT), 0);
        run_page_rows_begin(&rows, &opened.map, at.mv_data);
        uint32_t next = i;
        while (run_page_rows_next(&rows, &key, &value)) {
            next++;
            given++;
            cr_assert(span_equal(key, key_of(next, text)), "row %u", next);
            cr_assert(span_equal(value, value_of(next, true)), "row %u", next);
        }
        bool is_last =
            next + 1 == ROWS || opened.places[next + 1] / RUN_PLACE_SLOTS != opened.places[i] / RUN_PLACE_SLOTS;
        cr_assert(is_last || value_of(next + 1, true).bytes > RUN_PAGE_BYTES / 4, "row %u", next);
    }
    cr_assert_gt(given, ROWS / 2);
    run_page_rows_begin(&rows, &(struct run_map){NULL, 0}, at.mv_data);
    cr_assert_not(run_page_rows_next(&rows, &key, &value), "no map");
    close_rows(&opened);
}

static void check_rows(bool has_large)
{
    struct opened opened;
    char key[16];
    open_rows(&opened, has_large);
    for (uint32_t i = 0; i < ROWS; i++) {
        struct span found, value;
        uint64_t next = run_place_next(&opened.map, opened.places[i]);
        cr_assert(run_place_row(&opened.map, opened.places[i], &found, &value), "row %u", i);
        cr_assert(span_equal(found, key_of(i, key)) && value.bytes == value_of(i, has_large).bytes, "row %u", i);
        cr_assert_eq(run_place_find(&opened.map, found.data), opened.places[i], "row %u", i);
        /* Many large values may lie before the next leaf: then it has to be searched. */
        uint64_t wanted = i + 1 < ROWS ? opened.places[i + 1] : 0;
        bool is_on_page = wanted / RUN_PLACE_SLOTS == opened.places[i] / RUN_PLACE_SLOTS;
        cr_assert(next == wanted || (next == 0 && has_large && !is_on_page), "row %u", i);
    }
    cr_assert_eq(run_place_next(&opened.map, (opened.map.count + 7) * RUN_PLACE_SLOTS), 0, "no such page");
    close_rows(&opened);
}

Test(run_place, rows_follow_each_other_from_place_to_place)
{
    check_rows(false);
}

Test(run_place, a_row_behind_large_values_is_found_or_has_to_be_searched)
{
    check_rows(true);
}

Test(run_place, the_last_row_below_a_key_is_found_among_neighbouring_pages)
{
    struct opened opened;
    char key[16];
    open_rows(&opened, false);
    for (uint32_t first = 0; first + 200 < ROWS; first += 37)
        for (uint32_t i = first + 1; i <= first + 200; i += 7) {
            uint64_t end = opened.places[first + 200];
            cr_assert_eq(run_place_below(&opened.map, opened.places[first], end, key_of(i, key)), opened.places[i - 1]);
        }
    cr_assert_eq(run_place_below(&opened.map, opened.places[10], opened.places[210], SPAN_LITERAL("z")),
                 opened.places[210], "all are below");
    cr_assert_eq(run_place_below(&opened.map, opened.places[0], opened.places[ROWS - 1], SPAN_LITERAL("z")), 0,
                 "too many pages");
    cr_assert_eq(run_place_below(&(struct run_map){NULL, 0}, opened.places[0], opened.places[9], SPAN_LITERAL("z")), 0,
                 "no map");
    close_rows(&opened);
}
