#include "server/service_notify.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/core.h"

#define NOW_S 1000u

static uint64_t now_us(struct clock *clock)
{
    (void)clock;
    return seconds_us(NOW_S);
}

/* A service manager, and a server of two shards whose threads do not run. */
struct fixture {
    struct sockaddr_un address;
    int fd;
    char message[512];
    struct clock clock;
    struct core *cores[2];
    struct server server;
};

static void fixture_init(struct fixture *fixture, const char *watchdog_us)
{
    memset(fixture, 0, sizeof *fixture);
    fixture->address.sun_family = AF_UNIX;
    (void)snprintf(fixture->address.sun_path, sizeof fixture->address.sun_path, "/tmp/chitchat-notify-%d", getpid());
    unlink(fixture->address.sun_path);
    fixture->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fixture->fd, (struct sockaddr *)&fixture->address, sizeof fixture->address), 0);
    setenv("NOTIFY_SOCKET", fixture->address.sun_path, 1);
    unsetenv("WATCHDOG_PID");
    if (watchdog_us != NULL)
        setenv("WATCHDOG_USEC", watchdog_us, 1);
    else
        unsetenv("WATCHDOG_USEC");
    fixture->clock.monotonic_us = now_us;
    for (uint32_t i = 0; i < 2; i++) {
        fixture->cores[i] = calloc(1, sizeof *fixture->cores[i]);
        atomic_store(&fixture->cores[i]->health.state, HEALTH_READY);
        atomic_store(&fixture->cores[i]->health.turned_s, NOW_S);
    }
    fixture->server.clock = &fixture->clock;
    fixture->server.cores = fixture->cores;
    fixture->server.core_count = 2;
}

static void fixture_fini(struct fixture *fixture)
{
    for (uint32_t i = 0; i < 2; i++)
        free(fixture->cores[i]);
    close(fixture->fd);
    unlink(fixture->address.sun_path);
}

/* The next message that the manager has got; "" if there is none. */
static const char *next(struct fixture *fixture)
{
    ssize_t bytes = recv(fixture->fd, fixture->message, sizeof fixture->message - 1, MSG_DONTWAIT);
    fixture->message[bytes > 0 ? bytes : 0] = '\0';
    return fixture->message;
}

static void look(struct fixture *fixture)
{
    service_notify_look(&fixture->server, RELOAD_LOOK);
}

Test(service_notify, the_manager_hears_that_the_server_is_ready_and_that_all_shards_turn)
{
    struct fixture fixture;
    fixture_init(&fixture, "30000000");
    service_notify_ready(&fixture.server);
    cr_assert_str_eq(next(&fixture), "READY=1");
    cr_assert_str_eq(next(&fixture), "STATUS=ready: the server takes messages");
    cr_assert_str_eq(next(&fixture), "WATCHDOG=1");
    look(&fixture);
    cr_assert_str_eq(next(&fixture), "WATCHDOG=1");
    cr_assert_str_eq(next(&fixture), "");
    cr_assert_eq(fixture.server.reloads.count, 1);
    fixture_fini(&fixture);
}

Test(service_notify, the_watchdog_hears_nothing_while_one_shard_is_stuck)
{
    struct fixture fixture;
    fixture_init(&fixture, "30000000");
    atomic_store(&fixture.cores[1]->health.turned_s, NOW_S - HEALTH_TURN_S - 1);
    service_notify_ready(&fixture.server);
    cr_assert_str_eq(next(&fixture), "READY=1");
    cr_assert_str_eq(next(&fixture), "STATUS=ready: the server takes messages");
    cr_assert_str_eq(next(&fixture), "");
    look(&fixture);
    cr_assert_str_eq(next(&fixture), "");
    atomic_store(&fixture.cores[1]->health.turned_s, NOW_S);
    look(&fixture);
    cr_assert_str_eq(next(&fixture), "WATCHDOG=1");
    fixture_fini(&fixture);
}

Test(service_notify, a_status_is_sent_when_the_health_changes_and_without_a_watchdog_nothing_else)
{
    struct fixture fixture;
    fixture_init(&fixture, NULL);
    service_notify_ready(&fixture.server);
    cr_assert_str_eq(next(&fixture), "READY=1");
    cr_assert_str_eq(next(&fixture), "STATUS=ready: the server takes messages");
    atomic_store(&fixture.cores[0]->health.state, HEALTH_FULL);
    look(&fixture);
    cr_assert(strncmp(next(&fixture), "STATUS=full_disk: ", 18) == 0, "%s", fixture.message);
    look(&fixture);
    cr_assert_str_eq(next(&fixture), "");
    fixture_fini(&fixture);
}

Test(service_notify, a_reload_begins_and_ends_and_a_stop_asks_for_its_time)
{
    struct fixture fixture;
    fixture_init(&fixture, NULL);
    service_notify_reloading();
    cr_assert(strncmp(next(&fixture), "RELOADING=1\nMONOTONIC_USEC=", 27) == 0, "%s", fixture.message);
    service_notify_reloaded();
    cr_assert_str_eq(next(&fixture), "READY=1");
    service_notify_stopping(20);
    cr_assert(strstr(next(&fixture), "STOPPING=1") != NULL, "%s", fixture.message);
    cr_assert(strstr(fixture.message, "EXTEND_TIMEOUT_USEC=30000000") != NULL, "%s", fixture.message);
    fixture_fini(&fixture);
}

Test(service_notify, a_standby_is_ready_and_a_deposed_owner_does_not_stop)
{
    struct fixture fixture;
    fixture_init(&fixture, "30000000");
    service_notify_alive(&fixture.server);
    cr_assert_str_eq(next(&fixture), "");
    service_notify_standby(&fixture.server, "north", "wss://north/ws");
    cr_assert_str_eq(next(&fixture), "READY=1\nSTATUS=standby: owner is north at wss://north/ws");
    service_notify_alive(&fixture.server);
    cr_assert_str_eq(next(&fixture), "WATCHDOG=1");
    service_notify_deposed();
    cr_assert_str_eq(next(&fixture), "STATUS=deposed: becomes a standby");
    fixture_fini(&fixture);
}

Test(service_notify, without_a_manager_nothing_is_registered_or_sent)
{
    struct fixture fixture;
    fixture_init(&fixture, "30000000");
    unsetenv("NOTIFY_SOCKET");
    service_notify_ready(&fixture.server);
    service_notify_reloading();
    service_notify_stopping(5);
    cr_assert_eq(fixture.server.reloads.count, 0);
    cr_assert_str_eq(next(&fixture), "");
    fixture_fini(&fixture);
}
