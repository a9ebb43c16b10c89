#include "cli/cluster_fill.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/cross_check.h"
#include "cli/mark_check.h"
#include "storage/log.h"
#include "storage/offline/offline.h"
#include "storage/offline/offline_marks.h"
#include "storage/page_guard.h"

#define GENERATION 1u
#define PATIENCE_US UINT64_C(60000000) /* so long the engine may fail: a failover of its servers is shorter */
#define PAUSE_US 200000u
#define PROGRESS_MESSAGES 1000000u
/* A mark says how far both users have seen a conversation, and one of both was cut: below all entries. */
#define TS_BEFORE_ALL 1u
#define RECORD_ROOM_BYTES (sizeof(struct record) + 2u * LIMIT_USER_BYTES + LIMIT_KEY_BYTES + LIMIT_TEXT_BYTES)

struct filling {
    const struct cluster_fill *fill;
    struct clock clock;
    struct problems problems;
    struct offline *offline;
    struct cross_check *check;
    struct offline_rows *rows;
    struct offline_marks *marks;
    uint32_t slots;
    bool is_of_node;         /* shards end at different times, and the log that had the rest is lost */
    struct log *logs;        /* by slot */
    uint64_t failing_us;     /* since when the engine fails; 0: it does not */
    uint64_t messages_about; /* as many are expected */
    struct record *record;   /* RECORD_ROOM_BYTES: the one that is appended next */
    struct cluster_fill_report *report;
    char *text;
};

static int __attribute__((format(printf, 3, 4))) refuse(struct filling *filling, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(filling->text, CLUSTER_FILL_ERROR_BYTES, format, arguments);
    va_end(arguments);
    return code;
}

static void report_first(void *context, const char *text)
{
    struct filling *filling = context;
    if (filling->problems.count == 1)
        (void)refuse(filling, -EBADMSG, "%.1000s (`chitchat verify` lists all problems)", text);
}

static int refuse_source(struct filling *filling, int code)
{
    return filling->problems.count > 0
               ? -EBADMSG
               : refuse(filling, code, "%.500s cannot be read: %s", datadir_path(filling->fill->from), strerror(-code));
}

/* -- the logs -- */

static bool is_final(int status)
{
    return status == -EBADMSG || status == -EEXIST || status == -EPROTO || status == -ENOENT;
}

/* The engine has failed. 0: try again; or -errno, at once where another try would find the same. */
static int be_patient(struct filling *filling, int status, const char *why)
{
    uint64_t now_us = clock_monotonic_us(&filling->clock);
    if (filling->failing_us == 0 && !is_final(status)) {
        filling->failing_us = now_us;
        fprintf(stderr, "cluster init: waits for the log: %s\n", why);
    }
    if (is_final(status) || now_us - filling->failing_us >= PATIENCE_US)
        return refuse(filling, status, "%s", why);
    clock_sleep_us(&filling->clock, PAUSE_US);
    return 0;
}

/* Reads a log, which must be empty, and takes it. */
static int take_log(struct filling *filling, struct log_remote *remote)
{
    struct ownership *ownership = log_remote_ownership(remote);
    struct log_remote_error error = {""};
    while (!ownership_may_seal(ownership)) {
        int status = log_remote_call(remote, &error);
        if (status < 0)
            status = be_patient(filling, status, error.text);
        else
            filling->failing_us = 0;
        if (status < 0)
            return status;
        bool is_taken = ownership->state != OWNERSHIP_FOLLOWS;
        if (!is_taken && ownership->seen.number > 0)
            return refuse(filling, -EEXIST, "slot %" PRIu32 ": the log is not empty: another command fills it",
                          ownership->slot);
        if (!is_taken && ownership_may_take(ownership))
            (void)ownership_take(ownership, GENERATION, (struct span){"", 0}, clock_wall_us(&filling->clock));
    }
    return 0;
}

static int open_log(struct filling *filling, uint32_t slot)
{
    struct log_remote_error error = {"no memory for the log"};
    struct log_remote_options options = {.engine = filling->fill->cluster->engine,
                                         .where = filling->fill->where,
                                         .node = filling->fill->cluster->node,
                                         .clock = &filling->clock,
                                         .slot = slot,
                                         .timeout_ms = filling->fill->cluster->timeout_ms};
    struct log *log = &filling->logs[slot];
    int status = log_remote_open(&log->remote, &options, &error);
    if (status == 0)
        status = log_remote_seek(log->remote, (struct store_position){0}, NULL, &error);
    return status == 0 ? take_log(filling, log->remote) : refuse(filling, status, "%s", error.text);
}

