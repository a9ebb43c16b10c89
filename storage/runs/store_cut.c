/* store_cut.c: the cuts of a store, and the runs that have entries which were cut. */
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/fault.h"
#include "storage/runs/store_private.h"

int store_cut(struct store *store, struct span user, uint64_t ts)
{
    pthread_mutex_lock(&store->lock);
    int status = cuts_add(&store->cuts, user, ts, store->marks.next_id);
    atomic_store(&store->cut_count, store->cuts.count);
    store->cut_ts_max = status == 0 && ts > store->cut_ts_max ? ts : store->cut_ts_max;
    pthread_mutex_unlock(&store->lock);
    return status;
}

int store_cut_saved(struct store *store, struct span user, uint64_t ts, struct store_error *error_r)
{
    struct cuts cuts = {0};
    if (store_check_doubt(store, error_r) != 0)
        return -EIO;
    pthread_mutex_lock(&store->commit_lock);
    int status = store->is_in_doubt ? -EIO : cuts_add(&cuts, user, ts, store_marks(store).next_id);
    if (status == 0)
        status = manifest_save_cuts(store->manifest, &cuts);
    store->is_in_doubt |= status != 0 && manifest_is_in_doubt(store->manifest);
    pthread_mutex_unlock(&store->commit_lock);
    cuts_fini(&cuts);
    if (status == 0)
        status = store_cut(store, user, ts);
    return status == 0 ? 0 : store_set_error(error_r, status, store->dir, "the manifest cannot be written");
}

uint64_t store_cut_ts(struct store *store, struct span user)
{
    if (atomic_load_explicit(&store->cut_count, memory_order_acquire) == 0)
        return 0;
    pthread_mutex_lock(&store->lock);
    uint64_t ts = cuts_ts(&store->cuts, user);
    pthread_mutex_unlock(&store->lock);
    return ts;
}

uint32_t store_cut_count(struct store *store)
{
    return atomic_load_explicit(&store->cut_count, memory_order_relaxed);
}

bool store_has_cut_room(struct store *store, uint32_t coming)
{
    return store_cut_count(store) + coming + 2 <= CUTS_MAX; /* one is for --retention */
}

void store_set_cut_time(struct store *store, uint64_t now_us, uint64_t keys_now_us, uint64_t within_us)
{
    pthread_mutex_lock(&store->lock);
    store->now_us = now_us;
    store->keys_now_us = keys_now_us;
    store->within_us = within_us;
    pthread_mutex_unlock(&store->lock);
}

/* Under the lock. Keyed sends from then on stay. */
static uint64_t keys_since(const struct store *store)
{
    if (store->drops_keys)
        return LIMIT_TS_MAX + 1;
    return store->keys_now_us > LIMIT_KEYS_US ? store->keys_now_us - LIMIT_KEYS_US : 0;
}

int store_copy_cuts(struct store *store, bool only_unsaved, struct cuts *copy_r)
{
    struct cut_value slice[CUTS_SLICE];
    uint32_t count = 0;
    int status = 0;
    *copy_r = (struct cuts){0};
    do {
        const struct cut_value *after = count == 0 ? NULL : &slice[count - 1];
        pthread_mutex_lock(&store->lock);
        count = cuts_slice(&store->cuts, after, slice);
        pthread_mutex_unlock(&store->lock);
        for (uint32_t i = 0; i < count && status == 0; i++)
            if (!only_unsaved || !slice[i].is_saved)
                status = cuts_append(copy_r, &slice[i]);
    } while (count == CUTS_SLICE && status == 0);
    if (status != 0)
        cuts_fini(copy_r);
    return status;
}

int store_cutting_open(struct store *store, struct run_source *inner, struct cutting *cutting_r)
{
    *cutting_r = (struct cutting){.source = inner};
    if (store_cut_count(store) == 0)
        return 0;
    pthread_mutex_lock(&store->lock);
    uint64_t since = keys_since(store);
    pthread_mutex_unlock(&store->lock);
    int status = store_copy_cuts(store, false, &cutting_r->cuts);
    if (status == 0)
        status = cut_source_open(&cutting_r->source, inner, &cutting_r->cuts, since);
    if (status != 0)
        cuts_fini(&cutting_r->cuts);
    return status;
}

