/*
 * command_import.c: `chitchat import`. In a run the key index comes before the entries, and the lines come once. So the
 * first pass checks each line, gives the keys and the cuts to build.h, and writes the entries to a file without a name
 * in the new directory; the second pass reads them from there, when all cuts are known.
 *
 * Every shard of the new directory is cut where the timelines of all users begin, and a user whose timeline begins
 * later has a cut of their own, on the shard that is theirs now.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "cli/command.h"
#include "cli/config_value.h"
#include "cli/cross_check.h"
#include "cli/dump_line.h"
#include "storage/datadir/datadir_make.h"
#include "storage/offline/build.h"

#define INPUT_BYTES (4u * DUMP_LINE_BYTES_MAX)
#define PROGRESS_LINES 1000000u
/* Before an entry in the spool: u32 bytes of the value, u8 bytes of the user, u8 whether it is alone, u64 ts, u64 its
 * line. */
#define SPOOL_HEAD_BYTES 22u

struct import {
    const struct config *config;
    const char *name; /* of the input, for people */
    FILE *input;
    FILE *spool;
    struct json_reader *reader;
    struct cross_check *check;
    struct build *build;
    uint64_t line;
    uint64_t first; /* of the timelines of all users; 0: nothing is cut */
    char last_user[LIMIT_USER_BYTES];
    size_t last_user_bytes;
    uint64_t last_ts;
    uint64_t newest_ts;     /* of the last user's lines, but those of marks */
    bool is_last_first;     /* the last line has where the timeline of its user begins */
    size_t last_with_bytes; /* of the last line, if it has marks; else 0 */
    char last_with[LIMIT_USER_BYTES];
    struct backup_error error;

    char *buffer; /* INPUT_BYTES */
    size_t begin;
    size_t end;
    bool is_at_end;
    bool is_alone; /* this and `user`: of the entry that was read from the spool */
    char user[LIMIT_USER_BYTES];
    uint32_t value_bytes;
    uint8_t value[ROW_VALUE_BYTES_MAX];
};

static int __attribute__((format(printf, 3, 4))) refuse(struct import *import, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(import->error.text, sizeof import->error.text, format, arguments);
    va_end(arguments);
    return code;
}

static int refuse_line(struct import *import, const char *why)
{
    return refuse(import, -EINVAL, "%.1000s line %" PRIu64 ": %s: nothing was made", import->name, import->line, why);
}

/* -- lines -- */

static int fill(struct import *import)
{
    memmove(import->buffer, import->buffer + import->begin, import->end - import->begin);
    import->end -= import->begin;
    import->begin = 0;
    size_t got = fread(import->buffer + import->end, 1, INPUT_BYTES - import->end, import->input);
    if (got == 0 && ferror(import->input))
        return refuse(import, -errno, "%.1000s cannot be read: %s: nothing was made", import->name, strerror(errno));
    import->end += got;
    import->is_at_end = got == 0;
    return 0;
}

/* 1 and the next line, 0 at the end, or -errno. */
static int next_line(struct import *import, char **line_r, size_t *bytes_r)
{
    for (;;) {
        char *line = import->buffer + import->begin;
        size_t bytes = import->end - import->begin;
        char *newline = memchr(line, '\n', bytes);
        if (newline != NULL || bytes > DUMP_LINE_BYTES_MAX)
            import->line++;
        if (bytes > DUMP_LINE_BYTES_MAX && (newline == NULL || newline - line > (ptrdiff_t)DUMP_LINE_BYTES_MAX))
            return refuse_line(import, "it is longer than any entry");
        if (newline != NULL) {
            *line_r = line;
            *bytes_r = (size_t)(newline - line);
            import->begin += *bytes_r + 1;
            return 1;
        }
        if (import->is_at_end && bytes == 0)
            return 0;
        import->line += import->is_at_end;
        if (import->is_at_end)
            return refuse_line(import, "it has no end: the dump is not complete");
        int status = fill(import);
        if (status != 0)
            return status;
    }
}

static const char *check_ts(const struct import *import, bool is_same_user, uint64_t ts)
{
    if (ts <= import->first)
        return "its ts is not above the \"first\" of the first line, up to which nothing is left of any timeline";
    if (is_same_user && import->last_with_bytes > 0)
        return "the entries of a user come before their marks";
    if (!is_same_user || ts > import->last_ts)
        return NULL;
    if (import->is_last_first)
        return "its ts is not above the \"first\" of its user, up to which nothing is left of the timeline";
    if (ts == import->last_ts)
        return "the timeline has two entries with this ts";
    return "its ts is below that of the line before: entries of a user come by ts";
}

