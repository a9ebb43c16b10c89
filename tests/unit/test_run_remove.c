/* run_remove.h: a file is removed in steps. It stays if it has another name or is being copied. */
#include "storage/runs/run_remove.h"

#include "storage/offline/copy.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES ((off_t)21 << 20)

static char dir[64];
static char path[96];
static char other[96];

static void make_file(void)
{
    strcpy(dir, "/tmp/chitchat-test-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/run", dir);
    snprintf(other, sizeof other, "%s/other", dir);
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    cr_assert_eq(ftruncate(fd, FILE_BYTES), 0);
    close(fd);
}

static void remove_dir(void)
{
    (void)unlink(path);
    (void)unlink(other);
    cr_assert_eq(rmdir(dir), 0);
}

TestSuite(run_remove, .init = make_file, .fini = remove_dir);

static off_t size_of(const char *name)
{
    struct stat file;
    return stat(name, &file) == 0 ? file.st_size : -1;
}

struct steps {
    uint32_t asked;
    uint32_t stop_at; /* 0: never */
    off_t last;
};

/* Called between two steps. Each step cuts a little from the end of the file. */
static bool should_stop(void *context)
{
    struct steps *steps = context;
    off_t now = size_of(path);
    cr_assert(steps->asked == 0 ? now == FILE_BYTES : now < steps->last && steps->last - now <= 2 << 20);
    steps->last = now;
    return ++steps->asked == steps->stop_at;
}

Test(run_remove, a_large_file_goes_in_small_steps)
{
    struct steps steps = {0};
    cr_assert_eq(run_remove(path, should_stop, &steps), 0);
    cr_assert_eq(steps.asked, 10);
    cr_assert_eq(size_of(path), -1);
}

Test(run_remove, a_removal_that_stops_early_continues_another_time)
{
    struct steps steps = {.stop_at = 4};
    cr_assert_eq(run_remove(path, should_stop, &steps), -ECANCELED);
    cr_assert_eq(size_of(path), FILE_BYTES - 3 * (2 << 20));
    cr_assert_eq(run_remove(path, NULL, NULL), 0);
    cr_assert_eq(size_of(path), -1);
}

Test(run_remove, what_a_backup_has_linked_stays_whole)
{
    cr_assert_eq(link(path, other), 0);
    cr_assert_eq(run_remove(path, NULL, NULL), 0);
    cr_assert_eq(size_of(path), -1);
    cr_assert_eq(size_of(other), FILE_BYTES);
}

Test(run_remove, what_is_being_copied_stays_whole_until_it_was)
{
    int one = copy_open(path), other_copy = copy_open(path);
    cr_assert(one >= 0 && other_copy >= 0, "two may copy it");
    cr_assert_eq(run_remove(path, NULL, NULL), -EBUSY);
    close(one);
    cr_assert_eq(run_remove(path, NULL, NULL), -EBUSY);
    cr_assert_eq(size_of(path), FILE_BYTES);
    close(other_copy);
    cr_assert_eq(run_remove(path, NULL, NULL), 0);
    cr_assert_eq(size_of(path), -1);
}

static bool try_to_copy(void *context)
{
    int *status = context;
    *status = copy_open(path);
    return false;
}

Test(run_remove, what_is_being_removed_is_not_copied)
{
    int status = 0;
    cr_assert_eq(run_remove(path, try_to_copy, &status), 0);
    cr_assert_eq(status, -EBUSY);
}

Test(run_remove, a_file_that_is_not_there_is_an_error)
{
    cr_assert_eq(run_remove(other, NULL, NULL), -ENOENT);
}