/* The run has keyed sends that are cut: it is one of those to be rewritten. */
static void note_keys(struct store *store, const struct cuts *cuts, uint64_t written_id)
{
    for (uint32_t i = 0; i < cuts->count; i++) {
        if (!cuts->list[i]->keeps_keys)
            continue;
        pthread_mutex_lock(&store->lock);
        struct cut *cut = cuts_find(&store->cuts, cut_user(cuts->list[i]));
        if (cut != NULL && cut->since_id <= written_id && cut->keys_id <= written_id) {
            cut->keys_id = written_id + 1;
            cut->is_saved = false;
        }
        pthread_mutex_unlock(&store->lock);
    }
}

void store_cutting_close(struct store *store, struct cutting *cutting, uint64_t written_id)
{
    if (cutting->cuts.count == 0)
        return;
    run_source_close(&cutting->source);
    if (written_id > 0)
        note_keys(store, &cutting->cuts, written_id);
    cuts_fini(&cutting->cuts);
}

/* -- runs with entries that were cut long ago -- */

#define KEYS_STEP_US (UINT64_C(3600) * 1000000)

/* The cuts as of a time. */
struct view {
    struct cuts cuts;
    uint64_t now_us;
    uint64_t keys_now_us;
    uint64_t within_us;
};

/* Whether a rewrite would leave keyed sends out that it did not the last time. Keys may age by a clock that is behind.
 * For the cut of all users a rewrite waits until it can leave out those of an hour at least. */
static bool have_keys_aged(const struct view *view, const struct cut *cut, const struct run *run)
{
    if (cut->user_bytes > 0)
        return cut->ts + LIMIT_KEYS_US < view->keys_now_us;
    return run->entry.ts_min + LIMIT_KEYS_US <= cut->ts
           && run->entry.ts_min + LIMIT_KEYS_US + KEYS_STEP_US <= view->keys_now_us;
}

/* Whether entries that `cut` covers may be in the run, and have been there for long enough. While keyed sends stay, a
 * rewrite would find the same. The cut of all users moves often: once it has left keyed sends in one run, each waits.
 */
static bool is_due(const struct view *view, const struct cut *cut, const struct run *run)
{
    bool is_clean = run->entry.id >= cut->since_id;
    if ((is_clean && run->entry.id >= cut->keys_id) || run->entry.ts_min > cut->ts)
        return false;
    bool waits_for_keys = cut->user_bytes == 0 ? cut->keys_id > 0 : is_clean;
    if (waits_for_keys && !have_keys_aged(view, cut, run))
        return false;
    if (cut->user_bytes == 0) /* marks alone are dropped with their run */
        return run->entry.rows > 0 && run->entry.ts_min + view->within_us <= cut->ts;
    return cut->ts + view->within_us <= view->now_us && filter_may_contain(&run->filter, filter_hash(cut_user(cut)));
}

bool store_run_is_gone(struct store *store, const struct run *run)
{
    pthread_mutex_lock(&store->lock);
    const struct cut *all = cuts_find(&store->cuts, (struct span){"", 0});
    bool is_gone = all != NULL && run->entry.ts_max <= all->ts && run->entry.marks_ts_max <= all->ts
                   && run->entry.ts_max < keys_since(store);
    pthread_mutex_unlock(&store->lock);
    return is_gone;
}

static bool is_stale(struct store *store, const struct view *view, const struct run *run)
{
    if (run->is_taken)
        return false;
    if (store_run_is_gone(store, run))
        return true;
    for (uint32_t i = 0; i < view->cuts.count; i++)
        if (is_due(view, view->cuts.list[i], run))
            return true;
    return false;
}

bool store_look_is_due(struct store *store)
{
    if (store_cut_count(store) == 0)
        return false;
    pthread_mutex_lock(&store->lock);
    bool is_time = store->now_us > 0 && store->now_us >= store->look_us;
    pthread_mutex_unlock(&store->lock);
    return is_time;
}

