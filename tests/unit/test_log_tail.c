#include "storage/log_tail.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[32];
static char file[64];

static void set_up(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/chitchat-tail-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(file, sizeof file, "%s/" LOG_TAIL_NAME, dir);
}

static void tear_down(void)
{
    unlink(file);
    rmdir(dir);
}

TestSuite(log_tail, .init = set_up, .fini = tear_down);

static const struct ownership_mark mark = {.number = 7, .generation = 3, .hash = {{1, 2, 3, 16}}};

Test(log_tail, what_was_written_last_is_read)
{
    struct ownership_mark read, newer = mark;
    cr_assert_eq(log_tail_read(dir, 2, &read), 0);
    cr_assert_eq(read.number, 0, "there is no file");
    newer.number = UINT64_C(1) << 40;
    cr_assert_eq(log_tail_write(dir, 2, &mark), 0);
    cr_assert_eq(log_tail_write(dir, 2, &newer), 0);
    cr_assert_eq(log_tail_read(dir, 2, &read), 0);
    cr_assert_eq(read.number, newer.number);
    cr_assert_eq(read.generation, 3);
    cr_assert(log_hash_equal(&read.hash, &mark.hash));
}

Test(log_tail, a_changed_file_and_that_of_another_slot_are_refused)
{
    struct ownership_mark read;
    cr_assert_eq(log_tail_write(dir, 2, &mark), 0);
    cr_assert_eq(log_tail_read(dir, 1, &read), -EBADMSG);
    int fd = open(file, O_RDWR);
    for (off_t at = 0; at < 48; at++) {
        unsigned char byte;
        cr_assert_eq(pread(fd, &byte, 1, at), 1);
        byte ^= 4;
        cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
        cr_assert_eq(log_tail_read(dir, 2, &read), -EBADMSG, "byte %d", (int)at);
        byte ^= 4;
        cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    }
    cr_assert_eq(log_tail_read(dir, 2, &read), 0);
    cr_assert_eq(ftruncate(fd, 47), 0);
    cr_assert_eq(log_tail_read(dir, 2, &read), -EBADMSG);
    close(fd);
}

Test(log_tail, a_directory_that_is_gone_is_an_error)
{
    cr_assert_eq(log_tail_write("/nowhere", 2, &mark), -ENOENT);
}
