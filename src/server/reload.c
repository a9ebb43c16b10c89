#include "server/reload.h"

#include <errno.h>
#include <time.h>

#include "base/assert.h"
#include "base/log.h"
#include "server/service_notify.h"
#include "server/signals.h"

#define LOOK_S 1

static void add(struct reloads *reloads, reload_function function, void *context, bool reads_files)
{
    ASSERT(reloads->count < RELOADS_MAX);
    ASSERT(function != NULL);
    reloads->entries[reloads->count].function = function;
    reloads->entries[reloads->count].reads_files = reads_files;
    reloads->entries[reloads->count++].context = context;
}

void reload_add(struct reloads *reloads, reload_function function, void *context)
{
    add(reloads, function, context, true);
}

void reload_add_look(struct reloads *reloads, reload_function function, void *context)
{
    add(reloads, function, context, false);
}

static void reload_all(const struct reloads *reloads, enum reload_cause cause)
{
    for (uint32_t i = 0; i < reloads->count; i++)
        if (cause == RELOAD_LOOK || reloads->entries[i].reads_files)
            reloads->entries[i].function(reloads->entries[i].context, cause);
}

static bool has_files(const struct reloads *reloads)
{
    for (uint32_t i = 0; i < reloads->count; i++)
        if (reloads->entries[i].reads_files)
            return true;
    return false;
}

static void reload_asked(const struct reloads *reloads)
{
    log_line(LOG_INFO, "reload", "signal=SIGHUP files=%s", has_files(reloads) ? "read" : "none");
    service_notify_reloading();
    reload_all(reloads, RELOAD_ASKED);
    service_notify_reloaded();
}

void reload_poll(const struct reloads *reloads)
{
    const struct timespec none = {0};
    sigset_t asked;
    sigemptyset(&asked);
    sigaddset(&asked, SIGHUP);
    if (sigtimedwait(&asked, NULL, &none) == SIGHUP)
        reload_asked(reloads);
    else
        reload_all(reloads, RELOAD_LOOK);
}

int reload_until_signal(const struct reloads *reloads, const sigset_t *signals)
{
    const struct timespec look = {.tv_sec = LOOK_S};
    for (;;) {
        int number = sigtimedwait(signals, NULL, reloads->count > 0 ? &look : NULL);
        if (number == SIGHUP) {
            reload_asked(reloads);
        } else if (number > 0 && signals_is_stop(number)) {
            return number;
        } else if (number > 0) {
            signals_note(number);
        } else if (errno == EAGAIN) {
            reload_all(reloads, RELOAD_LOOK);
        }
    }
}