static const char *check_first(const struct import *import, bool is_same_user, uint64_t first)
{
    if (is_same_user)
        return "\"first\" comes once for a user, before their entries";
    if (first <= import->first)
        return "its \"first\" is not above that of the first line, which is that of all users: leave it out";
    return NULL;
}

/* Marks come behind the entries of their user, by the other user. */
static const char *check_with(const struct import *import, bool is_same_user, const struct dump_line *line)
{
    struct span last = {import->last_with, import->last_with_bytes};
    uint64_t newest = is_same_user ? import->newest_ts : import->first;
    if (is_same_user && last.bytes > 0 && span_compare(last, line->with) >= 0)
        return "marks of a user come by \"with\", in the order of their bytes, each once";
    if (span_equal(line->user, line->with))
        return "a user has no marks with themselves";
    if (line->marks.seen > newest || line->marks.seen_by > newest)
        return "\"seen\" or \"seen_by\" is above all entries of its user";
    return NULL;
}

static const char *check_order(struct import *import, const struct dump_line *line)
{
    struct span last = {import->last_user, import->last_user_bytes};
    int order = last.bytes == 0 ? -1 : span_compare(last, line->user);
    if (order > 0)
        return "it is not in order: entries come by user, in the order of their bytes (`LC_ALL=C sort`), then by ts, "
               "as "
               "`chitchat dump` writes them";
    const char *why = line->with.bytes > 0 ? check_with(import, order == 0, line)
                      : line->first > 0    ? check_first(import, order == 0, line->first)
                                           : check_ts(import, order == 0, line->message.ts);
    if (why != NULL)
        return why;
    import->last_with_bytes = line->with.bytes;
    if (line->with.bytes > 0)
        memcpy(import->last_with, line->with.data, line->with.bytes);
    memcpy(import->last_user, line->user.data, line->user.bytes);
    import->last_user_bytes = line->user.bytes;
    import->is_last_first = line->first > 0;
    if (line->with.bytes == 0)
        import->newest_ts = line->first > 0 ? line->first : line->message.ts;
    else if (order != 0)
        import->newest_ts = import->first;
    import->last_ts = line->with.bytes > 0 ? LIMIT_TS_MAX : line->first > 0 ? line->first : line->message.ts;
    return NULL;
}

/* -- the spool -- */

static int refuse_spool(struct import *import)
{
    int code = errno == 0 ? EIO : errno;
    return refuse(import, -code, "the entries cannot be kept in %.1000s meanwhile: %s%s", import->config->data_dir,
                  strerror(code), code == ENOSPC || code == EDQUOT ? ": make room on that disk" : "");
}

static int open_spool(struct import *import)
{
    char path[PATH_MAX];
    int bytes = snprintf(path, sizeof path, "%s/" DATADIR_UNFINISHED ".XXXXXX", import->config->data_dir);
    int fd = bytes < (int)sizeof path ? mkstemp(path) : -1;
    if (fd < 0)
        return refuse_spool(import);
    (void)unlink(path);
    import->spool = fdopen(fd, "w+");
    if (import->spool == NULL) {
        int status = refuse_spool(import);
        close(fd);
        return status;
    }
    (void)setvbuf(import->spool, NULL, _IOFBF, 1u << 20);
    return 0;
}

/* What the byte behind the length of the name says. */
enum spool_kind { SPOOL_ENTRY, SPOOL_ALONE, SPOOL_MARKS };

static int spool_put(struct import *import, const struct dump_line *line)
{
    uint8_t head[SPOOL_HEAD_BYTES];
    struct span user = line->user;
    bool has_marks = line->with.bytes > 0;
    uint32_t bytes = 0;
    ASSERT(user.bytes > 0 && user.bytes <= LIMIT_USER_BYTES);
    if (has_marks) {
        row_encode_marks(line->marks, import->value);
        memcpy(import->value + ROW_MARKS_BYTES, line->with.data, line->with.bytes);
        bytes = (uint32_t)(ROW_MARKS_BYTES + line->with.bytes);
    } else {
        bytes = row_encode(&line->message, import->value);
    }
    bytes_store_le32(head, bytes);
    head[4] = (uint8_t)user.bytes;
    head[5] = has_marks ? SPOOL_MARKS : line->is_alone ? SPOOL_ALONE : SPOOL_ENTRY;
    bytes_store_le64(head + 6, has_marks ? 0 : line->message.ts);
    bytes_store_le64(head + 14, import->line);
    errno = 0;
    bool is_written = fwrite(head, 1, sizeof head, import->spool) == sizeof head
                      && fwrite(user.data, 1, user.bytes, import->spool) == user.bytes
                      && fwrite(import->value, 1, bytes, import->spool) == bytes;
    return is_written ? 0 : refuse_spool(import);
}

