/* file.h: everything is written, at its offset; a failure has its reason. */
#include "storage/file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Alignas(FILE_BLOCK_BYTES) char block[FILE_BLOCK_BYTES];

Test(file, what_is_written_past_the_page_cache_stands_at_its_place_alone)
{
    char path[] = "/var/tmp/chitchat-test-XXXXXX"; /* on a disk, with O_DIRECT */
    char seen[2 * FILE_BLOCK_BYTES];
    close(mkstemp(path));
    int fd = file_open_direct(path, O_CREAT | O_TRUNC);
    cr_assert_geq(fd, 0);
    memset(block, 'x', sizeof block);
    cr_assert_eq(file_write(fd, block, sizeof block, FILE_BLOCK_BYTES), 0);
    close(fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(read(fd, seen, sizeof seen), (ssize_t)sizeof seen);
    for (size_t i = 0; i < sizeof seen; i++)
        cr_assert_eq(seen[i], i < FILE_BLOCK_BYTES ? 0 : 'x');
    close(fd);
    fd = file_open_direct(path, 0);
    cr_assert_eq(lseek(fd, 0, SEEK_END), (off_t)sizeof seen, "nothing goes unless it is asked for");
    close(fd);
    cr_assert_eq(unlink(path), 0);
}

Test(file, what_cannot_be_opened_or_written_says_why)
{
    cr_assert_eq(file_open_direct("/nonexistent/file", O_CREAT), -ENOENT);
    int fd = file_open_direct("/dev/full", 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(file_write(fd, block, sizeof block, 0), -ENOSPC);
    close(fd);
    cr_assert_eq(file_write(-1, block, sizeof block, 0), -EBADF);
}
