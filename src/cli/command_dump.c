/* command_dump.c: `chitchat dump`: entries, and where timelines begin, as JSON lines. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/command.h"
#include "cli/dump_line.h"
#include "storage/datadir/apart.h"
#include "storage/offline/offline_all.h"
#include "storage/offline/offline_first.h"
#include "storage/offline/offline_marks.h"

struct dump {
    const struct datadir *datadir;
    struct problems problems;
    struct offline *offline;
    struct offline_first *first; /* NULL: the dump of one user */
    struct offline_all *all;
    struct offline_marks *marks;
    size_t last_user_bytes; /* of the entry before */
    char last_user[LIMIT_USER_BYTES];
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

/* The functions that write return 0; or 1: stdout cannot be written, and errno says why. */
static int write_line(struct dump *dump, size_t bytes)
{
    return fwrite(dump->line, 1, bytes, stdout) != bytes;
}

/* The users up to `user` whose timelines begin later than those of all; without bytes: all that are left. */
static int write_firsts(struct dump *dump, struct span user)
{
    struct span named;
    uint64_t ts;
    int result = 0;
    while (result == 0 && offline_first_next(dump->first, user, &named, &ts))
        result = write_line(dump, dump_line_write_first(dump->line, named, ts));
    return result;
}

/* The marks of users below `user`; without bytes: all that are left. *status_r: 0, or -errno of a read. */
static int write_marks(struct dump *dump, struct span user, int *status_r)
{
    struct offline_mark mark;
    int more, result = 0;
    while (result == 0 && (more = offline_marks_next(dump->marks, user, &mark)) != 0) {
        *status_r = more < 0 ? more : 0;
        result = more < 0 ? 0 : write_line(dump, dump_line_write_marks(dump->line, mark.user, mark.peer, mark.marks));
        if (more < 0)
            break;
    }
    return result;
}

static int write_entry(struct dump *dump, struct span user, const struct message *message)
{
    struct span last = {dump->last_user, dump->last_user_bytes};
    if (!span_equal(user, last)) {
        if (dump->first != NULL && write_firsts(dump, user) != 0)
            return 1;
        memcpy(dump->last_user, user.data, user.bytes);
        dump->last_user_bytes = user.bytes;
    }
    bool is_alone = offline_is_alone(dump->offline, message);
    return write_line(dump, dump_line_write(dump->line, user, message, is_alone));
}

/* Before all entries: where the timelines of all users begin, or that of the only one. */
static int write_begin(struct dump *dump, struct span user)
{
    uint64_t ts = dump->first == NULL ? offline_cut_ts(dump->offline, user) : offline_first_of_all(dump->first);
    return ts == 0 ? 0 : write_line(dump, dump_line_write_first(dump->line, user, ts));
}

/* *status_r: 0, or -errno of a read. */
static int write_all(struct dump *dump, struct span only, int *status_r)
{
    struct span user;
    struct message message;
    int more = 0;
    if (write_begin(dump, only) != 0)
        return 1;
    while (*status_r == 0 && (more = offline_all_next(dump->all, &user, &message)) == 1)
        if (write_marks(dump, user, status_r) != 0 || write_entry(dump, user, &message) != 0)
            return 1;
    if (*status_r != 0)
        return 0;
    *status_r = more;
    if (more == 0 && write_marks(dump, (struct span){"", 0}, status_r) != 0)
        return 1;
    if (more == 0 && dump->first != NULL && write_firsts(dump, (struct span){"", 0}) != 0)
        return 1;
    return fflush(stdout) != 0;
}

static int dump_write(struct dump *dump, struct span user)
{
    char text[128];
    int status = offline_open(&dump->offline, dump->datadir, &dump->problems);
    if (status == 0 && dump->problems.count > 0)
        return 1;
    if (status == 0 && user.bytes == 0)
        status = offline_first_open(&dump->first, dump->offline, dump->datadir);
    if (status == 0)
        status = offline_all_open(&dump->all, dump->offline, dump->datadir, user);
    if (status == 0)
        status = offline_marks_open(&dump->marks, dump->offline, dump->datadir, user);
    if (status == 0 && write_all(dump, user, &status) != 0) {
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

struct writing {
    const struct datadir *datadir;
    struct span user;
};

/* In a child process: LMDB trusts the pages of runs, and damaged ones may end it. */
static int write_apart(struct apart *apart, void *context)
{
    const struct writing *writing = context;
    struct dump *dump = calloc(1, sizeof *dump);
    (void)apart;
    if (dump == NULL)
        return command_complain(2, "no memory to read the data");
    dump->datadir = writing->datadir;
    dump->problems = (struct problems){report_first, &dump->problems, 0};
    int code = dump_write(dump, writing->user);
    (void)fflush(stdout);
    offline_all_close(&dump->all);
    offline_marks_close(&dump->marks);
    offline_first_close(&dump->first);
    offline_close(&dump->offline);
    free(dump);
    return code;
}

int command_dump(const struct config *config)
{
    char text[256];
    struct apart *apart = NULL;
    struct writing writing = {.user = config->user == NULL ? (struct span){"", 0} : span_of(config->user)};
    struct datadir *datadir;
    int code = command_open_data(config->data_dir, false, &datadir);
    if (code != 0)
        return code;
    signal(SIGPIPE, SIG_IGN);
    writing.datadir = datadir;
    int status = apart_open(&apart);
    if (status == 0)
        status = apart_run(apart, write_apart, &writing, &code);
    if (status == -EBADMSG) {
        snprintf(text, sizeof text, "a run is damaged, %.100s: `chitchat verify` names it; the dump is not complete",
                 apart->text);
        code = command_complain(1, text);
    } else if (status == -EINTR) {
        code = command_complain(2, apart->text);
    } else if (status != 0) {
        code = command_complain(2, "no process can be started to read the data");
    }
    apart_close(&apart);
    datadir_close(&datadir);
    return code;
}
