#include "storage/offline/offline.h"

#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "storage/offline/offline_private.h"

/* -- runs -- */

static void open_runs(struct offline *offline, struct offline_shard *shard, const struct manifest_state *state)
{
    struct store_error error;
    for (uint32_t i = 0; i < state->count; i++) {
        struct run *run;
        if (run_open(&run, shard->runs_dir, &state->entries[i], &error) != 0) {
            problems_add(offline->problems, "%s", error.text);
            continue;
        }
        shard->runs[shard->run_count++] = run;
        offline->counts.runs++;
        offline->counts.rows += run->entry.rows;
    }
}

/* Whether there is certainly no manifest and no run: runs without a manifest mean that it is lost. */
static bool is_new(const struct offline_shard *shard, const char *manifest_path)
{
    char pattern[RUN_PATH_BYTES];
    glob_t found;
    if (access(manifest_path, F_OK) == 0 || errno != ENOENT)
        return false;
    snprintf(pattern, sizeof pattern, "%s/run-*.mdb", shard->runs_dir);
    int result = glob(pattern, GLOB_NOSORT | GLOB_ERR, NULL, &found);
    if (result == 0)
        globfree(&found);
    return result == GLOB_NOMATCH;
}

static int open_store(struct offline *offline, struct offline_shard *shard, struct store_position *applied_r,
                      struct wal_assigned *assigned_r)
{
    char path[RUN_PATH_BYTES];
    struct manifest_state state;
    struct store_error error = {""};
    *applied_r = (struct store_position){0, 0};
    assigned_r->count = 0;
    int bytes = snprintf(path, sizeof path, "%s/manifest.mdb", shard->runs_dir);
    if (bytes < 0 || (size_t)bytes >= sizeof path)
        return -ENAMETOOLONG;
    if (is_new(shard, path))
        return 0; /* the first start was interrupted: the next one makes the manifest */
    int status = manifest_read(path, false, &state, &error);
    if (status != 0) {
        problems_add(offline->problems, "%s", error.text);
        return status == -ENOMEM ? status : 0;
    }
    shard->runs = calloc(state.count + 1, sizeof(struct run *));
    if (shard->runs != NULL)
        open_runs(offline, shard, &state);
    *applied_r = state.marks.applied;
    *assigned_r = state.assigned;
    shard->cuts = state.cuts;
    state.cuts = (struct cuts){0};
    manifest_state_fini(&state);
    return shard->runs == NULL ? -ENOMEM : 0;
}

/* -- the WAL -- */

void offline_entry_view(const struct wal_entry *entry, struct span *user_r, struct message *message_r)
{
    struct record_fields fields;
    int bytes = record_decode(entry->record, LIMIT_RECORD_BYTES, &fields);
    ASSERT(bytes > 0); /* it was decoded when it was found */
    *message_r = record_fields_view(&fields, (enum role)entry->role);
    *user_r = entry->role == ROLE_RECEIVED ? fields.to : fields.from;
}

