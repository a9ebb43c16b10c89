#include "storage/offline/reshard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/assert.h"
#include "storage/datadir/datadir_make.h"
#include "storage/offline/backup_private.h"
#include "storage/offline/offline_all.h"
#include "storage/offline/offline_marks.h"
#include "storage/page_guard.h"
#include "storage/runs/cuts.h"

#define PROGRESS_PARTS 10u
/* What a directory takes besides its runs: manifests, the first checkpoint of a server. */
#define SPACE_SHARD_BYTES (UINT64_C(1) << 20)

/* Users of a new shard who get cuts of their own because their old shard was cut later. */
#define RESHARD_CUTS_MAX (CUTS_MAX / 10)

/* Of a new shard. */
struct reshard_cuts {
    uint64_t all;      /* its cut for all users */
    uint64_t greatest; /* of the shards that its users come from */
    uint32_t kept;
};

struct reshard {
    const struct datadir *from;
    const char *to;
    const struct reshard_options *options;
    struct build *build;
    struct offline *offline;
    struct problems problems;
    struct reshard_cuts cuts[LIMIT_SHARDS];
    bool do_cuts_differ;         /* some shard has a greater one than that for all */
    struct offline_all *rows;    /* of the pass that runs */
    struct offline_marks *marks; /* of the pass over the entries */
    uint64_t run_bytes;          /* of the source */
    uint64_t total;              /* entries, about: one that is in a run and in the WAL is counted twice */
    uint64_t done;
    struct backup_error *error;
};

/* Only the first problem is reported. */
static void report_first(void *context, const char *text)
{
    struct reshard *reshard = context;
    if (reshard->problems.count == 1)
        backup_refuse(reshard->error, -EBADMSG, "%.3000s (nothing was made; `chitchat verify` lists all problems)",
                      text);
}

/* -- the source -- */

/* Whether some hash belongs to both: shards divide the range of hashes evenly (datadir_shard_of). */
static bool do_overlap(uint64_t a, uint64_t a_count, uint64_t b, uint64_t b_count)
{
    return a * b_count < (b + 1) * a_count && b * a_count < (a + 1) * b_count;
}

static void move_floor(struct reshard *reshard, uint32_t shard, const struct manifest_state *state)
{
    uint32_t count = datadir_shards(reshard->from);
    for (uint32_t i = 0; i < reshard->options->shards; i++)
        if (do_overlap(shard, count, i, reshard->options->shards))
            build_raise_floor(reshard->build, i, state->marks.last_ts);
}

static int check_runs(struct reshard *reshard, uint32_t shard, const char *dir, const struct manifest_state *state)
{
    return backup_check_runs(reshard->from, shard, dir, state, NULL,
                             "nothing was made; `chitchat verify` lists all problems", reshard->error);
}

static int look_at_shard(struct reshard *reshard, uint32_t shard, uint32_t *level)
{
    char dir[RUN_PATH_BYTES - 64], path[RUN_PATH_BYTES];
    struct manifest_state state;
    struct store_error why = {""};
    if (datadir_runs_path(reshard->from, shard, dir, sizeof dir) != 0)
        return backup_refuse(reshard->error, -ENAMETOOLONG, "%s: the path is too long", datadir_path(reshard->from));
    snprintf(path, sizeof path, "%s/manifest.mdb", dir);
    int status = manifest_read(path, false, &state, &why);
    if (status != 0)
        return backup_refuse(reshard->error, status, "%s", why.text);
    for (uint32_t i = 0; i < state.count; i++) {
        reshard->run_bytes += state.entries[i].file_bytes;
        *level = state.entries[i].level > *level ? state.entries[i].level : *level;
    }
    move_floor(reshard, shard, &state);
    status = check_runs(reshard, shard, dir, &state);
    manifest_state_fini(&state);
    return status;
}

/* What a shard of the source knows of one user moves to the shard of that user. */
static int move_cuts(struct reshard *reshard, uint32_t shard)
{
    const struct cuts *cuts = offline_cuts(reshard->offline, shard);
    int status = 0;
    for (uint32_t i = 0; i < cuts->count && status == 0; i++) {
        struct span user = cut_user(cuts->list[i]);
        if (user.bytes > 0)
            status = build_cut(reshard->build, datadir_shard_of(build_datadir(reshard->build), user), user,
                               cuts->list[i]->ts);
    }
    return status;
}

