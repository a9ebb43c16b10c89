/*
 * signals.h: what each signal means to the server. Every thread blocks them all but for those of program errors; main's
 * thread waits for them (reload.h).
 *
 *     SIGTERM, SIGINT                         stop
 *     SIGHUP                                  files are read again
 *     SIGXCPU                                 an error line: at the hard limit of CPU time the system kills the process
 *     SIGXFSZ, SIGPIPE                        ignored: the write fails, and whoever wrote reports it
 *     SIGTTIN, SIGTTOU                        ignored: a server in the background may write to its terminal
 *     SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT, real-time signals
 *                                             change nothing, but for a line that says so
 *     SIGSEGV, SIGILL, SIGFPE, SIGSYS, SIGTRAP, SIGABRT, SIGBUS
 *                                             a line `crashed`, then the process ends, with a core file if the system
 *                                             makes them
 */
#ifndef CHITCHAT_SERVER_SIGNALS_H
#define CHITCHAT_SERVER_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

/* Blocks and ignores as above, and sets the handlers of crashes. *signals_r: those to wait for. Main's thread, before
 * any other thread is started; they inherit it. */
void signals_block(sigset_t *signals_r);
/* Whether `number` asks the server to stop. */
bool signals_is_stop(int number);
/* A signal that was waited for, neither SIGHUP nor a stop: the line that says what it means. */
void signals_note(int number);

#endif