/* A call for the meta log, until the engine has answered. */
static int patiently(struct filling *filling,
                     int (*call)(const struct cluster_fill *fill, uint64_t wall_us, struct log_engine_error *error_r))
{
    struct log_engine_error error;
    int status;
    while ((status = call(filling->fill, clock_wall_us(&filling->clock), &error)) != 0)
        if ((status = be_patient(filling, status, error.text)) != 0)
            return status;
    filling->failing_us = 0;
    return 0;
}

static int look_at_meta(const struct cluster_fill *fill, uint64_t wall_us, struct log_engine_error *error_r)
{
    struct datadir_meta meta;
    int status = datadir_cluster_read(fill->cluster, &meta, error_r);
    (void)wall_us;
    if (status == 0)
        (void)snprintf(error_r->text, sizeof error_r->text,
                       "another command has made cluster %s meanwhile, without this data: give another --name",
                       fill->cluster->name);
    return status == 0 ? -EEXIST : status == -ENOENT ? 0 : status;
}

static int create_meta(const struct cluster_fill *fill, uint64_t wall_us, struct log_engine_error *error_r)
{
    struct datadir_meta meta;
    int status = datadir_cluster_create(fill->cluster, wall_us, fill->meta, &meta, error_r);
    if (status == -EEXIST)
        (void)snprintf(error_r->text, sizeof error_r->text,
                       "another command has made cluster %s while this one filled its logs: its nodes may have lacked "
                       "a part of the data. Stop them, remove the logs by the SQL statement DROP SCHEMA chitchat_%s "
                       "CASCADE, on each log server, and run the command again; or give another --name",
                       fill->cluster->name, fill->cluster->name);
    return status;
}

/* Appends the filling batch, if there is one. */
static int flush(struct filling *filling, struct log *log)
{
    struct log_write write;
    uint64_t sequence;
    int status = 0;
    if (!log_write_take(log, &write))
        return 0;
    while (status == 0) {
        log_write_run(log);
        switch (log_write_done(log, 0, &sequence)) {
        case LOG_DURABLE: filling->failing_us = 0; return 0;
        case LOG_AGAIN: break;
        case LOG_LATER: status = be_patient(filling, -EIO, log_error_text(log)); break;
        case LOG_DEPOSED:
        case LOG_FAILED: status = refuse(filling, -EBADMSG, "%s", log_error_text(log)); break;
        }
    }
    return status;
}

/* -- records -- */

static int append_cut(struct filling *filling, uint32_t slot, struct span user, uint64_t ts)
{
    uint64_t sequence;
    struct log *log = &filling->logs[slot];
    int status;
    while ((status = log_append_cut(log, user, ts, &sequence)) == -EAGAIN)
        if ((status = flush(filling, log)) != 0)
            return status;
    filling->report->cuts++;
    return status;
}

static int append_mark(struct filling *filling, const struct record_mark *mark)
{
    uint64_t sequence;
    struct log *log = &filling->logs[datadir_shard_of(filling->fill->from, mark->user)];
    int status;
    while ((status = log_append_mark(log, mark, &sequence)) == -EAGAIN)
        if ((status = flush(filling, log)) != 0)
            return status;
    return status;
}

static void make_record(struct record *record, const struct message *message)
{
    const struct span parts[] = {message->from, message->to, message->key, message->text};
    bool is_received = message->role == ROLE_RECEIVED;
    char *at = record->body;
    record->ts_from = is_received ? message->other_ts : message->ts;
    record->ts_to = is_received ? message->ts : message->other_ts;
    memcpy(record->mid, message->mid, sizeof record->mid);
    record->from_bytes = (uint8_t)message->from.bytes;
    record->to_bytes = (uint8_t)message->to.bytes;
    record->key_bytes = (uint8_t)message->key.bytes;
    record->text_bytes = (uint16_t)message->text.bytes;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].bytes > 0)
            memcpy(at, parts[i].data, parts[i].bytes);
        at += parts[i].bytes;
    }
}

