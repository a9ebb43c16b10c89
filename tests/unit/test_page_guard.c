#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "storage/page_guard.h"

/* A mapped file of one page that was truncated while it was mapped. */
static volatile char *lost_page(void)
{
    char path[] = "/tmp/chitchat-guard-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && ftruncate(fd, 4096) == 0);
    volatile char *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    cr_assert(page != MAP_FAILED);
    cr_assert(ftruncate(fd, 0) == 0);
    unlink(path);
    close(fd);
    return page;
}

static int read_page(void *context)
{
    volatile char *page = context;
    return page[17];
}

static int answer(void *context)
{
    return *(int *)context;
}

static int read_twice(void *context)
{
    int inner = page_guard_run(read_page, context);
    return inner == -EIO ? page_guard_run(read_page, context) - 1 : 0;
}

Test(page_guard, what_the_body_returns_comes_back)
{
    int number = 42;
    cr_assert_eq(page_guard_install(), 0);
    cr_assert_eq(page_guard_run(answer, &number), 42);
}

Test(page_guard, a_page_that_is_gone_is_an_error_and_not_the_end_again_and_again)
{
    cr_assert_eq(page_guard_install(), 0);
    volatile char *page = lost_page();
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(page_guard_run(read_page, (void *)page), -EIO);
}

Test(page_guard, an_inner_guard_catches_and_the_outer_one_goes_on_and_still_stands)
{
    cr_assert_eq(page_guard_install(), 0);
    volatile char *page = lost_page();
    cr_assert_eq(page_guard_run(read_twice, (void *)page), -EIO - 1);
    cr_assert_eq(page_guard_run(read_page, (void *)page), -EIO);
}

Test(page_guard, outside_of_a_guard_it_ends_the_process_as_ever, .signal = SIGBUS)
{
    cr_assert_eq(page_guard_install(), 0);
    volatile char *page = lost_page();
    read_page((void *)page);
}
