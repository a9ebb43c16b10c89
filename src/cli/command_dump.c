/* command_dump.c: `chitchat dump`: entries as JSON lines. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/command.h"
#include "cli/dump_line.h"
#include "storage/offline/offline_all.h"

struct dump {
    const struct datadir *datadir;
    struct problems problems;
    struct offline *offline;
    struct offline_all *all;
    char line[DUMP_LINE_BYTES_MAX];
};

static void report_first(void *context, const char *text)
{
    const struct problems *problems = context;
    char line[4400];
    if (problems->count > 1)
        return;
    snprintf(line, sizeof line, "%s (`chitchat verify` lists all problems)", text);
    command_complain(1, line);
}

/* 1: stdout cannot be written, and errno says why. *status_r: 0, or -errno of a read. */
static int write_all(struct dump *dump, int *status_r)
{
    struct span user;
    struct message message;
    int more;
    while ((more = offline_all_next(dump->all, &user, &message)) == 1) {
        size_t bytes = dump_line_write(dump->line, user, &message);
        if (fwrite(dump->line, 1, bytes, stdout) != bytes)
            return 1;
    }
    *status_r = more;
    return fflush(stdout) != 0;
}

static int dump_write(struct dump *dump, struct span user)
{
    char text[128];
    int status = offline_open(&dump->offline, dump->datadir, &dump->problems);
    if (status == 0 && dump->problems.count > 0)
        return 1;
    if (status == 0)
        status = offline_all_open(&dump->all, dump->offline, dump->datadir, user);
    if (status == 0 && write_all(dump, &status) != 0) {
        /* The reader has closed its end, which is no fault (a socket closed with unread bytes in it is reset). */
        if (errno == EPIPE || errno == ECONNRESET)
            return 0;
        snprintf(text, sizeof text, "stdout cannot be written: %s: the dump is not complete", strerror(errno));
        return command_complain(1, text);
    }
    if (status == -ENOMEM)
        return command_complain(2, "no memory to read the data");
    return status == 0 && dump->problems.count == 0 ? 0 : 1;
}

int command_dump(const struct config *config)
{
    struct datadir *datadir;
    struct datadir_error error;
    int status = datadir_open_read(&datadir, config->data_dir, false, &error);
    if (status != 0)
        return command_complain(status == -EBADMSG ? 1 : 2, error.text);
    signal(SIGPIPE, SIG_IGN);
    struct dump *dump = calloc(1, sizeof *dump);
    int code = 2;
    if (dump == NULL) {
        command_complain(2, "no memory to read the data");
    } else {
        dump->datadir = datadir;
        dump->problems = (struct problems){report_first, &dump->problems, 0};
        code = dump_write(dump, config->user == NULL ? (struct span){"", 0} : span_of(config->user));
        offline_all_close(&dump->all);
        offline_close(&dump->offline);
        free(dump);
    }
    datadir_close(&datadir);
    return code;
}
