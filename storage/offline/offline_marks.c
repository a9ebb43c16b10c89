#include "storage/offline/offline_marks.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "storage/offline/offline_private.h"
#include "storage/runs/store_private.h"

/* The marks of one shard, with the next pair read: from the runs, and from the WAL. */
struct stream {
    const struct offline_shard *shard;
    struct run_source *source; /* NULL: no run has marks */
    bool is_at_end;            /* of the source */
    struct offline_mark of_runs;
    uint64_t at; /* of shard->marks */
};

struct offline_marks {
    struct stream *given; /* whose pair was given: the next call steps it */
    size_t only_bytes;
    char only[LIMIT_USER_BYTES];
    uint32_t count;
    struct stream streams[];
};

static int compare(const struct offline_mark *a, const struct offline_mark *b)
{
    int order = span_compare(a->user, b->user);
    return order != 0 ? order : span_compare(a->peer, b->peer);
}

/* -- one shard -- */

static int step_source(struct stream *stream)
{
    struct span key, value;
    struct row_key_fields row = {.kind = ROW_ENTRY};
    ASSERT(stream->source != NULL);
    int more = 1;
    while (more == 1 && row.kind != ROW_MARKS) {
        more = run_source_next(stream->source, &key, &value);
        if (more == 1 && row_key_parse(key, &row) != 0)
            return -EBADMSG;
    }
    stream->is_at_end = more != 1;
    if (more != 1)
        return more;
    stream->of_runs.user = row.user;
    stream->of_runs.peer = row.peer;
    return row_decode_marks(value, &stream->of_runs.marks);
}

static int open_stream(struct stream *stream, const struct offline_shard *shard)
{
    uint32_t count = 0;
    struct run *runs[shard->run_count + 1];
    stream->shard = shard;
    stream->is_at_end = true;
    for (uint32_t i = 0; i < shard->run_count; i++)
        if (shard->runs[i]->entry.marks > 0)
            runs[count++] = shard->runs[i];
    if (count == 0)
        return 0;
    int status = merge_source_open(&stream->source, runs, count);
    return status == 0 ? step_source(stream) : status;
}

/* The next pair of the shard. False: there is none. */
static bool stream_next(const struct stream *stream, struct offline_mark *mark_r)
{
    const struct offline_shard *shard = stream->shard;
    bool has_wal = stream->at < shard->mark_count;
    struct offline_mark of_wal;
    if (has_wal)
        offline_mark_view(&shard->marks[stream->at], &of_wal);
    if (stream->is_at_end && !has_wal)
        return false;
    *mark_r = stream->is_at_end || (has_wal && compare(&of_wal, &stream->of_runs) < 0) ? of_wal : stream->of_runs;
    for (uint64_t i = stream->at; i < shard->mark_count; i++) {
        offline_mark_view(&shard->marks[i], &of_wal);
        if (compare(&of_wal, mark_r) != 0)
            break;
        seen_marks_raise(&mark_r->marks, of_wal.marks);
    }
    return true;
}

/* Steps over the pair that stream_next gave. Its spans may be those of the source, which steps last. */
static int stream_step(struct stream *stream, const struct offline_mark *given)
{
    const struct offline_shard *shard = stream->shard;
    struct offline_mark of_wal;
    for (; stream->at < shard->mark_count; stream->at++) {
        offline_mark_view(&shard->marks[stream->at], &of_wal);
        if (compare(&of_wal, given) != 0)
            break;
    }
    return stream->is_at_end || compare(&stream->of_runs, given) != 0 ? 0 : step_source(stream);
}

/* -- all shards -- */

static int open_shards(struct offline_marks **marks_r, struct offline *offline, uint32_t first, uint32_t count,
                       struct span user)
{
    ASSERT(first + count <= offline->shard_count);
    ASSERT(user.bytes <= LIMIT_USER_BYTES);
    struct offline_marks *marks = calloc(1, sizeof *marks + count * sizeof marks->streams[0]);
    if (marks == NULL)
        return -ENOMEM;
    if (user.bytes > 0)
        memcpy(marks->only, user.data, user.bytes);
    marks->only_bytes = user.bytes;
    int status = 0;
    for (uint32_t i = 0; i < count && status == 0; i++)
        status = open_stream(&marks->streams[marks->count++], &offline->shards[first + i]);
    if (status == 0)
        *marks_r = marks;
    else
        offline_marks_close(&marks);
    return status;
}

int offline_marks_open(struct offline_marks **marks_r, struct offline *offline, const struct datadir *datadir,
                       struct span user)
{
    return user.bytes > 0 ? open_shards(marks_r, offline, datadir_shard_of(datadir, user), 1, user)
                          : open_shards(marks_r, offline, 0, datadir_shards(datadir), user);
}

int offline_marks_open_shard(struct offline_marks **marks_r, struct offline *offline, uint32_t shard)
{
    return open_shards(marks_r, offline, shard, 1, (struct span){"", 0});
}

void offline_marks_close(struct offline_marks **marks)
{
    if (*marks == NULL)
        return;
    for (uint32_t i = 0; i < (*marks)->count; i++)
        run_source_close(&(*marks)->streams[i].source);
    free(*marks);
    *marks = NULL;
}

/* The lowest pair of all shards. False: there is none. */
static bool find_next(struct offline_marks *marks, struct offline_mark *mark_r)
{
    struct offline_mark mark;
    marks->given = NULL;
    for (uint32_t i = 0; i < marks->count; i++) {
        if (!stream_next(&marks->streams[i], &mark) || (marks->given != NULL && compare(&mark, mark_r) >= 0))
            continue;
        *mark_r = mark;
        marks->given = &marks->streams[i];
    }
    return marks->given != NULL;
}

/* What is cut is 0. False: nothing is left. */
static bool hide_cut(const struct stream *stream, struct offline_mark *mark)
{
    uint64_t cut = cuts_ts(&stream->shard->cuts, mark->user);
    mark->marks.seen = mark->marks.seen > cut ? mark->marks.seen : 0;
    mark->marks.seen_by = mark->marks.seen_by > cut ? mark->marks.seen_by : 0;
    return mark->marks.seen != 0 || mark->marks.seen_by != 0;
}

int offline_marks_next(struct offline_marks *marks, struct span before, struct offline_mark *mark_r)
{
    struct span only = {marks->only, marks->only_bytes};
    struct offline_mark given;
    while (find_next(marks, &given)) {
        if (before.bytes > 0 && span_compare(given.user, before) >= 0)
            return 0;
        int status = 0;
        *mark_r = given;
        bool is_wanted = (only.bytes == 0 || span_equal(given.user, only)) && hide_cut(marks->given, mark_r);
        status = stream_step(marks->given, &given);
        if (status != 0)
            return status;
        if (is_wanted)
            return 1;
    }
    return 0;
}
