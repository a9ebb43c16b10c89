/*
 * store_with.c: the rows of one conversation from all runs, merged by ts, and its marks. As in store_read.c a run is
 * read only when it may have the next row.
 */
#include <errno.h>

#include "base/assert.h"
#include "storage/runs/run_peers.h"
#include "storage/runs/store_page.h"
#include "storage/runs/store_private.h"

/* What one call may cost: a row that is read in passing costs 1. */
#define LOOKS_MAX 8192u
#define LOOKS_ROW 4u

/* One run in the merge. */
struct head {
    struct run *run;
    bool is_open;
    bool is_there; /* the cursor is at the entry at `at` */
    uint64_t at;   /* all entries before it in the order of looking, and at it, were looked at */
    struct run_peers peers;
    uint32_t found; /* entries that wait, from found_at on, in the order of looking */
    uint32_t found_at;
    struct span value; /* of the one entry, if it is not indexed; else no bytes */
    struct peer_entry entries[PEER_PIECE_ENTRIES];
};

struct walk {
    struct store_reader *reader;
    struct span user;
    uint64_t hash; /* filter_hash of the user */
    const struct store_with *with;
    const struct store_range *range;
    struct store_page *page;
    uint32_t count;
    struct head *heads;
    struct run *at; /* that is read */
    uint32_t looks;
    uint64_t last_ts; /* of the row that was given last; 0: none */
    uint64_t *bound_r;
    bool *more_r;
};

static bool is_in_range(const struct walk *walk, const struct head *head, uint64_t ts)
{
    const struct store_range *range = walk->range;
    if (ts <= range->after || ts >= range->before)
        return false;
    return range->oldest_first ? ts > head->at : ts < head->at;
}

/* A bound of the next entry of the head. */
static uint64_t head_ts(const struct walk *walk, const struct head *head)
{
    if (head->found_at < head->found)
        return head->entries[head->found_at].ts;
    return walk->range->oldest_first ? head->at + 1 : head->at - 1;
}

static int head_open(struct walk *walk, struct head *head)
{
    MDB_cursor *cursor;
    int status = run_slot_cursor(head->run, walk->reader->slot, &cursor);
    head->is_open = true;
    if (status != 0)
        return status;
    return run_peers_open(&head->peers, head->run, cursor, walk->user, walk->hash, &walk->reader->hints);
}

/* Takes the entries of a piece that are next, in the order of looking. */
static int take_piece(struct walk *walk, struct head *head, const struct peer_piece *piece)
{
    struct peer_entry entries[PEER_PIECE_ENTRIES];
    bool oldest_first = walk->range->oldest_first;
    int count = peer_piece_read(piece, entries);
    if (count <= 0)
        return -EBADMSG;
    for (int i = 0; i < count; i++) {
        struct peer_entry entry = entries[oldest_first ? count - 1 - i : i];
        if (is_in_range(walk, head, entry.ts) && (entry.is_received || !walk->with->only_received))
            head->entries[head->found++] = entry;
    }
    head->at = oldest_first ? entries[0].ts : entries[count - 1].ts;
    uint32_t wanted = walk->range->rows_max - walk->page->count;
    run_peers_prefetch(&head->peers, head->entries, head->found < wanted ? head->found : wanted);
    return 1;
}

/* Looks at the next piece of the blocks. */
static int look_at_block(struct walk *walk, struct head *head)
{
    struct run_peers *peers = &head->peers;
    bool oldest_first = walk->range->oldest_first;
    uint32_t number = oldest_first ? run_peers_ended(peers, head->at) : run_peers_begun(peers, head->at);
    struct peer_piece piece;
    head->is_there = false;
    if (!oldest_first && number == 0)
        return 0;
    struct peer_block block = run_peers_block(peers, oldest_first ? number : number - 1);
    walk->looks += RUN_PEERS_FIND_LOOKS;
    walk->reader->work.searches++;
    int more = run_peers_find(peers, block, walk->with->peer, head->at, oldest_first, &piece);
    if (more == 1)
        return take_piece(walk, head, &piece);
    head->at = oldest_first ? block.last : block.oldest;
    return more < 0 ? more : 1;
}

