#include "load_server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 20
#define START_MS 60000
#define STOP_MS 20000
#define LET_GO_MS 1000

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

_Noreturn static void run(const char *command)
{
    char line[4096];
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    snprintf(line, sizeof line, "exec %s", command);
    execl("/bin/sh", "sh", "-c", line, (char *)NULL);
    _exit(127);
}

int load_server_probe(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int status = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ? 0 : -errno;
    close(fd);
    return status;
}

bool load_server_has_ended(int pid, char *why, size_t room)
{
    int status = 0;
    if (waitpid(pid, &status, WNOHANG) != pid)
        return false;
    if (WIFSIGNALED(status))
        snprintf(why, room, "signal %d, %s", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(why, room, "status %d", WEXITSTATUS(status));
    return true;
}

/* For some ms after a killed server has ended its listener still takes connections: the kernel takes its ring apart in
 * the background. They would be mistaken for those of the one that is started. */
static void wait_for_silence(const struct sockaddr_in *address)
{
    for (int ms = 0; ms < LET_GO_MS && load_server_probe(address) == 0; ms++)
        sleep_ms(1);
}

int load_server_start(const char *command, const struct sockaddr_in *address, int *pid_r)
{
    wait_for_silence(address);
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        run(command);
    *pid_r = pid;
    for (int ms = 0; ms < START_MS; ms += POLL_MS) {
        if (load_server_probe(address) == 0)
            return 0;
        if (waitpid(pid, NULL, WNOHANG) == pid)
            return -ECHILD;
        sleep_ms(POLL_MS);
    }
    load_server_kill(pid);
    return -ETIMEDOUT;
}

void load_server_kill(int pid)
{
    kill(-pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

void load_server_stop(int pid)
{
    kill(pid, SIGTERM);
    for (int ms = 0; ms < STOP_MS; ms += POLL_MS) {
        if (waitpid(pid, NULL, WNOHANG) != 0)
            return;
        sleep_ms(POLL_MS);
    }
    load_server_kill(pid);
}
