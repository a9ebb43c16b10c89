/*
 * durability.h: whether the settings of a server keep what it acknowledges. Pure.
 */
#ifndef CHITCHAT_ENGINES_POSTGRESQL_DURABILITY_H
#define CHITCHAT_ENGINES_POSTGRESQL_DURABILITY_H

#include <stdbool.h>
#include <stddef.h>

#include "storage/log_engine.h"

/* The settings as current_setting writes them; borrowed. */
struct pg_settings {
    const char *fsync;
    const char *full_page_writes;
    const char *synchronous_commit;
    const char *synchronous_standby_names;
};

/* True, and *wrong_r (static): which setting does not keep what `durability` promises, and what to set. */
bool pg_durability_is_wrong(enum log_durability durability, const struct pg_settings *settings, const char **wrong_r);

#endif
