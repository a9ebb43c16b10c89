#include "timeline/idempotency.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fault.h"
#include "history/reads.h"
#include "server/core.h"
#include "timeline/delivery.h"

enum idempotency_state { IDEMPOTENCY_LOADING, IDEMPOTENCY_READY, IDEMPOTENCY_VERIFYING };

struct user_keys {
    struct user *user;
    struct key_window *window;
    uint8_t state;
    struct list link;   /* in core->idempotency.users while IDEMPOTENCY_READY, least recently used first */
    struct list parked; /* deliveries, in order */
    uint32_t parked_count;

    struct reader_job job; /* holds the user while it is under way */
    int result;

    /* IDEMPOTENCY_LOADING. */
    struct store_keyed *keyed;
    uint32_t keyed_count;
    uint64_t since;

    /* IDEMPOTENCY_VERIFYING. */
    struct delivery *delivery;
    uint64_t ts;
    struct store_page *page;
};

static const char conflict_text[] = "this key was used for another message: use a new one";
static const char memory_text[] = "too many keys are in use: wait and send again";
static const char read_text[] = "the store cannot be read: send again with the same key";

static struct span delivery_key(const struct delivery *delivery)
{
    return record_key(delivery->entry.record);
}

/* -- windows and their memory -- */

static void keys_free(struct core *core, struct user_keys *keys)
{
    (void)core;
    ASSERT(keys->state == IDEMPOTENCY_READY && list_is_empty(&keys->parked));
    list_remove(&keys->link);
    keys->user->keys = NULL;
    key_window_close(&keys->window);
    free(keys);
}

static struct user_keys *keys_make(struct core *core, struct user *user)
{
    struct user_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL)
        return NULL;
    if (key_window_open(&keys->window, &core->idempotency.memory) != 0) {
        free(keys);
        return NULL;
    }
    keys->user = user;
    keys->state = IDEMPOTENCY_LOADING;
    list_init(&keys->link);
    list_init(&keys->parked);
    user->keys = keys;
    return keys;
}

/* Lets the window go that was not used for longest, but not `keep`. False: there is none. */
static bool keys_evict(struct core *core, const struct user_keys *keep)
{
    for (struct list *at = core->idempotency.users.next; at != &core->idempotency.users; at = at->next) {
        struct user_keys *keys = container_of(at, struct user_keys, link);
        if (keys == keep)
            continue;
        keys_free(core, keys);
        return true;
    }
    return false;
}

static void keys_touch(struct core *core, struct user_keys *keys)
{
    list_remove(&keys->link);
    list_append(&core->idempotency.users, &keys->link);
}

static int window_load(struct core *core, struct user_keys *keys, const struct memtable_keyed *keyed, uint32_t count)
{
    int status;
    do {
        status = key_window_load(keys->window, keyed, count);
    } while (status == -ENOMEM && keys_evict(core, keys));
    return status;
}

bool idempotency_mark_key(struct core *core, struct delivery *delivery, uint64_t ts)
{
    if (delivery_key(delivery).bytes == 0)
        return true;
    struct user_keys *keys = delivery->user->keys;
    ASSERT(keys != NULL);
    int status;
    do {
        status = key_window_add(keys->window, ts, delivery->key_hash);
    } while (status == -ENOMEM && keys_evict(core, keys));
    return status == 0;
}

void idempotency_unmark_key(struct core *core, struct delivery *delivery)
{
    (void)core;
    if (delivery_key(delivery).bytes > 0 && delivery->user->keys != NULL)
        key_window_remove(delivery->user->keys->window, delivery->entry.ts);
}

void idempotency_on_idle(struct core *core, struct user *user)
{
    struct user_keys *keys = user->keys;
    if (keys != NULL && keys->state == IDEMPOTENCY_READY && list_is_empty(&keys->parked))
        keys_free(core, keys);
}

/* -- the check -- */

enum verdict { VERDICT_NEW, VERDICT_ANSWERED, VERDICT_UNDER_WAY };

