/* store.h: reads of which a call to LMDB fails (the program is linked with --wrap=mdb_cursor_get). */
#include <lmdb.h>

#include "store_bed.h"

static uint32_t calls_left; /* the last of them fails; 0: none does */

int __real_mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op);
int __wrap_mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op);

int __wrap_mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op)
{
    bool fails = calls_left > 0 && --calls_left == 0;
    return fails ? EIO : __real_mdb_cursor_get(cursor, key, value, op);
}

static struct bed three_runs(void)
{
    struct bed bed = bed_open();
    add_user(&bed, "alice", 10, 30, 3); /* 10 40 70 */
    add_user(&bed, "alice", 20, 30, 3); /* 20 50 80 */
    add_user(&bed, "alice", 30, 30, 3); /* 30 60 90 */
    return bed;
}

/* Whichever call fails, the read says so, and the next one is whole. */
static void fail_each_call(struct bed *bed, struct store_range asked, uint32_t calls_min)
{
    bool more;
    uint32_t failed = 0;
    asked.before = 100;
    asked.rows_max = 100;
    asked.bytes_max = 1 << 20;
    for (;; failed++) {
        calls_left = failed + 1;
        int status = store_reader_range(bed->reader, SPAN_LITERAL("alice"), &asked, bed->page, &more);
        bool was_reached = calls_left == 0;
        calls_left = 0;
        if (!was_reached)
            break;
        cr_assert_eq(status, -EIO, "call %u failed and the page is called whole", failed + 1);
        cr_assert_str_eq(range(bed, "alice", OLDEST(.after = 0)), "10 20 30 40 50 60 70 80 90");
    }
    cr_assert_geq(failed, calls_min);
}

Test(store_error, a_range_read_forwards_fails_whole_whichever_of_its_calls_fails)
{
    struct bed bed = three_runs();
    fail_each_call(&bed, OLDEST(.after = 0), 9);
    bed_close(&bed);
}

/* Found by the simulator (seed 40): a failed search was followed by a step back from wherever the cursor stood. */
Test(store_error, a_range_read_backwards_fails_whole_whichever_of_its_calls_fails)
{
    struct bed bed = three_runs();
    fail_each_call(&bed, NEWEST(.after = 0), 12);
    bed_close(&bed);
}

Test(store_error, the_newest_row_is_not_guessed_when_a_call_fails)
{
    struct bed bed = three_runs();
    uint64_t ts;
    for (uint32_t call = 1; call <= 2; call++) {
        calls_left = call;
        cr_assert_eq(store_reader_newest(bed.reader, SPAN_LITERAL("alice"), UINT64_MAX, &ts), -EIO);
        cr_assert_eq(calls_left, 0);
    }
    cr_assert_eq(store_reader_newest(bed.reader, SPAN_LITERAL("alice"), UINT64_MAX, &ts), 0);
    cr_assert_eq(ts, 90);
    bed_close(&bed);
}
