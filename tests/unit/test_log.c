#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

/* The log stays with the file and the format that a test gave it. */
TestSuite(log, .init = setup, .fini = teardown, .description = "The log cannot go back to stderr.");

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

/* -- the thread -- */

/* Reads what there is, without waiting, into `line`. */
static size_t read_rest(void)
{
    size_t bytes = 0;
    cr_assert_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    for (ssize_t more; (more = read(ends[0], line + bytes, sizeof line - 1 - bytes)) > 0;)
        bytes += (size_t)more;
    line[bytes] = '\0';
    return bytes;
}

Test(log, the_thread_writes_all_lines_in_order)
{
    cr_assert_eq(log_start(), 0);
    for (int i = 0; i < 10; i++)
        log_line(LOG_INFO, "line", "n=%d", i);
    log_stop(60000000);
    log_line(LOG_INFO, "after", "n=%d", 10);
    stderr_restore();
    read_rest();
    const char *at = line;
    for (int i = 0; i < 10; i++) {
        char wanted[32];
        (void)snprintf(wanted, sizeof wanted, "event=line n=%d\n", i);
        at = strstr(at, wanted);
        cr_assert_not_null(at, "%s in %s", wanted, line);
    }
    cr_assert_not_null(strstr(at, "event=after n=10\n"));
}

static char filler[4096];

/* Fills the pipe until nothing fits. Returns the bytes in it. */
static size_t fill_pipe(void)
{
    size_t bytes = 0;
    cr_assert_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    for (ssize_t more; (more = write(ends[1], filler, sizeof filler)) > 0;)
        bytes += (size_t)more;
    cr_assert_eq(fcntl(ends[1], F_SETFL, 0), 0);
    return bytes;
}

/* Reads what fill_pipe wrote. */
static void drain_pipe(size_t bytes)
{
    while (bytes > 0) {
        ssize_t more = read(ends[0], filler, bytes < sizeof filler ? bytes : sizeof filler);
        cr_assert_gt(more, 0);
        bytes -= (size_t)more;
    }
}

/* Reads lines until one has `wanted`. */
static void read_until(const char *wanted)
{
    FILE *stream = fdopen(dup(ends[0]), "r");
    cr_assert_not_null(stream);
    do
        cr_assert_not_null(fgets(line, sizeof line, stream));
    while (strstr(line, wanted) == NULL);
    fclose(stream);
}

/* Reads until so many lines were read or said to be dropped. Returns those that were dropped. */
static uint64_t read_lines(uint64_t count)
{
    static const char said_before[] = "event=log_dropped count=";
    uint64_t dropped = 0;
    FILE *stream = fdopen(dup(ends[0]), "r");
    cr_assert_not_null(stream);
    for (uint64_t seen = 0; seen < count;) {
        cr_assert_not_null(fgets(line, sizeof line, stream));
        const char *said = strstr(line, said_before);
        uint64_t more = said == NULL ? 1 : strtoull(said + strlen(said_before), NULL, 10);
        dropped += said == NULL ? 0 : more;
        seen += more;
    }
    fclose(stream);
    return dropped;
}

Test(log, a_reader_that_does_not_read_stops_nobody_and_learns_how_many_lines_it_lost)
{
    enum { LINES = 2 * LOG_QUEUE_BYTES / 100 };
    char value[100];
    memset(value, 'v', sizeof value);
    value[sizeof value - 1] = '\0';
    size_t filled = fill_pipe();
    cr_assert_eq(log_start(), 0);
    for (int i = 0; i < LINES; i++)
        log_line(LOG_INFO, "line", "value=%s", value); /* would never return without the queue */
    log_flush(1000);
    drain_pipe(filled);
    cr_assert_gt(read_lines(LINES), 0);
    log_stop(60000000);
}

Test(log, a_flush_gives_up_when_nobody_reads)
{
    size_t filled = fill_pipe();
    cr_assert_eq(log_start(), 0);
    log_line(LOG_INFO, "line", "n=%d", 1);
    log_flush(1000);
    drain_pipe(filled);
    read_until("event=line n=1\n");
    log_stop(60000000);
}

/* -- formats, levels, files -- */

Test(log, a_line_in_json)
{
    log_configure(LOG_DEBUG, LOG_JSON);
    log_line(LOG_WARN, "refused", "shard=%u clean=%s data=\"%s\" zero=0 leading=007 empty= float=1.5 text=\"%s\"", 3u,
             "true", "/a\"b \\c", "x\ty");
    read_write();
    const char *rest = strstr(line, "\",\"level\"");
    cr_assert_eq(strncmp(line, "{\"time\":\"20", 11), 0, "%s", line);
    cr_assert_str_eq(rest, "\",\"level\":\"warn\",\"event\":\"refused\",\"shard\":3,\"clean\":true,"
                           "\"data\":\"/a\\\"b \\\\c\",\"zero\":0,\"leading\":\"007\",\"empty\":\"\","
                           "\"float\":\"1.5\",\"text\":\"x?y\"}\n");
}

