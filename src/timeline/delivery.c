#include "timeline/delivery.h"

#include <errno.h>

#include "base/fault.h"
#include "protocol/mid.h"
#include "protocol/reply.h"
#include "server/core.h"
#include "timeline/fanout.h"
#include "timeline/idempotency.h"
#include "timeline/in_flight.h"
#include "timeline/post.h"

static const char busy_text[] = "the server has no room for the message now: wait and send again";
static const char unavailable_text[] = "the store has failed and may not have the message: send again with the same "
                                       "key after a restart or a failover";

/* A request with the key of a delivery that is in flight; its answer waits for the outcome. */
struct delivery_waiter {
    struct list link; /* in delivery->waiters */
    bool is_post;
    union {
        struct conn_ref conn;
        struct post *post;
    };
    struct request_id id;
};

void deliveries_init(struct deliveries *deliveries)
{
    *deliveries = (struct deliveries){.out = 0};
    pool_init(&deliveries->pool, sizeof(struct delivery));
    pool_init(&deliveries->arrival_pool, sizeof(struct arrival));
    pool_init(&deliveries->waiter_pool, sizeof(struct delivery_waiter));
    list_init(&deliveries->wal_waiting);
    list_init(&deliveries->arrivals);
}

void deliveries_fini(struct deliveries *deliveries)
{
    pool_fini(&deliveries->pool);
    pool_fini(&deliveries->arrival_pool);
    pool_fini(&deliveries->waiter_pool);
}

struct delivery *delivery_of_entry(struct entry *entry)
{
    ASSERT(entry->role != ROLE_RECEIVED);
    return container_of(entry, struct delivery, entry);
}

uint32_t delivery_sent_us(const struct entry *entry)
{
    if (entry->role == ROLE_RECEIVED)
        return container_of(entry, const struct arrival, entry)->sent_us;
    return container_of(entry, const struct delivery, entry)->sent_us;
}

/* On a connection that catches up the `ok` waits for the replay, perhaps long after the delivery is freed. */
static bool has_ok_place(const struct core *core, const struct conn *conn)
{
    return conn->state != CONN_REPLAY
           || in_flight_has_place(core, core->replays.ok_pool.taken + core->replays.oks_reserved, conn->unanswered);
}

/* A delivery without its origin. NULL: no room. */
static struct delivery *make_for(struct core *core, struct user *user, const struct request_send *send,
                                 uint16_t unanswered)
{
    bool has_room = in_flight_has_place(core, core->deliveries.pool.taken, unanswered);
    struct delivery *delivery = has_room ? pool_take(&core->deliveries.pool) : NULL;
    if (delivery == NULL)
        return NULL;
    struct record *record = record_heap_take(core->generations.heap, user_name(user), send->to, send->key, send->text);
    if (record == NULL) {
        pool_give(&core->deliveries.pool, delivery);
        return NULL;
    }
    memset(delivery, 0, offsetof(struct delivery, id));
    delivery->letter.kind = LETTER_SEND;
    delivery->to_shard = (uint16_t)core_shard_of(core, send->to);
    delivery->sent_us = (uint32_t)shard_monotonic_us(core->shard);
    delivery->unanswered = unanswered;
    delivery->share = delivery->to_shard == core->index ? 0 : core_share(core, user, unanswered);
    delivery->user = user_ref(user);
    delivery->entry.record = record;
    delivery->entry.role = record_is_to_self(record) ? ROLE_SELF : ROLE_SENT;
    if (send->key.bytes > 0)
        delivery->key_hash = memtable_key_hash(datadir_key_seed(core->server->datadir), send->key);
    list_init(&delivery->entry.link);
    list_init(&delivery->waiters);
    return delivery;
}

struct delivery *delivery_make(struct core *core, struct conn *conn, const struct request_id *id,
                               const struct request_send *send)
{
    ASSERT(conn->user != NULL);
    struct delivery *delivery = has_ok_place(core, conn) ? make_for(core, conn->user, send, conn->unanswered) : NULL;
    if (delivery == NULL)
        return NULL;
    delivery->conn = conn_ref(conn);
    delivery->is_only_outstanding = conn->unanswered == 1;
    delivery->has_ok_place = conn->state == CONN_REPLAY;
    core->replays.oks_reserved += delivery->has_ok_place;
    request_id_copy(&delivery->id, id);
    return delivery;
}

