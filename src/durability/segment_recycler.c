#include "durability/segment_recycler.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "server/core.h"
#include "storage/datadir/backup_lock.h"
#include "storage/wal/segment.h"

/* Released segments that stay, unused, while a backup has the lock; at this number the backup is overtaken. */
#define KEPT_MAX 32u
#define RELEASED_MAX (2 * WAL_LIVE_SEGMENTS_MAX)
/* Files are replaced for a cut once in so long. */
#define CUT_INTERVAL_US UINT64_C(3600000000)
_Static_assert(KEPT_MAX + WAL_LIVE_SEGMENTS_MAX + 1 < RELEASED_MAX, "what is kept and what a round releases fit");

/* What the job does; the state changes in set_state only. */
enum recycler_state {
    RECYCLER_IDLE,    /* no job is in flight */
    RECYCLER_DROPS,   /* clears or removes released files */
    RECYCLER_CREATES, /* drops the released files, then makes a new one */
};

struct segment_recycler {
    struct core *core;
    uint32_t file_next;     /* number of the next file that is made */
    uint8_t state;          /* set_state */
    bool is_create_put_off; /* no file could be made; tried again at the next tick */
    bool is_drop_put_off;   /* a backup has the lock; tried again at the next tick */
    bool has_cut;           /* a cut waits for cut_next_us */
    uint64_t cut_next_us;
    uint32_t stale_below;   /* files with a lower number may have what is cut: they are not used again */
    struct log_limit limit; /* of the lines that report a failure */
    struct worker *worker;

    /* The job's while it is in flight. */
    struct worker_job job;
    struct wal_spare made;
    int create_status;      /* 0 or -errno */
    int drop_status;        /* 0, or -errno: nothing was dropped (-EBUSY: a backup has the lock) */
    int assign_status;      /* 0, or -errno: no file may become a spare */
    uint32_t count;         /* of released */
    uint32_t recycle_count; /* the first of them become spares again if they are not stale, the others are removed */
    uint32_t stale;         /* stale_below when the job was posted */
    struct wal_spare released[RELEASED_MAX];
    struct wal_assigned in_use; /* the WAL's files when the job was posted */
    uint64_t generation_next;   /* of the first file that the job makes a spare */
    struct store_error error;   /* of assign_status */

    /* Released by the WAL, for the next job. */
    uint32_t waiting_count;
    struct wal_spare waiting[RELEASED_MAX];
    char dir[PATH_MAX];
};

int segment_recycler_open(struct segment_recycler **recycler_r, struct core *core, const char *dir, uint32_t file_next)
{
    struct segment_recycler *recycler = calloc(1, sizeof *recycler);
    if (recycler == NULL)
        return -ENOMEM;
    recycler->core = core;
    recycler->file_next = file_next;
    ASSERT(strlen(dir) < sizeof recycler->dir);
    memcpy(recycler->dir, dir, strlen(dir) + 1);
    *recycler_r = recycler;
    return 0;
}

void segment_recycler_close(struct segment_recycler **recycler_p)
{
    struct segment_recycler *recycler = *recycler_p;
    *recycler_p = NULL;
    if (recycler == NULL)
        return;
    ASSERT(recycler->state == RECYCLER_IDLE);
    for (uint32_t i = 0; i < recycler->waiting_count; i++)
        if (recycler->waiting[i].fd >= 0)
            close(recycler->waiting[i].fd);
    free(recycler);
}

bool segment_recycler_is_busy(const struct core *core)
{
    return core->recycler != NULL && core->recycler->state != RECYCLER_IDLE;
}

void segment_recycler_start(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    if (core->recycler == NULL)
        return;
    ASSERT(core->recycler->worker == NULL);
    core_open_worker(core, "recycler", SHARD_WORKER_PROMPT, &core->recycler->worker);
}

