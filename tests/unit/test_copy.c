/* copy.h: 0 means that the copy is complete. Anything else is an error and leaves no file. (The
 * program is linked with --wrap=pread and --wrap=file_write.) */
#include "storage/offline/copy.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/file.h"

#define FILE_BYTES ((3u << 20) + 5)

static char dir[64];
static char from[96];
static char to[96];
static unsigned char data[FILE_BYTES];
static struct copy_report report;

static void setup(void)
{
    strcpy(dir, "/tmp/chitchat-test-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(from, sizeof from, "%s/from", dir);
    snprintf(to, sizeof to, "%s/to", dir);
    for (uint32_t i = 0; i < FILE_BYTES; i++)
        data[i] = (unsigned char)(i * 7 + i / 4096);
    report = (struct copy_report){.linked = 0};
    cr_assert_eq(copy_bytes(data, FILE_BYTES, from, &report), 0);
}

static void teardown(void)
{
    (void)unlink(from);
    (void)unlink(to);
    cr_assert_eq(rmdir(dir), 0);
}

TestSuite(copy, .init = setup, .fini = teardown);

/* -- failures during the copy -- */

static bool is_cut;  /* the source is cut at the next read after its first bytes */
static bool is_bent; /* the next write has a changed byte */

ssize_t __real_pread(int fd, void *bytes, size_t count, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t count, off_t offset);
int __real_file_write(int fd, const void *bytes, size_t count, off_t offset);
int __wrap_file_write(int fd, const void *bytes, size_t count, off_t offset);

ssize_t __wrap_pread(int fd, void *bytes, size_t count, off_t offset)
{
    if (is_cut && offset > 0) {
        cr_assert_eq(truncate(from, offset), 0);
        is_cut = false;
    }
    return __real_pread(fd, bytes, count, offset);
}

int __wrap_file_write(int fd, const void *bytes, size_t count, off_t offset)
{
    int status = __real_file_write(fd, bytes, count, offset);
    unsigned char bent = (unsigned char)~*(const unsigned char *)bytes;
    if (is_bent)
        cr_assert_eq(__real_file_write(fd, &bent, 1, offset), 0);
    is_bent = false;
    return status;
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static void check_content(const char *path)
{
    static unsigned char found[FILE_BYTES + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(read(fd, found, sizeof found), FILE_BYTES);
    cr_assert_eq(memcmp(found, data, FILE_BYTES), 0);
    close(fd);
}

Test(copy, a_file_is_copied_whole_and_counted)
{
    check_content(from);
    cr_assert_eq(copy_file(from, to, &report), 0);
    check_content(to);
    cr_assert(report.copied == 2 && report.bytes == 2 * FILE_BYTES && report.linked == 0);
    cr_assert_eq(copy_file(from, to, &report), -EEXIST);
}

Test(copy, a_file_of_another_length_than_recorded_is_refused_with_both)
{
    int fd = copy_open(from);
    for (uint64_t wanted = FILE_BYTES - 1; wanted <= FILE_BYTES + 1; wanted += 2) {
        cr_assert_eq(copy_fd(fd, wanted, to, &report), -EBADMSG);
        cr_assert(report.difference.is_source && report.difference.bytes_wanted == wanted
                  && report.difference.bytes_found == FILE_BYTES);
        cr_assert_not(is_there(to));
        cr_assert_eq(copy_link(from, wanted, to, &report), -EBADMSG);
        cr_assert_not(is_there(to));
    }
    cr_assert_eq(copy_fd(fd, FILE_BYTES, to, &report), 0);
    close(fd);
    check_content(to);
}

Test(copy, a_link_leads_to_the_same_file)
{
    struct stat one, other;
    cr_assert_eq(copy_link(from, FILE_BYTES, to, &report), 0);
    cr_assert(stat(from, &one) == 0 && stat(to, &other) == 0 && one.st_ino == other.st_ino);
    cr_assert_eq(report.linked, 1);
    cr_assert_eq(copy_link(from, FILE_BYTES, to, &report), -EEXIST);
}

Test(copy, what_was_settled_is_there_to_be_read)
{
    int fd = open(from, O_RDWR | O_CLOEXEC);
    cr_assert_eq(copy_flush_and_drop_cache(fd), 0);
    close(fd);
    check_content(from);
}

Test(copy, a_directory_is_made_or_has_to_be_empty)
{
    cr_assert_eq(copy_make_dir(to), 0);
    cr_assert_eq(copy_make_dir(to), 0);
    cr_assert_eq(copy_make_dir(dir), -ENOTEMPTY);
    cr_assert_eq(copy_make_dir(from), -ENOTDIR);
    cr_assert_eq(rmdir(to), 0);
}

Test(copy, a_file_that_is_cut_while_it_is_copied_is_refused)
{
    int fd = copy_open(from);
    is_cut = true;
    cr_assert_eq(copy_fd(fd, FILE_BYTES, to, &report), -EBADMSG);
    close(fd);
    cr_assert(report.difference.is_source && report.difference.bytes_wanted == FILE_BYTES
              && report.difference.bytes_found < FILE_BYTES);
    cr_assert_not(is_there(to));
}

static void expect_refused_copy(int status)
{
    cr_assert_eq(status, -EBADMSG);
    cr_assert(!report.difference.is_source && report.difference.bytes_found == FILE_BYTES
              && report.difference.crc_found != report.difference.crc_wanted);
    cr_assert_not(is_there(to));
    cr_assert(report.copied == 1 && report.bytes == FILE_BYTES, "as before");
}

Test(copy, what_reads_back_as_something_else_is_refused_wherever_it_came_from)
{
    int fd = copy_open(from);
    is_bent = true;
    expect_refused_copy(copy_fd(fd, FILE_BYTES, to, &report));
    close(fd);
    is_bent = true;
    expect_refused_copy(copy_file(from, to, &report));
    is_bent = true;
    expect_refused_copy(copy_bytes(data, FILE_BYTES, to, &report));
}
