/*
 * store_peers.c: a page of the conversations of a user, from all runs. First all pieces of the index by peer are read,
 * from the newest block on, until no older one can change the page; then the marks of the page's conversations; then
 * the received messages above the marks; last the newest message of each. The next page of a walk goes on where the
 * pieces were read up to.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "storage/runs/store_page.h"
#include "storage/runs/store_peers_private.h"

/* So many marks of a user are read for a whole walk, at some 25 ns each. */
#define WALK_MARKS_MAX 8192u

/* -- open and close -- */

int store_peers_open(struct store_peers **peers_r, struct store *store, struct span user,
                     const struct store_peers_query *query)
{
    ASSERT(query->limit >= 1 && query->limit <= LIMIT_PAGE_ENTRIES);
    ASSERT(user.bytes > 0 && user.bytes <= LIMIT_USER_BYTES);
    struct store_peers *peers = calloc(1, sizeof *peers);
    if (peers == NULL)
        return -ENOMEM;
    peers->store = store;
    peers->query = *query;
    if (peers->query.bound > LIMIT_TS_MAX + 1)
        peers->query.bound = LIMIT_TS_MAX + 1;
    peers->user_bytes = user.bytes;
    memcpy(peers->user, user.data, user.bytes);
    *peers_r = peers;
    return 0;
}

void store_peers_close(struct store_peers **peers)
{
    struct store_peers *closing = *peers;
    if (closing == NULL)
        return;
    if (closing->list != NULL)
        store_unref_list(closing->store, closing->list);
    atomic_fetch_sub(&closing->store->peers_bytes, closing->counted);
    conversations_fini(&closing->all);
    store_page_close(&closing->page);
    free(closing->heads);
    free(closing->rows);
    free(closing);
    *peers = NULL;
}

int store_peers_add(struct store_peers *peers, struct span peer, uint64_t newest)
{
    ASSERT(peers->list == NULL);
    ASSERT(newest > peers->query.after && newest < peers->query.bound);
    struct conversation *noted;
    return conversations_note(&peers->all, peer, newest, 0, &noted);
}

/* -- memory -- */

size_t store_peers_bytes(const struct store_peers *peers)
{
    return sizeof *peers + peers->count * sizeof *peers->heads + conversations_bytes(&peers->all);
}

/* Counts what it takes. 0; or -ENOMEM: all together take too much, and this one takes a part of that. */
static int count_bytes(struct store_peers *peers)
{
    size_t bytes = store_peers_bytes(peers), change = bytes - peers->counted;
    size_t total = atomic_fetch_add(&peers->store->peers_bytes, change) + change;
    peers->counted = bytes;
    return total <= STORE_PEERS_BYTES_MAX || bytes <= STORE_PEERS_BYTES_SMALL || bytes == total ? 0 : -ENOMEM;
}

/* -- from page to page of a walk -- */

static void close_page(struct store_peers *peers)
{
    conversations_unchoose(&peers->all);
    store_page_close(&peers->page);
    free(peers->rows);
    peers->rows = NULL;
}

void store_peers_rest(struct store_peers *peers)
{
    ASSERT(peers->phase == PHASE_DONE && peers->list != NULL);
    close_page(peers);
    peers->list_number = peers->list->number;
    store_unref_list(peers->store, peers->list);
    peers->list = NULL;
    peers->phase = PHASE_REST;
    (void)count_bytes(peers); /* that is less than before */
}

int store_peers_resume(struct store_peers *peers, uint64_t before, uint32_t limit)
{
    ASSERT(peers->phase == PHASE_REST);
    ASSERT(limit >= 1 && limit <= LIMIT_PAGE_ENTRIES);
    struct run_list *list = store_ref_list(peers->store);
    if (list->number != peers->list_number) {
        store_unref_list(peers->store, list);
        return 0;
    }
    peers->list = list;
    peers->query.before = before;
    peers->query.limit = limit;
    for (uint32_t i = 0; i < peers->count; i++) {
        struct peers_head *head = &peers->heads[i];
        bool is_above = head->is_open && head->noted_at > head->peers.newest;
        head->at = is_above ? head->peers.newest + 1 : head->noted_at;
        head->is_over = head->run->entry.rows == 0 || (head->is_known && !head->is_open);
        head->is_in_block = false;
    }
    if (peers->marks == MARKS_OF_PAGE)
        peers->marks = MARKS_READING;
    peers->last_at = peers->next_check = 0;
    peers->has_more = false;
    peers->phase = PHASE_NEWEST;
    int status = store_page_open(&peers->page);
    return status == 0 ? 1 : status;
}

bool store_peers_is_of(const struct store_peers *peers, struct span user)
{
    return span_equal(peers_user(peers), user);
}