void segment_recycler_finish(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    if (core->recycler == NULL)
        return;
    ASSERT(core->recycler->state == RECYCLER_IDLE);
    shard_worker_close(core->shard, &core->recycler->worker);
}

static void set_state(struct segment_recycler *recycler, enum recycler_state state)
{
    ASSERT((recycler->state == RECYCLER_IDLE) != (state == RECYCLER_IDLE));
    recycler->state = (uint8_t)state;
}

static int assign(struct segment_recycler *recycler, const struct wal_assigned *assigned)
{
    return store_assign(recycler->core->runs.store, assigned, &recycler->error);
}

/* A file from recovery has no descriptor, and a stale one has what is cut. */
static bool is_usable(const struct wal_spare *spare, uint32_t stale_below)
{
    return spare->fd >= 0 && spare->file >= stale_below;
}

/* Whether the released file becomes a spare; else it is removed. */
static bool is_recycled(const struct segment_recycler *recycler, uint32_t i)
{
    return i < recycler->recycle_count && is_usable(&recycler->released[i], recycler->stale);
}

/* A file that the manifest names must exist at the next start: so its name goes from there before the file. */
static int forget_removed(struct segment_recycler *recycler)
{
    bool is_named = false;
    for (uint32_t i = 0; i < recycler->count; i++)
        is_named |= !is_recycled(recycler, i)
                    && wal_assigned_has_file(store_assigned(recycler->core->runs.store), recycler->released[i].file);
    return is_named ? assign(recycler, &recycler->in_use) : 0;
}

/* Clears the file, so that what it held is not read again if the first write of its next use is torn. A file that
 * cannot be cleared is given up; the next start removes it. */
static void recycle(struct wal_spare *spare)
{
    if (segment_clear(*spare) == 0)
        return;
    close(spare->fd);
    spare->fd = -1;
}

/* Commits the generations of the files that become spares. */
static int assign_new(struct segment_recycler *recycler)
{
    struct wal_assigned assigned = recycler->in_use;
    uint64_t generation = recycler->generation_next;
    for (uint32_t i = 0; i < recycler->count && recycler->drop_status == 0; i++)
        if (is_recycled(recycler, i))
            wal_assigned_add(&assigned, generation++, recycler->released[i].file);
    if (recycler->made.fd >= 0)
        wal_assigned_add(&assigned, generation++, recycler->made.file);
    return generation == recycler->generation_next || FAULT(SEGMENT_NOT_ASSIGNED) ? 0 : assign(recycler, &assigned);
}

static void drop_released(struct segment_recycler *recycler)
{
    ASSERT(recycler->recycle_count <= recycler->count);
    for (uint32_t i = 0; i < recycler->count; i++) {
        if (is_recycled(recycler, i))
            recycle(&recycler->released[i]);
        else
            segment_remove(recycler->dir, recycler->released[i]);
    }
}

/* Drops the released files, unless a backup has the lock and fewer than KEPT_MAX are released. 0 or -errno. */
static int drop_unless_locked(struct segment_recycler *recycler)
{
    const char *dir = datadir_path(recycler->core->server->datadir);
    int lock_fd = backup_lock_share(dir);
    if (lock_fd < 0 && (recycler->count < KEPT_MAX || backup_lock_overtake(dir) != 0))
        return -EBUSY;
    int status = forget_removed(recycler);
    if (status == 0)
        drop_released(recycler);
    backup_lock_give(lock_fd);
    return status;
}

/* On the recycler's thread. */
static void recycle_work(struct worker_job *job)
{
    struct segment_recycler *recycler = container_of(job, struct segment_recycler, job);
    recycler->drop_status = recycler->count > 0 ? drop_unless_locked(recycler) : 0;
    recycler->create_status = 0;
    recycler->made.fd = -1;
    if (recycler->state == RECYCLER_CREATES)
        recycler->create_status = segment_create(recycler->dir, recycler->file_next,
                                                 recycler->core->server->config->wal_segment_bytes, &recycler->made);
    recycler->assign_status = assign_new(recycler);
}