/* The cut for all users of a shard of the source; 0: none. */
static uint64_t cut_of_all(const struct reshard *reshard, uint32_t shard)
{
    return cuts_ts(offline_cuts(reshard->offline, shard), (struct span){"", 0});
}

/* A shard that gets users of several has the lowest of their cuts, lest it hides what was not cut. */
static int move_cut_of_all(struct reshard *reshard, uint32_t to)
{
    ASSERT(to < reshard->options->shards);
    uint32_t count = datadir_shards(reshard->from);
    uint64_t lowest = UINT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t ts = cut_of_all(reshard, i);
        if (!do_overlap(i, count, to, reshard->options->shards))
            continue;
        lowest = ts < lowest ? ts : lowest;
        reshard->cuts[to].greatest = ts > reshard->cuts[to].greatest ? ts : reshard->cuts[to].greatest;
    }
    reshard->cuts[to].all = lowest;
    reshard->do_cuts_differ |= reshard->cuts[to].greatest > lowest;
    return lowest == 0 ? 0 : build_cut(reshard->build, to, (struct span){"", 0}, lowest);
}

/* `user` had a higher cut than all users of their new shard: it becomes one of their own. If there are too many, all
 * get the greatest. */
static int keep_cut(struct reshard *reshard, struct span user)
{
    uint64_t ts = cut_of_all(reshard, datadir_shard_of(reshard->from, user));
    uint32_t to = datadir_shard_of(build_datadir(reshard->build), user);
    struct reshard_cuts *cuts = &reshard->cuts[to];
    if (ts <= cuts->all || build_cut_ts(reshard->build, to, user) >= ts)
        return 0;
    if (cuts->kept < RESHARD_CUTS_MAX) {
        cuts->kept++;
        return build_cut(reshard->build, to, user, ts);
    }
    cuts->all = cuts->greatest;
    return build_cut(reshard->build, to, (struct span){"", 0}, cuts->greatest);
}

/* The cuts that say where the timeline of `user` begins, and why the other copy of `message` is gone. */
static int keep_cuts(struct reshard *reshard, struct span user, const struct message *message)
{
    if (!reshard->do_cuts_differ)
        return 0;
    int status = keep_cut(reshard, user);
    struct span other = message_other(message);
    if (status == 0 && message->other_ts <= cut_of_all(reshard, datadir_shard_of(reshard->from, other)))
        status = keep_cut(reshard, other);
    return status;
}

static int check_space(struct reshard *reshard, uint64_t records)
{
    struct statvfs disk;
    /* A record of the WAL becomes two rows. */
    uint64_t needed = reshard->run_bytes + records * 2 * 256 + reshard->options->shards * SPACE_SHARD_BYTES;
    if (statvfs(reshard->to, &disk) != 0)
        return backup_refuse(reshard->error, -errno, "%s: %s", reshard->to, strerror(errno));
    uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize;
    return needed <= room ? 0
                          : backup_refuse(reshard->error, -ENOSPC,
                                          "%s needs about %" PRIu64 " MiB and its disk has %" PRIu64
                                          " MiB: make room there, or name a directory on another disk",
                                          reshard->to, needed >> 20, room >> 20);
}

/* -- the passes -- */

static int put_keys(void *context)
{
    struct reshard *reshard = context;
    struct span user;
    struct message message;
    int more, status = 0;
    while (status == 0 && (more = offline_all_next(reshard->rows, &user, &message)) != 0) {
        status = more < 0 ? more : 0;
        if (status == 0)
            status = keep_cuts(reshard, user, &message);
        if (status == 0 && message.key.bytes > 0)
            status = build_put_key(reshard->build, user, message.ts, message.key);
    }
    return status;
}