struct delivery *delivery_make_for_post(struct core *core, struct user *user, struct post *post,
                                        bool is_only_outstanding)
{
    struct delivery *delivery = make_for(core, user, &post->send, 1);
    if (delivery == NULL)
        return NULL;
    delivery->is_post = true;
    delivery->post = post;
    delivery->is_only_outstanding = is_only_outstanding;
    return delivery;
}

static void delivery_free(struct core *core, struct delivery *delivery)
{
    ASSERT(list_is_empty(&delivery->waiters));
    ASSERT(!list_is_linked(&delivery->entry.link));
    ASSERT(core->replays.oks_reserved >= delivery->has_ok_place);
    core->replays.oks_reserved -= delivery->has_ok_place;
    record_heap_unref(core->generations.heap, &delivery->entry.record);
    user_unref(&core->users, delivery->user);
    pool_give(&core->deliveries.pool, delivery);
}

/* -- answers -- */

/* `outcome` of the message, which a send that is refused does not have. */
static enum metrics_send send_failed(const struct delivery *delivery)
{
    return delivery->is_returned && delivery->outcome == DELIVERY_UNKNOWN ? METRICS_SEND_UNKNOWN : METRICS_SEND_REFUSED;
}

static void reply_error_to(struct core *core, struct conn_ref ref, const struct request_id *id, enum error_code code,
                           const char *message, uint32_t retry_after_ms)
{
    struct conn *conn = conn_find(core, ref);
    if (conn != NULL)
        conn_reply_error(core, conn, id, code, message, retry_after_ms);
}

static void reply_error_to_waiters(struct core *core, struct delivery *delivery, enum error_code code,
                                   const char *message, uint32_t retry_after_ms)
{
    for (struct list *at; (at = list_shift(&delivery->waiters)) != NULL;) {
        struct delivery_waiter *waiter = container_of(at, struct delivery_waiter, link);
        metric_add(&core->metrics.sends[send_failed(delivery)], 1);
        if (waiter->is_post)
            post_refuse(core, waiter->post, code, message, retry_after_ms);
        else
            reply_error_to(core, waiter->conn, &waiter->id, code, message, retry_after_ms);
        pool_give(&core->deliveries.waiter_pool, waiter);
    }
}

static void reply_error_to_all(struct core *core, struct delivery *delivery, enum error_code code, const char *message,
                               uint32_t retry_after_ms)
{
    bool is_answered = delivery->is_answered;
    delivery->is_answered = true;
    if (!is_answered) {
        metric_add(&core->metrics.sends[send_failed(delivery)], 1);
        if (delivery->is_post)
            post_refuse(core, delivery->post, code, message, retry_after_ms);
        else
            reply_error_to(core, delivery->conn, &delivery->id, code, message, retry_after_ms);
    }
    reply_error_to_waiters(core, delivery, code, message, retry_after_ms);
}

static void reply_dup_to(struct core *core, struct conn_ref ref, const struct request_id *id, uint64_t ts,
                         const uint8_t *mid)
{
    struct conn *conn = conn_find(core, ref);
    metric_add(&core->metrics.sends[METRICS_SEND_DUPLICATE], 1);
    if (conn == NULL)
        return;
    char *out = conn_reply_begin(core, conn, REPLY_BYTES_MAX);
    conn_reply_end(core, conn, reply_write_dup(out, id, ts, mid));
    conn_answered(core, conn);
}

static void answer_dup(struct core *core, struct post *post, uint64_t ts, const uint8_t *mid)
{
    metric_add(&core->metrics.sends[METRICS_SEND_DUPLICATE], 1);
    post_answer(core, post, ts, mid, true);
}

void delivery_answer_waiters(struct core *core, struct delivery *delivery)
{
    const struct record *record = delivery->entry.record;
    ASSERT(delivery->is_returned);
    for (struct list *at; (at = list_shift(&delivery->waiters)) != NULL;) {
        struct delivery_waiter *waiter = container_of(at, struct delivery_waiter, link);
        if (waiter->is_post)
            answer_dup(core, waiter->post, record->ts_from, record->mid);
        else
            reply_dup_to(core, waiter->conn, &waiter->id, record->ts_from, record->mid);
        pool_give(&core->deliveries.waiter_pool, waiter);
    }
}

