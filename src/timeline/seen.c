#include "timeline/seen.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/state.h"
#include "history/reads.h"
#include "protocol/reply.h"
#include "server/core.h"
#include "timeline/erasure.h"
#include "timeline/seen_private.h"

#define BUSY_TEXT "too many marks are pending: wait and send the request again"
#define UNAVAILABLE_TEXT "the store has failed and may not have the mark: send it again after a restart or a failover"
#define NO_READ_TEXT "the store cannot be read: try again"
#define RETRY_MS 100u
/* So many requests ahead memory is fetched. */
#define FETCH_SEENS 6u
/* For so long no marks go to a shard that has no memory for more. */
#define PAUSE_US 250000u

/* Also with the reader's page, whose memory is at most doubled when it grows. */
_Static_assert(SEENS_MAX * sizeof(struct seen) + sizeof(struct seen_ahead) + 4 * SEEN_AHEAD_BYTES <= 2u << 20,
               "BUDGET_FIXED_BYTES counts 2 MiB");

static const uint8_t transitions[] = {
    [SEEN_LOOKING] = STATE_TO(SEEN_READING) | STATE_TO(SEEN_WAITING) | STATE_TO(SEEN_WRITTEN),
    [SEEN_READING] = STATE_TO(SEEN_LOOKING) | STATE_TO(SEEN_WAITING) | STATE_TO(SEEN_WRITTEN),
    [SEEN_WAITING] = STATE_TO(SEEN_WRITTEN),
    [SEEN_WRITTEN] = STATE_TO(SEEN_DURABLE),
    [SEEN_DURABLE] = 0,
};

static void set_state(struct seen *seen, enum seen_state state)
{
    ASSERT_TRANSITION(transitions, seen->state, state);
    seen->state = (uint8_t)state;
}

int seens_init(struct seens *seens)
{
    pool_init(&seens->pool, sizeof(struct seen));
    list_init(&seens->looking);
    list_init(&seens->waiting);
    list_init(&seens->written);
    list_init(&seens->pushes);
    for (uint32_t i = 0; i < SEEN_BUCKETS; i++)
        list_init(&seens->buckets[i]);
    seens->ahead = calloc(1, sizeof *seens->ahead);
    return seens->ahead == NULL ? -ENOMEM : store_page_open(&seens->page);
}

void seens_fini(struct seens *seens)
{
    pool_fini(&seens->pool);
    store_page_close(&seens->page);
    free(seens->ahead);
}

struct seen *seen_of_letter(struct letter *letter)
{
    return container_of(letter, struct seen, letter);
}

/* -- the answer -- */

static void seen_free(struct core *core, struct seen *seen)
{
    ASSERT(!list_is_linked(&seen->link) && !list_is_linked(&seen->bucket_link));
    ASSERT(!list_is_linked(&seen->own_push.link));
    user_unref(&core->users, seen->user);
    pool_give(&core->seens.pool, seen);
}

static void answer_ok(struct core *core, const struct seen *seen)
{
    struct conn *conn = conn_find(core, seen->conn);
    if (conn == NULL)
        return;
    char *out = conn_reply_begin(core, conn, REPLY_BYTES_MAX);
    conn_reply_end(core, conn, reply_write_ok(out, &seen->id));
    conn_answered(core, conn);
}

/* Nothing was new. */
static void end_unchanged(struct core *core, struct seen *seen)
{
    metric_add(&core->metrics.seens[METRICS_SEEN_UNCHANGED], 1);
    answer_ok(core, seen);
    seen_free(core, seen);
}

static void end_refused(struct core *core, struct seen *seen, enum metrics_seen outcome, enum error_code code,
                        const char *message, uint32_t retry_after_ms)
{
    metric_add(&core->metrics.seens[outcome], 1);
    struct conn *conn = conn_find(core, seen->conn);
    if (conn != NULL)
        conn_reply_error(core, conn, &seen->id, code, message, retry_after_ms);
    seen_free(core, seen);
}

static void end_busy(struct core *core, struct seen *seen)
{
    end_refused(core, seen, METRICS_SEEN_REFUSED, ERROR_BUSY, BUSY_TEXT, RETRY_MS);
}

/* -- the letter -- */

void seen_end_if_done(struct core *core, struct seen *seen)
{
    if (seen->is_returned && !seen->is_pushing)
        seen_free(core, seen);
}

void seen_on_returned(struct core *core, struct seen *seen)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(seen->state == SEEN_DURABLE && !seen->is_returned);
    seen->is_returned = true;
    if (seen->to != core->index) {
        ASSERT(core->seens.letters_out > 0);
        core->seens.letters_out--;
    }
    if (seen->is_peer_full)
        core->peers[seen->to].seen_pause_until_us = shard_monotonic_us(core->shard) + PAUSE_US;
    seen_end_if_done(core, seen);
}