/* 1 and the next entry, borrowed until the next call, with its line and whether it is alone; 2 and marks, which are in
 * `value`; 0 at the end; or -errno. */
static int spool_next(struct import *import, struct span *user_r, struct message *message_r)
{
    uint8_t head[SPOOL_HEAD_BYTES];
    errno = 0;
    size_t got = fread(head, 1, sizeof head, import->spool);
    if (got == 0 && feof(import->spool))
        return 0;
    uint32_t bytes = bytes_load_le32(head);
    if (got != sizeof head || bytes > sizeof import->value || head[4] > sizeof import->user
        || fread(import->user, 1, head[4], import->spool) != head[4]
        || fread(import->value, 1, bytes, import->spool) != bytes)
        return refuse_spool(import);
    *user_r = (struct span){import->user, head[4]};
    import->is_alone = head[5] == SPOOL_ALONE;
    import->line = bytes_load_le64(head + 14);
    struct span value = {(const char *)import->value, bytes};
    import->value_bytes = bytes;
    if (head[5] == SPOOL_MARKS)
        return bytes > ROW_MARKS_BYTES ? 2 : refuse_spool(import);
    return row_decode(*user_r, bytes_load_le64(head + 6), value, message_r) == 0 ? 1 : refuse_spool(import);
}

static int spool_rewind(struct import *import)
{
    errno = 0;
    return fflush(import->spool) == 0 && fseeko(import->spool, 0, SEEK_SET) == 0 ? 0 : refuse_spool(import);
}

/* -- the passes -- */

/* Where the timelines of all users begin. */
static int take_first_of_all(struct import *import, uint64_t first)
{
    int status = 0;
    if (import->line != 1)
        return refuse_line(import, "a \"first\" without \"user\" stands in the first line only");
    import->first = first;
    for (uint32_t i = 0; i < datadir_shards(build_datadir(import->build)) && status == 0; i++) {
        build_raise_floor(import->build, i, first);
        status = build_cut(import->build, i, (struct span){"", 0}, first);
    }
    return status;
}

static int take_first(struct import *import, const struct dump_line *line)
{
    uint32_t shard = datadir_shard_of(build_datadir(import->build), line->user);
    build_raise_floor(import->build, shard, line->first);
    return build_cut(import->build, shard, line->user, line->first);
}

static int take_entry(struct import *import, const struct dump_line *line)
{
    int status = 0;
    if (line->message.key.bytes > 0)
        status = build_put_key(import->build, line->user, line->message.ts, line->message.key);
    if (status == 0)
        status = spool_put(import, line);
    if (status == 0)
        cross_check_add(import->check, &line->message, line->is_alone);
    return status;
}

static int take_line(struct import *import, char *text, size_t bytes)
{
    struct dump_line line;
    const char *why = dump_line_read(import->reader, text, bytes, &line);
    if (why == NULL && line.user.bytes == 0)
        return take_first_of_all(import, line.first);
    if (why == NULL)
        why = check_order(import, &line);
    if (why != NULL)
        return refuse_line(import, why);
    int status = line.with.bytes > 0 ? spool_put(import, &line)
                 : line.first > 0    ? take_first(import, &line)
                                     : take_entry(import, &line);
    if (status == 0 && import->line % PROGRESS_LINES == 0)
        fprintf(stderr, "import: %" PRIu64 " lines read\n", import->line);
    return status;
}

static int read_lines(struct import *import)
{
    char *line = NULL;
    size_t bytes = 0;
    int more, status = 0;
    while (status == 0 && (more = next_line(import, &line, &bytes)) != 0)
        status = more < 0 ? more : take_line(import, line, bytes);
    if (status == 0 && import->line == 0)
        status = refuse(import, -EINVAL,
                        "%.1000s has no line: the dump has failed, so make it again; or it is of an empty store, for "
                        "which `chitchat serve` makes a directory itself: nothing was made",
                        import->name);
    return status;
}

static void report_first(void *context, const char *text)
{
    struct import *import = context;
    if (import->error.text[0] == '\0')
        refuse(import, 0, "%.1000s: %.2000s: a whole dump has both, unless one is \"alone\": nothing was made",
               import->name, text);
}

/* Both timelines of each message must be there, with the same copy, unless one is alone: else verify would find damage.
 */