void delivery_answer_post(struct core *core, struct delivery *delivery)
{
    ASSERT(delivery->is_post && delivery->entry.state == ENTRY_LEFT);
    if (delivery->is_answered)
        return;
    delivery->is_answered = true;
    post_answer(core, delivery->post, delivery->entry.ts, delivery->entry.record->mid, false);
}

void delivery_reject(struct core *core, struct delivery *delivery, enum error_code code, const char *message,
                     uint32_t retry_after_ms)
{
    reply_error_to_all(core, delivery, code, message, retry_after_ms);
    delivery_free(core, delivery);
}

void delivery_reject_dup(struct core *core, struct delivery *delivery, uint64_t ts, const uint8_t *mid)
{
    ASSERT(list_is_empty(&delivery->waiters));
    if (delivery->is_post)
        answer_dup(core, delivery->post, ts, mid);
    else
        reply_dup_to(core, delivery->conn, &delivery->id, ts, mid);
    delivery_free(core, delivery);
}

void delivery_wait_for(struct core *core, struct delivery *delivery, struct delivery *first)
{
    ASSERT(list_is_empty(&delivery->waiters));
    ASSERT(first->user == delivery->user);
    bool has_room = in_flight_has_place(core, core->deliveries.waiter_pool.taken, delivery->unanswered);
    struct delivery_waiter *waiter = has_room ? pool_take(&core->deliveries.waiter_pool) : NULL;
    if (waiter == NULL) {
        delivery_reject(core, delivery, ERROR_BUSY, busy_text, DELIVERY_RETRY_MS);
        return;
    }
    /* Until the letter has returned, the recipient's shard may write the outcome. */
    if (first->is_returned && first->outcome == DELIVERY_UNKNOWN) {
        pool_give(&core->deliveries.waiter_pool, waiter);
        delivery_reject(core, delivery, ERROR_UNAVAILABLE, unavailable_text, 0);
        return;
    }
    waiter->is_post = delivery->is_post;
    if (delivery->is_post) {
        waiter->post = delivery->post;
    } else {
        waiter->conn = delivery->conn;
        waiter->id = delivery->id;
    }
    list_init(&waiter->link);
    list_append(&first->waiters, &waiter->link);
    delivery_free(core, delivery);
}

/* -- on the sender's shard -- */

void delivery_dispatch(struct core *core, struct delivery *delivery)
{
    enum error_code code;
    const char *message;
    uint32_t retry_after_ms;
    struct record *record = delivery->entry.record;
    ASSERT(!list_is_linked(&delivery->entry.link));
    if (!core_admits_send_of(core, delivery->user, delivery->unanswered, &code, &message, &retry_after_ms)) {
        delivery_reject(core, delivery, code, message, retry_after_ms);
        return;
    }
    uint64_t ts = core_next_ts(core);
    if (!in_flight_may_go_out(core, delivery) || !fanout_has_room(delivery->user, record_body_bytes(record))
        || !idempotency_mark_key(core, delivery, ts)) {
        delivery_reject(core, delivery, ERROR_BUSY, busy_text, DELIVERY_RETRY_MS);
        return;
    }
    record->ts_from = ts;
    if (delivery->entry.role == ROLE_SELF)
        record->ts_to = ts;
    mid_make(record->mid, ts, core->index, core->server->start_random);
    delivery->entry.ts = ts;
    timeline_append(&delivery->user->timeline, &delivery->entry);
    core->deliveries.out++;
    in_flight_add(core, record);
    core->peers[delivery->to_shard].sends_out++;
    core->peers[delivery->to_shard].send_bytes_out += record_body_bytes(record);
    if (delivery->to_shard == core->index)
        delivery_arrive(core, core->index, delivery);
    else
        shard_post(core->shard, delivery->to_shard, delivery);
}

