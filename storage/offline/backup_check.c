/* backup_check.c: checks what was copied, before the backup or restore is complete (backup.h). */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "storage/datadir/apart.h"
#include "storage/offline/backup_private.h"
#include "storage/offline/run_check.h"

struct looking {
    const struct datadir *datadir;
    uint32_t shard;
    const char *dir;
    const struct manifest_state *state;
    const struct backup_run *runs; /* NULL: all are checked */
};

/* Only the first problem is reported. */
static void report_first(void *context, const char *text)
{
    struct apart *apart = context;
    if (apart->text[0] == '\0')
        snprintf(apart->text, sizeof apart->text, "%s", text);
}

static int look_at_run(struct apart *apart, const struct looking *looking, const struct run_entry *entry)
{
    struct run *run;
    struct store_error error = {""};
    struct problems problems = {.report = report_first, .context = apart};
    struct run_check check = {looking->datadir, looking->shard, apart->path, &problems, 0};
    run_path(apart->path, looking->dir, entry->id);
    if (run_open(&run, looking->dir, entry, &error) != 0) {
        report_first(apart, error.text);
        return 1;
    }
    run_check(run, &check);
    run_close(&run);
    return problems.count == 0 ? 0 : 1;
}

static int look_at_runs(struct apart *apart, void *context)
{
    const struct looking *looking = context;
    int code = 0;
    for (uint32_t i = 0; i < looking->state->count && code == 0; i++)
        if (looking->runs == NULL || looking->runs[i].is_copied)
            code = look_at_run(apart, looking, &looking->state->entries[i]);
    return code;
}

int backup_check_runs(const struct datadir *datadir, uint32_t shard, const char *dir,
                      const struct manifest_state *state, const struct backup_run *runs, const char *advice,
                      struct backup_error *error)
{
    struct looking looking = {datadir, shard, dir, state, runs};
    ASSERT(shard < datadir_shards(datadir));
    struct apart *apart = NULL;
    int code = 0;
    int status = apart_open(&apart);
    if (status == 0)
        status = apart_run(apart, look_at_runs, &looking, &code);
    if (status == -EBADMSG)
        backup_refuse(error, status, "%s: %.1000s: %s", apart->path, apart->text, advice);
    else if (status == -EINTR)
        backup_refuse(error, status, "%s is not checked: %.1000s", dir, apart->text);
    else if (status != 0)
        backup_refuse(error, status, "no process can be made to check %s: %s", dir, strerror(-status));
    else if (code != 0)
        status = backup_refuse(error, -EBADMSG, "%.2000s (%s)", apart->text, advice);
    apart_close(&apart);
    return status;
}

/* -- the manifest -- */

static int flush(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int status = copy_flush_and_drop_cache(fd);
    close(fd);
    return status;
}

/* Without the padding behind the last field. */
bool backup_is_same_run(const struct run_entry *a, const struct run_entry *b)
{
    return memcmp(a, b, offsetof(struct run_entry, level) + sizeof a->level) == 0;
}

/* Both are in order of time. Numbers without gaps between them, but behind the last one. */
static bool is_same(const struct manifest_state *a, const struct manifest_state *b)
{
    if (a->count != b->count || a->cuts.count != b->cuts.count || memcmp(&a->marks, &b->marks, sizeof a->marks) != 0)
        return false;
    if (a->assigned.count != b->assigned.count
        || memcmp(a->assigned.segments, b->assigned.segments, a->assigned.count * sizeof a->assigned.segments[0]) != 0)
        return false;
    for (uint32_t i = 0; i < a->cuts.count; i++)
        if (!span_equal(cut_user(a->cuts.list[i]), cut_user(b->cuts.list[i]))
            || a->cuts.list[i]->ts != b->cuts.list[i]->ts || a->cuts.list[i]->since_id != b->cuts.list[i]->since_id)
            return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!backup_is_same_run(&a->entries[i], &b->entries[i]))
            return false;
    return true;
}

int backup_refuse_manifest(struct backup_error *error, const char *path)
{
    return backup_refuse(error, -EBADMSG,
                         "%s does not say what was written to it: its disk does not keep what is written: use "
                         "another one",
                         path);
}

int backup_check_manifest(const char *dir, const struct manifest_state *state, struct backup_error *error)
{
    char path[RUN_PATH_BYTES];
    struct manifest_state found;
    struct store_error why = {""};
    snprintf(path, sizeof path, "%.900s/manifest.mdb", dir);
    int status = flush(path);
    if (status != 0)
        return backup_refuse_copy(error, NULL, status, NULL, path);
    status = manifest_read(path, false, &found, &why);
    if (status == 0 && is_same(&found, state)) {
        manifest_state_fini(&found);
        return 0;
    }
    if (status == 0)
        manifest_state_fini(&found);
    return status == 0 || status == -EBADMSG ? backup_refuse_manifest(error, path)
                                             : backup_refuse(error, status, "%s", why.text);
}
