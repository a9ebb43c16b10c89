#include "keeper.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "core.h"
#include "storage/hold.h"
#include "storage/segment.h"

#define RELEASED_MAX (2 * WAL_LIVE_SEGMENTS_MAX)
_Static_assert(KEEPER_HELD_MAX + WAL_LIVE_SEGMENTS_MAX + 1 < RELEASED_MAX, "what is held and what a round lets go fit");

struct keeper {
    struct core *core;
    uint32_t file_next;
    bool has_failed; /* no file could be made; tried again at the next tick */
    struct log_limit limit;
    bool is_put_off; /* a backup holds; tried again at the next tick */

    /* The job's while it is under way. */
    struct worker_job job;
    bool is_busy;
    bool wants_file;
    struct wal_spare made;
    int result;
    bool was_held; /* by a backup: nothing was dropped */
    uint32_t count;
    uint32_t recycle_count; /* the first of them become spares again, the others are removed */
    struct wal_spare released[RELEASED_MAX];

    /* Let go of by the log, for the next job. */
    uint32_t waiting_count;
    struct wal_spare waiting[RELEASED_MAX];
    char dir[PATH_MAX];
};

int keeper_open(struct keeper **keeper_r, struct core *core, const char *dir, uint32_t file_next)
{
    struct keeper *keeper = calloc(1, sizeof *keeper);
    if (keeper == NULL)
        return -ENOMEM;
    keeper->core = core;
    keeper->file_next = file_next;
    ASSERT(strlen(dir) < sizeof keeper->dir);
    memcpy(keeper->dir, dir, strlen(dir) + 1);
    *keeper_r = keeper;
    return 0;
}

void keeper_close(struct keeper **keeper_p)
{
    struct keeper *keeper = *keeper_p;
    *keeper_p = NULL;
    if (keeper == NULL)
        return;
    for (uint32_t i = 0; i < keeper->waiting_count; i++)
        if (keeper->waiting[i].fd >= 0)
            close(keeper->waiting[i].fd);
    free(keeper);
}

bool keeper_is_busy(const struct core *core)
{
    return core->keeper->is_busy;
}

/* What lay in a recycled file must not be read again, should the first write of its new life be torn. */
static void recycle(struct keeper *keeper, struct wal_spare *spare)
{
    if (segment_clear(*spare) == 0)
        return;
    segment_remove(keeper->dir, *spare);
    spare->fd = -1;
}

static void drop_released(struct keeper *keeper)
{
    for (uint32_t i = 0; i < keeper->count; i++) {
        if (i < keeper->recycle_count && keeper->released[i].fd >= 0)
            recycle(keeper, &keeper->released[i]);
        else
            segment_remove(keeper->dir, keeper->released[i]);
    }
}

/* A backup that holds is waited for, up to a limit. */
static bool drop_unless_held(struct keeper *keeper)
{
    const char *dir = datadir_path(keeper->core->server->datadir);
    int hold_fd = hold_share(dir);
    if (hold_fd < 0 && (keeper->count < KEEPER_HELD_MAX || hold_overtake(dir) != 0))
        return false;
    drop_released(keeper);
    hold_give(hold_fd);
    return true;
}

static void keep_run(struct worker_job *job)
{
    struct keeper *keeper = container_of(job, struct keeper, job);
    keeper->was_held = keeper->count > 0 && !drop_unless_held(keeper);
    keeper->result = 0;
    if (keeper->wants_file)
        keeper->result = segment_create(keeper->dir, keeper->file_next, keeper->core->server->config->wal_segment_bytes,
                                        &keeper->made);
}

static void on_made(struct core *core, struct keeper *keeper)
{
    uint32_t left_out;
    keeper->has_failed = keeper->result != 0;
    if (keeper->result == 0) {
        keeper->file_next++;
        if (keeper->limit.next_us > 0)
            log_line(LOG_INFO, "segment_recovered", "shard=%u", core->index);
        keeper->limit = (struct log_limit){0};
        wal_give_spare(core->wal, keeper->made);
    } else if (log_limit_take(&keeper->limit, shard_monotonic_us(core->shard), CORE_LOG_INTERVAL_US, &left_out)) {
        log_line(
            LOG_ERROR, "segment_failed",
            "shard=%u errno=%d error=\"%s/segment-%06u.wal cannot be made: %s\" hint=\"it is tried again; when the "
            "segments in hand are used up sends get busy: make room or mend the disk\" left_out=%u",
            core->index, -keeper->result, keeper->dir, keeper->file_next, strerror(-keeper->result), left_out);
    }
}

/* They wait again, before those that came meanwhile. */
static void put_off(struct keeper *keeper)
{
    ASSERT(keeper->count + keeper->waiting_count <= RELEASED_MAX);
    memmove(keeper->waiting + keeper->count, keeper->waiting, keeper->waiting_count * sizeof keeper->waiting[0]);
    memcpy(keeper->waiting, keeper->released, keeper->count * sizeof keeper->waiting[0]);
    keeper->waiting_count += keeper->count;
    keeper->count = keeper->recycle_count = 0;
    keeper->is_put_off = true;
}

static void keep_done(struct worker_job *job)
{
    struct keeper *keeper = container_of(job, struct keeper, job);
    struct core *core = keeper->core;
    keeper->is_busy = false;
    if (keeper->was_held)
        put_off(keeper);
    for (uint32_t i = 0; i < keeper->recycle_count; i++)
        if (keeper->released[i].fd >= 0)
            wal_give_spare(core->wal, keeper->released[i]);
    if (keeper->wants_file)
        on_made(core, keeper);
}

void keeper_step(struct core *core)
{
    struct keeper *keeper = core->keeper;
    if (keeper->is_busy)
        return;
    uint32_t spares = wal_spare_count(core->wal);
    uint32_t room = wal_has_failed(core->wal) ? 0 : WAL_SPARES_MAX - 1 - spares;
    bool is_full = keeper->waiting_count >= KEEPER_HELD_MAX;
    keeper->count = keeper->is_put_off ? 0 : keeper->waiting_count;
    keeper->recycle_count = keeper->count < room ? keeper->count : room;
    keeper->wants_file =
        !keeper->has_failed && core->stop_step == 0 && !is_full && wal_spares_wanted(core->wal) > keeper->recycle_count;
    if (!keeper->wants_file && keeper->count == 0)
        return;
    memcpy(keeper->released, keeper->waiting, keeper->count * sizeof keeper->waiting[0]);
    if (keeper->count > 0)
        keeper->waiting_count = 0;
    keeper->is_busy = true;
    keeper->job = (struct worker_job){keep_run, keep_done};
    worker_post(core->keeper_worker, 0, &keeper->job);
}

void keeper_tick(struct core *core)
{
    core->keeper->has_failed &= FAULT(FULL_FOR_EVER);
    core->keeper->is_put_off = false;
}

void keeper_recycle(struct core *core, struct wal_spare spare)
{
    struct keeper *keeper = core->keeper;
    ASSERT(keeper->waiting_count < RELEASED_MAX);
    keeper->waiting[keeper->waiting_count++] = spare;
}