/* Looks at the next entry that is not indexed. */
static int look_at_entry(struct walk *walk, struct head *head)
{
    bool oldest_first = walk->range->oldest_first;
    enum role role;
    struct span other, value;
    uint64_t ts;
    int more = run_peers_entry(&head->peers, head->at, oldest_first, head->is_there, &ts, &value);
    walk->looks++;
    walk->reader->work.entries++;
    head->is_there = more == 1;
    if (more != 1) {
        head->at = run_peers_last(&head->peers) + 1; /* newest first: the blocks come */
        return more < 0 || oldest_first || head->at == 1 ? (more < 0 ? more : 0) : 1;
    }
    if (row_decode_peer(value, &role, &other) != 0)
        return -EBADMSG;
    bool is_with = span_equal(role == ROLE_SELF ? walk->user : other, walk->with->peer);
    if (is_with && is_in_range(walk, head, ts) && (role == ROLE_RECEIVED || !walk->with->only_received)) {
        head->entries[head->found++] = (struct peer_entry){.ts = ts, .is_received = role == ROLE_RECEIVED};
        head->value = value;
    }
    head->at = ts;
    return 1;
}

/* Looks on until an entry waits: 1 when something was looked at, 0 when the head has nothing more; or -errno. */
static int head_look(struct walk *walk, struct head *head)
{
    const struct store_range *range = walk->range;
    walk->at = head->run;
    head->found = head->found_at = 0;
    head->value = (struct span){NULL, 0};
    if (!head->is_open)
        return head_open(walk, head);
    if (range->oldest_first ? head->at + 1 >= range->before : head->at <= range->after + 1)
        return 0;
    uint64_t last = run_peers_last(&head->peers);
    bool is_indexed = range->oldest_first ? head->at < last : head->at <= last + 1;
    return is_indexed && last > 0 ? look_at_block(walk, head) : look_at_entry(walk, head);
}

static void walk_init(struct walk *walk, const struct run_list *list)
{
    const struct store_range *range = walk->range;
    for (uint32_t i = 0; i < list->count; i++) {
        struct run *run = list->runs[i];
        const struct run_entry *entry = &run->entry;
        if (entry->ts_max <= range->after || entry->ts_min >= range->before
            || !filter_may_contain(&run->filter, walk->hash))
            continue;
        struct head *head = &walk->heads[walk->count++];
        *head = (struct head){.run = run};
        if (range->oldest_first)
            head->at = entry->ts_min > range->after ? entry->ts_min - 1 : range->after;
        else
            head->at = entry->ts_max < range->before ? entry->ts_max + 1 : range->before;
    }
}

static struct head *walk_first(struct walk *walk)
{
    struct head *best = &walk->heads[0];
    for (uint32_t i = 1; i < walk->count; i++) {
        struct head *head = &walk->heads[i];
        uint64_t ts = head_ts(walk, head), best_ts = head_ts(walk, best);
        if (walk->range->oldest_first ? ts < best_ts : ts > best_ts)
            best = head;
    }
    return best;
}

/* The head with the next entry, which waits in it: 1; 0: there are no more; -EAGAIN: the call has looked at enough, and
 * at all before the head; or another -errno. */
static int walk_next(struct walk *walk, struct head **head_r)
{
    while (walk->count > 0) {
        struct head *head = walk_first(walk);
        *head_r = head;
        if (head->found_at < head->found) {
            uint64_t ts = head->entries[head->found_at].ts;
            if (ts != walk->last_ts) {
                walk->last_ts = ts;
                return 1;
            }
            head->found_at++;
            continue;
        }
        if (walk->looks >= LOOKS_MAX)
            return -EAGAIN;
        int more = head_look(walk, head);
        if (more < 0)
            return more;
        if (more == 0)
            *head = walk->heads[--walk->count];
    }
    return 0;
}

/* The row of the entry that waits in the head. */
static int head_value(struct walk *walk, struct head *head, struct span *value_r)
{
    walk->at = head->run;
    *value_r = head->value;
    if (head->value.bytes > 0)
        return 0;
    head->is_there = false;
    walk->looks += LOOKS_ROW;
    const struct peer_entry *entry = &head->entries[head->found_at];
    return run_peers_get(&head->peers, entry->ts, entry->place, value_r);
}

