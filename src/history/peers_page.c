#include "history/peers_page.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/state.h"
#include "history/reads.h"
#include "server/core.h"

/* unseen counts up to this: one more than it tells exactly. */
#define UNSEEN_MAX 1000u
/* What a conversation costs, in entries; and so many of its unseen messages cost another one. */
#define PEER_READS 8u
#define UNSEEN_READS 16u

/* The state of a page. set_state is the only writer. */
enum page_state {
    PAGE_NEW,       /* nothing was read */
    PAGE_WALKING,   /* over the peers in memory */
    PAGE_WALKED,    /* memory has given its peers, or the page goes on with a walk that has them */
    PAGE_POSTED,    /* the reader has it */
    PAGE_ABANDONED, /* the reader has it, and its owner has closed it */
    PAGE_READ,      /* the peers of the page are known: unseen messages are being counted */
    PAGE_WRITTEN,   /* the walk may have been kept */
};

static const uint8_t transitions[] = {
    [PAGE_NEW] = STATE_TO(PAGE_WALKING) | STATE_TO(PAGE_WALKED),
    [PAGE_WALKING] = STATE_TO(PAGE_WALKED) | STATE_TO(PAGE_NEW),
    [PAGE_WALKED] = STATE_TO(PAGE_POSTED) | STATE_TO(PAGE_NEW),
    [PAGE_POSTED] = STATE_TO(PAGE_ABANDONED) | STATE_TO(PAGE_READ),
    [PAGE_ABANDONED] = STATE_TO(PAGE_READ),
    [PAGE_READ] = STATE_TO(PAGE_NEW) | STATE_TO(PAGE_WRITTEN),
    [PAGE_WRITTEN] = 0,
};

struct peers_page {
    uint8_t state;    /* enum page_state */
    struct list link; /* in core->peers_pages.open */
    struct core *core;
    struct user *user; /* a reference */
    struct request_peers asked;

    struct peers_moment moment; /* when it began, or the walk that it goes on with */
    struct store_peers *peers;  /* owned; the reader's thread has it while PAGE_POSTED */
    bool is_in_frozen;          /* PAGE_WALKING: in which generation */
    struct memtable_peer_walk walk;

    struct reader_job job;
    int result; /* of a step */
    void (*on_done)(void *context, int result);
    void *context;

    struct reply_peer *counted; /* asked.limit of them, without `last`; owned */
    uint32_t count;
};

static void set_state(struct peers_page *page, enum page_state state)
{
    ASSERT_TRANSITION(transitions, page->state, state);
    page->state = (uint8_t)state;
}

struct peers_page *peers_page_open(struct core *core, struct user *user, const struct request_peers *asked)
{
    ASSERT_ON_SHARD(core->shard);
    struct peers_page *page = calloc(1, sizeof *page);
    if (page == NULL)
        return NULL;
    page->core = core;
    page->user = user_ref(user);
    page->asked = *asked;
    list_init(&page->link);
    list_append(&core->peers_pages.open, &page->link);
    return page;
}

void peers_pages_init(struct peers_pages *pages)
{
    *pages = (struct peers_pages){.walks = {.count = 0}};
    list_init(&pages->open);
}

void peers_pages_fini(struct peers_pages *pages)
{
    for (struct list *link; (link = list_shift(&pages->open)) != NULL;)
        store_peers_close(&container_of(link, struct peers_page, link)->peers);
    peers_walks_fini(&pages->walks);
}

void peers_pages_tick(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    peers_walks_expire(&core->peers_pages.walks, shard_monotonic_us(core->shard));
}

void peers_pages_spare(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    peers_walks_fini(&core->peers_pages.walks);
}

static void page_free(struct peers_page *page)
{
    list_remove(&page->link);
    store_peers_close(&page->peers);
    free(page->counted);
    user_unref(&page->core->users, page->user);
    free(page);
}

void peers_page_close(struct peers_page **page_p)
{
    struct peers_page *page = *page_p;
    *page_p = NULL;
    if (page == NULL)
        return;
    if (page->state == PAGE_POSTED)
        set_state(page, PAGE_ABANDONED);
    else
        page_free(page);
}

static void begin_again(struct peers_page *page)
{
    set_state(page, PAGE_NEW);
    store_peers_close(&page->peers);
}

/* Whether memory still has both generations that it had when the page began. */
static bool has_generations(const struct peers_page *page)
{
    const struct generations *generations = &page->core->generations;
    bool has_frozen = generations->frozen != NULL;
    if (generations->filling_number == page->moment.generation)
        return has_frozen || !page->moment.had_frozen;
    return generations->filling_number == page->moment.generation + 1 && has_frozen && !page->moment.had_frozen;
}