/* There are segments again, new ones or recycled ones. */
static void on_recovered(struct core *core, struct segment_recycler *recycler)
{
    if (recycler->limit.next_us > 0)
        log_line(LOG_INFO, "segment_recovered", "shard=%u", core->index);
    recycler->limit = (struct log_limit){0};
}

static void on_create_done(struct core *core, struct segment_recycler *recycler)
{
    uint32_t left_out;
    recycler->is_create_put_off = recycler->create_status != 0;
    metric_add(&core->metrics.segment_failures, recycler->create_status != 0);
    if (recycler->create_status == 0) {
        recycler->file_next++;
        on_recovered(core, recycler);
        wal_give_spare(core->wal_writer.log.file, recycler->made);
    } else if (log_limit_take(&recycler->limit, shard_monotonic_us(core->shard), CORE_LOG_INTERVAL_US, &left_out)) {
        log_line(LOG_ERROR, "segment_failed",
                 "shard=%u errno=%d error=\"%s/segment-%06u.wal cannot be created: %s\" hint=\"it is tried again; when "
                 "the available segments are used up, sends get busy: make room or repair the disk\" left_out=%u",
                 core->index, -recycler->create_status, recycler->dir, recycler->file_next,
                 strerror(-recycler->create_status), left_out);
    }
}

/* The manifest does not have the generations of the files: none becomes a spare. They wait for the next job, as if they
 * were released again. */
static void put_off_spares(struct core *core, struct segment_recycler *recycler)
{
    uint32_t left_out;
    for (uint32_t i = 0; i < recycler->count; i++)
        if (is_recycled(recycler, i))
            segment_recycler_give(core, recycler->released[i]);
    if (recycler->made.fd >= 0) {
        recycler->file_next++;
        segment_recycler_give(core, recycler->made);
    }
    recycler->is_create_put_off = recycler->is_drop_put_off = true;
    if (log_limit_take(&recycler->limit, shard_monotonic_us(core->shard), CORE_LOG_INTERVAL_US, &left_out))
        log_line(
            LOG_ERROR, "segment_failed",
            "shard=%u errno=%d error=\"%.900s\" hint=\"it is tried again; when the available segments are used up, "
            "sends get busy: make room or repair the disk\" left_out=%u",
            core->index, -recycler->assign_status, recycler->error.text, left_out);
}

/* The released files wait for the next job again, before those that were released meanwhile. */
static void put_off_drop(struct segment_recycler *recycler)
{
    ASSERT(recycler->count + recycler->waiting_count <= RELEASED_MAX);
    memmove(recycler->waiting + recycler->count, recycler->waiting,
            recycler->waiting_count * sizeof recycler->waiting[0]);
    memcpy(recycler->waiting, recycler->released, recycler->count * sizeof recycler->waiting[0]);
    recycler->waiting_count += recycler->count;
    recycler->count = recycler->recycle_count = 0;
    recycler->is_drop_put_off = true;
}

static void recycle_done(struct worker_job *job)
{
    struct segment_recycler *recycler = container_of(job, struct segment_recycler, job);
    struct core *core = recycler->core;
    ASSERT_ON_SHARD(core->shard);
    ASSERT(recycler->state != RECYCLER_IDLE);
    bool has_created = recycler->state == RECYCLER_CREATES;
    set_state(recycler, RECYCLER_IDLE);
    if (recycler->drop_status != 0)
        put_off_drop(recycler);
    if (recycler->assign_status != 0) {
        put_off_spares(core, recycler);
        return;
    }
    for (uint32_t i = 0; i < recycler->count; i++)
        if (is_recycled(recycler, i))
            wal_give_spare(core->wal_writer.log.file, recycler->released[i]);
    if (has_created)
        on_create_done(core, recycler);
    else if (wal_spares_wanted(core->wal_writer.log.file) == 0)
        on_recovered(core, recycler);
}