static int begin(struct store_peers *peers)
{
    peers->hash = filter_hash(peers_user(peers));
    peers->list = store_ref_list(peers->store);
    ASSERT(peers->list->count < CONVERSATION_SOURCE_MAX);
    peers->heads = calloc(peers->list->count + 1, sizeof *peers->heads);
    if (peers->heads == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < peers->list->count; i++) {
        struct run *run = peers->list->runs[i];
        if (filter_may_contain(&run->filter, peers->hash))
            peers->heads[peers->count++] = (struct peers_head){.run = run, .number = (uint8_t)(i + 1)};
    }
    return store_page_open(&peers->page);
}

/* -- the steps of a page -- */

/* The cursor is of the reader of this step, whose slot may have been closed since the last one. */
static int renew_cursors(struct store_peers *peers)
{
    int status = 0;
    for (uint32_t i = 0; i < peers->count && status == 0; i++) {
        peers->at = peers->heads[i].run;
        if (peers->heads[i].is_open)
            status = run_slot_cursor(peers->heads[i].run, peers->reader->slot, &peers->heads[i].peers.cursor);
    }
    return status;
}

/* After each phase. */
static int begin_marks(struct store_peers *peers)
{
    peers->phase = PHASE_MARKS;
    peers->marks_at = 0;
    for (uint32_t i = 0; i < peers->count; i++)
        peers->heads[i].noted_at = peers->heads[i].at;
    return conversations_choose(&peers->all, peers->query.before, peers->query.limit + 1);
}

static void begin_unseen(struct store_peers *peers)
{
    for (uint32_t i = 0; i < peers->all.chosen_count; i++) {
        struct chosen *chosen = &peers->all.chosen[i];
        chosen->above = chosen->marks.seen > peers->query.after ? chosen->marks.seen : peers->query.after;
        chosen->hash = filter_hash(peers_chosen_name(peers, i));
    }
    store_peers_rewind(peers);
    peers->phase = PHASE_UNSEEN;
}

static int begin_last(struct store_peers *peers)
{
    conversations_sort_newest(&peers->all);
    peers->rows = calloc(peers->all.chosen_count + 1, sizeof *peers->rows);
    store_page_reset(peers->page, peers_user(peers));
    peers->phase = PHASE_LAST;
    return peers->rows == NULL ? -ENOMEM : 0;
}

/* -- marks -- */

/* The rows of the user's marks in a run, in order of names. */
struct marks_walk {
    MDB_cursor *cursor;
    const struct run_map *map;
    struct run_page_rows rows; /* behind this one */
    struct span peer;
    struct span value;
    struct span prefix; /* of the keys */
    uint8_t prefix_bytes[ROW_KEY_PEERS_BYTES_MAX];
};

/* The row of the walk is this one. False: it has no marks of the user. */
static bool take_marks(struct marks_walk *walk, struct span key, struct span value)
{
    struct span prefix = walk->prefix;
    if (key.bytes <= prefix.bytes || memcmp(key.data, prefix.data, prefix.bytes) != 0)
        return false;
    walk->peer = (struct span){key.data + prefix.bytes, key.bytes - prefix.bytes};
    walk->value = value;
    return true;
}

/* The cursor has found a row, or `result` says that it has not. 1; 0: it has no marks of the user; or -errno. */
static int take_found(struct marks_walk *walk, int result, MDB_val key, MDB_val value)
{
    if (result != 0)
        return result == MDB_NOTFOUND ? 0 : manifest_errno(result);
    run_page_rows_begin(&walk->rows, walk->map, key.mv_data);
    return take_marks(walk, (struct span){key.mv_data, key.mv_size}, (struct span){value.mv_data, value.mv_size});
}

/* Goes to the first marks from those of `wanted` on. 1; 0: there are none; or -errno. */
static int seek_marks(struct marks_walk *walk, struct span user, struct span wanted)
{
    uint8_t bytes[ROW_KEY_PEERS_BYTES_MAX];
    MDB_val key = {row_key_marks(user, wanted, bytes), bytes}, value = {0, NULL};
    int result = mdb_cursor_get(walk->cursor, &key, &value, MDB_SET_RANGE);
    return take_found(walk, result, key, value);
}

/* Goes on to the marks of `wanted`, or to the first behind them: along the page, or by a search. */
static int find_marks(struct marks_walk *walk, struct span user, struct span wanted)
{
    struct span key, value;
    int more = 1;
    while (more == 1 && span_compare(walk->peer, wanted) < 0)
        more = run_page_rows_next(&walk->rows, &key, &value) ? take_marks(walk, key, value)
                                                             : seek_marks(walk, user, wanted);
    return more;
}

