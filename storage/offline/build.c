#include "storage/offline/build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "storage/datadir/datadir_make.h"
#include "storage/memtable/memtable.h"
#include "storage/offline/backup_private.h"
#include "storage/offline/remove.h"

struct build_shard {
    char dir[RUN_PATH_BYTES - 64];
    struct run_writer *writer;
    struct run_entry entry;
    uint64_t floor;
    struct cuts cuts;
};

struct build {
    struct datadir *datadir;
    char *path;
    bool was_there; /* as an empty directory */
    bool is_complete;
    bool has_entries;
    uint32_t level;
    struct build_report report;
    struct backup_error *error;
    uint8_t value[ROW_VALUE_BYTES_MAX];
    uint32_t shard_count;
    struct build_shard shards[];
};

static int refuse_write(struct build *build, int status, const char *path)
{
    return backup_refuse_copy(build->error, NULL, status, NULL, path);
}

/* -- open and close -- */

static int open_shards(struct build *build)
{
    int status = 0;
    for (uint32_t i = 0; i < build->shard_count && status == 0; i++) {
        struct build_shard *shard = &build->shards[i];
        shard->entry = (struct run_entry){.id = 1, .seq_first = 1, .seq_last = 1};
        status = datadir_runs_path(build->datadir, i, shard->dir, sizeof shard->dir);
        if (status == 0)
            status = run_writer_open(&shard->writer, shard->dir, &shard->entry);
        if (status != 0)
            refuse_write(build, status, build->path);
    }
    return status;
}

int build_open(struct build **build_r, const char *to, const struct datadir_meta *meta, struct backup_error *error_r)
{
    struct stat stat_now;
    struct datadir_error why;
    ASSERT(meta->shards >= 1 && meta->shards <= LIMIT_SHARDS);
    struct build *build = calloc(1, sizeof *build + meta->shards * sizeof build->shards[0]);
    if (build == NULL)
        return backup_refuse(error_r, -ENOMEM, "no memory to make %s", to);
    build->error = error_r;
    build->shard_count = meta->shards;
    build->was_there = stat(to, &stat_now) == 0;
    int status = datadir_begin(&build->datadir, to, meta, &why);
    if (status != 0)
        backup_refuse(error_r, status, "%s", why.text);
    /* What others have put there is not removed. */
    build->path = status == -ENOTEMPTY || status == -EBUSY ? NULL : strdup(to);
    if (status == 0 && build->path == NULL)
        status = backup_refuse(error_r, -ENOMEM, "no memory to make %s", to);
    if (status == 0)
        status = open_shards(build);
    if (status == 0)
        *build_r = build;
    else
        build_close(&build);
    return status;
}

void build_close(struct build **build)
{
    struct build *closing = *build;
    if (closing == NULL)
        return;
    for (uint32_t i = 0; i < closing->shard_count; i++) {
        run_writer_close(&closing->shards[i].writer);
        cuts_fini(&closing->shards[i].cuts);
    }
    datadir_close(&closing->datadir);
    if (closing->path != NULL && !closing->is_complete)
        (void)remove_data(closing->path, !closing->was_there);
    free(closing->path);
    free(closing);
    *build = NULL;
}

const struct datadir *build_datadir(const struct build *build)
{
    return build->datadir;
}

/* -- rows -- */

static int put(struct build *build, struct build_shard *shard, struct span key, struct span value)
{
    ASSERT(shard->writer != NULL);
    int status = run_writer_put(shard->writer, key, value);
    return status == 0 ? 0 : refuse_write(build, status, shard->dir);
}

int build_put_key(struct build *build, struct span user, uint64_t ts, struct span key)
{
    uint8_t row[ROW_KEY_BYTES_MAX], value[8];
    ASSERT(!build->has_entries);
    struct build_shard *shard = &build->shards[datadir_shard_of(build->datadir, user)];
    uint32_t bytes = row_key_index(user, ts, row);
    bytes_store_le64(value, memtable_key_hash(datadir_key_seed(build->datadir), key));
    build->report.keys++;
    return put(build, shard, (struct span){(const char *)row, bytes}, (struct span){(const char *)value, sizeof value});
}

