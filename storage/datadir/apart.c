#include "storage/datadir/apart.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"

int apart_open(struct apart **apart_r)
{
    void *memory = mmap(NULL, sizeof **apart_r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    *apart_r = memory;
    return 0;
}

void apart_close(struct apart **apart)
{
    if (*apart != NULL)
        munmap(*apart, sizeof **apart);
    *apart = NULL;
}

/* Others come from outside, as from a shell or the kernel that needs memory. */
static const int crashes[] = {SIGSEGV, SIGILL, SIGFPE, SIGSYS, SIGTRAP, SIGABRT};

static bool is_crash_signal(int number)
{
    bool is_one = number == SIGBUS; /* which has a handler of its own (storage/page_guard.h) */
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++)
        is_one |= crashes[i] == number;
    return is_one;
}

/* The parent may end before the child asks for the signal. */
static _Noreturn void run_child(struct apart *apart, pid_t parent, int (*body)(struct apart *apart, void *context),
                                void *context)
{
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++)
        (void)signal(crashes[i], SIG_DFL); /* a handler would report a crash of the process */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(1);
    int code = body(apart, context);
    apart->is_done = true;
    _exit(code);
}

int apart_run(struct apart *apart, int (*body)(struct apart *apart, void *context), void *context, int *code_r)
{
    ASSERT(body != NULL);
    int end;
    pid_t parent = getpid();
    apart->is_done = false;
    fflush(stdout);
    (void)signal(SIGCHLD, SIG_DFL); /* where it is ignored by inheritance, nobody can wait for a child */
    pid_t child = fork();
    if (child < 0)
        return -errno;
    if (child == 0)
        run_child(apart, parent, body, context);
    while (waitpid(child, &end, 0) < 0)
        if (errno != EINTR)
            return -errno;
    if (WIFEXITED(end) && apart->is_done) {
        *code_r = WEXITSTATUS(end);
        return 0;
    }
    /* With a sanitizer the child exits where the kernel would send a signal. */
    bool is_crash = !WIFSIGNALED(end) || is_crash_signal(WTERMSIG(end));
    snprintf(apart->text, sizeof apart->text,
             is_crash ? "reading it ended with %s" : "the process that read it got: %s",
             WIFSIGNALED(end) ? strsignal(WTERMSIG(end)) : "an exit");
    return is_crash ? -EBADMSG : -EINTR;
}
