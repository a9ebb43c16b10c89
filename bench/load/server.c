#include "load/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "load/proc.h"

#define POLL_MS 20
#define STOP_MS 20000
/* One who listens and cannot be looked into is believed after this time. */
#define UNSEEN_MS_MAX 2000u
#define LET_GO_MS 1000

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

_Noreturn static void run(const char *command)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static void signal_all(const struct load_server *server, int signal)
{
    kill(-server->shell, signal);
    if (server->group != server->shell)
        kill(-server->group, signal);
}

/* What the shell leaves behind becomes our child: so all of a group can be waited for. True when none of it is left. */
static bool collect_group(int group, int options)
{
    int pid;
    while ((pid = waitpid(-group, NULL, options)) > 0)
        continue;
    return pid < 0;
}

static bool collect(const struct load_server *server, int options)
{
    return collect_group(server->shell, options)
           && (server->group == server->shell || collect_group(server->group, options));
}

/* `timeout`, for one, makes a group of its own. */
static bool find_listener(struct load_server *server, uint16_t port)
{
    int listener = load_proc_listener(port);
    int group = listener > 0 ? getpgid(listener) : -1;
    if (group <= 0 || group == getpgrp())
        return false;
    server->pid = listener;
    server->group = group;
    return true;
}

bool load_server_has_ended(struct load_server *server, char *why, size_t room)
{
    int status = 0;
    if (server->shell == 0 || waitpid(server->shell, &status, WNOHANG) != server->shell)
        return false;
    if (WIFSIGNALED(status))
        snprintf(why, room, "signal %d, %s", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(why, room, "status %d", WEXITSTATUS(status));
    load_server_kill(server);
    return true;
}

/* For some ms after a killed server has ended its listener still takes connections: the kernel takes its ring apart in
 * the background. They would be mistaken for those of the one that is started. */
static void wait_for_silence(struct load_address *address)
{
    for (int ms = 0; ms < LET_GO_MS && load_address_probe(address) == 0; ms++)
        sleep_ms(1);
}

int load_server_start(struct load_server *server_r, const char *command, struct load_address *address)
{
    char ignored[64];
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    wait_for_silence(address);
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        run(command);
    setpgid(pid, pid); /* the child does it too: whoever is first */
    *server_r = (struct load_server){pid, pid, pid};
    uint32_t unseen_ms = 0;
    for (uint32_t ms = 0; ms < LOAD_SERVER_START_S * 1000; ms += POLL_MS) {
        if (load_address_probe(address) == 0) {
            unseen_ms += POLL_MS;
            if (find_listener(server_r, address->port) || unseen_ms > UNSEEN_MS_MAX)
                return 0;
        }
        if (load_server_has_ended(server_r, ignored, sizeof ignored))
            return -ECHILD;
        sleep_ms(POLL_MS);
    }
    load_server_kill(server_r);
    return -ETIMEDOUT;
}

void load_server_kill(struct load_server *server)
{
    if (server->shell != 0) {
        signal_all(server, SIGKILL);
        collect(server, 0);
    }
    *server = (struct load_server){0};
}

void load_server_stop(struct load_server *server)
{
    if (server->shell == 0)
        return;
    signal_all(server, SIGTERM);
    for (int ms = 0; ms < STOP_MS; ms += POLL_MS) {
        if (collect(server, WNOHANG)) {
            *server = (struct load_server){0};
            return;
        }
        sleep_ms(POLL_MS);
    }
    load_server_kill(server);
}
