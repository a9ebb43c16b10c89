/*
 * groups.c: runs the tests of a criterion program with one process for a group of them, in place of criterion's runner.
 *
 * criterion starts a program anew for each test. Under AddressSanitizer such a start, and the check for leaks at its
 * end, take 0.2 s of CPU time: more than nearly all tests. Here the runner forks a process for up to GROUP_TESTS tests
 * of one suite, which run in it one after the other. A test that is to end by a signal has a process of its own. A
 * failed assertion ends its test only. A crash, a leak or a time out fails the group, and the runner then runs each of
 * its tests in a process of its own, so that the one is named.
 *
 * The options are those of criterion that this project uses: -jN, --timeout S, --filter 'SUITE/NAME', --list. The last
 * line is criterion's, which `./dev test` counts.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define GROUP_TESTS 16u

extern struct criterion_test *__start_cr_tst[], *__stop_cr_tst[];
/* A program may have no suite with options. */
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak)), *__stop_cr_sts[] __attribute__((weak));

enum outcome { OUTCOME_NOT_RUN, OUTCOME_RUNNING, OUTCOME_PASSED, OUTCOME_FAILED, OUTCOME_SKIPPED };

struct group {
    uint32_t first; /* of `tests` */
    uint32_t count;
    pid_t pid;     /* 0: not running */
    bool is_alone; /* one test, of a group that has failed or with a signal to come */
};

static struct criterion_test **tests; /* those that the filter lets through, by suite and name */
static uint32_t test_count;
static uint8_t *outcomes; /* enum outcome, of each; shared with the processes of the groups */

/* The runner's. */
static struct group *groups;
static uint32_t group_count;
static uint32_t passed, failed, crashed, skipped;

/* The process of a group. */
static bool is_group;
static struct criterion_test *running;
static jmp_buf leave;
static bool has_failed;
static int stdout_before = -1;
static FILE *stdout_file;

int __lsan_is_turned_off(void);

/* A group is checked for leaks at its end, the runner is not. */
int __lsan_is_turned_off(void)
{
    return !is_group;
}

/* -- What criterion's macros call. -- */

void criterion_send_assert(struct criterion_assert_stats *stats)
{
    if (stats->passed)
        return;
    has_failed = true;
    fprintf(stderr, "[----] %s:%u: %s/%s: %s\n", stats->file, stats->line, running->category, running->name,
            stats->message);
}

void criterion_abort_test(void)
{
    longjmp(leave, 1);
}

void criterion_continue_test(void)
{
}

void criterion_skip_test(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    longjmp(leave, 2);
}

static const struct criterion_suite *suite_of(const struct criterion_test *test)
{
    for (struct criterion_suite **at = __start_cr_sts; at < __stop_cr_sts; at++)
        if (*at != NULL && strcmp((*at)->name, test->category) == 0)
            return *at;
    return NULL;
}

static void call(void (*function)(void))
{
    if (function != NULL)
        function();
}

void criterion_internal_test_setup(void)
{
    const struct criterion_suite *suite = suite_of(running);
    call(suite != NULL ? suite->data->init : NULL);
    call(running->data->init);
}

void criterion_internal_test_main(void (*test)(void))
{
    test();
}

void criterion_internal_test_teardown(void)
{
    const struct criterion_suite *suite = suite_of(running);
    call(running->data->fini);
    call(suite != NULL ? suite->data->fini : NULL);
}

void cr_redirect_stdout(void)
{
    stdout_file = tmpfile();
    fflush(stdout);
    stdout_before = dup(STDOUT_FILENO);
    if (stdout_file == NULL || stdout_before < 0 || dup2(fileno(stdout_file), STDOUT_FILENO) < 0)
        abort();
}

FILE *cr_get_redirected_stdout(void)
{
    fflush(stdout);
    rewind(stdout_file);
    return stdout_file;
}

static void restore_stdout(void)
{
    if (stdout_file == NULL)
        return;
    fflush(stdout);
    dup2(stdout_before, STDOUT_FILENO);
    close(stdout_before);
    fclose(stdout_file);
    stdout_file = NULL;
}

/* -- A group. -- */

static double seconds_of(const struct criterion_test *test, double usual)
{
    const struct criterion_suite *suite = suite_of(test);
    double own = test->data->timeout > 0 ? test->data->timeout : suite != NULL ? suite->data->timeout : 0;
    return own > usual ? own : usual;
}

static enum outcome run_test(struct criterion_test *test, double timeout)
{
    running = test;
    has_failed = false;
    alarm((unsigned)seconds_of(test, timeout));
    volatile bool is_skipped = false;
    switch (setjmp(leave)) {
    case 0: test->test(); break;
    case 2: is_skipped = true; break;
    default: break;
    }
    alarm(0);
    restore_stdout();
    return has_failed ? OUTCOME_FAILED : is_skipped ? OUTCOME_SKIPPED : OUTCOME_PASSED;
}

static _Noreturn void run_group(const struct group *group, double timeout)
{
    is_group = true;
    for (uint32_t at = group->first; at < group->first + group->count; at++) {
        outcomes[at] = OUTCOME_RUNNING;
        outcomes[at] = (uint8_t)run_test(tests[at], timeout);
        if (outcomes[at] == OUTCOME_FAILED)
            break; /* what it has left open would disturb the next */
    }
    running = NULL;
    exit(0);
}

/* -- The runner. -- */

static int by_name(const void *left, const void *right)
{
    const struct criterion_test *a = *(struct criterion_test *const *)left, *b = *(struct criterion_test *const *)right;
    int suites = strcmp(a->category, b->category);
    return suites != 0 ? suites : strcmp(a->name, b->name);
}

