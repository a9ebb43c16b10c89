/* command_verify.c: `chitchat verify`: checks the files one by one, then all timelines together. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/command.h"
#include "cli/cross_check.h"
#include "cli/mark_check.h"
#include "storage/datadir/apart.h"
#include "storage/offline/manifests.h"
#include "storage/offline/offline.h"
#include "storage/offline/run_check.h"

#define REPORTED_MAX 100u

struct verify {
    const struct datadir *datadir;
    struct apart *apart;
    struct problems problems;
    struct offline *offline;
    struct cross_check *check;
    uint64_t entries;
    uint64_t users;
    uint64_t keyed;
    uint64_t alone; /* copies whose other copy is cut */
};

/* One line, whatever `text` holds. */
static void print_line(FILE *file, const char *prefix, const char *text)
{
    fputs(prefix, file);
    for (; *text != '\0'; text++)
        fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, file);
    fputc('\n', file);
}

int command_complain(int code, const char *text)
{
    ASSERT(code != 0);
    print_line(stderr, "chitchat: ", text);
    return code;
}

static void report_problem(void *context, const char *text)
{
    const struct problems *problems = context;
    if (problems->count > REPORTED_MAX)
        return;
    print_line(stdout, "problem: ", text);
}

static void check_runs(struct verify *verify)
{
    for (uint32_t shard = 0; shard < datadir_shards(verify->datadir); shard++) {
        const char *path;
        struct run *run;
        for (uint32_t i = 0; (run = offline_run(verify->offline, shard, i, &path)) != NULL; i++) {
            struct run_check check = {verify->datadir, shard, path, &verify->problems, 0};
            snprintf(verify->apart->path, sizeof verify->apart->path, "%s", path);
            run_check(run, &check);
            verify->keyed += check.keyed_r;
        }
    }
}

/* -- timelines -- */

static int add_entry(struct verify *verify, const struct message *message)
{
    bool is_alone = offline_is_alone(verify->offline, message);
    cross_check_add(verify->check, message, is_alone);
    verify->alone += is_alone;
    verify->entries++;
    return 0;
}

static int gather_entry(struct verify *verify, const struct message *message)
{
    return offline_is_alone(verify->offline, message) ? 0 : cross_check_gather(verify->check, message);
}

static int walk_shard(struct verify *verify, uint32_t shard, uint64_t *users,
                      int (*visit)(struct verify *verify, const struct message *message))
{
    struct offline_rows *rows;
    struct message message;
    struct span user;
    char last[LIMIT_USER_BYTES];
    size_t last_bytes = 0;
    int more;
    int status = offline_rows_open(&rows, verify->offline, shard, (struct span){"", 0});
    while (status == 0 && (more = offline_rows_next(rows, &user, &message)) != 0) {
        status = more < 0 ? more : visit(verify, &message);
        ASSERT(status != 0 || user.bytes <= sizeof last);
        if (status == 0 && (user.bytes != last_bytes || memcmp(user.data, last, last_bytes) != 0)) {
            memcpy(last, user.data, user.bytes);
            last_bytes = user.bytes;
            (*users)++;
        }
    }
    offline_rows_close(&rows);
    return status;
}

static int walk(struct verify *verify, int (*visit)(struct verify *verify, const struct message *message))
{
    int status = 0;
    verify->users = 0;
    for (uint32_t shard = 0; shard < datadir_shards(verify->datadir) && status == 0; shard++)
        status = walk_shard(verify, shard, &verify->users, visit);
    return status;
}

static int check_timelines(struct verify *verify)
{
    snprintf(verify->apart->path, sizeof verify->apart->path, "%s", datadir_path(verify->datadir));
    int status = walk(verify, add_entry);
    uint64_t found = verify->problems.count;
    if (status != 0 || cross_check_bad_parts(verify->check) == 0)
        return status;
    /* The first walk reported the places with two messages: the second must not report them again. */
    struct problems problems = verify->problems;
    verify->problems.count = REPORTED_MAX + 1;
    status = walk(verify, gather_entry);
    verify->problems = problems;
    verify->problems.count = found;
    if (status == 0)
        cross_check_report(verify->check, &verify->problems);
    return status;
}

/* -- all -- */

