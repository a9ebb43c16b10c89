/*
 * runner.c: runs the tests of a criterion program, each in a process that is forked, in place of criterion's runner.
 *
 * criterion starts a program anew for each test. Under AddressSanitizer that takes 0.2 s of CPU time: more than nearly
 * all tests. A fork takes less than half, and has the same fresh static variables. Most of what a fork takes is the
 * check for leaks at its end. So a process first runs up to BATCH_MAX tests of one suite. If anything goes wrong in it,
 * its output and outcomes are dropped, and each of its tests runs in a process of its own: a leak, a crash or a time
 * out is that of the one test. If then none fails, they depend on each other's static variables, which is a failure
 * too: it costs as much as the rest together. A suite whose tests need processes of their own says why in
 * `.description`.
 *
 * The options are those of criterion that this project uses: -jN, --timeout S, --filter 'SUITE/NAME', --list. The last
 * line is criterion's, which `./dev test` counts.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
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

extern struct criterion_test *__start_cr_tst[], *__stop_cr_tst[];
/* A program may have no suite with options. */
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak)), *__stop_cr_sts[] __attribute__((weak));

enum outcome { OUTCOME_NOT_RUN, OUTCOME_RUNNING, OUTCOME_PASSED, OUTCOME_FAILED, OUTCOME_SKIPPED };

#define BATCH_MAX 16u

/* Tests that one process runs. */
struct batch {
    uint32_t first, count;
    bool is_split;
    pid_t pid;   /* 0: not running */
    FILE *words; /* what the process writes to stderr; NULL: that of the runner */
};

static struct criterion_test **tests; /* those that the filter lets through, by suite and name */
static uint32_t test_count;
static uint8_t *outcomes;     /* enum outcome, of each; shared with their processes */
static struct batch *batches; /* room for all tests twice: in company, and alone */
static uint32_t batch_count;

/* The runner's. */
static uint32_t passed, failed, crashed, skipped;

/* The process of a test. */
static bool is_test;
static struct criterion_test *running;
static jmp_buf leave;
static bool has_failed;
static int stdout_before = -1;
static FILE *stdout_file;

int __lsan_is_turned_off(void);

/* A test is checked for leaks at its end, the runner is not. */
int __lsan_is_turned_off(void)
{
    return !is_test;
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

/* -- A test. -- */

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

static _Noreturn void run_process(const struct batch *batch, double timeout)
{
    is_test = true;
    if (batch->words != NULL && dup2(fileno(batch->words), STDERR_FILENO) < 0)
        abort();
    for (uint32_t at = batch->first; at < batch->first + batch->count; at++) {
        outcomes[at] = OUTCOME_RUNNING;
        outcomes[at] = (uint8_t)run_test(tests[at], timeout);
    }
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
    batches = calloc(2 * test_count + 1, sizeof *batches);
    outcomes = mmap(NULL, test_count + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (tests == NULL || batches == NULL || outcomes == MAP_FAILED)
        abort();
}

/* A test has ended, with the status of its process. */
static void count_test(uint32_t at, int status)
{
    const struct criterion_test *test = tests[at];
    uint8_t outcome = outcomes[at];
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
    outcomes[at] = OUTCOME_FAILED;
    fprintf(stderr, "[FAIL] %s/%s: its process ended with %s %d%s\n", test->category, test->name,
            WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
            WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? " (time out)" : "");
}

static bool needs_a_process(const struct criterion_test *test)
{
    const struct criterion_suite *suite = suite_of(test);
    return test->data->signal != 0 || test->data->exit_code != 0 || (suite != NULL && suite->data->description != NULL);
}

static void make_batches(void)
{
    for (uint32_t at = 0; at < test_count; at++) {
        struct batch *last = batch_count > 0 ? &batches[batch_count - 1] : NULL;
        const struct criterion_test *before = last != NULL ? tests[last->first] : NULL;
        if (last != NULL && last->count < BATCH_MAX && strcmp(before->category, tests[at]->category) == 0
            && !needs_a_process(before) && !needs_a_process(tests[at]))
            last->count++;
        else
            batches[batch_count++] = (struct batch){.first = at, .count = 1};
    }
}

static void start_batch(struct batch *batch, double timeout)
{
    fflush(NULL);
    if (batch->count > 1 && (batch->words = tmpfile()) == NULL)
        abort();
    batch->pid = fork();
    if (batch->pid < 0) {
        perror("fork");
        exit(2);
    }
    if (batch->pid == 0)
        run_process(batch, timeout);
}

static bool all_passed(const struct batch *batch)
{
    for (uint32_t at = batch->first; at < batch->first + batch->count; at++)
        if (outcomes[at] != OUTCOME_PASSED && outcomes[at] != OUTCOME_SKIPPED)
            return false;
    return true;
}

static void show_words(FILE *words)
{
    char text[4096];
    rewind(words);
    for (size_t bytes; (bytes = fread(text, 1, sizeof text, words)) > 0;)
        fwrite(text, 1, bytes, stderr);
}

/* Each test of it runs again, alone. */
static void split_batch(struct batch *batch)
{
    batch->is_split = true;
    fprintf(stderr, "%s: %u tests run again, each alone\n", tests[batch->first]->category, batch->count);
    for (uint32_t at = batch->first; at < batch->first + batch->count; at++) {
        outcomes[at] = OUTCOME_NOT_RUN;
        batches[batch_count++] = (struct batch){.first = at, .count = 1};
    }
}

static void end_batch(struct batch *batch, int status)
{
    bool is_whole = batch->count == 1 || (all_passed(batch) && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    batch->pid = 0;
    if (batch->words != NULL) {
        if (is_whole)
            show_words(batch->words);
        fclose(batch->words);
    }
    if (!is_whole)
        split_batch(batch);
    for (uint32_t at = batch->first; is_whole && at < batch->first + batch->count; at++)
        count_test(at, status);
}

static void take_ended(void)
{
    int status;
    pid_t pid = wait(&status);
    if (pid < 0)
        abort();
    for (uint32_t i = 0; i < batch_count; i++)
        if (batches[i].pid == pid) {
            end_batch(&batches[i], status);
            return;
        }
}

/* All tests have run. */
static void count_split(void)
{
    for (uint32_t i = 0; i < batch_count; i++) {
        if (!batches[i].is_split || !all_passed(&batches[i]))
            continue;
        failed++;
        fprintf(stderr,
                "[FAIL] %s: tests fail in one process and pass alone: set their variables in .init, or give the "
                "suite a .description\n",
                tests[batches[i].first]->category);
    }
}

static void run_all(uint32_t at_once, double timeout)
{
    make_batches();
    for (uint32_t next = 0, out = 0; next < batch_count || out > 0;) {
        if (next < batch_count && out < at_once) {
            start_batch(&batches[next], timeout);
            next++;
            out++;
        } else {
            take_ended();
            out--;
        }
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
    run_all(at_once > 0 ? at_once : 1, timeout);
    count_split();
    fprintf(stderr, "[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: %u\n",
            passed + failed + crashed, passed, failed, crashed);
    if (skipped > 0)
        fprintf(stderr, "skipped: %u\n", skipped);
    return failed + crashed > 0;
}
