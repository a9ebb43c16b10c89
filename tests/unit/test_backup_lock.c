#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/datadir/backup_lock.h"

static char dir[32];

static void setup(void)
{
    strcpy(dir, "/tmp/chitchat-hold-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}

static void teardown(void)
{
    char path[64];
    snprintf(path, sizeof path, "%s/" BACKUP_LOCK_NAME, dir);
    unlink(path);
    cr_assert_eq(rmdir(dir), 0);
}

TestSuite(hold, .init = setup, .fini = teardown);

Test(hold, those_that_drop_do_so_side_by_side)
{
    int one = backup_lock_share(dir), other = backup_lock_share(dir);
    cr_assert_geq(one, 0);
    cr_assert_geq(other, 0);
    backup_lock_give(one);
    backup_lock_give(other);
}

Test(hold, nothing_is_dropped_while_a_backup_holds)
{
    int backup = backup_lock_take(dir);
    cr_assert_geq(backup, 0);
    cr_assert_eq(backup_lock_share(dir), -EBUSY);
    backup_lock_give(backup);
    int drop = backup_lock_share(dir);
    cr_assert_geq(drop, 0);
    backup_lock_give(drop);
}

Test(hold, a_backup_sees_that_it_was_overtaken)
{
    int backup = backup_lock_take(dir);
    uint64_t before = backup_lock_overtaken(backup);
    cr_assert_eq(backup_lock_overtake(dir), 0);
    cr_assert_neq(backup_lock_overtaken(backup), before);
    backup_lock_give(backup);
    backup = backup_lock_take(dir);
    cr_assert_eq(backup_lock_overtaken(backup), before + 1, "the number stays");
    backup_lock_give(backup);
}

Test(hold, a_directory_that_is_not_there_is_an_error)
{
    cr_assert_eq(backup_lock_share("/tmp/chitchat-hold-none"), -ENOENT);
    cr_assert_eq(backup_lock_take("/tmp/chitchat-hold-none"), -ENOENT);
    backup_lock_give(-ENOENT);
}
