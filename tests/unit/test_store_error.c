/* store.h: reads and commits of which a call to LMDB fails (the program is linked with --wrap for each). */
#include <lmdb.h>

#include "store_fixture.h"

static uint32_t calls_left; /* the last of them fails; 0: none does */

int __real_mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op);
int __wrap_mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op);

int __wrap_mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op)
{
    bool fails = calls_left > 0 && --calls_left == 0;
    return fails ? EIO : __real_mdb_cursor_get(cursor, key, value, op);
}

static struct fixture three_runs(void)
{
    struct fixture fixture = fixture_open();
    add_user(&fixture, "alice", 10, 30, 3); /* 10 40 70 */
    add_user(&fixture, "alice", 20, 30, 3); /* 20 50 80 */
    add_user(&fixture, "alice", 30, 30, 3); /* 30 60 90 */
    return fixture;
}

/* Whichever call fails, the read says so, and the next one is whole. */
static void fail_each_call(struct fixture *fixture, struct store_range asked, uint32_t calls_min)
{
    bool more;
    uint32_t failed = 0;
    asked.before = 100;
    asked.rows_max = 100;
    asked.bytes_max = 1 << 20;
    for (;; failed++) {
        calls_left = failed + 1;
        int status = store_reader_range(fixture->reader, SPAN_LITERAL("alice"), &asked, fixture->page, &more);
        bool was_reached = calls_left == 0;
        calls_left = 0;
        if (!was_reached)
            break;
        cr_assert_eq(status, -EIO, "call %u failed and the page is called whole", failed + 1);
        cr_assert_str_eq(range(fixture, "alice", OLDEST(.after = 0)), "10 20 30 40 50 60 70 80 90");
    }
    cr_assert_geq(failed, calls_min);
}

Test(store_error, a_range_read_forwards_fails_whole_whichever_of_its_calls_fails)
{
    struct fixture fixture = three_runs();
    fail_each_call(&fixture, OLDEST(.after = 0), 9);
    fixture_close(&fixture);
}

/* Found by the simulator (seed 40): a failed search was followed by a step back from wherever the cursor stood. */
Test(store_error, a_range_read_backwards_fails_whole_whichever_of_its_calls_fails)
{
    struct fixture fixture = three_runs();
    fail_each_call(&fixture, NEWEST(.after = 0), 12);
    fixture_close(&fixture);
}

Test(store_error, the_newest_row_is_not_guessed_when_a_call_fails)
{
    struct fixture fixture = three_runs();
    uint64_t ts;
    for (uint32_t call = 1; call <= 2; call++) {
        calls_left = call;
        cr_assert_eq(store_reader_newest(fixture.reader, SPAN_LITERAL("alice"), UINT64_MAX, &ts), -EIO);
        cr_assert_eq(calls_left, 0);
    }
    cr_assert_eq(store_reader_newest(fixture.reader, SPAN_LITERAL("alice"), UINT64_MAX, &ts), 0);
    cr_assert_eq(ts, 90);
    fixture_close(&fixture);
}

/* -- a commit of the manifest whose outcome is unknown -- */

static bool commit_fails;
static bool is_in_doubt; /* LMDB begins no transaction any more */

int __real_mdb_txn_commit(MDB_txn *txn);
int __wrap_mdb_txn_commit(MDB_txn *txn);
int __real_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned int flags, MDB_txn **txn_r);
int __wrap_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned int flags, MDB_txn **txn_r);

static bool is_manifest(MDB_env *env)
{
    const char *path;
    cr_assert_eq(mdb_env_get_path(env, &path), 0);
    return strstr(path, "manifest.mdb") != NULL;
}

/* The commit reaches the disk, and the call reports a failure. */
int __wrap_mdb_txn_commit(MDB_txn *txn)
{
    is_in_doubt = commit_fails && is_manifest(mdb_txn_env(txn));
    int result = __real_mdb_txn_commit(txn);
    return is_in_doubt ? EIO : result;
}

int __wrap_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned int flags, MDB_txn **txn_r)
{
    return is_in_doubt && is_manifest(env) ? MDB_PANIC : __real_mdb_txn_begin(env, parent, flags, txn_r);
}

static void open_again(struct fixture *fixture)
{
    commit_fails = is_in_doubt = false;
    fixture_stop(fixture);
    fixture_start(fixture);
}

Test(store_error, a_merged_run_whose_commit_is_in_doubt_stays_for_the_next_start)
{
    struct fixture fixture = three_runs();
    struct store_error error = {""};
    commit_fails = true;
    cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), -EIO);
    cr_assert(is_in_doubt);
    cr_assert_eq(count_files(fixture.dir, "run-"), 4, "the manifest may name the merged one, or the others");
    cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), -EIO, "nothing more is written");
    open_again(&fixture);
    cr_assert_eq(run_count(&fixture), 1, "the manifest was written");
    cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 0)), "10 20 30 40 50 60 70 80 90");
    fixture_close(&fixture);
}

Test(store_error, a_run_whose_commit_is_in_doubt_stays_for_the_next_start)
{
    struct fixture fixture = three_runs();
    struct rows *rows = rows_open();
    rows_add(rows, "alice", 100, 0);
    commit_fails = true;
    cr_assert_eq(add(&fixture, rows), -EIO);
    cr_assert(is_in_doubt);
    cr_assert_eq(count_files(fixture.dir, "run-"), 4);
    open_again(&fixture);
    cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 0)), "10 20 30 40 50 60 70 80 90 100");
    fixture_close(&fixture);
}