/* Goes on to the next marks: along the page, or by a search. 1; 0: there are none; or -errno. */
static int next_marks(struct marks_walk *walk, struct span user)
{
    uint8_t bytes[ROW_KEY_PEERS_BYTES_MAX];
    struct span next_key, next_value;
    if (run_page_rows_next(&walk->rows, &next_key, &next_value))
        return take_marks(walk, next_key, next_value);
    MDB_val key = {row_key_marks(user, walk->peer, bytes), bytes}, value = {0, NULL};
    int result = mdb_cursor_get(walk->cursor, &key, &value, MDB_SET);
    result = result == 0 ? mdb_cursor_get(walk->cursor, &key, &value, MDB_NEXT) : result;
    return take_found(walk, result, key, value);
}

/* Goes to the user's first marks, at `place`. 1; or 0: they are not there. */
static int take_first_marks(struct marks_walk *walk, uint64_t place)
{
    struct span key, value;
    run_page_rows_begin_at(&walk->rows, walk->map, place);
    return run_place_row(walk->map, place, &key, &value) && take_marks(walk, key, value);
}

/* Goes to the user's first marks or, if a search is needed, to the first from `wanted` on. 1; 0: there are none; or
 * -errno. */
static int begin_walk(struct marks_walk *walk, const struct store_peers *peers, const struct peers_head *head,
                      MDB_cursor *cursor, struct span wanted)
{
    *walk = (struct marks_walk){.cursor = cursor, .map = &head->run->map};
    walk->prefix.data = (const char *)walk->prefix_bytes;
    walk->prefix.bytes = row_key_marks(peers_user(peers), (struct span){"", 0}, walk->prefix_bytes);
    int more = take_first_marks(walk, head->peers.hint.marks);
    return more == 0 ? seek_marks(walk, peers_user(peers), wanted) : more;
}

/* The marks of the page's conversations in one run. Both are in order of names. */
static int read_marks(struct store_peers *peers, const struct peers_head *head, MDB_cursor *cursor)
{
    struct marks_walk walk;
    struct span user = peers_user(peers);
    int more = begin_walk(&walk, peers, head, cursor, peers_chosen_name(peers, 0));
    for (uint32_t at = 0; more == 1 && at < peers->all.chosen_count; at++) {
        struct span wanted = peers_chosen_name(peers, at);
        struct seen_marks marks;
        more = find_marks(&walk, user, wanted);
        if (more != 1 || !span_equal(walk.peer, wanted))
            continue;
        int status = row_decode_marks(walk.value, &marks);
        if (status != 0)
            return status;
        seen_marks_raise(&peers->all.chosen[at].marks, marks);
    }
    return more < 0 ? more : 0;
}

/* All marks of the user in one run, if there are not too many. */
static int read_all_marks(struct store_peers *peers, const struct peers_head *head, MDB_cursor *cursor)
{
    struct marks_walk walk;
    int more = begin_walk(&walk, peers, head, cursor, (struct span){"", 0});
    while (more == 1 && peers->marks_read < WALK_MARKS_MAX) {
        struct seen_marks marks;
        int status = row_decode_marks(walk.value, &marks);
        status = status == 0 ? conversations_mark(&peers->all, walk.peer, marks) : status;
        if (status != 0)
            return status;
        peers->marks_read++;
        peers->looks -= peers->looks > 0;
        more = next_marks(&walk, peers_user(peers));
    }
    if (more == 1) {
        peers->marks = MARKS_MANY;
        peers->marks_at = 0;
    }
    return more < 0 ? more : 0;
}

static void end_marks(struct store_peers *peers)
{
    if (peers->marks == MARKS_READING) {
        peers->marks = MARKS_KNOWN;
        conversations_take_marks(&peers->all);
    }
    begin_unseen(peers);
}

static int step_marks(struct store_peers *peers)
{
    MDB_cursor *cursor;
    if (peers->marks_at == peers->count || peers->marks == MARKS_KNOWN) {
        end_marks(peers);
        return 0;
    }
    struct peers_head *head = &peers->heads[peers->marks_at++];
    if (head->run->entry.marks == 0 || (peers->all.chosen_count == 0 && peers->marks != MARKS_READING))
        return 0;
    peers->at = head->run;
    peers->looks -= peers->looks > 0;
    int status = store_peers_open_head(peers, head);
    if (status != 0 || head->peers.hint.marks == RUN_HINT_NONE)
        return status;
    status = run_slot_cursor(head->run, peers->reader->slot, &cursor);
    if (status != 0)
        return status;
    if (peers->marks == MARKS_READING)
        return read_all_marks(peers, head, cursor);
    peers->looks -= peers->looks > peers->all.chosen_count ? peers->all.chosen_count : peers->looks;
    return read_marks(peers, head, cursor);
}