Test(log, a_value_with_control_characters_is_still_one_line)
{
    log_line(LOG_WARN, "start", "data=\"%s\"", "a\nevent=forged\x7f");
    read_write();
    cr_assert_not_null(strstr(line, "event=start data=\"a?event=forged?\"\n"), "%s", line);
}

Test(log, quotes_in_a_value_become_others)
{
    char text[] = "\"127.0.0.1\" is no \\ host";
    log_quotable(text);
    cr_assert_str_eq(text, "'127.0.0.1' is no ? host");
}

Test(log, bytes_that_are_no_utf_8_are_replaced_in_json)
{
    log_configure(LOG_DEBUG, LOG_JSON);
    log_line(LOG_WARN, "start", "data=\"%s\"", "\xc3\xa4|\xff|\xc0\xaf|\xed\xa0\x80|\xf0\x9f\x98\x80|\xe2\x82");
    read_write();
    cr_assert_not_null(strstr(line, "\"data\":\"\xc3\xa4|\\ufffd|\\ufffd\\ufffd|\\ufffd\\ufffd\\ufffd|\xf0\x9f\x98"
                                    "\x80|\\ufffd\\ufffd\"}\n"),
                       "%s", line);
}

Test(log, the_last_line_of_a_crash_needs_no_memory_and_no_lock)
{
    log_crash("SEGV");
    read_write();
    cr_assert_str_eq(line, "level=fatal event=crashed signal=SIGSEGV\n");
}

Test(log, a_line_in_json_that_is_too_long_is_still_json)
{
    char value[3000];
    memset(value, '\\', sizeof value);
    value[sizeof value - 1] = '\0';
    log_configure(LOG_DEBUG, LOG_JSON);
    log_line(LOG_WARN, "long", "value=\"%s\"", value);
    stderr_restore();
    size_t bytes = read_rest();
    cr_assert_eq(strcmp(line + bytes - 4, "\\\"}\n"), 0, "%s", line);
}

Test(log, lines_below_the_level_are_not_written)
{
    log_configure(LOG_WARN, LOG_LOGFMT);
    log_line(LOG_DEBUG, "a", "x=%d", 1);
    log_line(LOG_INFO, "b", "x=%d", 2);
    log_line(LOG_WARN, "c", "x=%d", 3);
    log_line(LOG_ERROR, "d", "x=%d", 4);
    stderr_restore();
    read_rest();
    cr_assert_null(strstr(line, "event=a"));
    cr_assert_null(strstr(line, "event=b"));
    cr_assert_not_null(strstr(line, "event=c x=3\n"));
    cr_assert_not_null(strstr(line, "event=d x=4\n"));
}

/* Lines that a file may not take, since it would be too large, as on a full disk. */
Test(log, lines_that_a_full_disk_refuses_are_counted_and_said_when_there_is_room)
{
    char dir[] = "/tmp/chitchat-test-XXXXXX", path[64];
    struct rlimit limit = {4096, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/log", dir);
    cr_assert_eq(log_open(path), 0);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    uint64_t dropped_before = log_dropped();
    cr_assert_eq(log_start(), 0);
    for (int i = 0; i < 100; i++)
        log_line(LOG_INFO, "line", "n=%d", i);
    log_flush(60000000);
    limit.rlim_cur = RLIM_INFINITY;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    log_line(LOG_INFO, "last", "n=100");
    log_stop(60000000);
    unsigned written = 0, lost = 0, cut = 0;
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        const char *said = strstr(line, "event=log_dropped count=");
        if (said != NULL)
            lost = (unsigned)strtoul(strchr(said, ' ') + strlen(" count="), NULL, 10);
        else if (strstr(line, "n=") != NULL)
            written++;
        else
            cut++;
    }
    (void)fclose(file);
    cr_assert_gt(lost, 0);
    cr_assert_leq(cut, 1);
    cr_assert_eq(written + lost, 101, "%u and %u", written, lost);
    cr_assert_eq(log_dropped() - dropped_before, lost, "for /metrics");
    unlink(path);
    rmdir(dir);
}

static void expect_file(const char *path, const char *wanted)
{
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    size_t bytes = fread(line, 1, sizeof line - 1, file);
    line[bytes] = '\0';
    cr_expect_str_eq(strstr(line, "event="), wanted);
    fclose(file);
}

Test(log, a_file_that_was_renamed_is_opened_anew)
{
    char dir[] = "/tmp/chitchat-test-XXXXXX", path[64], old[64];
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/log", dir);
    (void)snprintf(old, sizeof old, "%s/log.1", dir);
    cr_assert_eq(log_open("/nowhere/log"), -ENOENT);
    cr_assert_eq(log_open(path), 0);
    cr_assert_eq(log_start(), 0);
    log_line(LOG_INFO, "first", "n=%d", 1);
    log_flush(60000000);
    cr_assert_eq(rename(path, old), 0);
    cr_assert_eq(log_open(path), 0);
    log_line(LOG_INFO, "second", "n=%d", 2);
    log_stop(60000000);
    expect_file(old, "event=first n=1\n");
    expect_file(path, "event=second n=2\n");
    unlink(path);
    unlink(old);
    rmdir(dir);
}