/* Whether what the page has is still of use: the timeline is not cut further, either. */
static bool is_valid(const struct peers_page *page)
{
    return has_generations(page) && erasure_cut_ts(page->core, user_name(page->user)) == page->moment.cut;
}

/* -- walks -- */

static struct peers_moment moment_now(const struct core *core, const struct user *user)
{
    return (struct peers_moment){.bound = reads_bound(core, user),
                                 .cut = erasure_cut_ts(core, user_name(user)),
                                 .generation = core->generations.filling_number,
                                 .had_frozen = core->generations.frozen != NULL};
}

/* Whether memory has the generations of `then`, and no entry of the user that was not visible then. */
static bool is_unchanged(const struct core *core, const struct user *user, const struct peers_moment *then)
{
    struct peers_moment now = moment_now(core, user);
    return now.generation == then->generation && now.had_frozen == then->had_frozen && now.cut == then->cut
           && (reads_memory_newest(core, user_name(user), UINT64_MAX) < then->bound || FAULT(PEERS_WALK_STALE));
}

/* Goes on with the walk of the page before. False: the page begins anew. */
static bool resume(struct peers_page *page)
{
    struct core *core = page->core;
    struct peers_walk walk;
    ASSERT(page->peers == NULL);
    if (!peers_walks_take(&core->peers_pages.walks, user_name(page->user), page->asked.before, &walk))
        return false;
    if (!is_unchanged(core, page->user, &walk.moment)
        || store_peers_resume(walk.peers, page->asked.before, page->asked.limit) != 1) {
        store_peers_close(&walk.peers);
        return false;
    }
    page->peers = walk.peers;
    page->moment = walk.moment;
    page->count = 0;
    set_state(page, PAGE_WALKED);
    return true;
}

/* -- peers in memory -- */

static bool begin(struct peers_page *page)
{
    struct core *core = page->core;
    ASSERT(page->peers == NULL);
    page->moment = moment_now(core, page->user);
    page->is_in_frozen = false;
    page->walk = (struct memtable_peer_walk){NULL};
    page->count = 0;
    struct store_peers_query query = {.after = page->moment.cut,
                                      .bound = page->moment.bound,
                                      .before = page->asked.before,
                                      .limit = page->asked.limit};
    set_state(page, PAGE_WALKING);
    return store_peers_open(&page->peers, core->runs.store, user_name(page->user), &query) == 0;
}

/* Adds the peers of a generation. 1: all; 0: the turn has no time left; or -ENOMEM. */
static int walk_table(struct peers_page *page, const struct memtable *table)
{
    struct memtable_peer peer;
    struct core *core = page->core;
    while (turn_may(&core->turn, TURN_READS)) {
        if (!memtable_peer_next(table, user_name(page->user), &page->walk, page->moment.bound, &peer))
            return 1;
        turn_spend(&core->turn, TURN_READS, 1);
        if (peer.newest > page->moment.cut && store_peers_add(page->peers, peer.name, peer.newest) != 0)
            return -ENOMEM;
    }
    return 0;
}

/* The generation that was filled when the page began, then the one that was frozen. */
static int walk_memory(struct peers_page *page)
{
    const struct generations *generations = &page->core->generations;
    bool has_frozen_since = generations->filling_number != page->moment.generation;
    const struct memtable *filled = has_frozen_since ? generations->frozen : generations->filling;
    int status = page->is_in_frozen ? 1 : walk_table(page, filled);
    if (status != 1 || has_frozen_since || generations->frozen == NULL)
        return status;
    if (!page->is_in_frozen)
        page->walk = (struct memtable_peer_walk){NULL};
    page->is_in_frozen = true;
    return walk_table(page, generations->frozen);
}

/* -- runs -- */

/* On the reader's thread. */
static void job_read(struct reader_job *job)
{
    struct peers_page *page = container_of(job, struct peers_page, job);
    page->result = store_peers_step(page->peers, job->core->reads.store_reader);
}

static void job_done(struct reader_job *job)
{
    struct peers_page *page = container_of(job, struct peers_page, job);
    if (page->result == 1 && page->state == PAGE_POSTED) {
        reads_post(page->core, &page->job, READS_HISTORY);
        return;
    }
    bool is_abandoned = page->state == PAGE_ABANDONED;
    set_state(page, PAGE_READ);
    if (is_abandoned)
        page_free(page);
    else
        page->on_done(page->context, page->result);
}

void peers_page_post(struct peers_page *page, void (*on_done)(void *context, int result), void *context)
{
    page->on_done = on_done;
    page->context = context;
    page->job.read = job_read;
    page->job.done = job_done;
    set_state(page, PAGE_POSTED);
    reads_post(page->core, &page->job, READS_HISTORY);
}

/* -- unseen messages -- */

/* A mark of an entry that is gone is none. */
static uint64_t mark_above(uint64_t mark, uint64_t cut)
{
    return mark > cut ? mark : 0;
}