/* The message was not stored: its entry leaves at once, and all requests that wait for it are answered. */
static void on_returned_refused(struct core *core, struct delivery *delivery)
{
    struct user *user = user_ref(delivery->user);
    timeline_refuse(&user->timeline, &delivery->entry);
    idempotency_unmark_key(delivery);
    if (delivery->outcome == DELIVERY_BUSY)
        delivery_reject(core, delivery, ERROR_BUSY, busy_text, DELIVERY_RETRY_MS);
    else
        delivery_reject(core, delivery, ERROR_UNAVAILABLE, unavailable_text, 0);
    fanout_release(core, user);
    user_unref(&core->users, user);
}

static void on_returned_stored(struct core *core, struct delivery *delivery)
{
    struct user *user = user_ref(delivery->user);
    metric_add(&core->metrics.sends[METRICS_SEND_STORED], 1);
    if (delivery->entry.role == ROLE_SENT) {
        delivery->entry.record->ts_to = delivery->ts_to;
        if (!FAULT(ONE_TIMELINE))
            core_remember(core, user, delivery->entry.record, ROLE_SENT);
    }
    core_charge(core, user, delivery->entry.record, delivery->unanswered);
    timeline_settle(&user->timeline, &delivery->entry);
    fanout_release(core, user);
    user_unref(&core->users, user);
}

void delivery_on_returned(struct core *core, struct delivery *delivery)
{
    struct core_peer *peer = &core->peers[delivery->to_shard];
    uint32_t bytes = record_body_bytes(delivery->entry.record);
    ASSERT_ON_SHARD(core->shard);
    ASSERT(!delivery->is_returned);
    ASSERT(peer->sends_out > 0);
    ASSERT(peer->send_bytes_out >= bytes);
    ASSERT(core->deliveries.out > 0);
    peer->sends_out--;
    if (!FAULT(SEND_BYTES_KEPT) || delivery->outcome == DELIVERY_STORED)
        peer->send_bytes_out -= bytes;
    core->deliveries.out--;
    in_flight_remove(core, delivery->entry.record);
    delivery->is_returned = true;
    switch (delivery->outcome) {
    case DELIVERY_STORED: on_returned_stored(core, delivery); return;
    case DELIVERY_UNKNOWN: /* the entry stays pending until the process ends */
        reply_error_to_all(core, delivery, ERROR_UNAVAILABLE, unavailable_text, 0);
        return;
    default: on_returned_refused(core, delivery); return;
    }
}

/* -- on the recipient's shard -- */

static void return_letter(struct core *core, uint32_t from, struct delivery *delivery, enum delivery_outcome outcome)
{
    ASSERT(outcome != DELIVERY_IN_FLIGHT);
    delivery->outcome = (uint8_t)outcome;
    delivery->letter.kind = LETTER_SEND_RETURNED;
    if (from == core->index)
        delivery_on_returned(core, delivery);
    else
        shard_post(core->shard, from, delivery);
}

static void arrival_answer(struct core *core, struct arrival *arrival, enum delivery_outcome outcome)
{
    struct delivery *delivery = arrival->delivery;
    arrival->delivery = NULL;
    if (delivery == NULL || (FAULT(DROP_LETTER) && arrival->entry.ts % 64 == 0))
        return;
    delivery->ts_to = arrival->entry.ts;
    return_letter(core, arrival->from, delivery, outcome);
}

static void arrival_free(struct core *core, struct arrival *arrival)
{
    ASSERT(!list_is_linked(&arrival->link));
    ASSERT(!list_is_linked(&arrival->entry.link));
    record_heap_unref(core->generations.heap, &arrival->entry.record);
    user_unref(&core->users, arrival->user);
    pool_give(&core->deliveries.arrival_pool, arrival);
}

/* The arrival has no place in the WAL: answers it and frees it. */
static void arrival_refuse(struct core *core, struct arrival *arrival, enum delivery_outcome outcome)
{
    list_remove(&arrival->link);
    in_flight_remove(core, arrival->entry.record);
    arrival_answer(core, arrival, outcome);
    arrival_free(core, arrival);
}