/* -- the WAL -- */

/* The mark is durable. */
static void apply(struct core *core, struct seen *seen)
{
    list_remove(&seen->link);
    list_remove(&seen->bucket_link);
    set_state(seen, SEEN_DURABLE);
    if (seen->is_joined) {
        end_unchanged(core, seen);
        return;
    }
    struct seen_marks marks = {.seen = seen->ts};
    int status =
        memtable_mark_pair(core->generations.filling, seen->pair_hash, seen_user(seen), seen_peer(seen), marks);
    ASSERT(status == 0);
    metric_add(&core->metrics.seens[METRICS_SEEN_STORED], 1);
    answer_ok(core, seen);
    seen->is_pushing = true;
    seen_push_begin(core, &seen->own_push, seen->user, true);
    seen->letter.kind = LETTER_SEEN;
    if (seen->to == core->index) {
        seen_arrive(core, core->index, seen);
    } else {
        core->seens.letters_out++;
        shard_post(core->shard, seen->to, &seen->letter);
    }
}

static struct list *bucket_of(struct core *core, const struct seen *seen)
{
    struct span peer = seen_peer(seen);
    return &core->seens.buckets[(seen->user->hash ^ hash_crc32c(0, peer.data, peer.bytes)) % SEEN_BUCKETS];
}

/* The newest request of the same user and peer that is in the WAL and not durable; NULL: none. */
static struct seen *find_in_flight(struct core *core, const struct seen *seen)
{
    const struct list *bucket = bucket_of(core, seen);
    for (struct list *at = bucket->next; at != bucket; at = at->next) {
        struct seen *other = container_of(at, struct seen, bucket_link);
        if (other->user == seen->user && span_equal(seen_peer(other), seen_peer(seen)))
            return other;
    }
    return NULL;
}

/* Waits for `first`, after whose mark nothing is new. */
static void join(struct seen *seen, struct seen *first)
{
    seen->is_joined = true;
    seen->sequence = first->sequence;
    set_state(seen, SEEN_WRITTEN);
    list_prepend(&first->link, &seen->link); /* right behind it */
}

/* Gives the request its place in the filling batch. 0, or as log_append_mark. */
static int append(struct core *core, struct seen *seen)
{
    struct record_mark mark = {seen_user(seen), seen_peer(seen), seen->ts, seen->peer_ts, seen->mid};
    int status = log_append_mark(&core->wal_writer.log, &mark, &seen->sequence);
    if (status != 0)
        return status;
    core_lengthen_turn(core, TURN_STORED_NS);
    core->wal_writer.only_outstanding += seen->is_only_outstanding;
    set_state(seen, SEEN_WRITTEN);
    list_append(&core->seens.written, &seen->link);
    list_prepend(bucket_of(core, seen), &seen->bucket_link);
    if (FAULT(SEEN_BEFORE_FLUSH))
        apply(core, seen);
    return 0;
}

/* The message is known: ends the request, or gives it its place in the batch. False: the batch has no room before the
 * next write. */
static bool decide(struct core *core, struct seen *seen)
{
    struct seen_marks marks = reads_memory_marks(core, seen->pair_hash, seen_user(seen), seen_peer(seen));
    if ((seen->message <= marks.seen || seen->message <= seen->mark)
        && (!FAULT(SEEN_GOES_BACK) || seen->message == 0)) {
        end_unchanged(core, seen);
        return true;
    }
    struct seen *first = find_in_flight(core, seen);
    if (first != NULL && first->ts >= seen->message && !FAULT(SEEN_GOES_BACK)) {
        join(seen, first);
        return true;
    }
    switch (append(core, seen)) {
    case 0: return true;
    case -EAGAIN: return false;
    case -EIO: end_refused(core, seen, METRICS_SEEN_REFUSED, ERROR_UNAVAILABLE, UNAVAILABLE_TEXT, 0); return true;
    default: end_busy(core, seen); return true;
    }
}

/* The same, in the order of asking. */
static void decide_in_order(struct core *core, struct seen *seen)
{
    if (list_is_empty(&core->seens.waiting) && decide(core, seen))
        return;
    set_state(seen, SEEN_WAITING);
    list_append(&core->seens.waiting, &seen->link);
}

static void decide_waiting(struct core *core)
{
    while (!list_is_empty(&core->seens.waiting)) {
        struct list *link = list_shift(&core->seens.waiting);
        if (!decide(core, container_of(link, struct seen, link))) {
            list_prepend(&core->seens.waiting, link);
            return;
        }
    }
}

