#include "server/signals.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

/* Signals that somebody, a limit or a timer may send: logged, and otherwise ignored. */
static const int noted[] = {SIGQUIT, SIGUSR1, SIGUSR2,   SIGTSTP, SIGALRM, SIGVTALRM,
                            SIGPROF, SIGIO,   SIGSTKFLT, SIGPWR,  SIGXCPU};
static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGTTIN, SIGTTOU};
static const int crashes[] = {SIGSEGV, SIGILL, SIGFPE, SIGSYS, SIGTRAP, SIGABRT};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The action was reset before the call: the signal that is raised ends the process when the handler returns. */
static void on_crash(int number)
{
    const char *name = sigabbrev_np(number);
    log_crash(name != NULL ? name : "unknown");
    raise(number);
}

/* A sanitizer has handlers of its own, which say more. */
static void set_crash_handlers(void)
{
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND};
    struct sigaction before;
    for (size_t i = 0; i < COUNT(crashes); i++)
        if (sigaction(crashes[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            sigaction(crashes[i], &action, NULL);
}

/* The C library keeps the two signals below SIGRTMIN for itself, and its functions do not take them. From outside they
 * would end the process before the library has set its handlers. A struct sigaction of the kernel begins with the
 * handler; zeros behind SIG_IGN are right everywhere. */
static void ignore_those_of_libc(void)
{
    unsigned long ignore[16] = {(unsigned long)SIG_IGN};
    unsigned long before[16] = {0};
    for (int number = 32; number < SIGRTMIN; number++)
        if (syscall(SYS_rt_sigaction, number, NULL, before, 8) == 0 && before[0] == (unsigned long)SIG_DFL)
            (void)syscall(SYS_rt_sigaction, number, ignore, NULL, 8);
}

void signals_block(sigset_t *signals_r)
{
    sigemptyset(signals_r);
    sigaddset(signals_r, SIGTERM);
    sigaddset(signals_r, SIGINT);
    sigaddset(signals_r, SIGHUP);
    for (size_t i = 0; i < COUNT(noted); i++)
        sigaddset(signals_r, noted[i]);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        sigaddset(signals_r, number);
    pthread_sigmask(SIG_BLOCK, signals_r, NULL);
    ignore_those_of_libc();
    for (size_t i = 0; i < COUNT(ignored); i++)
        signal(ignored[i], SIG_IGN);
    /* A signal that the parent ignored, as SIGHUP under nohup, would not arrive. But a shell without job control has
     * its background processes ignore SIGINT and SIGQUIT, since they share its terminal. */
    signal(SIGHUP, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGXCPU, SIG_DFL);
    set_crash_handlers();
}

bool signals_is_stop(int number)
{
    return number == SIGTERM || number == SIGINT;
}

void signals_note(int number)
{
    char name[16];
    const char *known = sigabbrev_np(number);
    if (number == SIGXCPU) {
        log_line(LOG_ERROR, "cpu_limit",
                 "signal=SIGXCPU hint=\"the limit of CPU time (ulimit -t, LimitCPU=) is used up: at its hard value the "
                 "system kills the server; start it without this limit\"");
        return;
    }
    if (known != NULL)
        (void)snprintf(name, sizeof name, "SIG%s", known);
    else
        (void)snprintf(name, sizeof name, "SIGRTMIN+%d", number - SIGRTMIN);
    log_line(LOG_WARN, "signal_ignored", "signal=%s hint=\"SIGTERM stops the server, SIGHUP reads its files again\"",
             name);
}
