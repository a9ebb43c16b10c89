/* command_dump.c: `chitchat dump`: entries as JSON lines. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/command.h"
#include "protocol/json_put.h"
#include "protocol/reply.h"
#include "storage/offline/offline.h"

/* {"user":…,"ts":…,"mid":…,"from":…,"to":…,"text":…,"key":…} */
#define LINE_BYTES_MAX (128u + LIMIT_ESCAPED_BYTES(3 * LIMIT_USER_BYTES + LIMIT_TEXT_BYTES + LIMIT_KEY_BYTES))

/* The entries of one shard, with the next one read. */
struct stream {
    struct offline_rows *rows;
    struct span user;
    struct message message;
    bool is_at_end;
};

struct dump {
    const struct datadir *datadir;
    struct problems problems;
    struct offline *offline;
    struct stream *streams; /* one for each shard */
    uint32_t count;
    char line[LINE_BYTES_MAX];
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

static char *put_field(char *at, const char *name, struct span value)
{
    at = json_put_span(at, span_of(name));
    return JSON_PUT(json_put_escaped(at, value), "\"");
}

static size_t write_line(char *line, struct span user, const struct message *message)
{
    char *at = put_field(line, "{\"user\":\"", user);
    at = json_put_unsigned(JSON_PUT(at, ",\"ts\":"), message->ts);
    at = JSON_PUT(at, ",\"mid\":\"");
    reply_write_mid(at, message->mid);
    at = JSON_PUT(at + LIMIT_MID_CHARS, "\"");
    at = put_field(at, ",\"from\":\"", message->from);
    at = put_field(at, ",\"to\":\"", message->to);
    at = put_field(at, ",\"text\":\"", message->text);
    if (message->key.bytes > 0)
        at = put_field(at, ",\"key\":\"", message->key);
    at = JSON_PUT(at, "}\n");
    ASSERT((size_t)(at - line) <= LINE_BYTES_MAX);
    return (size_t)(at - line);
}

static int step(struct stream *stream)
{
    ASSERT(!stream->is_at_end);
    int more = offline_rows_next(stream->rows, &stream->user, &stream->message);
    stream->is_at_end = more <= 0;
    return more < 0 ? more : 0;
}

static int open_streams(struct dump *dump, struct span user)
{
    uint32_t first = user.bytes > 0 ? datadir_shard_of(dump->datadir, user) : 0;
    uint32_t count = user.bytes > 0 ? 1 : datadir_shards(dump->datadir);
    dump->streams = calloc(count, sizeof *dump->streams);
    if (dump->streams == NULL)
        return -ENOMEM;
    int status = 0;
    for (uint32_t i = 0; i < count && status == 0; i++) {
        struct stream *stream = &dump->streams[dump->count++];
        status = offline_rows_open(&stream->rows, dump->offline, first + i, user);
        if (status == 0)
            status = step(stream);
    }
    return status;
}

/* The stream with the first user; each user is in one shard only. */
static struct stream *first_of(struct dump *dump)
{
    struct stream *best = NULL;
    for (uint32_t i = 0; i < dump->count; i++) {
        struct stream *stream = &dump->streams[i];
        if (!stream->is_at_end && (best == NULL || span_compare(stream->user, best->user) < 0))
            best = stream;
    }
    return best;
}

/* 1: stdout cannot be written, and errno says why. *status_r: 0, or -errno of a read. */
static int write_all(struct dump *dump, int *status_r)
{
    struct stream *stream;
    *status_r = 0;
    while (*status_r == 0 && (stream = first_of(dump)) != NULL) {
        size_t bytes = write_line(dump->line, stream->user, &stream->message);
        if (fwrite(dump->line, 1, bytes, stdout) != bytes)
            return 1;
        *status_r = step(stream);
    }
    return fflush(stdout) != 0;
}

static int dump_write(struct dump *dump, struct span user)
{
    char text[128];
    int status = offline_open(&dump->offline, dump->datadir, &dump->problems);
    if (status == 0 && dump->problems.count > 0)
        return 1;
    if (status == 0)
        status = open_streams(dump, user);
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
        for (uint32_t i = 0; i < dump->count; i++)
            offline_rows_close(&dump->streams[i].rows);
        free(dump->streams);
        offline_close(&dump->offline);
        free(dump);
    }
    datadir_close(&datadir);
    return code;
}
