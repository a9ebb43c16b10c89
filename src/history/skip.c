#include "history/skip.h"

#include <stdlib.h>

#include "base/fault.h"
#include "history/reads.h"
#include "server/core.h"

/* So many ts cost as much as one entry that a replay writes. */
#define TS_OF_ENTRY 64u

/* ts, newest first. */
struct ts_list {
    uint32_t count;
    uint64_t ts[SKIP_STEP_ENTRIES];
};

struct skip {
    struct reader_job job;
    struct list link; /* in core->skips.queue */
    struct conn_ref conn;
    struct user *user; /* a reference */
    skip_done *done;

    /* What is left of the range, and how many newer entries it must have. */
    uint64_t after;
    uint64_t before;
    uint32_t newer;

    /* Of the present step. */
    bool has_rows; /* the reader has read, with `result` */
    int result;
    uint32_t wanted;
    struct ts_list memory;
    struct ts_list runs; /* the reader's, while it has the job */
};

void skips_init(struct skips *skips)
{
    skips->count = 0;
    list_init(&skips->queue);
}

bool skip_start(struct core *core, struct conn *conn, uint64_t after, uint64_t before, uint32_t newer, skip_done *done)
{
    ASSERT(conn->state == CONN_LOGIN);
    ASSERT(after < before && newer <= LIMIT_REPLAY_MAX);
    struct skip *skip = malloc(sizeof *skip);
    if (skip == NULL)
        return false;
    skip->conn = conn_ref(conn);
    skip->user = user_ref(conn->user);
    skip->done = done;
    skip->after = after;
    skip->before = before;
    skip->newer = newer;
    skip->has_rows = false;
    list_init(&skip->link);
    list_append(&core->skips.queue, &skip->link);
    core->skips.count++;
    return true;
}

/* The connection, if it still waits; else NULL. */
static struct conn *conn_of(const struct core *core, const struct skip *skip)
{
    struct conn *conn = conn_of_ref(core, skip->conn);
    return conn != NULL && conn->state == CONN_LOGIN ? conn : NULL;
}

static void finish(struct core *core, struct skip *skip, int result, uint64_t ts)
{
    struct conn *conn = conn_of(core, skip);
    struct user *user = skip->user;
    skip_done *done = skip->done;
    ASSERT(core->skips.count > 0);
    core->skips.count--;
    free(skip);
    if (conn != NULL)
        done(core, conn, result, ts);
    user_unref(&core->users, user);
}

/* -- a step -- */

/* Merges two lists into *out, equal ts once, up to `wanted` of them. Each has the newest `wanted` of its source, or all
 * of them: so the result is right up to there. */
static void merge(const struct ts_list *a, const struct ts_list *b, uint32_t wanted, struct ts_list *out)
{
    uint32_t at_a = 0, at_b = 0;
    out->count = 0;
    while (out->count < wanted && (at_a < a->count || at_b < b->count)) {
        bool take_a = at_b == b->count || (at_a < a->count && a->ts[at_a] >= b->ts[at_b]);
        uint64_t ts = take_a ? a->ts[at_a++] : b->ts[at_b++];
        if (out->count == 0 || out->ts[out->count - 1] != ts || FAULT(SKIP_COUNTS_TWICE))
            out->ts[out->count++] = ts;
    }
}

static void read_table(const struct skip *skip, const struct memtable *table, struct ts_list *out)
{
    struct memtable_hit hits[SKIP_STEP_ENTRIES];
    out->count = memtable_range(table, user_name(skip->user), skip->after, skip->before, false, hits, skip->wanted);
    for (uint32_t i = 0; i < out->count; i++)
        out->ts[i] = hits[out->count - 1 - i].ts;
}

static void read_memory(struct core *core, struct skip *skip)
{
    struct ts_list filling, frozen;
    if (core->generations.frozen == NULL) {
        read_table(skip, core->generations.filling, &skip->memory);
    } else {
        read_table(skip, core->generations.filling, &filling);
        read_table(skip, core->generations.frozen, &frozen);
        merge(&filling, &frozen, skip->wanted, &skip->memory);
    }
    turn_spend(&core->turn, TURN_REPLAYS, 1 + skip->memory.count / TS_OF_ENTRY);
}

/* Whether runs may have one of the `wanted` newest. */
static bool needs_runs(const struct core *core, const struct skip *skip)
{
    uint32_t count = skip->memory.count;
    return reads_runs_reach(core, count == skip->wanted ? skip->memory.ts[count - 1] : skip->after);
}

/* On the reader's thread. */
static void read_work(struct reader_job *job)
{
    struct skip *skip = container_of(job, struct skip, job);
    skip->result = store_reader_newest_some(job->core->reads.store_reader, user_name(skip->user), skip->after,
                                            skip->before, skip->runs.ts, skip->wanted, &skip->runs.count);
}

/* The step goes on in its place in the queue. */
static void read_done(struct reader_job *job)
{
    struct skip *skip = container_of(job, struct skip, job);
    skip->has_rows = true;
    list_append(&job->core->skips.queue, &skip->link);
}

/* `found` are the newest entries of the range, all that were wanted, or all that there are. */
static void take_up(struct core *core, struct skip *skip, const struct ts_list *found)
{
    ASSERT(found->count <= skip->wanted);
    skip->has_rows = false;
    if (found->count < skip->wanted) {
        finish(core, skip, 0, 0);
        return;
    }
    uint64_t oldest = found->ts[found->count - 1];
    if (skip->wanted > skip->newer) {
        finish(core, skip, 0, oldest);
        return;
    }
    skip->newer -= skip->wanted;
    skip->before = oldest;
    list_append(&core->skips.queue, &skip->link);
}

static void begin_step(struct core *core, struct skip *skip)
{
    skip->wanted = skip->newer < SKIP_STEP_ENTRIES ? skip->newer + 1 : SKIP_STEP_ENTRIES;
    read_memory(core, skip);
    if (!needs_runs(core, skip)) {
        take_up(core, skip, &skip->memory);
        return;
    }
    skip->job.read = read_work;
    skip->job.done = read_done;
    reads_post(core, &skip->job, READS_REPLAY);
}

static void end_step(struct core *core, struct skip *skip)
{
    struct ts_list found;
    if (skip->result != 0) {
        finish(core, skip, skip->result, 0);
        return;
    }
    merge(&skip->memory, &skip->runs, skip->wanted, &found);
    turn_spend(&core->turn, TURN_REPLAYS, 1 + found.count / TS_OF_ENTRY);
    take_up(core, skip, &found);
}

void skip_step_all(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    while (!list_is_empty(&core->skips.queue) && turn_may(&core->turn, TURN_REPLAYS)) {
        struct skip *skip = container_of(list_shift(&core->skips.queue), struct skip, link);
        turn_spend(&core->turn, TURN_REPLAYS, 1);
        if (conn_of(core, skip) == NULL)
            finish(core, skip, 0, 0);
        else if (skip->has_rows)
            end_step(core, skip);
        else
            begin_step(core, skip);
    }
}
