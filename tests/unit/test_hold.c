#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "storage/hold.h"

static char dir[] = "/tmp/chitchat-hold-XXXXXX";

static void setup(void)
{
    cr_assert_not_null(mkdtemp(dir));
}

static void teardown(void)
{
    char path[64];
    snprintf(path, sizeof path, "%s/" HOLD_NAME, dir);
    unlink(path);
    cr_assert_eq(rmdir(dir), 0);
}

TestSuite(hold, .init = setup, .fini = teardown);

Test(hold, those_that_drop_do_so_side_by_side)
{
    int one = hold_share(dir), other = hold_share(dir);
    cr_assert_geq(one, 0);
    cr_assert_geq(other, 0);
    hold_give(one);
    hold_give(other);
}

Test(hold, nothing_is_dropped_while_a_backup_holds)
{
    int backup = hold_take(dir);
    cr_assert_geq(backup, 0);
    cr_assert_eq(hold_share(dir), -EBUSY);
    hold_give(backup);
    int drop = hold_share(dir);
    cr_assert_geq(drop, 0);
    hold_give(drop);
}

Test(hold, a_backup_sees_that_it_was_overtaken)
{
    int backup = hold_take(dir);
    uint64_t before = hold_overtaken(backup);
    cr_assert_eq(hold_overtake(dir), 0);
    cr_assert_neq(hold_overtaken(backup), before);
    hold_give(backup);
    backup = hold_take(dir);
    cr_assert_eq(hold_overtaken(backup), before + 1, "the number stays");
    hold_give(backup);
}

Test(hold, a_directory_that_is_not_there_is_an_error)
{
    cr_assert_eq(hold_share("/tmp/chitchat-hold-none"), -ENOENT);
    cr_assert_eq(hold_take("/tmp/chitchat-hold-none"), -ENOENT);
    hold_give(-ENOENT);
}