static int fill_page(void *context)
{
    struct walk *walk = context;
    struct store_page *page = walk->page;
    const struct store_range *range = walk->range;
    struct head *head;
    struct span value;
    int more;
    while ((more = walk_next(walk, &head)) == 1) {
        int status = head_value(walk, head, &value);
        if (status != 0)
            return status;
        bool is_full = page->count >= range->rows_max || page->byte_count + value.bytes > range->bytes_max;
        if (page->count > 0 && is_full) {
            *walk->more_r = true;
            *walk->bound_r = page->rows[page->count - 1].ts;
            return 0;
        }
        status = store_page_add(page, walk->last_ts, value);
        if (status != 0)
            return status;
        head->found_at++;
    }
    if (more != -EAGAIN)
        return more;
    *walk->more_r = true;
    *walk->bound_r = head->at;
    return 0;
}

int store_reader_with(struct store_reader *reader, struct span user, const struct store_with *with,
                      const struct store_range *range, struct store_page *page, uint64_t *bound_r, bool *more_r)
{
    ASSERT(range->rows_max > 0);
    ASSERT(user.bytes > 0 && with->peer.bytes > 0);
    struct walk walk = {.reader = reader,
                        .user = user,
                        .hash = filter_hash(user),
                        .with = with,
                        .range = range,
                        .page = page,
                        .bound_r = bound_r,
                        .more_r = more_r};
    store_page_reset(page, user);
    *more_r = false;
    *bound_r = 0;
    if (range->before == 0 || range->after >= range->before - 1)
        return store_page_seal(page, false);
    struct run_list *list = store_ref_list(reader->store);
    struct head heads[list->count + 1];
    walk.heads = heads;
    walk_init(&walk, list);
    int status = store_read_guarded(reader, list, &walk.at, fill_page, &walk);
    store_unref_list(reader->store, list);
    return status == 0 ? store_page_seal(page, !range->oldest_first) : status;
}

/* -- marks -- */

struct marks_read {
    struct store_reader *reader;
    const struct run_list *list;
    struct span user;
    const uint8_t *key;
    uint32_t key_bytes;
    struct run *at;
    struct seen_marks *marks_r;
};

static int read_marks_of_run(struct marks_read *read, struct run *run)
{
    MDB_cursor *cursor;
    MDB_val key = {read->key_bytes, (void *)(uintptr_t)read->key}, value;
    struct seen_marks marks;
    read->at = run;
    int status = run_slot_cursor(run, read->reader->slot, &cursor);
    if (status != 0)
        return status;
    int result = mdb_cursor_get(cursor, &key, &value, MDB_SET);
    if (result != 0)
        return result == MDB_NOTFOUND ? 0 : manifest_errno(result);
    status = row_decode_marks((struct span){value.mv_data, value.mv_size}, &marks);
    if (status == 0)
        seen_marks_raise(read->marks_r, marks);
    return status;
}

static int read_marks(void *context)
{
    struct marks_read *read = context;
    uint64_t hash = filter_hash(read->user);
    int status = 0;
    for (uint32_t i = 0; i < read->list->count && status == 0; i++) {
        struct run *run = read->list->runs[i];
        if (run->entry.marks > 0 && filter_may_contain(&run->filter, hash))
            status = read_marks_of_run(read, run);
    }
    return status;
}

int store_reader_marks(struct store_reader *reader, struct span user, struct span peer, struct seen_marks *marks_r)
{
    uint8_t key[ROW_KEY_PEERS_BYTES_MAX];
    struct run_list *list = store_ref_list(reader->store);
    struct marks_read read = {.reader = reader, .list = list, .user = user, .key = key, .marks_r = marks_r};
    *marks_r = (struct seen_marks){0, 0};
    read.key_bytes = row_key_marks(user, peer, key);
    int status = store_read_guarded(reader, list, &read.at, read_marks, &read);
    store_unref_list(reader->store, list);
    return status;
}
