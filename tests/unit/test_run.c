/* run.h: what was written is opened again, whole. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "storage/page_guard.h"
#include "storage/runs/run.h"

/* The filter of so many users takes three pieces of 64 KiB in the file. */
#define USERS 120000u

struct rows {
    struct run_source source;
    uint32_t at;
    uint8_t key[ROW_KEY_BYTES_MAX];
};

static struct span name_of(uint32_t user, char out[16])
{
    return (struct span){out, (size_t)snprintf(out, 16, "user-%06u", user)};
}

/* One row for each user. */
static int rows_next(struct run_source *base, struct span *key_r, struct span *value_r)
{
    char name[16];
    struct rows *rows = container_of(base, struct rows, source);
    if (rows->at == USERS)
        return 0;
    *key_r = (struct span){(const char *)rows->key, row_key(name_of(rows->at++, name), 1000, rows->key)};
    *value_r = SPAN_LITERAL("value");
    return 1;
}

static void rows_close(struct run_source *base)
{
    (void)base;
}

Test(run, knows_all_its_users_though_its_filter_takes_several_pieces)
{
    char dir[64] = "/tmp/chitchat-test-XXXXXX", path[RUN_PATH_BYTES], name[16];
    struct rows rows = {.source = {rows_next, rows_close}};
    struct run_entry entry = {.id = 1};
    struct store_error error;
    struct run *run;
    uint32_t strangers = 0;
    page_guard_install();
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(run_write(dir, &rows.source, &entry, NULL, NULL), 0);
    cr_assert_eq(run_open(&run, dir, &entry, &error), 0, "%s", error.text);
    cr_assert_gt(filter_bytes(&run->filter), 2 * 65536u);
    for (uint32_t user = 0; user < USERS; user++)
        cr_assert(filter_may_contain(&run->filter, filter_hash(name_of(user, name))), "%s", name);
    for (uint32_t user = USERS; user < 2 * USERS; user++)
        strangers += filter_may_contain(&run->filter, filter_hash(name_of(user, name)));
    cr_assert_lt(strangers, USERS / 20, "of strangers few pass");
    run_close(&run);
    run_path(path, dir, entry.id);
    cr_assert(unlink(path) == 0 && rmdir(dir) == 0);
}

/* Row by row as from a source: the same content. */
Test(run, a_writer_that_is_given_rows_writes_what_run_write_writes)
{
    char dir[64] = "/tmp/chitchat-test-XXXXXX", path[RUN_PATH_BYTES], command[3 * RUN_PATH_BYTES];
    struct rows rows = {.source = {rows_next, rows_close}}, again = {.source = {rows_next, rows_close}};
    struct run_entry entry = {.id = 1}, other = {.id = 2}, none = {.id = 3};
    struct run_writer *writer;
    struct span key, value;
    page_guard_install();
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(run_write(dir, &rows.source, &entry, NULL, NULL), 0);
    cr_assert_eq(run_writer_open(&writer, dir, &other), 0);
    while (rows_next(&again.source, &key, &value) == 1)
        cr_assert_eq(run_writer_put(writer, key, value), 0);
    cr_assert_eq(run_writer_finish(writer), 0);
    run_writer_close(&writer);
    cr_assert(other.rows == entry.rows && other.entries == entry.entries && other.file_bytes == entry.file_bytes);
    cr_assert(other.ts_min == entry.ts_min && other.ts_max == entry.ts_max);
    struct run *runs[2];
    struct store_error error;
    MDB_val crcs[2];
    for (int i = 0; i < 2; i++) {
        MDB_cursor *cursor;
        MDB_val crc_key = {sizeof RUN_CRC_KEY - 1, (void *)RUN_CRC_KEY};
        cr_assert_eq(run_open(&runs[i], dir, i == 0 ? &entry : &other, &error), 0, "%s", error.text);
        cr_assert_eq(run_slot_cursor(runs[i], 0, &cursor), 0);
        cr_assert_eq(mdb_cursor_get(cursor, &crc_key, &crcs[i], MDB_SET), 0);
    }
    cr_assert(crcs[0].mv_size == 4 && memcmp(crcs[0].mv_data, crcs[1].mv_data, 4) == 0);
    cr_assert_eq(filter_bytes(&runs[0]->filter), filter_bytes(&runs[1]->filter));
    run_close(&runs[0]);
    run_close(&runs[1]);
    /* Without rows, and closed before it is complete. */
    cr_assert_eq(run_writer_open(&writer, dir, &none), 0);
    cr_assert_eq(run_writer_finish(writer), 0);
    run_writer_close(&writer);
    run_path(path, dir, 3);
    cr_assert(none.rows == 0 && access(path, F_OK) != 0);
    cr_assert_eq(run_writer_open(&writer, dir, &none), 0);
    cr_assert_eq(run_writer_put(writer, SPAN_LITERAL("a\0\0\0\0\0\0\0\0\1"), SPAN_LITERAL("v")), 0);
    run_writer_close(&writer);
    cr_assert_neq(access(path, F_OK), 0);
    snprintf(command, sizeof command, "rm -r %s", dir);
    cr_assert_eq(system(command), 0);
}
