/* sim_report.c: the trace of a run, the report of a broken promise, and runs in processes of their own. */
#include <glob.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "sim_run.h"

#define TRACE_LINES 60u
#define LINE_BYTES 160u

enum fault fault_active;

const char *const sim_trouble_names[TROUBLE_COUNT] = {
    [TROUBLE_CRASH] = "crashes",    [TROUBLE_DEATH] = "deaths",    [TROUBLE_STOP] = "stops",
    [TROUBLE_LOG] = "failing-logs", [TROUBLE_FULL] = "full-disks", [TROUBLE_DISK] = "failing-calls",
    [TROUBLE_CLOCK] = "clock",      [TROUBLE_STALL] = "stalls",    [TROUBLE_VANISH] = "vanishing",
    [TROUBLE_RUDE] = "rudeness",    [TROUBLE_END] = "ends",        [TROUBLE_ERASE] = "erasures"};

/* Static, so that sim_broken can be called from everywhere. */
static struct {
    struct sim_run_options asked;
    uint64_t event;
    char lines[TRACE_LINES][LINE_BYTES];
    uint64_t line_count;
    int result_fd; /* 0: nobody waits for the result */
    const struct chaos *chaos;
    uint64_t turns_before; /* when the watch last looked */
    uint32_t looks;        /* that found no new turn */
} run;

void sim_note(const char *format, ...)
{
    va_list arguments;
    char *line = run.lines[run.line_count++ % TRACE_LINES];
    int begun = snprintf(line, LINE_BYTES, "%8llu  ", (unsigned long long)run.event);
    va_start(arguments, format);
    vsnprintf(line + begun, LINE_BYTES - (size_t)begun, format, arguments);
    va_end(arguments);
}

/* The server's log goes into the trace (--wrap). */
void __wrap_log_line(enum log_level level, const char *event, const char *format, ...);
void __wrap_log_line(enum log_level level, const char *event, const char *format, ...)
{
    char text[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    sim_note("log, level %d: %s %s", (int)level, event, text);
}

static void print_repeat(const struct sim_run_options *asked)
{
    fprintf(stderr, "\nrepeat with: ./dev sim --seed %llu --events %llu", (unsigned long long)asked->seed,
            (unsigned long long)asked->events);
    if (fault_active != FAULT_NONE)
        fprintf(stderr, " --fault %s", sim_fault_name(fault_active));
    for (uint32_t i = 0; i < TROUBLE_COUNT; i++)
        if ((asked->without >> i & 1) != 0)
            fprintf(stderr, " --without %s", sim_trouble_names[i]);
    fprintf(stderr, "\n(--shrink looks for a shorter run that fails)\n");
}

/* A turn takes some microseconds. A turn without end is noticed by its calls of doubles (harness_double.h), or, if it
 * makes none, by its CPU time. */
#define TURN_CPU_SECONDS 4u

static void on_watch(int signal)
{
    (void)signal;
    run.looks = run.chaos->turns == run.turns_before ? run.looks + 1 : 0;
    run.turns_before = run.chaos->turns;
    if (run.looks >= TURN_CPU_SECONDS)
        sim_fail("a turn does not end");
}

void sim_report_begin(const struct sim_run_options *asked, const struct chaos *chaos)
{
    struct itimerval each_second = {{1, 0}, {1, 0}};
    run.asked = *asked;
    run.chaos = chaos;
    HARNESS_MUST(signal(SIGVTALRM, on_watch) != SIG_ERR);
    HARNESS_MUST(setitimer(ITIMER_VIRTUAL, &each_second, NULL) == 0);
}

void sim_report_event(uint64_t event)
{
    run.event = event;
}

_Noreturn void sim_broken(enum sim_promise promise, const char *format, ...)
{
    va_list arguments;
    struct sim_result result = {.broken = promise, .event = run.event};
    uint64_t first = run.line_count > TRACE_LINES ? run.line_count - TRACE_LINES : 0;
    for (uint64_t i = first; i < run.line_count; i++)
        fprintf(stderr, "%s\n", run.lines[i % TRACE_LINES]);
    fprintf(stderr, "seed %llu, event %llu: ", (unsigned long long)run.asked.seed, (unsigned long long)run.event);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    print_repeat(&run.asked);
    if (run.result_fd != 0)
        HARNESS_MUST(write(run.result_fd, &result, sizeof result) == sizeof result);
    _exit(1);
}

/* A run takes some seconds: the system ends one that never ends otherwise. */
#define RUN_CPU_SECONDS 60u

/* An assertion failed, the harness did not become idle, or a signal came: the process has reported no result. */
static void print_death(const struct sim_run_options *asked, int status)
{
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    fprintf(stderr, "seed %llu: the process of the run was ended by signal %d%s", (unsigned long long)asked->seed,
            signal, signal == SIGXCPU || signal == SIGKILL ? ": the run does not end" : "");
    print_repeat(asked);
}

/* A run that failed has left its directories. */
static void remove_dirs(pid_t pid)
{
    static const char *const parents[] = {"/dev/shm", "/tmp"};
    for (size_t i = 0; i < sizeof parents / sizeof parents[0]; i++) {
        char pattern[64];
        glob_t found;
        snprintf(pattern, sizeof pattern, "%s/" SIM_DIR_NAME "*", parents[i], (int)pid);
        if (glob(pattern, 0, NULL, &found) != 0)
            continue;
        for (size_t k = 0; k < found.gl_pathc; k++)
            harness_dir_remove(found.gl_pathv[k]);
        globfree(&found);
    }
}

struct sim_result sim_run_apart(const struct sim_run_options *asked)
{
    int ends[2], status;
    struct sim_result result = {0};
    HARNESS_MUST(pipe(ends) == 0);
    fflush(NULL);
    pid_t pid = fork();
    HARNESS_MUST(pid >= 0);
    if (pid == 0) {
        if (asked->is_quiet)
            HARNESS_MUST(freopen("/dev/null", "w", stderr) != NULL);
        run.result_fd = ends[1];
        setrlimit(RLIMIT_CPU, &(struct rlimit){RUN_CPU_SECONDS, RUN_CPU_SECONDS});
        result.tally = sim_run(asked);
        result.is_kept = true;
        HARNESS_MUST(write(ends[1], &result, sizeof result) == sizeof result);
        _exit(0);
    }
    close(ends[1]);
    bool is_answered = read(ends[0], &result, sizeof result) == sizeof result;
    close(ends[0]);
    HARNESS_MUST(waitpid(pid, &status, 0) == pid);
    remove_dirs(pid);
    if (!is_answered) /* an assertion, or a signal */
        result = (struct sim_result){.broken = SIM_OTHER, .event = asked->events};
    if (!is_answered && !asked->is_quiet)
        print_death(asked, status);
    result.is_kept &= WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return result;
}
