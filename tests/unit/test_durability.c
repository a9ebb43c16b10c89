#include <criterion/criterion.h>
#include <string.h>

#include "storage/engines/postgresql/durability.h"

static const struct pg_settings good = {"on", "on", "on", "ANY 1 (s1, s2)"};

static void expect_right(enum log_durability durability, struct pg_settings settings)
{
    const char *wrong;
    cr_assert(!pg_durability_is_wrong(durability, &settings, &wrong), "%s", wrong);
}

/* The text begins with the setting's name. */
static void expect_wrong(enum log_durability durability, struct pg_settings settings, const char *name)
{
    const char *wrong;
    cr_assert(pg_durability_is_wrong(durability, &settings, &wrong));
    cr_assert_eq(strncmp(wrong, name, strlen(name)), 0, "%s", wrong);
}

Test(durability, a_quorum_of_standbys_that_flush_is_right)
{
    struct pg_settings settings = good;
    expect_right(LOG_DURABILITY_STANDBY, settings);
    settings.synchronous_commit = "remote_apply";
    settings.synchronous_standby_names = "*";
    expect_right(LOG_DURABILITY_STANDBY, settings);
}

Test(durability, a_server_that_does_not_flush_is_wrong_for_both)
{
    for (int i = 0; i < 2; i++) {
        enum log_durability durability = i == 0 ? LOG_DURABILITY_STANDBY : LOG_DURABILITY_SINGLE;
        struct pg_settings settings = good;
        settings.fsync = "off";
        expect_wrong(durability, settings, "fsync");
        settings = good;
        settings.full_page_writes = "off";
        expect_wrong(durability, settings, "full_page_writes");
        settings = good;
        settings.synchronous_commit = "off";
        expect_wrong(durability, settings, "synchronous_commit");
    }
}

Test(durability, a_commit_that_waits_for_no_disk_of_a_standby_is_wrong)
{
    struct pg_settings settings = good;
    settings.synchronous_commit = "remote_write";
    expect_wrong(LOG_DURABILITY_STANDBY, settings, "synchronous_commit");
    expect_right(LOG_DURABILITY_SINGLE, settings);
    settings.synchronous_commit = "local";
    expect_wrong(LOG_DURABILITY_STANDBY, settings, "synchronous_commit");
    expect_right(LOG_DURABILITY_SINGLE, settings);
}

Test(durability, no_standby_is_wrong_unless_one_server_is_enough)
{
    struct pg_settings settings = good;
    settings.synchronous_standby_names = " ";
    expect_wrong(LOG_DURABILITY_STANDBY, settings, "synchronous_standby_names");
    expect_right(LOG_DURABILITY_SINGLE, settings);
}