/* The record as this shard keeps it: a reference to the sender's own if the sender's shard is this one, else a copy. */
static struct record *arrival_record(struct core *core, uint32_t from, struct record *sent)
{
    if (from == core->index)
        return record_heap_ref(core->generations.heap, sent);
    struct record *copy = record_heap_take(core->generations.heap, record_from(sent), record_to(sent), record_key(sent),
                                           record_text(sent));
    if (copy == NULL)
        return NULL;
    copy->ts_from = sent->ts_from;
    memcpy(copy->mid, sent->mid, sizeof copy->mid);
    return copy;
}

static struct arrival *arrival_make(struct core *core, uint32_t from, struct delivery *delivery)
{
    bool has_room = in_flight_has_place(core, core->deliveries.arrival_pool.taken, delivery->unanswered);
    struct arrival *arrival = has_room ? pool_take(&core->deliveries.arrival_pool) : NULL;
    if (arrival == NULL)
        return NULL;
    memset(arrival, 0, sizeof *arrival);
    list_init(&arrival->link);
    list_init(&arrival->entry.link);
    arrival->delivery = delivery;
    arrival->from = (uint16_t)from;
    arrival->sent_us = delivery->sent_us;
    arrival->is_to_self = delivery->entry.role == ROLE_SELF;
    arrival->entry.role = ROLE_RECEIVED;
    arrival->entry.record = arrival_record(core, from, delivery->entry.record);
    if (arrival->entry.record == NULL)
        goto give_arrival;
    arrival->user = user_take(&core->users, record_to(arrival->entry.record));
    if (arrival->user == NULL)
        goto unref_record;
    in_flight_add(core, arrival->entry.record);
    return arrival;

unref_record:
    record_heap_unref(core->generations.heap, &arrival->entry.record);
give_arrival:
    pool_give(&core->deliveries.arrival_pool, arrival);
    return NULL;
}

static const struct arrival *last_arrival(const struct core *core)
{
    return container_of(core->deliveries.arrivals.prev, const struct arrival, link);
}

/* Gives the arrival its ts and its place in the filling batch. 0; -EAGAIN: the arrival has to wait; another error of
 * wal_can_append; or -ENOSPC if the recipient has too much pending. */
static int append_arrival(struct core *core, struct arrival *arrival)
{
    struct record *record = arrival->entry.record;
    int status = log_can_append(&core->wal_writer.log, record_encoded_bytes(record));
    if (status != 0)
        return status;
    if (!arrival->is_to_self) {
        if (!fanout_has_room(arrival->user, record_body_bytes(record)))
            return -ENOSPC;
        arrival->entry.ts = core_next_ts(core);
        record->ts_to = arrival->entry.ts;
        timeline_append(&arrival->user->timeline, &arrival->entry);
    }
    status = log_append(&core->wal_writer.log, record, &arrival->sequence);
    ASSERT(status == 0);
    core_lengthen_turn(core, TURN_STORED_NS);
    ASSERT(list_is_empty(&core->deliveries.arrivals) || last_arrival(core)->sequence <= arrival->sequence);
    core->wal_writer.only_outstanding += arrival->delivery->is_only_outstanding;
    list_remove(&arrival->link);
    list_append(&core->deliveries.arrivals, &arrival->link);
    if (FAULT(ACK_BEFORE_FLUSH))
        arrival_answer(core, arrival, DELIVERY_STORED);
    return 0;
}

static void try_append(struct core *core, struct arrival *arrival)
{
    switch (append_arrival(core, arrival)) {
    case 0:
    case -EAGAIN: return;
    case -EIO: arrival_refuse(core, arrival, DELIVERY_REFUSED); return;
    default: arrival_refuse(core, arrival, DELIVERY_BUSY); return;
    }
}

void delivery_fetch(const struct delivery *delivery)
{
    record_prefetch(delivery->entry.record);
}

void delivery_arrive(struct core *core, uint32_t from, struct delivery *delivery)
{
    enum error_code code;
    const char *message;
    uint32_t retry_after_ms;
    ASSERT_ON_SHARD(core->shard);
    ASSERT(delivery->letter.kind == LETTER_SEND && delivery->outcome == DELIVERY_IN_FLIGHT);
    if (from != core->index && !core_admits_send(core, delivery->share, &code, &message, &retry_after_ms)) {
        return_letter(core, from, delivery, code == ERROR_BUSY ? DELIVERY_BUSY : DELIVERY_REFUSED);
        return;
    }
    struct arrival *arrival = arrival_make(core, from, delivery);
    if (arrival == NULL) {
        return_letter(core, from, delivery, DELIVERY_BUSY);
        return;
    }
    bool others_wait = !list_is_empty(&core->deliveries.wal_waiting);
    list_append(&core->deliveries.wal_waiting, &arrival->link);
    if (!others_wait)
        try_append(core, arrival);
}

