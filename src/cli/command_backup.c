/* command_backup.c: `chitchat backup` and `chitchat restore`. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/clock.h"
#include "cli/command.h"
#include "storage/offline/backup_set.h"
#include "storage/offline/offline.h"
#include "storage/page_guard.h"

static int print_report(const char *what, const char *to, const struct backup_report *report)
{
    ASSERT(to != NULL);
    ASSERT(report->shared <= report->files.linked);
    printf("%s %s: %" PRIu64 " runs (%" PRIu64 " files linked", what, to, report->runs,
           report->files.linked - report->shared);
    if (report->shared > 0)
        printf(", %" PRIu64 " shared with the backup before", report->shared);
    printf("), %" PRIu64 " WAL segments, %" PRIu64 " bytes copied\n", report->segments, report->files.bytes);
    return fflush(stdout) == 0
               ? 0
               : command_complain(1, "stdout cannot be written: the report is not complete, but the data is");
}

/* A page that the disk does not give becomes an error with the name of the file. */
static int guard_pages(void)
{
    return page_guard_install() == 0
               ? 0
               : command_complain(2, "the handler for pages that cannot be read is not installed");
}

int command_backup(const struct config *config)
{
    struct datadir *datadir;
    struct backup_error why;
    struct backup_set_report report;
    struct clock clock;
    clock_init_system(&clock);
    struct backup_set_options options = {.wall_us = clock_wall_us(&clock), .keep = config->keep};
    if (guard_pages() != 0)
        return 2;
    int code = command_open_data(config->data_dir, true, &datadir);
    if (code != 0)
        return code;
    int status = backup_set_add(datadir, config->to_dir, &options, &report, &why);
    datadir_close(&datadir);
    code = report.path[0] == '\0' ? 0 : print_report("backup", report.path, &report.made);
    return status == 0 ? code : command_complain(1, why.text);
}

static void report_first(void *context, const char *text)
{
    const struct problems *problems = context;
    if (problems->count == 1)
        command_complain(1, text);
}

/* Checks every file and every batch of the logs; only verify checks the rows. */
static bool is_sound(const struct datadir *datadir)
{
    struct problems problems = {.report = report_first};
    struct offline *offline = NULL;
    problems.context = &problems;
    int status = offline_open(&offline, datadir, &problems);
    if (status != 0)
        command_complain(1, "no memory to check the backup");
    offline_close(&offline);
    return status == 0 && problems.count == 0;
}

int command_restore(const struct config *config)
{
    struct datadir *backup;
    struct backup_error why;
    struct backup_report report;
    if (guard_pages() != 0)
        return 2;
    int code = command_open_data(config->from_dir, false, &backup);
    if (code != 0)
        return code;
    code = 1;
    if (!datadir_is_backup(backup) || is_sound(backup)) {
        int status = backup_restore(backup, config->data_dir, &report, &why);
        code = status == 0 ? print_report("restored", config->data_dir, &report) : command_complain(1, why.text);
    }
    datadir_close(&backup);
    return code;
}
