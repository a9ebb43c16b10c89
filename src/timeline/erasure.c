#include "timeline/erasure.h"

#include <errno.h>
#include <inttypes.h>

#include "base/fault.h"
#include "base/log.h"
#include "server/core.h"

void erasures_init(struct erasures *erasures)
{
    *erasures = (struct erasures){.count = 0};
    list_init(&erasures->waiting);
    list_init(&erasures->written);
}

uint64_t erasure_gone_ts(const struct core *core, struct span user)
{
    return FAULT(CUT_IGNORED_BY_READ) ? 0 : store_cut_ts(core->runs.store, user);
}

uint64_t erasure_cut_ts(const struct core *core, struct span user)
{
    uint64_t gone = erasure_gone_ts(core, user);
    return gone > core->retention.hidden_ts || FAULT(CUT_IGNORED_BY_READ) ? gone : core->retention.hidden_ts;
}

static void answer(struct core *core, struct erasure *erasure, enum erasure_outcome outcome)
{
    erasure->outcome = (uint8_t)outcome;
    erasure->done(core, erasure);
}

static void finish(struct core *core, struct erasure *erasure, enum erasure_outcome outcome)
{
    struct user *user = erasure->user;
    ASSERT(core->erasures.count > 0);
    list_remove(&erasure->link);
    core->erasures.count--;
    erasure->user = NULL;
    answer(core, erasure, outcome);
    user_unref(&core->users, user);
}

void erasure_begin(struct core *core, struct span name, struct erasure *erasure)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(core_shard_of(core, name) == core->index);
    if (core_has_store_failed(core)) {
        answer(core, erasure, ERASURE_REFUSED);
        return;
    }
    if (!store_has_cut_room(core->runs.store, core->erasures.count)) {
        answer(core, erasure, ERASURE_FULL);
        return;
    }
    struct user *user = core->erasures.count < ERASURES_MAX ? user_take(&core->users, name) : NULL;
    if (user == NULL) {
        answer(core, erasure, ERASURE_BUSY);
        return;
    }
    erasure->user = user;
    erasure->ts = core_next_ts(core);
    list_init(&erasure->link);
    list_append(&core->erasures.waiting, &erasure->link);
    core->erasures.count++;
}

static void close_conns(struct core *core, struct user *user)
{
    for (struct list *at = user->conns.next, *next; at != &user->conns; at = next) {
        next = at->next;
        conn_close(core, container_of(at, struct conn, user_link), ERASURE_CLOSE_CODE,
                   "the timeline was erased: log in again");
    }
}

/* The record is durable. */
static void apply(struct core *core, struct erasure *erasure)
{
    int status = store_cut(core->runs.store, user_name(erasure->user), erasure->ts);
    ASSERT(status == 0);
    timeline_cut(&erasure->user->timeline, erasure->ts);
    close_conns(core, erasure->user);
    log_line(LOG_INFO, "timeline_erased", "shard=%u ts=%" PRIu64, core->index, erasure->ts);
    finish(core, erasure, ERASURE_DONE);
}

/* Gives the erasure its place in the filling batch. False: the batch has no room before the next write. */
static bool append(struct core *core, struct erasure *erasure)
{
    if (timeline_mark(&erasure->user->timeline) <= erasure->ts)
        return true;
    switch (log_append_cut(&core->wal_writer.log, user_name(erasure->user), erasure->ts, &erasure->sequence)) {
    case 0: break;
    case -EAGAIN: return false;
    case -EIO: finish(core, erasure, ERASURE_REFUSED); return true;
    default: finish(core, erasure, ERASURE_BUSY); return true;
    }
    list_remove(&erasure->link);
    list_append(&core->erasures.written, &erasure->link);
    if (FAULT(CUT_BEFORE_FLUSH))
        apply(core, erasure);
    return true;
}

void erasures_step(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    struct list *waiting = &core->erasures.waiting;
    for (struct list *at = waiting->next, *next; at != waiting; at = next) {
        next = at->next;
        if (!append(core, container_of(at, struct erasure, link)))
            return;
    }
}

bool erasures_on_durable(struct core *core, uint64_t sequence)
{
    struct list *written = &core->erasures.written;
    bool has_cut = false;
    while (!list_is_empty(written)) {
        struct erasure *erasure = container_of(written->next, struct erasure, link);
        if (erasure->sequence > sequence)
            break;
        apply(core, erasure);
        has_cut = true;
    }
    return has_cut;
}

static void finish_all(struct core *core, struct list *list, enum erasure_outcome outcome)
{
    while (!list_is_empty(list))
        finish(core, container_of(list->next, struct erasure, link), outcome);
}

void erasures_tick(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    if (core_has_store_failed(core))
        finish_all(core, &core->erasures.waiting, ERASURE_REFUSED);
}

void erasures_on_wal_failed(struct core *core)
{
    finish_all(core, &core->erasures.waiting, ERASURE_REFUSED);
    finish_all(core, &core->erasures.written, ERASURE_UNKNOWN);
}