static bool is_first_durable(const struct core *core)
{
    const struct list *written = &core->seens.written;
    return !list_is_empty(written)
           && container_of(written->next, struct seen, link)->sequence <= core->deliveries.durable_to;
}

bool seens_are_behind(const struct core *core)
{
    return is_first_durable(core);
}

/* What the next requests read and write is fetched while the first is applied. */
static void fetch_ahead(const struct core *core)
{
    const struct list *head = &core->seens.written, *at = head->next;
    const struct memtable *table = core->generations.filling;
    for (uint32_t i = 0; i < FETCH_SEENS && at != head; i++, at = at->next) {
        const struct seen *seen = container_of(at, const struct seen, link);
        bool is_near = i == FETCH_SEENS / 2;
        if (i == FETCH_SEENS - 1) {
            __builtin_prefetch(at->next);
            memtable_prefetch_head(table, seen->pair_hash);
            memtable_prefetch_head(table, seen->peer_pair_hash);
        } else if (is_near) {
            memtable_prefetch_marks(table, seen->pair_hash);
            memtable_prefetch_marks(table, seen->peer_pair_hash);
        }
    }
}

void seens_on_durable(struct core *core)
{
    while (is_first_durable(core) && turn_may(&core->turn, TURN_ARRIVALS)) {
        fetch_ahead(core);
        turn_spend(&core->turn, TURN_ARRIVALS, 1);
        core_lengthen_turn(core, TURN_DELIVERED_NS);
        apply(core, container_of(core->seens.written.next, struct seen, link));
    }
}

void seens_on_wal_failed(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    while (is_first_durable(core))
        apply(core, container_of(core->seens.written.next, struct seen, link));
    while (!list_is_empty(&core->seens.written)) {
        struct seen *seen = container_of(list_shift(&core->seens.written), struct seen, link);
        list_remove(&seen->bucket_link);
        end_refused(core, seen, METRICS_SEEN_UNKNOWN, ERROR_UNAVAILABLE, UNAVAILABLE_TEXT, 0);
    }
    decide_waiting(core);
}

/* -- the message that was seen -- */

/* Takes note of a message from the peer. */
static void learn_newest(struct seen *seen, uint64_t ts, uint64_t peer_ts, const uint8_t mid[LIMIT_MID_BYTES])
{
    if (ts <= seen->message)
        return;
    seen->message = ts;
    seen->peer_ts = peer_ts;
    memcpy(seen->mid, mid, sizeof seen->mid);
}

static void learn(struct seen *seen, const struct message *message)
{
    ASSERT(message->role == ROLE_RECEIVED);
    learn_newest(seen, message->ts, message->other_ts, message->mid);
}

static void learn_hit(struct seen *seen, const struct memtable_hit *hit)
{
    struct message message = record_view(hit->record, hit->role);
    if (message.ts > seen->after && message.ts < seen->before)
        learn(seen, &message);
}

/* Whether memory has the message from the peer at exactly the ts of the request: what most requests name. */
static bool look_at_ts(struct core *core, struct seen *seen)
{
    struct memtable_hit hit;
    if (seen->asked_ts >= seen->before || !reads_memory_find(core, seen_user(seen), seen->asked_ts, &hit)
        || hit.role != ROLE_RECEIVED || !span_equal(record_from(hit.record), seen_peer(seen)))
        return false;
    learn_hit(seen, &hit);
    return true;
}

/* Looks at all that memory has from the peer. 1; 0: in another turn, again; or -ENOMEM. */
static int look_by_peer(struct core *core, struct seen *seen)
{
    struct memtable_hit hit;
    int status = reads_index_peers(core, seen_user(seen));
    if (status != 1)
        return status;
    if (memtable_peer_received(core->generations.filling, seen_user(seen), seen_peer(seen), seen->before, &hit))
        learn_hit(seen, &hit);
    if (core->generations.frozen != NULL
        && memtable_peer_received(core->generations.frozen, seen_user(seen), seen_peer(seen), seen->before, &hit))
        learn_hit(seen, &hit);
    return 1;
}

/* Whether runs may have a newer message in the range, or a mark that is not below the message. What a mark in a run has
 * seen was durable before it, in the same WAL, so it is in a run too: a message above all rows is above all these
 * marks. A mark in memory is above all marks in runs. */