static bool is_same_message(const struct delivery *delivery, struct span to, struct span text)
{
    return span_equal(record_to(delivery->entry.record), to) && span_equal(record_text(delivery->entry.record), text);
}

/* The key belongs to a stored message: `dup`, or a conflict. */
static enum verdict answer_stored(struct core *core, struct delivery *delivery, const struct message *message)
{
    if (is_same_message(delivery, message->to, message->text))
        delivery_reject_dup(core, delivery, message->ts, message->mid);
    else
        delivery_reject(core, delivery, ERROR_KEY_CONFLICT, conflict_text, 0);
    return VERDICT_ANSWERED;
}

static enum verdict answer_pending(struct core *core, struct delivery *delivery, struct delivery *first)
{
    const struct record *record = first->entry.record;
    if (is_same_message(delivery, record_to(record), record_text(record)))
        delivery_wait_for(core, delivery, first);
    else
        delivery_reject(core, delivery, ERROR_KEY_CONFLICT, conflict_text, 0);
    return VERDICT_ANSWERED;
}

static void verify_start(struct core *core, struct user_keys *keys, struct delivery *delivery, uint64_t ts);

/* Looks at the hit at `ts`: queue, memory, runs. VERDICT_NEW: it was no hit, the hash is another key's. */
static enum verdict check_hit(struct core *core, struct user_keys *keys, struct delivery *delivery, uint64_t ts)
{
    struct span key = delivery_key(delivery);
    struct entry *entry = timeline_find(&keys->user->timeline, ts);
    if (entry != NULL) {
        struct delivery *first = delivery_of_entry(entry);
        return span_equal(delivery_key(first), key) ? answer_pending(core, delivery, first) : VERDICT_NEW;
    }
    struct memtable_hit hit;
    if (reads_memory_find(core, user_name(keys->user), ts, &hit)) {
        struct message message = record_view(hit.record, hit.role);
        return span_equal(message.key, key) ? answer_stored(core, delivery, &message) : VERDICT_NEW;
    }
    if (!reads_runs_reach(core, ts - 1))
        return VERDICT_NEW;
    verify_start(core, keys, delivery, ts);
    return VERDICT_UNDER_WAY;
}

/* Goes over the hits below `ts`. */
static enum verdict check(struct core *core, struct user_keys *keys, struct delivery *delivery, uint64_t ts)
{
    while (key_window_find(keys->window, delivery->key_hash, &ts)) {
        enum verdict verdict = check_hit(core, keys, delivery, ts);
        if (verdict != VERDICT_NEW)
            return verdict;
    }
    return VERDICT_NEW;
}

/* With the gate open. */
static void pass(struct core *core, struct user_keys *keys, struct delivery *delivery)
{
    if (delivery_key(delivery).bytes == 0) {
        delivery_dispatch(core, delivery);
        return;
    }
    keys_touch(core, keys);
    key_window_expire(keys->window, shard_wall_us(core->shard));
    if (check(core, keys, delivery, KEY_WINDOW_NEWEST) == VERDICT_NEW)
        delivery_dispatch(core, delivery);
}

/* The gate is open again: those who waited, until it closes. */
static void unpark(struct core *core, struct user_keys *keys)
{
    struct user *user = user_ref(keys->user);
    keys->state = IDEMPOTENCY_READY;
    keys_touch(core, keys);
    /* Passing may cut off the user's last connection, and the window with it. */
    while (user->keys == keys && keys->state == IDEMPOTENCY_READY && !list_is_empty(&keys->parked)) {
        struct list *first = list_shift(&keys->parked);
        keys->parked_count--;
        pass(core, keys, container_of(first, struct delivery, entry.link));
    }
    if (user->conn_count == 0)
        idempotency_on_idle(core, user);
    user_unref(&core->users, user);
}

