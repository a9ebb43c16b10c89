#include "timeline/idempotency.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fault.h"
#include "history/reads.h"
#include "server/core.h"
#include "timeline/delivery.h"

/* What the window of a user is doing; the state changes in set_state only. Sends pass while it is ready, else they are
 * parked. */
enum idempotency_state {
    IDEMPOTENCY_LOADING,   /* memory is read, or runs are by the reader */
    IDEMPOTENCY_READY,     /* the window is complete */
    IDEMPOTENCY_VERIFYING, /* the reader reads the record of a hit from runs */
};

struct user_keys {
    struct user *user;
    struct key_window *window;
    uint8_t state;      /* set_state */
    struct list link;   /* in core->idempotency.users while IDEMPOTENCY_READY */
    struct list parked; /* struct delivery entry.link, in order of arrival */
    uint32_t parked_count;

    struct reader_job job; /* has a reference to the user while it is in flight */
    int result;            /* of the job: 0 or -errno */

    /* IDEMPOTENCY_LOADING. */
    struct store_keyed *keyed; /* what the job read from runs */
    uint32_t keyed_count;
    uint64_t since; /* ts below which keys have expired */

    /* IDEMPOTENCY_VERIFYING. */
    struct delivery *delivery; /* whose key is checked */
    uint64_t ts;               /* of the hit */
    struct store_page *page;   /* what the job read: the record at ts, if runs have it */
};

static const char conflict_text[] = "the key was used for another message: use a new key for this one";
static const char memory_text[] = "too many keys are in use: wait and send again";
static const char read_text[] = "the store cannot be read: send again with the same key";

static struct span delivery_key(const struct delivery *delivery)
{
    return record_key(delivery->entry.record);
}

/* -- windows and their memory -- */

static void set_state(struct user_keys *keys, enum idempotency_state state)
{
    ASSERT((keys->state == IDEMPOTENCY_READY) != (state == IDEMPOTENCY_READY));
    keys->state = (uint8_t)state;
}

static void keys_free(struct user_keys *keys)
{
    ASSERT(keys->state == IDEMPOTENCY_READY);
    ASSERT(list_is_empty(&keys->parked) && keys->parked_count == 0);
    ASSERT(keys->user->keys == keys);
    list_remove(&keys->link);
    keys->user->keys = NULL;
    key_window_close(&keys->window);
    free(keys);
}

/* Of a user who has none: asserted. NULL: no memory. */
static struct user_keys *keys_make(struct core *core, struct user *user)
{
    ASSERT(user->keys == NULL);
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

/* Frees the least recently used window that is ready, but not `keep`. False: there is none. */
static bool keys_evict(struct core *core, const struct user_keys *keep)
{
    for (struct list *at = core->idempotency.users.next; at != &core->idempotency.users; at = at->next) {
        struct user_keys *keys = container_of(at, struct user_keys, link);
        if (keys == keep)
            continue;
        keys_free(keys);
        return true;
    }
    return false;
}

static void keys_touch(struct core *core, struct user_keys *keys)
{
    ASSERT(keys->state == IDEMPOTENCY_READY);
    list_remove(&keys->link);
    list_append(&core->idempotency.users, &keys->link);
}

/* key_window_load, which may evict the windows of other users. */
static int load_window(struct core *core, struct user_keys *keys, const struct memtable_keyed *keyed, uint32_t count)
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

void idempotency_unmark_key(struct delivery *delivery)
{
    ASSERT(delivery->entry.ts > 0);
    if (delivery_key(delivery).bytes > 0 && delivery->user->keys != NULL)
        key_window_remove(delivery->user->keys->window, delivery->entry.ts);
}

void idempotency_on_idle(struct user *user)
{
    struct user_keys *keys = user->keys;
    if (!user_is_present(user) && keys != NULL && keys->state == IDEMPOTENCY_READY && list_is_empty(&keys->parked))
        keys_free(keys);
}

/* -- the check of a key -- */

enum verdict {
    VERDICT_NEW,       /* the key is not in use: the delivery may be dispatched */
    VERDICT_ANSWERED,  /* the delivery was answered and freed, or waits for another */
    VERDICT_VERIFYING, /* the reader looks at a hit */
};

static bool is_same_message(const struct delivery *delivery, struct span to, struct span text)
{
    return span_equal(record_to(delivery->entry.record), to) && span_equal(record_text(delivery->entry.record), text);
}

/* The key belongs to the stored `message`: answers with `dup` or `key_conflict`. */
static enum verdict answer_stored(struct core *core, struct delivery *delivery, const struct message *message)
{
    if (is_same_message(delivery, message->to, message->text))
        delivery_reject_dup(core, delivery, message->ts, message->mid);
    else
        delivery_reject(core, delivery, ERROR_KEY_CONFLICT, conflict_text, 0);
    return VERDICT_ANSWERED;
}

/* The key belongs to `first`, which is still in the queue: waits for it, or answers with `key_conflict`. */
static enum verdict answer_pending(struct core *core, struct delivery *delivery, struct delivery *first)
{
    const struct record *record = first->entry.record;
    if (is_same_message(delivery, record_to(record), record_text(record)))
        delivery_wait_for(core, delivery, first);
    else
        delivery_reject(core, delivery, ERROR_KEY_CONFLICT, conflict_text, 0);
    return VERDICT_ANSWERED;
}

static void start_verify(struct core *core, struct user_keys *keys, struct delivery *delivery, uint64_t ts);

/* Looks at the record of the hit at `ts`: in the queue, in memory, in runs. VERDICT_NEW: the hash is another key's. */
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
    start_verify(core, keys, delivery, ts);
    return VERDICT_VERIFYING;
}

