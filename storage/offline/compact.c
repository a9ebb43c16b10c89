#include "storage/offline/compact.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "storage/offline/offline.h"
#include "storage/runs/store.h"
#include "storage/wal/segment.h"
#include "storage/wal/wal_survey.h"

/* What the store asks for; no run is added, and no merge is chosen by them. */
#define RUNS_MAX 64u
#define FAN_OUT 6u

static void keep_first(void *context, const char *text)
{
    struct compact_error *error = context;
    if (error->text[0] == '\0')
        snprintf(error->text, sizeof error->text, "%s", text);
}

static int refuse(struct compact_error *error, int status, const char *text)
{
    ASSERT(status < 0);
    if (error->text[0] == '\0')
        snprintf(error->text, sizeof error->text, "%s", text[0] != '\0' ? text : strerror(-status));
    return status;
}

int compact_check(const struct datadir *datadir, struct compact_error *error_r)
{
    struct problems problems = {.report = keep_first, .context = error_r};
    struct offline *offline = NULL;
    struct offline_counts counts;
    error_r->text[0] = '\0';
    int status = offline_open(&offline, datadir, &problems);
    if (status != 0)
        return refuse(error_r, status, "");
    offline_count(offline, &counts);
    offline_close(&offline);
    if (problems.count > 0)
        return -EBADMSG;
    if (counts.records == 0)
        return 0;
    snprintf(error_r->text, sizeof error_r->text,
             "%s: its WAL has %" PRIu64
             " records that are in no run yet: start the server and stop it by SIGTERM, then "
             "compact",
             datadir_path(datadir), counts.records);
    return -EBUSY;
}

static bool is_live(const struct wal_survey *survey, uint64_t number)
{
    for (uint32_t i = 0; i < survey->file_count; i++)
        if (survey->files[i].number == number)
            return survey->files[i].is_live;
    return false;
}

/* A file that the manifest names must exist: so its name goes from there first. The greatest generation stays. */
static int forget_unused(const struct wal_survey *survey, struct store *store, struct store_error *error)
{
    const struct wal_assigned *before = store_assigned(store);
    struct wal_assigned kept = {.count = 0};
    for (uint32_t i = 0; i < before->count; i++)
        if (is_live(survey, before->segments[i].file))
            kept.segments[kept.count++] = before->segments[i];
    if (wal_assigned_generation_last(&kept) < survey->generation_given)
        wal_assigned_add(&kept, survey->generation_given, WAL_ASSIGNED_NO_FILE);
    return store_assign(store, &kept, error);
}

/* Removes the files of the WAL that no start reads. A segment is used again without being cleared, so they may have
 * what is gone. */
static int remove_unused(const char *dir, uint32_t shard, struct store *store, struct store_error *error)
{
    struct wal_survey survey;
    struct store_info info;
    store_info(store, &info);
    int status = wal_survey_read(&survey, dir, shard, info.applied, store_assigned(store));
    if (status != 0)
        snprintf(error->text, sizeof error->text, "%.2000s", survey.error);
    else
        status = forget_unused(&survey, store, error);
    for (uint32_t i = 0; i < survey.file_count && status == 0; i++)
        if (!survey.files[i].is_live)
            status = segment_remove(dir, (struct wal_spare){survey.files[i].number, -1});
    wal_survey_fini(&survey);
    if (status == 0)
        status = segment_sync_dir(dir);
    if (status != 0 && error->text[0] == '\0')
        snprintf(error->text, sizeof error->text, "%.1000s: a file of the WAL that is not in use cannot be removed: %s",
                 dir, strerror(-status));
    return status;
}

static int compact_shard(const struct datadir *datadir, uint32_t shard, struct compact_report *report,
                         struct store_error *error)
{
    struct store_options options = {.runs_max = RUNS_MAX, .fan_out = FAN_OUT, .data_dir = datadir_path(datadir)};
    struct store *store = NULL;
    struct store_info info;
    char dir[PATH_MAX], wal_dir[PATH_MAX];
    int status = datadir_runs_path(datadir, shard, dir, sizeof dir);
    if (status == 0)
        status = datadir_wal_path(datadir, shard, wal_dir, sizeof wal_dir);
    if (status == 0)
        status = store_open(&store, dir, &options, error);
    if (status != 0)
        return status;
    store_info(store, &info);
    report->rows_before += info.row_count;
    status = store_compact(store, error);
    store_info(store, &info);
    report->rows_after += info.row_count;
    if (status == 0)
        status = remove_unused(wal_dir, shard, store, error);
    store_close(&store);
    return status;
}

int compact_make(const struct datadir *datadir, struct compact_report *report_r, struct compact_error *error_r)
{
    struct store_error error = {""};
    int status = 0;
    *report_r = (struct compact_report){0, 0};
    error_r->text[0] = '\0';
    for (uint32_t shard = 0; shard < datadir_shards(datadir) && status == 0; shard++)
        status = compact_shard(datadir, shard, report_r, &error);
    return status == 0 ? 0 : refuse(error_r, status, error.text);
}
