#include "durability.h"

#include <string.h>

#include "base/assert.h"

static bool names_are_empty(const char *synchronous_standby_names)
{
    return synchronous_standby_names[strspn(synchronous_standby_names, " \t")] == '\0';
}

static bool is(const char *setting, const char *value)
{
    return strcmp(setting, value) == 0;
}

bool pg_durability_is_wrong(enum log_durability durability, const struct pg_settings *settings, const char **wrong_r)
{
    const char *commit = settings->synchronous_commit;
    ASSERT(settings->fsync != NULL && settings->full_page_writes != NULL);
    ASSERT(commit != NULL && settings->synchronous_standby_names != NULL);
    *wrong_r = NULL;
    if (!is(settings->fsync, "on"))
        *wrong_r = "fsync is off, so a power cut can lose or damage everything: set fsync = on";
    else if (!is(settings->full_page_writes, "on"))
        *wrong_r = "full_page_writes is off, so a power cut can damage pages: set full_page_writes = on";
    else if (durability == LOG_DURABILITY_SINGLE && is(commit, "off"))
        *wrong_r = "synchronous_commit does not wait for the disk of this server: set it to on "
                   "(ALTER ROLE ... SET synchronous_commit = on)";
    else if (durability == LOG_DURABILITY_STANDBY && !is(commit, "on") && !is(commit, "remote_apply"))
        *wrong_r = "synchronous_commit does not wait for the disk of a standby: set it to on "
                   "(ALTER ROLE ... SET synchronous_commit = on)";
    else if (durability == LOG_DURABILITY_STANDBY && names_are_empty(settings->synchronous_standby_names))
        *wrong_r = "synchronous_standby_names is empty, so what is acknowledged lies on one machine alone: set it, as "
                   "'ANY 1 (s1, s2)' (with Patroni: synchronous_mode and synchronous_mode_strict), or accept the loss "
                   "of that machine with --log-durability single";
    return *wrong_r != NULL;
}