static int append_message(struct filling *filling, const struct message *message)
{
    uint64_t sequence;
    struct log *log = &filling->logs[datadir_shard_of(filling->fill->from, message->to)];
    int status;
    make_record(filling->record, message);
    while ((status = log_append(log, filling->record, &sequence)) == -EAGAIN)
        if ((status = flush(filling, log)) != 0)
            return status;
    filling->report->messages++;
    if (filling->report->messages % PROGRESS_MESSAGES == 0)
        fprintf(stderr, "cluster init: %" PRIu64 " of about %" PRIu64 " messages appended\n", filling->report->messages,
                filling->messages_about);
    return status;
}

/* -- the source -- */

/* Before the entries, so that nodes need not write to runs what is cut. */
static int put_cuts(struct filling *filling, uint32_t shard)
{
    struct span user;
    uint64_t ts;
    int status = 0;
    for (uint32_t i = 0; status == 0 && (ts = offline_cut(filling->offline, shard, i, &user)) > 0; i++)
        status = append_cut(filling, shard, user, ts);
    return status;
}

/* Of a message between two users the sender's copy becomes the record, which has the key; where that is cut, the
 * recipient's. The copy that is cut comes back with the record, and the cut hides it. */
static int put_entry(struct filling *filling, const struct message *message)
{
    bool is_alone = offline_is_alone(filling->offline, message);
    cross_check_add(filling->check, message, is_alone);
    return message->role != ROLE_RECEIVED || is_alone ? append_message(filling, message) : 0;
}

/* Of a second walk: where the other timeline lacks the message, the check gets the copy that the record makes there. So
 * what the check finds afterwards is damage. */
static int put_one_sided(struct filling *filling, const struct message *message)
{
    if (!cross_check_is_bad(filling->check, message) || offline_is_alone(filling->offline, message))
        return 0;
    int has = offline_has_entry(filling->offline, message_other(message), message->other_ts);
    if (has != 0)
        return has < 0 ? has : 0;
    struct message other = *message;
    bool is_received = message->role == ROLE_RECEIVED;
    other.role = is_received ? ROLE_SENT : ROLE_RECEIVED;
    other.ts = message->other_ts;
    other.other_ts = message->ts;
    cross_check_add(filling->check, &other, false);
    filling->report->one_sided++;
    return is_received ? append_message(filling, message) : 0;
}

static int walk(struct filling *filling, int (*put)(struct filling *filling, const struct message *message))
{
    struct span user;
    struct message message;
    int more = 0, status = 0;
    for (uint32_t i = 0; i < filling->slots && status == 0; i++) {
        status = offline_rows_open(&filling->rows, filling->offline, i, (struct span){"", 0});
        while (status == 0 && (more = offline_rows_next(filling->rows, &user, &message)) != 0)
            status = more < 0 ? more : put(filling, &message);
        offline_rows_close(&filling->rows);
    }
    return status;
}

/* A user's row has two marks: of the user, and of the peer. `seen_ts` and `seen_by_ts` are what they are in the peer's
 * timeline. */
static int append_marks(struct filling *filling, const struct offline_mark *mark, uint64_t seen_ts, uint64_t seen_by_ts)
{
    static const uint8_t mid[LIMIT_MID_BYTES] = {0}; /* is for a push alone */
    struct record_mark of_user = {mark->user, mark->peer, mark->marks.seen, seen_ts, mid};
    struct record_mark of_peer = {mark->peer, mark->user, seen_by_ts, mark->marks.seen_by, mid};
    int status = mark->marks.seen > 0 ? append_mark(filling, &of_user) : 0;
    if (status == 0 && mark->marks.seen_by > 0)
        status = append_mark(filling, &of_peer);
    filling->report->marks++;
    return status;
}

/* Of a node's directory: the record has the ts of both timelines, so that a mark that one of them lacks is made. */
static int put_whole_mark(void *context, const struct mark_places *places)
{
    struct filling *filling = context;
    uint64_t cut = offline_cut_ts(filling->offline, places->mark.peer);
    return append_marks(filling, &places->mark, places->seen_ts > cut ? places->seen_ts : TS_BEFORE_ALL,
                        places->seen_by_ts > cut ? places->seen_by_ts : TS_BEFORE_ALL);
}