/* Of the first `count` that wait. */
static uint32_t usable_of_waiting(const struct segment_recycler *recycler, uint32_t count)
{
    uint32_t usable = 0;
    for (uint32_t i = 0; i < count; i++)
        usable += is_usable(&recycler->waiting[i], recycler->stale_below);
    return usable;
}

/* Spares that may have what is cut are removed as well, as soon as the WAL can do without. */
static void take_back_stale(struct core *core, struct segment_recycler *recycler)
{
    struct wal_spare spares[WAL_SPARES_MAX];
    if (recycler->stale_below == 0 || recycler->waiting_count > 0 || recycler->is_create_put_off
        || recycler->is_drop_put_off || core->stop.step != 0)
        return;
    uint32_t count = wal_take_back_spares(core->wal_writer.log.file, recycler->stale_below, spares);
    for (uint32_t i = 0; i < count; i++)
        segment_recycler_give(core, spares[i]);
}

void segment_recycler_step(struct core *core)
{
    struct segment_recycler *recycler = core->recycler;
    ASSERT_ON_SHARD(core->shard);
    if (recycler == NULL || recycler->state != RECYCLER_IDLE)
        return;
    take_back_stale(core, recycler);
    uint32_t spares = wal_spare_count(core->wal_writer.log.file);
    ASSERT(spares < WAL_SPARES_MAX);
    uint32_t room = wal_has_failed(core->wal_writer.log.file) ? 0 : WAL_SPARES_MAX - 1 - spares;
    bool is_full = recycler->waiting_count >= KEPT_MAX;
    recycler->count = recycler->is_drop_put_off ? 0 : recycler->waiting_count;
    recycler->recycle_count = recycler->count < room ? recycler->count : room;
    bool wants_file =
        !recycler->is_create_put_off && core->stop.step == 0 && !is_full
        && wal_spares_wanted(core->wal_writer.log.file) > usable_of_waiting(recycler, recycler->recycle_count);
    if (!wants_file && recycler->count == 0)
        return;
    recycler->stale = recycler->stale_below;
    memcpy(recycler->released, recycler->waiting, recycler->count * sizeof recycler->waiting[0]);
    if (recycler->count > 0)
        recycler->waiting_count = 0;
    wal_assigned_read(core->wal_writer.log.file, &recycler->in_use);
    recycler->generation_next = wal_generation_of_next_spare(core->wal_writer.log.file);
    set_state(recycler, wants_file ? RECYCLER_CREATES : RECYCLER_DROPS);
    recycler->job = (struct worker_job){recycle_work, recycle_done};
    worker_post(recycler->worker, 0, &recycler->job);
}

/* From now on the files that exist are stale, if there was a cut and that is not too soon. */
static void follow_cut(const struct core *core, struct segment_recycler *recycler)
{
    uint64_t now_us = shard_monotonic_us(core->shard);
    if (!recycler->has_cut || now_us < recycler->cut_next_us)
        return;
    recycler->has_cut = false;
    recycler->cut_next_us = now_us + CUT_INTERVAL_US;
    recycler->stale_below = recycler->file_next;
}

void segment_recycler_tick(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    if (core->recycler == NULL)
        return;
    core->recycler->is_create_put_off &= FAULT(FULL_FOR_EVER);
    core->recycler->is_drop_put_off = false;
    follow_cut(core, core->recycler);
}

void segment_recycler_on_cut(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    if (core->recycler == NULL)
        return;
    core->recycler->has_cut = true;
    follow_cut(core, core->recycler);
}

void segment_recycler_give(struct core *core, struct wal_spare spare)
{
    struct segment_recycler *recycler = core->recycler;
    ASSERT_ON_SHARD(core->shard);
    ASSERT(recycler != NULL);
    ASSERT(recycler->waiting_count < RELEASED_MAX);
    recycler->waiting[recycler->waiting_count++] = spare;
}
