#include "load/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "load/proc.h"
#include "times.h"

#define POLL_MS 20
#define STOP_MS 20000
/* If something listens but its process cannot be found, the start counts as done after this time. */
#define UNSEEN_MS_MAX 2000u
#define SILENCE_MS 1000

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

/* Orphans of the shell become children of this process, so all of a group can be waited for. True if none is left. */
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

/* The process that listens may have another group than the shell: `timeout` makes one, for example. */
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

/* For some ms after a killed server has ended, its listener still accepts connections: the kernel frees its ring in the
 * background. Those connections would be taken for those of the new server. */
static void wait_for_silence(struct load_address *address)
{
    for (int ms = 0; ms < SILENCE_MS && load_address_probe(address) == 0; ms++)
        times_sleep_us(1000);
}

int load_server_start(struct load_server *server_r, const char *command, struct load_address *address)
{
    char ignored[64];
    ASSERT(address->count > 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    wait_for_silence(address);
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        run(command);
    setpgid(pid, pid); /* the child does so too: either may be first */
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
        times_sleep_us(POLL_MS * 1000);
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
        times_sleep_us(POLL_MS * 1000);
    }
    load_server_kill(server);
}