/* A record of a mark has the ts in both timelines, and the row of the other user gives the other one: of two records
 * the greater ts counts. */
static int put_mark(struct filling *filling, const struct offline_mark *mark)
{
    return append_marks(filling, mark, TS_BEFORE_ALL, TS_BEFORE_ALL);
}

static int put_marks(struct filling *filling, uint32_t shard)
{
    struct offline_mark mark;
    int more, status = offline_marks_open_shard(&filling->marks, filling->offline, shard);
    while (status == 0 && (more = offline_marks_next(filling->marks, (struct span){"", 0}, &mark)) != 0)
        status = more < 0 ? more : put_mark(filling, &mark);
    offline_marks_close(&filling->marks);
    return status;
}

static int put_all(void *context)
{
    struct filling *filling = context;
    int status = 0;
    for (uint32_t i = 0; i < filling->slots && status == 0; i++)
        status = put_cuts(filling, i);
    if (status == 0)
        status = walk(filling, put_entry);
    if (status == 0 && filling->is_of_node && cross_check_bad_parts(filling->check) > 0)
        status = walk(filling, put_one_sided);
    if (status == 0 && filling->is_of_node)
        status = mark_check_visit(filling->offline, filling->fill->from, &filling->problems, put_whole_mark, filling);
    for (uint32_t i = 0; i < filling->slots && status == 0 && !filling->is_of_node; i++)
        status = put_marks(filling, i);
    for (uint32_t i = 0; i < filling->slots && status == 0; i++)
        status = flush(filling, &filling->logs[i]);
    return status;
}

static int check_marks(void *context)
{
    struct filling *filling = context;
    return mark_check_run(filling->offline, filling->fill->from, &filling->problems);
}

/* -- all of it -- */

static int open_source(struct filling *filling)
{
    struct offline_counts counts;
    int status = offline_open(&filling->offline, filling->fill->from, &filling->problems);
    filling->is_of_node = datadir_cluster(filling->fill->from)[0] != '\0';
    if (status == 0 && filling->problems.count == 0 && !filling->is_of_node)
        status = page_guard_run(check_marks, filling);
    if (status != 0 || filling->problems.count > 0)
        return refuse_source(filling, status);
    offline_count(filling->offline, &counts);
    filling->messages_about = counts.rows / 2 + counts.records;
    status = cross_check_open(&filling->check);
    filling->record = calloc(1, RECORD_ROOM_BYTES);
    filling->logs = calloc(filling->slots, sizeof *filling->logs);
    return status == 0 && filling->record != NULL && filling->logs != NULL
               ? 0
               : refuse(filling, -ENOMEM, "no memory to read the data");
}

static int run(struct filling *filling)
{
    int status = open_source(filling);
    for (uint32_t i = 0; i < filling->slots && status == 0; i++)
        status = open_log(filling, i);
    if (status == 0)
        status = patiently(filling, look_at_meta);
    if (status != 0)
        return status;
    status = page_guard_run(put_all, filling);
    if (filling->problems.count > 0 || (status != 0 && filling->text[0] == '\0'))
        return refuse_source(filling, status);
    if (status == 0 && cross_check_bad_parts(filling->check) > 0)
        return refuse(filling, -EBADMSG,
                      "%.500s: the two timelines of some messages do not have the same copy (`chitchat verify` lists "
                      "them)",
                      datadir_path(filling->fill->from));
    return status == 0 ? patiently(filling, create_meta) : status;
}

int cluster_fill_run(const struct cluster_fill *fill, struct cluster_fill_report *report_r, char *text)
{
    struct filling filling = {.fill = fill, .slots = datadir_shards(fill->from), .report = report_r, .text = text};
    *report_r = (struct cluster_fill_report){.messages = 0};
    text[0] = '\0';
    clock_init_system(&filling.clock);
    filling.problems = (struct problems){report_first, &filling, 0};
    int status = run(&filling);
    for (uint32_t i = 0; i < filling.slots && filling.logs != NULL; i++)
        log_close(&filling.logs[i]);
    offline_rows_close(&filling.rows);
    offline_marks_close(&filling.marks);
    cross_check_close(&filling.check);
    offline_close(&filling.offline);
    free(filling.logs);
    free(filling.record);
    return status;
}