static bool needs_runs(const struct core *core, const struct seen *seen)
{
    if (seen->mark + 1 >= seen->before || seen->after + 1 >= seen->before)
        return false;
    bool is_newest = seen->message > 0 && seen->message + 1 == seen->before;
    if (!is_newest && reads_runs_reach(core, seen->message > 0 ? seen->message : seen->after))
        return true;
    return seen->mark == 0 && seen->message > 0 && reads_runs_reach(core, seen->message - 1);
}

/* Messages in runs that nobody knows of are above this and below seen->before. */
static uint64_t known_to(const struct seen *seen)
{
    return seen->message > seen->after ? seen->message : seen->after;
}

/* -- marks read ahead -- */

static struct seen_ahead_key ahead_key(const struct seen *seen)
{
    return (struct seen_ahead_key){.hash = seen->pair_hash,
                                   .user = seen_user(seen),
                                   .peer = seen_peer(seen),
                                   .oldest = seen->generation - seen->had_frozen};
}

/* What runs have, if an earlier request has had it read. */
static bool look_ahead(struct core *core, struct seen *seen)
{
    struct seen_ahead_key key = ahead_key(seen);
    const struct seen_item *item;
    uint64_t mark;
    if (!seen_ahead_find(core->seens.ahead, &key, known_to(seen), seen->before, &mark, &item))
        return false;
    seen->mark = mark > seen->mark ? mark : seen->mark;
    if (item != NULL)
        learn_newest(seen, item->ts, item->other_ts, item->mid);
    return true;
}

/* On the reader's thread: what was asked for is read. `message`: what was found in a run; NULL: nothing was. What is
 * ahead is nobody's request, so nobody is refused for it. */
static void fill_place(struct seen *seen, uint64_t after, const struct message *message)
{
    struct core *core = seen->job.core;
    if (seen->place == NULL)
        return;
    seen_place_begin(seen->place, seen->run_marks.seen, after, seen->asked_before, message);
    bool is_all_seen = seen->run_marks.seen + 1 >= seen->asked_before;
    if (seen->reads_ahead && !is_all_seen)
        (void)seen_place_read(seen->place, core->reads.store_reader, core->seens.page, seen->bound);
}

/* -- the reader -- */

/* On the reader's thread. One slice of the range; the first one reads the marks, too. */
static void job_read(struct reader_job *job)
{
    struct seen *seen = container_of(job, struct seen, job);
    struct store_reader *reader = job->core->reads.store_reader;
    struct store_page *page = job->core->seens.page;
    struct store_with with = {.peer = seen_peer(seen), .only_received = true};
    struct store_range range = {
        .after = known_to(seen), .before = seen->before, .rows_max = 1, .bytes_max = LIMIT_RECORD_BYTES};
    uint64_t bound;
    seen->has_more = false;
    seen->result = store_reader_marks(reader, seen_user(seen), seen_peer(seen), &seen->run_marks);
    if (seen->result == 0)
        seen->result = store_reader_with(reader, seen_user(seen), &with, &range, page, &bound, &seen->has_more);
    if (seen->result != 0)
        return;
    if (store_page_count(page) > 0) {
        struct message message = store_page_message(page, 0);
        learn(seen, &message);
        seen->has_more = false;
        fill_place(seen, range.after, &message);
    } else if (seen->has_more) {
        seen->before = bound;
    } else {
        fill_place(seen, range.after, NULL);
    }
}

/* Whether what was in memory when the request looked is still there, so that no mark was missed between memory and
 * runs. */
static bool is_memory_kept(const struct core *core, const struct seen *seen)
{
    return core->generations.filling_number - seen->generation <= (core->generations.frozen != NULL);
}

static void look(struct core *core, struct seen *seen);

static void job_done(struct reader_job *job)
{
    struct seen *seen = container_of(job, struct seen, job);
    struct core *core = job->core;
    if (seen->result == 0 && seen->has_more) {
        reads_post(core, &seen->job, READS_HISTORY);
        return;
    }
    if (seen->place != NULL)
        seen_ahead_return(core->seens.ahead, seen->place, seen->result == 0);
    if (seen->result != 0) {
        end_refused(core, seen, METRICS_SEEN_REFUSED, ERROR_UNAVAILABLE, NO_READ_TEXT, 0);
    } else if (!is_memory_kept(core, seen)) {
        set_state(seen, SEEN_LOOKING);
        look(core, seen);
    } else {
        if (seen->run_marks.seen > seen->mark)
            seen->mark = seen->run_marks.seen;
        decide_in_order(core, seen);
    }
}

