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