/* -- cuts that say nothing more -- */

/* Whether the cut of all users says all that this one does: it is in the manifest and not lower, no keyed send waits
 * for its day, and no run is to be rewritten for this one. */
static bool is_needless(const struct view *view, const struct run_list *list, const struct cut *cut)
{
    const struct cut *all = view->cuts.list[0];
    if (cut->user_bytes == 0 || !cut->is_saved)
        return false;
    if (FAULT(CUT_DROPPED_EARLY))
        return true;
    if (all->user_bytes > 0 || !all->is_saved || all->ts < cut->ts || cut->ts + LIMIT_KEYS_US >= view->keys_now_us)
        return false;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct run *run = list->runs[i];
        if ((run->entry.id < cut->since_id || run->entry.id < cut->keys_id) && run->entry.ts_min <= cut->ts
            && filter_may_contain(&run->filter, filter_hash(cut_user(cut))))
            return false;
    }
    return true;
}

/* Under commit_lock: from the manifest, then from memory, if it is the same cut still. */
static int drop(struct store *store, const struct cuts *needless)
{
    int status = store->is_in_doubt ? -EIO : manifest_drop_cuts(store->manifest, needless);
    store->is_in_doubt |= status != 0 && manifest_is_in_doubt(store->manifest);
    for (uint32_t i = 0; i < needless->count && status == 0; i++) {
        pthread_mutex_lock(&store->lock);
        const struct cut *cut = cuts_find(&store->cuts, cut_user(needless->list[i]));
        if (cut != NULL && cut->ts == needless->list[i]->ts)
            cuts_remove(&store->cuts, cut_user(needless->list[i]));
        atomic_store(&store->cut_count, store->cuts.count);
        pthread_mutex_unlock(&store->lock);
    }
    return status;
}

/* Under commit_lock no cut is saved: one that is raised meanwhile is saved after its row is gone. */
static int drop_needless(struct store *store, const struct run_list *list, struct view *view)
{
    struct cuts needless = {0};
    pthread_mutex_lock(&store->commit_lock);
    int status = store_copy_cuts(store, false, &view->cuts);
    for (uint32_t i = 0; i < view->cuts.count && status == 0; i++) {
        const struct cut *cut = view->cuts.list[i];
        if (is_needless(view, list, cut))
            status = cuts_add(&needless, cut_user(cut), cut->ts, 0);
    }
    if (status == 0)
        status = drop(store, &needless);
    pthread_mutex_unlock(&store->commit_lock);
    cuts_fini(&needless);
    return status;
}

/* Nothing was found: the next look is later. */
static void look_later(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    uint64_t wait_us = store->within_us / 16;
    wait_us = wait_us > STORE_LOOK_MAX_US ? STORE_LOOK_MAX_US : wait_us;
    store->look_us = store->now_us + (wait_us < STORE_LOOK_MIN_US ? STORE_LOOK_MIN_US : wait_us);
    pthread_mutex_unlock(&store->lock);
}

static struct view take_times(struct store *store)
{
    struct view view = {.cuts = {0}};
    pthread_mutex_lock(&store->lock);
    view.now_us = store->now_us;
    view.keys_now_us = store->keys_now_us;
    view.within_us = store->within_us;
    pthread_mutex_unlock(&store->lock);
    return view;
}

int store_find_stale(struct store *store, struct run **run_r)
{
    *run_r = NULL;
    if (!store_look_is_due(store))
        return 0;
    struct view view = take_times(store);
    int status = store_copy_cuts(store, false, &view.cuts);
    if (status != 0)
        return status;
    struct run_list *list = store_ref_list(store);
    for (uint32_t i = 0; i < list->count && *run_r == NULL; i++)
        if (is_stale(store, &view, list->runs[i]))
            *run_r = list->runs[i];
    cuts_fini(&view.cuts);
    if (*run_r != NULL) {
        store_ref_run(store, *run_r);
    } else {
        look_later(store);
        status = drop_needless(store, list, &view);
        cuts_fini(&view.cuts);
    }
    store_unref_list(store, list);
    return status;
}