static void find_tests(const char *filter)
{
    size_t all = (size_t)(__stop_cr_tst - __start_cr_tst);
    tests = calloc(all + 1, sizeof(struct criterion_test *));
    for (struct criterion_test **at = __start_cr_tst; at < __stop_cr_tst; at++) {
        char name[512];
        if (*at == NULL)
            continue;
        snprintf(name, sizeof name, "%s/%s", (*at)->category, (*at)->name);
        if (filter == NULL || fnmatch(filter, name, 0) == 0)
            tests[test_count++] = *at;
    }
    qsort(tests, test_count, sizeof(struct criterion_test *), by_name);
    outcomes = mmap(NULL, test_count + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (tests == NULL || outcomes == MAP_FAILED)
        abort();
}

static void add_group(uint32_t first, uint32_t count, bool is_alone)
{
    groups = reallocarray(groups, group_count + 1, sizeof *groups);
    if (groups == NULL)
        abort();
    groups[group_count++] = (struct group){.first = first, .count = count, .is_alone = is_alone};
}

/* The tests of these suites begin the log's thread and end it, which a process does once. */
static const char *const suites_alone[] = {"log"};

static bool is_alone(const struct criterion_test *test)
{
    for (size_t i = 0; i < sizeof suites_alone / sizeof *suites_alone; i++)
        if (strcmp(suites_alone[i], test->category) == 0)
            return true;
    return test->data->signal != 0 || test->data->exit_code != 0;
}

static void make_groups(void)
{
    for (uint32_t at = 0, count; at < test_count; at += count) {
        count = 1;
        if (!is_alone(tests[at]))
            while (count < GROUP_TESTS && at + count < test_count && !is_alone(tests[at + count])
                   && strcmp(tests[at]->category, tests[at + count]->category) == 0)
                count++;
        add_group(at, count, is_alone(tests[at]));
    }
}

/* A test that was alone, by the status of its process. */
static void count_alone(const struct group *group, int status)
{
    const struct criterion_test *test = tests[group->first];
    uint8_t outcome = outcomes[group->first];
    bool is_expected = test->data->signal != 0 ? WIFSIGNALED(status) && WTERMSIG(status) == test->data->signal
                                               : WIFEXITED(status) && WEXITSTATUS(status) == test->data->exit_code;
    if (is_expected && outcome != OUTCOME_FAILED) {
        skipped += outcome == OUTCOME_SKIPPED;
        passed += outcome != OUTCOME_SKIPPED;
        return;
    }
    if (outcome == OUTCOME_RUNNING)
        crashed++;
    else
        failed++;
    fprintf(stderr, "[FAIL] %s/%s: its process ended with %s %d%s\n", test->category, test->name,
            WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
            WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? " (time out)" : "");
}

static void count_group(const struct group *group, int status)
{
    bool is_clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    uint32_t first = group->first, count = group->count;
    if (group->is_alone) {
        count_alone(group, status);
        return;
    }
    for (uint32_t at = first; is_clean && at < first + count; at++)
        is_clean = outcomes[at] == OUTCOME_PASSED || outcomes[at] == OUTCOME_SKIPPED;
    for (uint32_t at = first; at < first + count; at++) {
        if (is_clean) {
            passed += outcomes[at] == OUTCOME_PASSED;
            skipped += outcomes[at] == OUTCOME_SKIPPED;
        } else {
            outcomes[at] = OUTCOME_NOT_RUN;
            add_group(at, 1, true);
        }
    }
    if (!is_clean)
        fprintf(stderr, "[----] a group of %s has failed: its tests run again, each in a process of its own\n",
                tests[first]->category);
}

static void start_group(struct group *group, double timeout)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    if (pid == 0)
        run_group(group, timeout);
    group->pid = pid;
}

static void run_all(uint32_t at_once, double timeout)
{
    for (uint32_t next = 0, out = 0; next < group_count || out > 0;) {
        if (next < group_count && out < at_once) {
            start_group(&groups[next++], timeout);
            out++;
            continue;
        }
        int status;
        pid_t pid = wait(&status);
        for (uint32_t i = 0; pid > 0 && i < next; i++) {
            if (groups[i].pid != pid)
                continue;
            struct group ended = groups[i];
            groups[i].pid = 0;
            out--;
            count_group(&ended, status);
            break;
        }
        if (pid < 0 && errno != EINTR)
            abort();
    }
}

static const struct option options[] = {
    {"filter", required_argument, NULL, 'f'},
    {"jobs", required_argument, NULL, 'j'},
    {"list", no_argument, NULL, 'l'},
    {"timeout", required_argument, NULL, 't'},
    {NULL, 0, NULL, 0},
};

int main(int argc, char **argv)
{
    const char *filter = NULL;
    uint32_t at_once = 1;
    double timeout = 0;
    bool lists = false;
    for (int option; (option = getopt_long(argc, argv, "j:", options, NULL)) != -1;) {
        switch (option) {
        case 'f': filter = optarg; break;
        case 'j': at_once = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'l': lists = true; break;
        case 't': timeout = strtod(optarg, NULL); break;
        default: return 2;
        }
    }
    find_tests(filter);
    for (uint32_t i = 0; lists && i < test_count; i++)
        printf("%s/%s\n", tests[i]->category, tests[i]->name);
    if (lists)
        return 0;
    make_groups();
    run_all(at_once > 0 ? at_once : 1, timeout);
    fprintf(stderr, "[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: %u\n",
            passed + failed + crashed, passed, failed, crashed);
    if (skipped > 0)
        fprintf(stderr, "skipped: %u\n", skipped);
    return failed + crashed > 0;
}