int build_put(struct build *build, struct span user, const struct message *message)
{
    uint8_t row[ROW_KEY_BYTES_MAX];
    struct build_shard *shard = &build->shards[datadir_shard_of(build->datadir, user)];
    uint32_t bytes = row_key(user, message->ts, row);
    build->has_entries = true;
    build->report.entries++;
    return put(build, shard, (struct span){(const char *)row, bytes},
               (struct span){(const char *)build->value, row_encode(message, build->value)});
}

int build_put_marks(struct build *build, struct span user, struct span peer, struct seen_marks marks)
{
    uint8_t row[ROW_KEY_PEERS_BYTES_MAX], value[ROW_MARKS_BYTES];
    struct build_shard *shard = &build->shards[datadir_shard_of(build->datadir, user)];
    uint32_t bytes = row_key_marks(user, peer, row);
    build->has_entries = true;
    row_encode_marks(marks, value);
    return put(build, shard, (struct span){(const char *)row, bytes}, (struct span){(const char *)value, sizeof value});
}

void build_raise_floor(struct build *build, uint32_t shard, uint64_t ts)
{
    ASSERT(shard < build->shard_count);
    if (ts > build->shards[shard].floor)
        build->shards[shard].floor = ts;
}

/* One is for a cut of all users: a server may make one later. */
static bool is_full(const struct cuts *cuts)
{
    return cuts->count == CUTS_MAX && cut_user(cuts->list[0]).bytes > 0;
}

int build_cut(struct build *build, uint32_t shard, struct span user, uint64_t ts)
{
    ASSERT(shard < build->shard_count);
    /* The run is written without them. */
    struct cuts *cuts = &build->shards[shard].cuts;
    int status = cuts_add(cuts, user, ts, build->shards[shard].entry.id);
    if (status == -ENOSPC || (status == 0 && is_full(cuts)))
        return backup_refuse(build->error, -ENOSPC,
                             "shard %u would have more than %u users whose timelines begin later than those of all: "
                             "name a larger number of shards (docs/MOVING.md)",
                             shard, CUTS_MAX - 1);
    return status == 0 ? 0 : backup_refuse(build->error, status, "no memory");
}

uint64_t build_cut_ts(const struct build *build, uint32_t shard, struct span user)
{
    ASSERT(shard < build->shard_count);
    return cuts_ts(&build->shards[shard].cuts, user);
}

void build_set_level(struct build *build, uint32_t level)
{
    build->level = level;
}

/* -- finish -- */

/* What a shard knows besides its rows is in `state`. */
static int finish_shard(struct build *build, uint32_t index)
{
    struct build_shard *shard = &build->shards[index];
    ASSERT(shard->writer != NULL);
    build_raise_floor(build, index, shard->entry.ts_max);
    struct manifest_state state = {
        .marks = {.last_ts = shard->floor, .next_id = shard->entry.id + 1, .next_seq = shard->entry.seq_last + 1},
        .entries = &shard->entry,
        .cuts = shard->cuts, /* owned by `shard` still */
    };
    shard->entry.level = build->level;
    int status = run_writer_finish(shard->writer);
    if (status != 0)
        return refuse_write(build, status, shard->dir);
    run_writer_close(&shard->writer);
    state.count = shard->entry.entries > 0 ? 1 : 0;
    build->report.bytes += shard->entry.file_bytes;
    status = backup_check_runs(build->datadir, index, shard->dir, &state, NULL,
                               "it is not what was written to it: its disk does not keep what is written, use another "
                               "one; or this is a bug: report it",
                               build->error);
    return status == 0 ? backup_write_manifest(shard->dir, &state, build->error) : status;
}

int build_finish(struct build *build, struct build_report *report_r)
{
    int status = 0;
    ASSERT(!build->is_complete);
    for (uint32_t i = 0; i < build->shard_count && status == 0; i++)
        status = finish_shard(build, i);
    if (status != 0)
        return status;
    status = datadir_commit(build->datadir);
    if (status != 0)
        return refuse_write(build, status, build->path);
    build->is_complete = true;
    *report_r = build->report;
    return 0;
}