static void reject_parked(struct core *core, struct user_keys *keys, enum error_code code, const char *message,
                          uint32_t retry_after_ms)
{
    for (struct list *at; (at = list_shift(&keys->parked)) != NULL;)
        delivery_reject(core, container_of(at, struct delivery, entry.link), code, message, retry_after_ms);
    keys->parked_count = 0;
}

/* -- verifying a hit that only runs hold -- */

static void verify_work(struct reader_job *job)
{
    struct user_keys *keys = container_of(job, struct user_keys, job);
    struct store_range range = {.after = keys->ts - 1,
                                .before = keys->ts + 1,
                                .oldest_first = true,
                                .rows_max = 1,
                                .bytes_max = ROW_VALUE_BYTES_MAX};
    bool more;
    keys->result = store_page_open(&keys->page);
    if (keys->result == 0)
        keys->result =
            store_reader_range(job->core->reads.store_reader, user_name(keys->user), &range, keys->page, &more);
}

static enum verdict verify_verdict(struct core *core, struct user_keys *keys, struct delivery *delivery)
{
    if (keys->result != 0) {
        delivery_reject(core, delivery, ERROR_UNAVAILABLE, read_text, 0);
        return VERDICT_ANSWERED;
    }
    if (store_page_count(keys->page) == 1) {
        struct message message = store_page_message(keys->page, 0);
        if (span_equal(message.key, delivery_key(delivery)))
            return answer_stored(core, delivery, &message);
    }
    return check(core, keys, delivery, keys->ts);
}

static void verify_done(struct reader_job *job)
{
    struct user_keys *keys = container_of(job, struct user_keys, job);
    struct core *core = job->core;
    struct user *user = keys->user;
    struct delivery *delivery = keys->delivery;
    struct store_page *page = keys->page;
    keys->delivery = NULL;
    keys->state = IDEMPOTENCY_READY;
    enum verdict verdict = verify_verdict(core, keys, delivery);
    if (keys->page == page)
        keys->page = NULL;
    store_page_close(&page);
    if (verdict == VERDICT_NEW)
        delivery_dispatch(core, delivery);
    if (user->keys == keys && keys->state == IDEMPOTENCY_READY)
        unpark(core, keys);
    user_unref(&core->users, user);
}

static void verify_start(struct core *core, struct user_keys *keys, struct delivery *delivery, uint64_t ts)
{
    list_remove(&keys->link);
    keys->state = IDEMPOTENCY_VERIFYING;
    keys->delivery = delivery;
    keys->ts = ts;
    keys->page = NULL;
    keys->job.read = verify_work;
    keys->job.done = verify_done;
    user_ref(keys->user);
    reads_post(core, &keys->job, READS_LOGIN);
}

/* -- loading -- */

/* The keyed sends that are still in the queue, newest first. */
static uint32_t queue_keyed(const struct user *user, struct memtable_keyed *keyed)
{
    uint32_t count = 0;
    const struct list *head = &user->timeline.pending;
    for (struct list *at = head->prev; at != head && count < LIMIT_KEYS; at = at->prev) {
        struct entry *entry = container_of(at, struct entry, link);
        if (entry->role == ROLE_RECEIVED || entry->record->key_bytes == 0)
            continue;
        keyed[count++] = (struct memtable_keyed){entry->ts, delivery_of_entry(entry)->key_hash};
    }
    return count;
}

/* What queue and memory hold, each looked at before the runs are. */
static int load_memory(struct core *core, struct user_keys *keys)
{
    struct memtable_keyed *keyed = malloc(LIMIT_KEYS * sizeof *keyed);
    if (keyed == NULL)
        return -ENOMEM;
    struct span user = user_name(keys->user);
    int status = window_load(core, keys, keyed, queue_keyed(keys->user, keyed));
    if (status == 0 && !FAULT(KEY_FORGOTTEN))
        status = window_load(core, keys, keyed,
                             memtable_keyed(core->generations.filling, user, keys->since, keyed, LIMIT_KEYS));
    if (status == 0 && core->generations.frozen != NULL)
        status = window_load(core, keys, keyed,
                             memtable_keyed(core->generations.frozen, user, keys->since, keyed, LIMIT_KEYS));
    free(keyed);
    return status;
}