static uint32_t unseen_in_memory(const struct peers_page *page, struct span peer, uint64_t seen, uint64_t *ts,
                                 uint32_t ts_max)
{
    const struct generations *generations = &page->core->generations;
    uint64_t after = seen > page->moment.cut ? seen : page->moment.cut;
    uint32_t count = memtable_peer_unseen(generations->filling, user_name(page->user), peer, after, page->moment.bound,
                                          ts, ts_max / 2);
    if (generations->frozen != NULL)
        count += memtable_peer_unseen(generations->frozen, user_name(page->user), peer, after, page->moment.bound,
                                      ts + count, ts_max / 2);
    return count;
}

static void count_peer(struct peers_page *page, uint32_t index, struct reply_peer *counted)
{
    uint64_t ts[2 * UNSEEN_MAX];
    struct store_peer peer;
    store_peers_get(page->peers, index, &peer);
    uint64_t hash = reads_pair_hash(page->core, user_name(page->user), peer.name);
    struct seen_marks marks = reads_memory_marks(page->core, hash, user_name(page->user), peer.name);
    seen_marks_raise(&marks, peer.marks);
    counted->user = peer.name;
    counted->seen = mark_above(marks.seen, page->moment.cut);
    counted->seen_by = mark_above(marks.seen_by, page->moment.cut);
    uint32_t in_memory = peer.is_in_memory ? unseen_in_memory(page, peer.name, counted->seen, ts, 2 * UNSEEN_MAX) : 0;
    uint64_t above = counted->seen > page->moment.cut ? counted->seen : page->moment.cut;
    counted->unseen = store_peers_unseen(page->peers, index, above, ts, in_memory);
    if (FAULT(UNSEEN_OFF_BY_ONE) && counted->unseen > 0)
        counted->unseen--;
    turn_spend(&page->core->turn, TURN_READS, PEER_READS + counted->unseen / UNSEEN_READS);
}

/* Counts on. False: the turn has no time left. */
static bool count_peers(struct peers_page *page)
{
    uint32_t count = store_peers_count(page->peers);
    ASSERT(count <= page->asked.limit);
    while (page->count < count && turn_may(&page->core->turn, TURN_READS)) {
        count_peer(page, page->count, &page->counted[page->count]);
        page->count++;
    }
    return page->count == count;
}

enum peers_step peers_page_gather(struct peers_page *page)
{
    ASSERT(page->state != PAGE_POSTED && page->state != PAGE_ABANDONED);
    int status = reads_index_peers(page->core, user_name(page->user));
    if (status != 1)
        return status == 0 ? PEERS_NEXT_TURN : PEERS_NO_MEMORY;
    if (page->state != PAGE_NEW && !is_valid(page))
        begin_again(page);
    if (page->state == PAGE_NEW && !resume(page) && !begin(page))
        return PEERS_NO_MEMORY;
    if (page->state == PAGE_WALKING) {
        status = walk_memory(page);
        if (status != 1)
            return status == 0 ? PEERS_NEXT_TURN : PEERS_NO_MEMORY;
        set_state(page, PAGE_WALKED);
    }
    if (page->state == PAGE_WALKED)
        return PEERS_NEEDS_RUNS;
    if (page->counted == NULL)
        page->counted = calloc(page->asked.limit, sizeof *page->counted);
    if (page->counted == NULL)
        return PEERS_NO_MEMORY;
    return count_peers(page) ? PEERS_COMPLETE : PEERS_NEXT_TURN;
}

bool peers_page_write(struct peers_page *page, struct reply_page *reply, bool *more_r, uint64_t *next_r)
{
    struct span user = user_name(page->user);
    ASSERT(page->state == PAGE_READ && page->count == store_peers_count(page->peers));
    if (!is_valid(page))
        return false;
    *more_r = store_peers_more(page->peers);
    *next_r = 0;
    for (uint32_t i = 0; i < page->count; i++) {
        struct store_peer peer;
        struct memtable_hit hit;
        struct message of_memory;
        store_peers_get(page->peers, i, &peer);
        page->counted[i].last = peer.last;
        if (peer.last == NULL) {
            bool is_found = reads_memory_find(page->core, user, peer.newest, &hit);
            ASSERT(is_found);
            of_memory = record_view(hit.record, hit.role);
            page->counted[i].last = &of_memory;
        }
        if (!reply_page_add_peer(reply, &page->counted[i])) {
            *more_r = true;
            break;
        }
        *next_r = peer.newest;
    }
    set_state(page, PAGE_WRITTEN);
    if (*more_r)
        peers_walks_keep(&page->core->peers_pages.walks, &page->peers, &page->moment, *next_r,
                         shard_monotonic_us(page->core->shard));
    return true;
}