static void job_post(struct core *core, struct seen *seen)
{
    struct seen_ahead_key key = ahead_key(seen);
    set_state(seen, SEEN_READING);
    seen->asked_before = seen->before;
    seen->place = seen_ahead_take(core->seens.ahead, &key, &seen->reads_ahead);
    seen->job.read = job_read;
    seen->job.done = job_done;
    reads_post(core, &seen->job, READS_HISTORY);
}

/* Looks into memory, then goes on with the reader or with the WAL. */
static void look(struct core *core, struct seen *seen)
{
    uint64_t last = seen->user->timeline.last;
    seen->ts = seen->asked_ts < last ? seen->asked_ts : last;
    seen->message = 0;
    seen->after = erasure_cut_ts(core, seen_user(seen));
    seen->bound = reads_bound(core, seen->user);
    seen->before = seen->asked_ts < seen->bound ? seen->asked_ts + 1 : seen->bound;
    seen->generation = core->generations.filling_number;
    seen->had_frozen = core->generations.frozen != NULL;
    seen->mark = reads_memory_marks(core, seen->pair_hash, seen_user(seen), seen_peer(seen)).seen;
    int status = seen->mark + 1 >= seen->before || look_at_ts(core, seen) ? 1 : look_by_peer(core, seen);
    if (status == 0) {
        list_append(&core->seens.looking, &seen->link);
    } else if (status < 0) {
        end_busy(core, seen);
    } else if (needs_runs(core, seen) && !look_ahead(core, seen)) {
        job_post(core, seen);
    } else {
        decide_in_order(core, seen);
    }
}

/* -- requests -- */

/* NULL: no room. */
static struct seen *seen_make(struct core *core, struct conn *conn, const struct request *request)
{
    struct span with = request->seen.with;
    uint32_t to = core_shard_of(core, with);
    bool is_paused = shard_monotonic_us(core->shard) < core->peers[to].seen_pause_until_us;
    struct seen *seen = core->seens.pool.taken < SEENS_MAX && !is_paused ? pool_take(&core->seens.pool) : NULL;
    if (seen == NULL)
        return NULL;
    memset(seen, 0, sizeof *seen);
    seen->from = (uint16_t)core->index;
    seen->to = (uint16_t)to;
    seen->user = user_ref(conn->user);
    seen->conn = conn_ref(conn);
    request_id_copy(&seen->id, &request->id);
    seen->asked_ts = request->seen.ts;
    seen->is_only_outstanding = conn->unanswered == 1;
    seen->user_bytes = conn->user->name_bytes;
    seen->peer_bytes = (uint8_t)with.bytes;
    memcpy(seen->names, conn->user->name, seen->user_bytes);
    memcpy(seen->names + seen->user_bytes, with.data, with.bytes);
    seen->pair_hash = reads_pair_hash(core, seen_user(seen), seen_peer(seen));
    seen->peer_pair_hash = reads_pair_hash(core, seen_peer(seen), seen_user(seen));
    list_init(&seen->link);
    list_init(&seen->bucket_link);
    list_init(&seen->own_push.link);
    list_init(&seen->peer_push.link);
    return seen;
}

static void refuse(struct core *core, struct conn *conn, const struct request *request, enum error_code code,
                   const char *message, uint32_t retry_after_ms)
{
    metric_add(&core->metrics.seens[METRICS_SEEN_REFUSED], 1);
    conn_reply_error(core, conn, &request->id, code, message, retry_after_ms);
}

void seen_ask(struct core *core, struct conn *conn, const struct request *request)
{
    enum error_code code;
    const char *message;
    uint32_t retry_after_ms;
    ASSERT_ON_SHARD(core->shard);
    if (!core_admits_send_of(core, conn->user, conn->unanswered, &code, &message, &retry_after_ms)) {
        refuse(core, conn, request, code, message, retry_after_ms);
        return;
    }
    struct seen *seen = seen_make(core, conn, request);
    if (seen == NULL) {
        refuse(core, conn, request, ERROR_BUSY, BUSY_TEXT, RETRY_MS);
        return;
    }
    if (span_equal(seen_user(seen), seen_peer(seen)))
        end_unchanged(core, seen); /* what a user sends to themself is never unseen */
    else
        look(core, seen);
}

/* -- turns -- */

void seens_step(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    while (!list_is_empty(&core->seens.looking) && turn_may_carry(&core->turn, TURN_READS)) {
        struct list *link = list_shift(&core->seens.looking);
        look(core, container_of(link, struct seen, link));
    }
    decide_waiting(core);
}

void seens_continue(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    seens_on_durable(core);
    seen_pushes_continue(core);
}

bool seens_have_carried(const struct core *core)
{
    return is_first_durable(core) || !list_is_empty(&core->seens.pushes) || !list_is_empty(&core->seens.looking);
}