/* Goes over the hits below `ts`, newest first. */
static enum verdict check_key(struct core *core, struct user_keys *keys, struct delivery *delivery, uint64_t ts)
{
    while (key_window_find(keys->window, delivery->key_hash, &ts)) {
        enum verdict verdict = check_hit(core, keys, delivery, ts);
        if (verdict != VERDICT_NEW)
            return verdict;
    }
    return VERDICT_NEW;
}

/* The window is ready: checks the delivery's key, if it has one, and dispatches the delivery if it is new. */
static void check_and_dispatch(struct core *core, struct user_keys *keys, struct delivery *delivery)
{
    if (delivery_key(delivery).bytes == 0) {
        delivery_dispatch(core, delivery);
        return;
    }
    keys_touch(core, keys);
    key_window_expire(keys->window, core_keys_now_us(core));
    if (check_key(core, keys, delivery, KEY_WINDOW_NEWEST) == VERDICT_NEW)
        delivery_dispatch(core, delivery);
}

/* The window is ready: the parked sends pass, in order, until one of them has to be verified. */
static void unpark(struct core *core, struct user_keys *keys)
{
    struct user *user = user_ref(keys->user);
    keys_touch(core, keys);
    /* A dispatch may close the user's last connection, which frees the window. */
    while (user->keys == keys && keys->state == IDEMPOTENCY_READY && !list_is_empty(&keys->parked)) {
        struct list *first = list_shift(&keys->parked);
        ASSERT(keys->parked_count > 0);
        keys->parked_count--;
        check_and_dispatch(core, keys, container_of(first, struct delivery, entry.link));
    }
    idempotency_on_idle(user);
    user_unref(&core->users, user);
}

static void reject_parked(struct core *core, struct user_keys *keys, enum error_code code, const char *message,
                          uint32_t retry_after_ms)
{
    for (struct list *at; (at = list_shift(&keys->parked)) != NULL;)
        delivery_reject(core, container_of(at, struct delivery, entry.link), code, message, retry_after_ms);
    keys->parked_count = 0;
}

/* Has the reader do `read`, with a reference to the user, and `done` follow on the shard's thread. */
static void post_job(struct core *core, struct user_keys *keys, void (*read)(struct reader_job *job),
                     void (*done)(struct reader_job *job))
{
    ASSERT(keys->state != IDEMPOTENCY_READY);
    keys->job.read = read;
    keys->job.done = done;
    user_ref(keys->user);
    reads_post(core, &keys->job, READS_LOGIN);
}

/* -- verifying a hit that only runs have -- */

/* On the reader's thread. */
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
    return check_key(core, keys, delivery, keys->ts);
}