static void print_summary(const struct verify *verify, bool has_timelines)
{
    struct offline_counts counts;
    offline_count(verify->offline, &counts);
    printf("%s %s: %" PRIu32 " shards\n", datadir_is_backup(verify->datadir) ? "backup" : "data",
           datadir_path(verify->datadir), datadir_shards(verify->datadir));
    printf("WALs: %" PRIu64 " segments, %" PRIu64 " batches, %" PRIu64 " records", counts.segments, counts.batches,
           counts.records);
    if (counts.torn_tails > 0)
        printf(
            ", %" PRIu64 " with an incomplete batch at the end\n"
            "an incomplete last batch is what a crash leaves of a write that was not acknowledged. Damage to the last "
            "acknowledged batch looks the same, and nothing here tells them apart. The next start cuts it off",
            counts.torn_tails);
    printf("\nruns: %" PRIu64 " runs, %" PRIu64 " rows, %" PRIu64 " keys\n", counts.runs, counts.rows, verify->keyed);
    if (has_timelines)
        printf("timelines: %" PRIu64 " users, %" PRIu64 " entries, %" PRIu64 " messages\n", verify->users,
               verify->entries, cross_check_messages(verify->check));
    if (has_timelines && verify->alone > 0)
        printf("cut: the other copy of %" PRIu64 " entries was erased or is older than --retention\n", verify->alone);
    if (!has_timelines)
        printf("timelines: not compared, since some files cannot be read\n");
    if (verify->problems.count == 0)
        printf("no problem found\n");
    else
        printf("%" PRIu64 " problem%s found%s\n", verify->problems.count, verify->problems.count == 1 ? "" : "s",
               verify->problems.count > REPORTED_MAX ? "; the first 100 are listed" : "");
}

static int check(struct apart *apart, void *context)
{
    struct verify *verify = context;
    verify->apart = apart;
    int status = offline_open(&verify->offline, verify->datadir, &verify->problems);
    if (status == 0)
        status = cross_check_open(&verify->check);
    if (status != 0)
        return command_complain(2, strerror(-status));
    check_runs(verify);
    bool has_timelines = verify->problems.count == 0;
    if (has_timelines)
        status = check_timelines(verify);
    if (has_timelines && status == 0 && verify->problems.count == 0)
        status = mark_check_run(verify->offline, verify->datadir, &verify->problems);
    if (status == -ENOMEM)
        return command_complain(2, strerror(-status));
    print_summary(verify, has_timelines && status == 0);
    cross_check_close(&verify->check);
    offline_close(&verify->offline);
    if (fflush(stdout) != 0)
        return command_complain(2, "stdout cannot be written: the summary is not complete");
    return verify->problems.count == 0 ? 0 : 1;
}

static int check_apart(struct verify *verify)
{
    struct apart *apart = NULL;
    int code = 0;
    int status = apart_open(&apart);
    if (status == 0)
        status = apart_run(apart, check, verify, &code);
    if (status == -EBADMSG) {
        printf("problem: %s is damaged, %s: " RUN_ADVICE "\n", apart->path, apart->text);
        code = fflush(stdout) == 0 ? 1 : command_complain(2, "stdout cannot be written: the problem is not complete");
    } else if (status == -EINTR) {
        code = command_complain(2, apart->text);
    } else if (status != 0) {
        code = command_complain(2, "no process can be started to read the data");
    }
    apart_close(&apart);
    return code;
}

/* A manifest that ends whoever reads it: nothing else of the directory can be checked. */
static int report_manifest(const struct datadir_error *error)
{
    print_line(stdout, "problem: ", error->text);
    return fflush(stdout) == 0 ? 1 : command_complain(2, "stdout cannot be written: the problem is not complete");
}

int command_verify(const struct config *config)
{
    struct datadir *datadir;
    struct datadir_error error;
    int status = datadir_open_read(&datadir, config->data_dir, false, &error);
    if (status != 0)
        return command_complain(status == -EBADMSG ? 1 : 2, error.text);
    struct verify verify = {.datadir = datadir, .problems = {.report = report_problem}};
    verify.problems.context = &verify.problems;
    int code = manifests_check(datadir, &error) == 0 ? check_apart(&verify) : report_manifest(&error);
    datadir_close(&datadir);
    return code;
}