static void load_work(struct reader_job *job)
{
    struct user_keys *keys = container_of(job, struct user_keys, job);
    keys->keyed = malloc(LIMIT_KEYS * sizeof *keys->keyed);
    if (keys->keyed == NULL) {
        keys->result = -ENOMEM;
        return;
    }
    keys->result = store_reader_keyed(job->core->reads.store_reader, user_name(keys->user), keys->since, keys->keyed,
                                      LIMIT_KEYS, &keys->keyed_count);
}

static int load_runs(struct core *core, struct user_keys *keys)
{
    if (keys->result != 0)
        return keys->result;
    struct memtable_keyed *keyed = malloc((keys->keyed_count + 1) * sizeof *keyed);
    if (keyed == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < keys->keyed_count; i++)
        keyed[i] = (struct memtable_keyed){keys->keyed[i].ts, keys->keyed[i].hash};
    int status = window_load(core, keys, keyed, keys->keyed_count);
    free(keyed);
    return status;
}

/* The window is whole, or cannot be: then all who waited are told, and the next keyed send tries again. */
static void load_end(struct core *core, struct user_keys *keys, int status)
{
    if (status == 0) {
        unpark(core, keys);
        return;
    }
    struct user *user = user_ref(keys->user);
    if (status == -ENOMEM)
        reject_parked(core, keys, ERROR_BUSY, memory_text, DELIVERY_RETRY_MS);
    else
        reject_parked(core, keys, ERROR_UNAVAILABLE, read_text, 0);
    keys->state = IDEMPOTENCY_READY;
    keys_free(core, keys);
    user_unref(&core->users, user);
}

static void load_done(struct reader_job *job)
{
    struct user_keys *keys = container_of(job, struct user_keys, job);
    struct core *core = job->core;
    struct user *user = keys->user;
    int status = load_runs(core, keys);
    free(keys->keyed);
    keys->keyed = NULL;
    load_end(core, keys, status);
    user_unref(&core->users, user);
}

static void load_start(struct core *core, struct user_keys *keys)
{
    uint64_t now_us = shard_wall_us(core->shard);
    keys->since = now_us > LIMIT_KEYS_US ? now_us - LIMIT_KEYS_US : 0;
    int status = load_memory(core, keys);
    if (status != 0 || !reads_runs_reach(core, keys->since)) {
        load_end(core, keys, status);
        return;
    }
    keys->job.read = load_work;
    keys->job.done = load_done;
    user_ref(keys->user);
    reads_post(core, &keys->job, READS_LOGIN);
}

/* -- the way in -- */

static void park(struct core *core, struct user_keys *keys, struct delivery *delivery)
{
    if (keys->parked_count == IDEMPOTENCY_PARKED_MAX) {
        delivery_reject(core, delivery, ERROR_BUSY, "too many sends wait for a key to be checked: wait and send again",
                        DELIVERY_RETRY_MS);
        return;
    }
    list_append(&keys->parked, &delivery->entry.link);
    keys->parked_count++;
}

void idempotency_take(struct core *core, struct delivery *delivery)
{
    struct user_keys *keys = delivery->user->keys;
    if (keys == NULL && delivery_key(delivery).bytes == 0) {
        delivery_dispatch(core, delivery);
        return;
    }
    if (keys != NULL && keys->state == IDEMPOTENCY_READY) {
        pass(core, keys, delivery);
        return;
    }
    if (keys != NULL) {
        park(core, keys, delivery);
        return;
    }
    do {
        keys = keys_make(core, delivery->user);
    } while (keys == NULL && keys_evict(core, NULL));
    if (keys == NULL) {
        delivery_reject(core, delivery, ERROR_BUSY, memory_text, DELIVERY_RETRY_MS);
        return;
    }
    park(core, keys, delivery);
    load_start(core, keys);
}