static void note_progress(struct reshard *reshard)
{
    uint64_t before = reshard->done * PROGRESS_PARTS / reshard->total;
    ASSERT(reshard->done < reshard->total);
    reshard->done++;
    if (reshard->options->on_progress != NULL && reshard->done * PROGRESS_PARTS / reshard->total > before)
        reshard->options->on_progress(reshard->options->context, reshard->done, reshard->total);
}

/* The marks of users below `user`; without bytes: all that are left. */
static int put_marks(struct reshard *reshard, struct span user)
{
    struct offline_mark mark;
    int more, status = 0;
    while (status == 0 && (more = offline_marks_next(reshard->marks, user, &mark)) != 0)
        status = more < 0 ? more : build_put_marks(reshard->build, mark.user, mark.peer, mark.marks);
    return status;
}

static int put_entries(void *context)
{
    struct reshard *reshard = context;
    struct span user;
    struct message message;
    int more, status = offline_marks_open(&reshard->marks, reshard->offline, reshard->from, (struct span){"", 0});
    while (status == 0 && (more = offline_all_next(reshard->rows, &user, &message)) != 0) {
        status = more < 0 ? more : put_marks(reshard, user);
        if (status == 0)
            status = build_put(reshard->build, user, &message);
        if (status == 0)
            note_progress(reshard);
    }
    return status == 0 ? put_marks(reshard, (struct span){"", 0}) : status;
}

/* A page of the source that the disk does not give ends the pass. */
static int pass(struct reshard *reshard, int (*body)(void *context))
{
    int status = offline_all_open(&reshard->rows, reshard->offline, reshard->from, (struct span){"", 0});
    if (status == 0)
        status = page_guard_run(body, reshard);
    offline_all_close(&reshard->rows);
    offline_marks_close(&reshard->marks);
    if (status == 0 && reshard->problems.count > 0)
        status = -EBADMSG;
    if (status != 0 && reshard->error->text[0] == '\0')
        backup_refuse(reshard->error, status, "%s cannot be read: %s", datadir_path(reshard->from), strerror(-status));
    return status;
}

static int move_all(struct reshard *reshard, struct build_report *report)
{
    struct offline_counts counts;
    uint32_t level = 0;
    int status = 0;
    for (uint32_t i = 0; i < datadir_shards(reshard->from) && status == 0; i++)
        status = look_at_shard(reshard, i, &level);
    if (status != 0)
        return status;
    status = offline_open(&reshard->offline, reshard->from, &reshard->problems);
    if (status != 0)
        return backup_refuse(reshard->error, status, "no memory to read %s", datadir_path(reshard->from));
    if (reshard->problems.count > 0)
        return -EBADMSG;
    offline_count(reshard->offline, &counts);
    reshard->total = counts.rows + 2 * counts.records + 1;
    build_set_level(reshard->build, level);
    status = check_space(reshard, counts.records);
    for (uint32_t i = 0; i < datadir_shards(reshard->from) && status == 0; i++)
        status = move_cuts(reshard, i);
    for (uint32_t i = 0; i < reshard->options->shards && status == 0; i++)
        status = move_cut_of_all(reshard, i);
    if (status == 0)
        status = pass(reshard, put_keys);
    if (status == 0)
        status = pass(reshard, put_entries);
    return status == 0 ? build_finish(reshard->build, report) : status;
}

int reshard_run(const struct datadir *from, const char *to, const struct reshard_options *options,
                struct build_report *report_r, struct backup_error *error_r)
{
    ASSERT(options->shards >= 1 && options->shards <= LIMIT_SHARDS);
    struct reshard reshard = {.from = from, .to = to, .options = options, .error = error_r};
    struct datadir_meta meta = *datadir_meta(from);
    reshard.problems = (struct problems){report_first, &reshard, 0};
    error_r->text[0] = '\0';
    datadir_meta_set_format(&meta);
    meta.shards = options->shards;
    int status = datadir_is_backup(from) ? datadir_draw_epoch(&meta) : 0;
    if (status != 0)
        return backup_refuse(error_r, status, "no random numbers for a new epoch");
    status = build_open(&reshard.build, to, &meta, error_r);
    if (status == 0)
        status = move_all(&reshard, report_r);
    offline_close(&reshard.offline);
    build_close(&reshard.build);
    return status;
}
