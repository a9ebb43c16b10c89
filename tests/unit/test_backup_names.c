#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remove_tree.h"
#include "storage/datadir/backup_names.h"

static char root[32];
static int fd = -1;

static void setup(void)
{
    strcpy(root, "/tmp/chitchat-names-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    fd = open(root, O_RDONLY | O_DIRECTORY);
    cr_assert_geq(fd, 0);
}

static void teardown(void)
{
    close(fd);
    cr_assert_eq(remove_tree(root), 0);
}

TestSuite(backup_names, .init = setup, .fini = teardown);

static void make(const char *name, bool is_complete)
{
    char mark[64];
    cr_assert_eq(mkdirat(fd, name, 0700), 0);
    (void)snprintf(mark, sizeof mark, "%s/BACKUP", name);
    if (is_complete)
        close(openat(fd, mark, O_WRONLY | O_CREAT, 0600));
}

Test(backup_names, a_name_has_its_number_and_time)
{
    char name[BACKUP_NAME_BYTES];
    backup_name_write(name, 7, UINT64_C(1763900000000000));
    cr_assert_str_eq(name, "backup-000007-20251123T121320Z");
    cr_assert_eq(backup_name_number(name), 7);
    backup_name_write(name, BACKUP_NUMBER_MAX, 0);
    cr_assert_eq(backup_name_number(name), BACKUP_NUMBER_MAX);
    const char *others[] = {"",
                            "backup",
                            "backup-1-20251123T121320Z",
                            "backup-000007",
                            "backup-000007-",
                            "backup-0000000007-20251123T121320Z",
                            "backup-000007-20251123T121320Z.old",
                            "my-backup-000007-20251123T121320Z",
                            "backup-000007-20251123T121320Z20251123T121320Z"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_assert_eq(backup_name_number(others[i]), 0, "%s", others[i]);
}

Test(backup_names, the_newest_complete_one_is_that_with_the_highest_number)
{
    struct backup_names names;
    cr_assert_eq(backup_names_list(&names, fd), 0);
    cr_assert(names.count == 0 && backup_names_newest(&names) == NULL);
    backup_names_fini(&names);
    make("backup-000010-19990101T000000Z", true);
    make("backup-000009-20251123T121320Z", true);
    make("backup-1000000-20251123T121320Z", false);
    make("letters", true);
    cr_assert_eq(backup_names_list(&names, fd), 0);
    cr_assert_eq(names.count, 3);
    cr_assert(names.names[0].number == 9 && names.names[1].number == 10 && names.names[2].number == 1000000);
    cr_assert_eq(backup_names_newest(&names)->number, 10);
    backup_names_fini(&names);
    close(openat(fd, "BACKUP", O_WRONLY | O_CREAT, 0600));
    cr_assert_eq(backup_names_list(&names, fd), 0);
    cr_assert(names.names[0].number == 0 && names.names[0].is_complete, "the directory itself is the oldest");
    cr_assert_str_eq(names.names[0].name, ".");
    backup_names_fini(&names);
}
