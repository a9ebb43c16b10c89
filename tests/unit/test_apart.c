/* apart.h: what a body says and returns comes back, and so does that it was ended. */
#include "storage/datadir/apart.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static struct apart *apart;

static void setup(void)
{
    cr_assert_eq(apart_open(&apart), 0);
}

static void teardown(void)
{
    apart_close(&apart);
    cr_assert_null(apart);
}

TestSuite(apart, .init = setup, .fini = teardown);

static int say(struct apart *own, void *context)
{
    int *number = context;
    snprintf(own->path, sizeof own->path, "path %d", *number);
    snprintf(own->text, sizeof own->text, "text %d", *number);
    return (*number)++;
}

Test(apart, a_body_gives_its_code_and_its_words_and_changes_nothing_else)
{
    int number = 7, code = 0;
    cr_assert_eq(apart_run(apart, say, &number, &code), 0);
    cr_assert_eq(code, 7);
    cr_assert_str_eq(apart->path, "path 7");
    cr_assert_str_eq(apart->text, "text 7");
    cr_assert_eq(number, 7);
    number = 0;
    cr_assert_eq(apart_run(apart, say, &number, &code), 0);
    cr_assert_eq(code, 0);
}

static int get_signal(struct apart *own, void *context)
{
    snprintf(own->path, sizeof own->path, "a file");
    signal(*(int *)context, SIG_DFL); /* a sanitizer has handlers */
    raise(*(int *)context);
    return 0;
}

static int leave(struct apart *own, void *context)
{
    (void)own, (void)context;
    _exit(0);
}

Test(apart, a_body_that_crashed_is_a_finding)
{
    int code = 0, number = SIGSEGV;
    cr_assert_eq(apart_run(apart, get_signal, &number, &code), -EBADMSG);
    cr_assert_str_eq(apart->path, "a file");
    cr_assert_str_eq(apart->text, "reading it ended with Segmentation fault");
    number = SIGBUS;
    cr_assert_eq(apart_run(apart, get_signal, &number, &code), -EBADMSG);
    cr_assert_eq(apart_run(apart, leave, NULL, &code), -EBADMSG, "as a sanitizer does it");
}

Test(apart, a_signal_from_outside_says_nothing_of_the_file)
{
    int code = 0, number = SIGKILL;
    cr_assert_eq(apart_run(apart, get_signal, &number, &code), -EINTR);
    cr_assert_str_eq(apart->text, "the process that read it got: Killed");
    number = SIGTERM;
    cr_assert_eq(apart_run(apart, get_signal, &number, &code), -EINTR);
}

Test(apart, a_process_whose_parent_ignored_its_children_has_the_code_all_the_same)
{
    int number = 3, code = 0;
    signal(SIGCHLD, SIG_IGN);
    cr_assert_eq(apart_run(apart, say, &number, &code), 0);
    cr_assert_eq(code, 3);
}