static int check_both_sides(struct import *import)
{
    struct problems problems = {report_first, import, 0};
    struct span user;
    struct message message;
    int more, status = cross_check_bad_parts(import->check) == 0 ? 0 : spool_rewind(import);
    if (status != 0 || cross_check_bad_parts(import->check) == 0)
        return status;
    while (status == 0 && (more = spool_next(import, &user, &message)) != 0)
        status = more < 0 ? more : more == 2 || import->is_alone ? 0 : cross_check_gather(import->check, &message);
    if (status == 0)
        cross_check_report(import->check, &problems);
    return status == 0 ? -EINVAL : status;
}

/* The cuts must cover the other copy of a message that is alone: else verify would find that it is missing. */
static int check_alone(struct import *import, const struct message *message)
{
    struct span other = message_other(message);
    uint32_t shard = datadir_shard_of(build_datadir(import->build), other);
    if (!import->is_alone || message->other_ts <= build_cut_ts(import->build, shard, other))
        return 0;
    return refuse_line(import, "it is \"alone\", but no \"first\" of the other user is at or above its \"other_ts\"");
}

/* Those that spool_next has left in `value`. */
static int put_marks(struct import *import, struct span user)
{
    struct seen_marks marks;
    struct span value = {(const char *)import->value, import->value_bytes};
    ASSERT(value.bytes > ROW_MARKS_BYTES);
    struct span peer = {value.data + ROW_MARKS_BYTES, value.bytes - ROW_MARKS_BYTES};
    if (row_decode_marks((struct span){value.data, ROW_MARKS_BYTES}, &marks) != 0)
        return refuse_spool(import);
    return build_put_marks(import->build, user, peer, marks);
}

static int put_entries(struct import *import)
{
    struct span user;
    struct message message;
    int more, status = spool_rewind(import);
    while (status == 0 && (more = spool_next(import, &user, &message)) != 0) {
        if (more == 2) {
            status = put_marks(import, user);
            continue;
        }
        status = more < 0 ? more : check_alone(import, &message);
        if (status == 0)
            status = build_put(import->build, user, &message);
    }
    return status;
}

static int make(struct import *import, uint32_t shards, struct build_report *report)
{
    struct datadir_meta meta;
    import->buffer = malloc(INPUT_BYTES);
    if (import->buffer == NULL || json_reader_open(&import->reader, DUMP_LINE_BYTES_MAX) != 0
        || cross_check_open(&import->check) != 0)
        return refuse(import, -ENOMEM, "no memory");
    int status = datadir_draw(shards, &meta);
    if (status != 0)
        return refuse(import, status, "no random numbers for a new epoch");
    status = build_open(&import->build, import->config->data_dir, &meta, &import->error);
    if (status == 0)
        status = open_spool(import);
    if (status == 0)
        status = read_lines(import);
    if (status == 0)
        status = check_both_sides(import);
    if (status == 0)
        status = put_entries(import);
    return status == 0 ? build_finish(import->build, report) : status;
}

/* -- all -- */

static void close_all(struct import *import)
{
    build_close(&import->build);
    if (import->spool != NULL)
        fclose(import->spool);
    if (import->input != NULL && import->input != stdin)
        fclose(import->input);
    if (import->check != NULL)
        cross_check_close(&import->check);
    if (import->reader != NULL)
        json_reader_close(&import->reader);
    free(import->buffer);
    free(import);
}

int command_import(const struct config *config)
{
    char text[PATH_MAX + 128];
    struct build_report report;
    struct import *import = calloc(1, sizeof *import);
    if (import == NULL)
        return command_complain(2, "no memory");
    bool is_stdin = strcmp(config->from_file, "-") == 0;
    import->config = config;
    import->name = is_stdin ? "stdin" : config->from_file;
    import->input = is_stdin ? stdin : fopen(config->from_file, "re");
    if (import->input == NULL) {
        snprintf(text, sizeof text, "%s cannot be opened: %s: name a file that `chitchat dump` wrote, or - for stdin",
                 config->from_file, strerror(errno));
        close_all(import);
        return command_complain(2, text);
    }
    int code = 0;
    uint32_t shards = config->shards > 0 ? config->shards : config_value_cores();
    if (make(import, shards, &report) != 0)
        code = command_complain(1, import->error.text);
    close_all(import);
    if (code != 0)
        return code;
    printf("imported %s: %" PRIu32 " shards, %" PRIu64 " entries, %" PRIu64 " keys, %" PRIu64 " bytes\n",
           config->data_dir, shards, report.entries, report.keys, report.bytes);
    return fflush(stdout) == 0 ? 0
                               : command_complain(1, "stdout cannot be written: the report is not complete, but the "
                                                     "data is");
}
