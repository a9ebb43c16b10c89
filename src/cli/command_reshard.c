/* command_reshard.c: `chitchat reshard`. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "cli/command.h"
#include "storage/offline/reshard.h"
#include "storage/page_guard.h"

static void print_progress(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    fprintf(stderr, "reshard: %" PRIu64 " of about %" PRIu64 " entries written\n", done, total);
}

int command_reshard(const struct config *config)
{
    struct datadir *from;
    struct backup_error why;
    struct build_report report;
    struct reshard_options options = {.shards = config->shards, .on_progress = print_progress};
    if (page_guard_install() != 0)
        return command_complain(2, "the handler for pages that cannot be read is not installed");
    int code = command_open_data(config->from_dir, false, &from);
    if (code != 0)
        return code;
    uint32_t shards = datadir_shards(from);
    int status = reshard_run(from, config->to_dir, &options, &report, &why);
    datadir_close(&from);
    if (status != 0)
        return command_complain(1, why.text);
    printf("resharded %s: %" PRIu32 " shards instead of %" PRIu32 ", %" PRIu64 " entries, %" PRIu64 " keys, %" PRIu64
           " bytes\n",
           config->to_dir, config->shards, shards, report.entries, report.keys, report.bytes);
    return fflush(stdout) == 0 ? 0
                               : command_complain(1, "stdout cannot be written: the report is not complete, but the "
                                                     "data is");
}