static int add_entry(struct offline_shard *shard, const uint8_t *record, enum role role)
{
    if (shard->entry_count == shard->entry_room) {
        uint64_t room = shard->entry_room == 0 ? 4096 : shard->entry_room * 2;
        struct wal_entry *grown = realloc(shard->entries, room * sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        shard->entries = grown;
        shard->entry_room = room;
    }
    shard->entries[shard->entry_count++] = (struct wal_entry){record, role};
    return 0;
}

struct wal_context {
    struct offline *offline;
    struct offline_shard *owner; /* of the WAL */
    uint32_t owner_index;
    uint32_t file;
};

static void report_stray(const struct wal_context *wal)
{
    problems_add(wal->offline->problems,
                 "%s/segment-%06u.wal has a record that does not belong there: " WAL_SURVEY_ADVICE,
                 wal->owner->survey.dir, wal->file);
}

static int take_cut(const struct wal_context *wal, const struct record_fields *fields)
{
    const struct offline *offline = wal->offline;
    if (fields->to.bytes > 0 && datadir_shard_of(offline->datadir, fields->to) != wal->owner_index)
        report_stray(wal);
    return cuts_add(&wal->owner->cuts, fields->to, fields->ts_to, 0);
}

void offline_mark_view(const struct wal_mark *mark, struct offline_mark *mark_r)
{
    struct record_fields fields;
    int bytes = record_decode(mark->record, LIMIT_RECORD_BYTES, &fields);
    ASSERT(bytes > 0); /* it was decoded when it was found */
    if (mark->is_of_peer)
        *mark_r = (struct offline_mark){fields.key, fields.to, {.seen_by = fields.ts_from}};
    else
        *mark_r = (struct offline_mark){fields.to, fields.key, {.seen = fields.ts_to}};
}

static int add_mark(struct offline_shard *shard, const uint8_t *record, bool is_of_peer)
{
    if (shard->mark_count == shard->mark_room) {
        uint64_t room = shard->mark_room == 0 ? 256 : shard->mark_room * 2;
        struct wal_mark *grown = realloc(shard->marks, room * sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        shard->marks = grown;
        shard->mark_room = room;
    }
    shard->marks[shard->mark_count++] = (struct wal_mark){record, is_of_peer};
    return 0;
}

static int compare_marks(const void *a, const void *b)
{
    struct offline_mark x, y;
    offline_mark_view(a, &x);
    offline_mark_view(b, &y);
    int order = span_compare(x.user, y.user);
    return order != 0 ? order : span_compare(x.peer, y.peer);
}

/* A mark is one of its user, and one of the peer. */
static int take_mark(const struct wal_context *wal, const struct record_fields *fields)
{
    struct offline *offline = wal->offline;
    if (datadir_shard_of(offline->datadir, fields->to) != wal->owner_index) {
        report_stray(wal);
        return 0;
    }
    int status = add_mark(wal->owner, fields->data, false);
    struct offline_shard *peers = &offline->shards[datadir_shard_of(offline->datadir, fields->key)];
    return status == 0 ? add_mark(peers, fields->data, true) : status;
}

uint64_t offline_cut_ts(const struct offline *offline, struct span user)
{
    return cuts_ts(&offline->shards[datadir_shard_of(offline->datadir, user)].cuts, user);
}

bool offline_is_alone(const struct offline *offline, const struct message *message)
{
    return message->other_ts <= offline_cut_ts(offline, message_other(message));
}

uint64_t offline_cut(const struct offline *offline, uint32_t shard, uint32_t index, struct span *user_r)
{
    ASSERT(shard < offline->shard_count);
    const struct cuts *cuts = &offline->shards[shard].cuts;
    if (index >= cuts->count)
        return 0;
    *user_r = cut_user(cuts->list[index]);
    return cuts->list[index]->ts;
}

const struct cuts *offline_cuts(const struct offline *offline, uint32_t shard)
{
    ASSERT(shard < offline->shard_count);
    return &offline->shards[shard].cuts;
}

/* One record has a row in two timelines, or in one to oneself. */
static int take_record(void *context, const struct record_fields *fields)
{
    struct wal_context *wal = context;
    struct offline *offline = wal->offline;
    if (fields->is_cut)
        return take_cut(wal, fields);
    if (fields->is_mark)
        return take_mark(wal, fields);
    uint32_t senders = datadir_shard_of(offline->datadir, fields->from);
    if (datadir_shard_of(offline->datadir, fields->to) != wal->owner_index || fields->ts_from == 0 || fields->ts_to == 0
        || fields->ts_from > LIMIT_TS_MAX || fields->ts_to > LIMIT_TS_MAX) {
        report_stray(wal);
        return 0;
    }
    if (span_equal(fields->from, fields->to))
        return add_entry(wal->owner, fields->data, ROLE_SELF);
    int status = add_entry(wal->owner, fields->data, ROLE_RECEIVED);
    return status == 0 ? add_entry(&offline->shards[senders], fields->data, ROLE_SENT) : status;
}

static int read_file(struct offline *offline, struct offline_shard *shard, uint32_t index)
{
    struct wal_scan scan;
    struct wal_file *file = &shard->survey.files[index];
    struct wal_context context = {offline, shard, shard->survey.shard, file->number};
    struct segment_map *map = &shard->maps[index];
    ASSERT(file->is_live && map->data == NULL);
    int status = segment_map(shard->survey.dir, file->number, map);
    if (status != 0) {
        problems_add(offline->problems, "%s/segment-%06u.wal cannot be read: %s", shard->survey.dir, file->number,
                     strerror(-status));
        return 0;
    }
    status = wal_survey_scan_map(&shard->survey, file, map->data, map->bytes, take_record, &context, &scan);
    offline->counts.segments++;
    offline->counts.batches += scan.batch_count;
    offline->counts.records += scan.record_count;
    if (status == -ENOMEM)
        return status;
    if (status != 0)
        problems_add(offline->problems, "%s", shard->survey.error);
    else
        offline->counts.torn_tails += scan.end == WAL_END_TORN;
    return 0;
}

static int read_wal(struct offline *offline, struct offline_shard *shard)
{
    int status = 0;
    shard->maps = calloc(shard->survey.file_count + 1, sizeof *shard->maps);
    if (shard->maps == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < shard->survey.file_count && status == 0; i++)
        if (shard->survey.files[i].is_live)
            status = read_file(offline, shard, i);
    return status;
}

static int compare_entries(const void *a, const void *b)
{
    struct span user_a, user_b;
    struct message message_a, message_b;
    offline_entry_view(a, &user_a, &message_a);
    offline_entry_view(b, &user_b, &message_b);
    int order = span_compare(user_a, user_b);
    return order != 0 ? order : message_a.ts < message_b.ts ? -1 : message_a.ts > message_b.ts;
}

/* -- all -- */

static int open_shard(struct offline *offline, uint32_t index)
{
    struct offline_shard *shard = &offline->shards[index];
    struct store_position applied;
    struct wal_assigned assigned;
    char dir[PATH_MAX];
    int status = datadir_runs_path(offline->datadir, index, shard->runs_dir, sizeof shard->runs_dir - 64);
    if (status == 0)
        status = open_store(offline, shard, &applied, &assigned);
    if (status == 0)
        status = datadir_wal_path(offline->datadir, index, dir, sizeof dir);
    if (status == 0 && wal_survey_read(&shard->survey, dir, index, applied, &assigned) != 0)
        problems_add(offline->problems, "%s", shard->survey.error);
    return status;
}

static void sort_shard(struct offline_shard *shard)
{
    if (shard->entry_count > 1)
        qsort(shard->entries, shard->entry_count, sizeof(struct wal_entry), compare_entries);
    if (shard->mark_count > 1)
        qsort(shard->marks, shard->mark_count, sizeof(struct wal_mark), compare_marks);
}

int offline_open(struct offline **offline_r, const struct datadir *datadir, struct problems *problems)
{
    uint32_t count = datadir_shards(datadir);
    struct offline *offline = calloc(1, sizeof *offline + count * sizeof offline->shards[0]);
    if (offline == NULL)
        return -ENOMEM;
    offline->datadir = datadir;
    offline->problems = problems;
    offline->shard_count = count;
    int status = 0;
    for (uint32_t i = 0; i < count && status == 0; i++)
        status = open_shard(offline, i);
    for (uint32_t i = 0; i < count && status == 0; i++)
        status = read_wal(offline, &offline->shards[i]);
    for (uint32_t i = 0; i < count && status == 0; i++)
        sort_shard(&offline->shards[i]);
    if (status == 0)
        *offline_r = offline;
    else
        offline_close(&offline);
    return status;
}

static void close_shard(struct offline_shard *shard)
{
    for (uint32_t i = 0; i < shard->run_count; i++)
        run_close(&shard->runs[i]);
    for (uint32_t i = 0; shard->maps != NULL && i < shard->survey.file_count; i++)
        segment_unmap(&shard->maps[i]);
    wal_survey_fini(&shard->survey);
    cuts_fini(&shard->cuts);
    free(shard->runs);
    free(shard->maps);
    free(shard->entries);
    free(shard->marks);
}

void offline_close(struct offline **offline)
{
    if (*offline == NULL)
        return;
    for (uint32_t i = 0; i < (*offline)->shard_count; i++)
        close_shard(&(*offline)->shards[i]);
    free(*offline);
    *offline = NULL;
}

void offline_count(const struct offline *offline, struct offline_counts *counts_r)
{
    *counts_r = offline->counts;
}

struct run *offline_run(struct offline *offline, uint32_t shard, uint32_t index, const char **path_r)
{
    ASSERT(shard < offline->shard_count);
    const struct offline_shard *own = &offline->shards[shard];
    if (index >= own->run_count)
        return NULL;
    run_path(offline->path, own->runs_dir, own->runs[index]->entry.id);
    *path_r = offline->path;
    return own->runs[index];
}