static void verify_done(struct reader_job *job)
{
    struct user_keys *keys = container_of(job, struct user_keys, job);
    struct core *core = job->core;
    struct user *user = keys->user;
    struct delivery *delivery = keys->delivery;
    struct store_page *page = keys->page;
    ASSERT_ON_SHARD(core->shard);
    ASSERT(delivery != NULL);
    keys->delivery = NULL;
    set_state(keys, IDEMPOTENCY_READY);
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

static void start_verify(struct core *core, struct user_keys *keys, struct delivery *delivery, uint64_t ts)
{
    list_remove(&keys->link);
    set_state(keys, IDEMPOTENCY_VERIFYING);
    keys->delivery = delivery;
    keys->ts = ts;
    keys->page = NULL;
    post_job(core, keys, verify_work, verify_done);
}

/* -- loading a window -- */

/* Writes the keyed sends that are still in the queue, newest first and at most LIMIT_KEYS. Returns how many. */
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

/* Loads what the queue and memory have. They are read before the runs: rows move from memory to runs, never back. */
static int load_memory(struct core *core, struct user_keys *keys)
{
    struct memtable_keyed *keyed = malloc(LIMIT_KEYS * sizeof *keyed);
    if (keyed == NULL)
        return -ENOMEM;
    struct span user = user_name(keys->user);
    int status = load_window(core, keys, keyed, queue_keyed(keys->user, keyed));
    if (status == 0 && !FAULT(KEY_FORGOTTEN))
        status = load_window(core, keys, keyed,
                             memtable_keyed(core->generations.filling, user, keys->since, keyed, LIMIT_KEYS));
    if (status == 0 && core->generations.frozen != NULL)
        status = load_window(core, keys, keyed,
                             memtable_keyed(core->generations.frozen, user, keys->since, keyed, LIMIT_KEYS));
    free(keyed);
    return status;
}

/* On the reader's thread. */
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

/* No send has a ts above last_ts: such a row, which only a damaged run has, would be newer than the next send. */
static int load_runs(struct core *core, struct user_keys *keys)
{
    if (keys->result != 0)
        return keys->result;
    if (keys->keyed_count > 0 && keys->keyed[0].ts > core->last_ts)
        return -EBADMSG;
    struct memtable_keyed *keyed = malloc((keys->keyed_count + 1) * sizeof *keyed);
    if (keyed == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < keys->keyed_count; i++)
        keyed[i] = (struct memtable_keyed){keys->keyed[i].ts, keys->keyed[i].hash};
    int status = load_window(core, keys, keyed, keys->keyed_count);
    free(keyed);
    return status;
}

/* The window is complete; or it cannot be loaded (`status`, -errno): then all parked sends are answered with the error,
 * and the next keyed send tries again. */
static void end_load(struct core *core, struct user_keys *keys, int status)
{
    if (status == 0) {
        set_state(keys, IDEMPOTENCY_READY);
        unpark(core, keys);
        return;
    }
    struct user *user = user_ref(keys->user);
    if (status == -ENOMEM)
        reject_parked(core, keys, ERROR_BUSY, memory_text, DELIVERY_RETRY_MS);
    else
        reject_parked(core, keys, ERROR_UNAVAILABLE, read_text, 0);
    set_state(keys, IDEMPOTENCY_READY);
    keys_free(keys);
    user_unref(&core->users, user);
}

static void load_done(struct reader_job *job)
{
    struct user_keys *keys = container_of(job, struct user_keys, job);
    struct core *core = job->core;
    struct user *user = keys->user;
    ASSERT_ON_SHARD(core->shard);
    int status = load_runs(core, keys);
    free(keys->keyed);
    keys->keyed = NULL;
    end_load(core, keys, status);
    user_unref(&core->users, user);
}

static void start_load(struct core *core, struct user_keys *keys)
{
    ASSERT(keys->state == IDEMPOTENCY_LOADING);
    uint64_t now_us = core_keys_now_us(core);
    keys->since = now_us > LIMIT_KEYS_US ? now_us - LIMIT_KEYS_US : 0;
    int status = load_memory(core, keys);
    if (status != 0 || !reads_runs_reach(core, keys->since)) {
        end_load(core, keys, status);
        return;
    }
    post_job(core, keys, load_work, load_done);
}

/* -- taking a send -- */

/* Keeps the delivery until the window is ready, or answers it with `busy`. */
static void park(struct core *core, struct user_keys *keys, struct delivery *delivery)
{
    ASSERT(keys->state != IDEMPOTENCY_READY);
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
    ASSERT_ON_SHARD(core->shard);
    if (keys == NULL && delivery_key(delivery).bytes == 0) {
        delivery_dispatch(core, delivery);
        return;
    }
    if (keys != NULL && keys->state == IDEMPOTENCY_READY) {
        check_and_dispatch(core, keys, delivery);
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
    start_load(core, keys);
}