void delivery_drain_waiting(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    while (!list_is_empty(&core->deliveries.wal_waiting)) {
        struct list *first = core->deliveries.wal_waiting.next;
        try_append(core, container_of(first, struct arrival, link));
        if (core->deliveries.wal_waiting.next == first)
            return;
    }
}

/* The record is durable: puts it into the memtable, wherever its entry stands in the queue, and returns the letter. */
static void settle_arrival(struct core *core, struct arrival *arrival)
{
    struct record *record = arrival->entry.record;
    ASSERT(arrival->sequence <= core->deliveries.durable_to);
    list_remove(&arrival->link);
    in_flight_remove(core, record);
    core_remember(core, arrival->user, record, arrival->is_to_self ? ROLE_SELF : ROLE_RECEIVED);
    if (arrival->is_to_self) {
        arrival_answer(core, arrival, DELIVERY_STORED);
        arrival_free(core, arrival);
        return;
    }
    struct user *user = user_ref(arrival->user);
    arrival_answer(core, arrival, DELIVERY_STORED);
    timeline_settle(&user->timeline, &arrival->entry);
    fanout_release(core, user);
    user_unref(&core->users, user);
}

bool delivery_is_behind(const struct core *core)
{
    return !list_is_empty(&core->deliveries.arrivals)
           && container_of(core->deliveries.arrivals.next, struct arrival, link)->sequence
                  <= core->deliveries.durable_to;
}

static void settle_first_arrival(struct core *core)
{
    turn_spend(&core->turn, TURN_ARRIVALS, 1);
    core_lengthen_turn(core, TURN_DELIVERED_NS);
    settle_arrival(core, container_of(core->deliveries.arrivals.next, struct arrival, link));
}

void delivery_continue(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    while (delivery_is_behind(core) && turn_may(&core->turn, TURN_ARRIVALS))
        settle_first_arrival(core);
}

void delivery_on_durable(struct core *core, uint64_t sequence)
{
    if (sequence > core->deliveries.durable_to)
        core->deliveries.durable_to = sequence;
    delivery_continue(core);
}

void delivery_on_wal_failed(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    while (delivery_is_behind(core))
        settle_first_arrival(core);
    for (struct list *at = core->deliveries.arrivals.next; at != &core->deliveries.arrivals; at = at->next)
        arrival_answer(core, container_of(at, struct arrival, link),
                       FAULT(FAILED_WRITE_IS_BUSY) ? DELIVERY_BUSY : DELIVERY_UNKNOWN);
    while (!list_is_empty(&core->deliveries.wal_waiting))
        arrival_refuse(core, container_of(core->deliveries.wal_waiting.next, struct arrival, link), DELIVERY_REFUSED);
}

void delivery_give_up_posts(struct core *core, struct user *user)
{
    ASSERT(core_has_store_failed(core));
    const struct list *head = &user->timeline.pending;
    for (struct list *at = head->next; at != head; at = at->next) {
        struct entry *entry = container_of(at, struct entry, link);
        if (entry->role == ROLE_RECEIVED || !delivery_of_entry(entry)->is_returned)
            continue;
        struct delivery *delivery = delivery_of_entry(entry);
        if (delivery->is_post)
            reply_error_to_all(core, delivery, ERROR_UNAVAILABLE, unavailable_text, 0);
        else
            reply_error_to_waiters(core, delivery, ERROR_UNAVAILABLE, unavailable_text, 0);
    }
}

void delivery_finish(struct core *core, struct entry *entry)
{
    ASSERT(entry->state == ENTRY_LEFT);
    if (entry->role == ROLE_RECEIVED)
        arrival_free(core, container_of(entry, struct arrival, entry));
    else
        delivery_free(core, delivery_of_entry(entry));
}