/* -- the newest messages -- */

static int read_last(struct store_peers *peers, uint32_t at)
{
    const struct conversation *conversation = &peers->all.list[peers->all.chosen[at].conversation];
    struct span value;
    struct peers_head *head = peers->heads;
    if (conversation->source == 0)
        return 0;
    while (head->number != conversation->source)
        head++;
    peers->at = head->run;
    int status = run_peers_get(&head->peers, conversation->newest, conversation->place, &value);
    if (status == 0)
        status = store_page_add(peers->page, conversation->newest, value);
    peers->rows[at] = peers->page->count;
    return status;
}

static int step_last(struct store_peers *peers)
{
    bool is_full = peers->last_at > 0 && peers->page->byte_count > LIMIT_PAGE_BYTES;
    uint32_t wanted = peers->all.chosen_count < peers->query.limit ? peers->all.chosen_count : peers->query.limit;
    if (peers->last_at < wanted && !is_full) {
        peers->looks -= peers->looks > 0;
        return read_last(peers, peers->last_at++);
    }
    peers->has_more = peers->last_at < peers->all.chosen_count;
    for (uint32_t i = 0; i < peers->last_at; i++)
        chosen_sort(&peers->all.chosen[i], STORE_UNSEEN_MAX);
    peers->phase = PHASE_DONE;
    return store_page_seal(peers->page, false);
}

static int step(void *context)
{
    struct store_peers *peers = context;
    int status = renew_cursors(peers);
    while (status >= 0 && peers->looks > 0 && peers->phase != PHASE_DONE) {
        switch (peers->phase) {
        case PHASE_NEWEST:
            status = store_peers_walk_newest(peers);
            status = status == 0 ? begin_marks(peers) : status;
            break;
        case PHASE_MARKS: status = step_marks(peers); break;
        case PHASE_UNSEEN:
            status = store_peers_walk_unseen(peers);
            status = status == 0 ? begin_last(peers) : status;
            break;
        case PHASE_LAST: status = step_last(peers); break;
        case PHASE_DONE:
        case PHASE_REST: break;
        }
    }
    return status < 0 ? status : 0;
}

int store_peers_step(struct store_peers *peers, struct store_reader *reader)
{
    ASSERT(peers->phase != PHASE_DONE && peers->phase != PHASE_REST);
    ASSERT(reader->store == peers->store);
    int status = 0;
    if (peers->list == NULL) {
        status = begin(peers);
        store_peers_rewind(peers);
    }
    peers->reader = reader;
    peers->looks = STORE_PEERS_STEP;
    peers->at = NULL;
    if (status == 0)
        status = store_read_guarded(reader, peers->list, &peers->at, step, peers);
    if (status >= 0)
        status = count_bytes(peers);
    return status < 0 ? status : peers->phase != PHASE_DONE;
}

/* -- what was found -- */

uint32_t store_peers_count(const struct store_peers *peers)
{
    return peers->phase == PHASE_DONE ? peers->last_at : 0;
}

bool store_peers_more(const struct store_peers *peers)
{
    return peers->has_more;
}

void store_peers_get(const struct store_peers *peers, uint32_t index, struct store_peer *peer_r)
{
    ASSERT(index < store_peers_count(peers));
    const struct chosen *chosen = &peers->all.chosen[index];
    const struct conversation *conversation = &peers->all.list[chosen->conversation];
    *peer_r = (struct store_peer){.name = conversations_name(&peers->all, chosen->conversation),
                                  .newest = conversation->newest,
                                  .marks = chosen->marks,
                                  .is_in_memory = conversation->is_in_memory};
    if (peers->rows[index] > 0)
        peer_r->last = &store_page_messages(peers->page)[peers->rows[index] - 1];
}

static bool has_ts(const struct chosen *chosen, uint64_t ts)
{
    uint32_t low = 0, high = chosen->count; /* descending */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (chosen->ts[middle] > ts)
            low = middle + 1;
        else
            high = middle;
    }
    return low < chosen->count && chosen->ts[low] == ts;
}

uint32_t store_peers_unseen(const struct store_peers *peers, uint32_t index, uint64_t seen, const uint64_t *memory_ts,
                            uint32_t memory_count)
{
    ASSERT(index < store_peers_count(peers));
    const struct chosen *chosen = &peers->all.chosen[index];
    uint32_t count = 0;
    while (count < chosen->count && chosen->ts[count] > seen)
        count++;
    for (uint32_t i = 0; i < memory_count; i++)
        count += memory_ts[i] > seen && !has_ts(chosen, memory_ts[i]);
    return count < STORE_UNSEEN_MAX ? count : STORE_UNSEEN_MAX;
}
