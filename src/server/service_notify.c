#include "server/service_notify.h"

#include <inttypes.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#include "server/core.h"

/* The manager waits this much longer than the server takes at most. */
#define MARGIN_S 10u

/* An error means that nobody listens. There is nothing to do about it, and the server goes on. */
static void notify(const char *state)
{
    (void)sd_notify(0, state);
}

void service_notify_ready(struct server *server)
{
    if (getenv("NOTIFY_SOCKET") == NULL)
        return;
    server->is_watched = sd_watchdog_enabled(0, NULL) > 0;
    server->notified_state = HEALTH_STARTING;
    reload_add_look(&server->reloads, service_notify_look, server);
    notify("READY=1");
    service_notify_look(server, RELOAD_LOOK);
}

void service_notify_standby(struct server *server, const char *owner, const char *address)
{
    if (getenv("NOTIFY_SOCKET") == NULL)
        return;
    server->is_watched = sd_watchdog_enabled(0, NULL) > 0;
    (void)sd_notifyf(0, "READY=1\nSTATUS=standby: owner is %s%s%s", owner, address[0] != '\0' ? " at " : "", address);
}

void service_notify_follows(struct server *server)
{
    if (getenv("NOTIFY_SOCKET") == NULL)
        return;
    server->is_watched = sd_watchdog_enabled(0, NULL) > 0;
    notify("STATUS=standby: waits for the log");
}

void service_notify_alive(const struct server *server)
{
    if (server->is_watched)
        notify("WATCHDOG=1");
}

void service_notify_deposed(void)
{
    notify("STATUS=deposed: becomes a standby");
}

void service_notify_look(void *context, enum reload_cause cause)
{
    struct server *server = context;
    uint32_t shard;
    struct health_report report = health_report(server);
    (void)cause;
    if (report.state != server->notified_state) {
        server->notified_state = report.state;
        (void)sd_notifyf(0, "STATUS=%s: %s", report.name, report.message);
    }
    if (server->is_watched && health_is_alive(server, (uint32_t)(clock_monotonic_us(server->clock) / 1000000), &shard))
        notify("WATCHDOG=1");
}

void service_notify_reloading(void)
{
    struct clock clock;
    clock_init_system(&clock);
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_monotonic_us(&clock));
}

void service_notify_reloaded(void)
{
    notify("READY=1");
}

void service_notify_stopping(uint64_t most_s)
{
    (void)sd_notifyf(0, "STOPPING=1\nSTATUS=stops\nEXTEND_TIMEOUT_USEC=%" PRIu64, seconds_us(most_s + MARGIN_S));
}
