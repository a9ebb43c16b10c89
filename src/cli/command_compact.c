/* command_compact.c: `chitchat compact`: rewrites all runs of a directory on which no server runs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "cli/command.h"
#include "storage/datadir/datadir.h"
#include "storage/offline/compact.h"
#include "storage/page_guard.h"

static int print_report(const char *dir, const struct compact_report *report)
{
    printf("compact %s: %" PRIu64 " rows, %" PRIu64 " before\n", dir, report->rows_after, report->rows_before);
    return fflush(stdout) == 0
               ? 0
               : command_complain(1,
                                  "stdout cannot be written: the report is not complete, but the runs are rewritten");
}

static int check(const char *dir)
{
    struct datadir *datadir;
    struct compact_error why;
    int code = command_open_data(dir, false, &datadir);
    if (code != 0)
        return code;
    if (datadir_is_backup(datadir))
        code = command_complain(2, "this is a backup, which is not changed: restore it, and compact that");
    else if (compact_check(datadir, &why) != 0)
        code = command_complain(1, why.text);
    datadir_close(&datadir);
    return code;
}

int command_compact(const struct config *config)
{
    struct datadir *datadir;
    struct datadir_error error;
    struct compact_report report;
    struct compact_error why;
    if (page_guard_install() != 0)
        return command_complain(2, "the handler for pages that cannot be read is not installed");
    int code = check(config->data_dir);
    if (code != 0)
        return code;
    int status = datadir_open(&datadir, config->data_dir, 0, 1, &error);
    if (status != 0)
        return command_complain(status == -EBADMSG ? 1 : 2, error.text);
    status = compact_make(datadir, &report, &why);
    code = status == 0 ? print_report(config->data_dir, &report) : command_complain(1, why.text);
    datadir_close(&datadir);
    return code;
}
