#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static int ends[2];
static int stderr_was;
static char line[4096];

/* stderr goes into a pipe that keeps writes apart (O_DIRECT), until it is read back. */
static void setup(void)
{
    cr_assert_eq(pipe2(ends, O_DIRECT), 0);
    stderr_was = dup(STDERR_FILENO);
    cr_assert_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
}

static void stderr_restore(void)
{
    cr_assert_eq(dup2(stderr_was, STDERR_FILENO), STDERR_FILENO);
}

/* Gets what one write brought into `line`. */
static void read_write(void)
{
    stderr_restore();
    ssize_t bytes = read(ends[0], line, sizeof line - 1);
    cr_assert_gt(bytes, 0);
    line[bytes] = '\0';
}

static void teardown(void)
{
    stderr_restore();
    close(ends[1]);
    close(stderr_was);
    close(ends[0]);
}

TestSuite(log, .init = setup, .fini = teardown);

Test(log, a_line_has_time_level_event_and_pairs)
{
    int year, month, day, hour, minute, second, ms, used = 0;
    log_line(LOG_INFO, "ready", "listen=%s shards=%u", "127.0.0.1:8080", 2u);
    read_write();
    cr_assert_eq(
        sscanf(line, "time=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ %n", &year, &month, &day, &hour, &minute, &second, &ms, &used),
        7, "%s", line);
    cr_assert_str_eq(line + used, "level=info event=ready listen=127.0.0.1:8080 shards=2\n");
    cr_assert_eq(strlen("time=2026-11-24T10:45:06.123Z "), (size_t)used);
}

Test(log, each_level_has_its_name)
{
    log_line(LOG_INFO, "a", "x=%d", 1);
    log_line(LOG_WARN, "b", "x=%d", 2);
    log_line(LOG_ERROR, "c", "x=%d", 3);
    read_write();
    cr_assert_not_null(strstr(line, " level=info event=a x=1\n"), "%s", line);
    read_write();
    cr_assert_not_null(strstr(line, " level=warn event=b x=2\n"), "%s", line);
    read_write();
    cr_assert_not_null(strstr(line, " level=error event=c x=3\n"), "%s", line);
}

Test(log, what_is_too_long_is_cut_and_still_one_line)
{
    char value[3000];
    memset(value, 'v', sizeof value);
    value[sizeof value - 1] = '\0';
    log_line(LOG_WARN, "long", "value=%s", value);
    read_write();
    size_t bytes = strlen(line);
    cr_assert_lt(bytes, 2000);
    cr_assert_eq(strchr(line, '\n'), line + bytes - 1);
}

Test(log, each_line_is_one_write)
{
    log_line(LOG_INFO, "first", "n=%d", 1);
    log_line(LOG_INFO, "second", "n=%d", 2);
    read_write();
    cr_assert_eq(strncmp(line, "time=", 5), 0);
    cr_assert_not_null(strstr(line, " event=first n=1\n"), "%s", line);
    cr_assert_null(strstr(line, "second"));
    read_write();
    cr_assert_eq(strncmp(line, "time=", 5), 0);
    cr_assert_not_null(strstr(line, " event=second n=2\n"), "%s", line);
}
