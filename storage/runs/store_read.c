/*
 * store_read.c: one user's rows from all runs, merged by ts in either direction. A run is read only when its range of
 * ts may have the next row, and only if its filter may contain the user.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/fault.h"
#include "storage/page_guard.h"
#include "storage/runs/peer_index.h"
#include "storage/runs/run_pages.h"
#include "storage/runs/store_page.h"
#include "storage/runs/store_private.h"

/* A few rows with short texts. */
#define FETCH_BYTES 384u

/* Rows of one prefix (user and 0x00, or with the key index's 0x01 before) with after < ts < before. */
struct seek {
    uint8_t key[ROW_KEY_BYTES_MAX]; /* the prefix, then room for a ts */
    uint32_t prefix_bytes;
    uint64_t after;
    uint64_t before;
    bool oldest_first;
};

/* One run in the merge. `ts` is that of its next row or, until the cursor is positioned, a bound of the ts of its rows.
 */
struct head {
    struct run *run;
    MDB_cursor *cursor; /* NULL: not positioned yet */
    uint64_t ts;
    struct span value;
};

struct walk {
    struct seek seek;
    uint32_t slot;
    uint64_t last_ts; /* of the row that was given last; 0: none */
    uint32_t count;
    struct head *heads;
    struct head *front; /* the first head, as long as its ts comes before rival_ts; NULL: unknown */
    uint64_t rival_ts;  /* of the second head */
    struct run *at;     /* the run that was read last */
};

int store_reader_open(struct store_reader **reader_r, struct store *store)
{
    struct store_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return -ENOMEM;
    reader->store = store;
    pthread_mutex_lock(&store->lock);
    reader->slot = store->reader_count;
    if (reader->slot < RUN_READERS_MAX)
        store->reader_count++;
    pthread_mutex_unlock(&store->lock);
    if (reader->slot == RUN_READERS_MAX) {
        free(reader);
        return -EMFILE;
    }
    *reader_r = reader;
    return 0;
}

struct store_work store_reader_work(const struct store_reader *reader)
{
    return reader->work;
}

void store_reader_close(struct store_reader **reader)
{
    if (*reader != NULL)
        run_hints_fini(&(*reader)->hints);
    free(*reader);
    *reader = NULL;
}

static void seek_init(struct seek *seek, struct span user, bool is_index, uint64_t after, uint64_t before,
                      bool oldest_first)
{
    uint32_t bytes = is_index ? row_key_index(user, 0, seek->key) : row_key(user, 0, seek->key);
    seek->prefix_bytes = bytes - 8;
    seek->after = after;
    seek->before = before;
    seek->oldest_first = oldest_first;
}

/* Prefetches what is read soon after the row at `row`. In a page later rows lie before earlier ones, and pages are in
 * the order of their rows. With the first row of a page the header of the next page is prefetched. */
static void fetch_next_rows(const struct seek *seek, const struct head *head, const char *row)
{
    uintptr_t page = (uintptr_t)row / RUN_PAGE_BYTES;
    __builtin_prefetch(seek->oldest_first ? row - FETCH_BYTES : row + FETCH_BYTES);
    if (page != (uintptr_t)head->value.data / RUN_PAGE_BYTES)
        __builtin_prefetch((const void *)((seek->oldest_first ? page + 1 : page - 1) * RUN_PAGE_BYTES));
}

/* Takes the row at the cursor into the head. False: it is not in the range, so the head has no more rows. */
static bool head_take(const struct seek *seek, struct head *head, const MDB_val *key, const MDB_val *value)
{
    if (key->mv_size != seek->prefix_bytes + 8 || memcmp(key->mv_data, seek->key, seek->prefix_bytes) != 0)
        return false;
    fetch_next_rows(seek, head, key->mv_data);
    head->ts = bytes_load_be64((const uint8_t *)key->mv_data + seek->prefix_bytes);
    head->value = (struct span){value->mv_data, value->mv_size};
    return head->ts > seek->after && head->ts < seek->before;
}

/* Whether the key is of the index by peer of the seek's user: a ts and more follow the prefix. */
static bool is_index_key(const struct seek *seek, const MDB_val *key)
{
    return key->mv_size > seek->prefix_bytes + 8 && memcmp(key->mv_data, seek->key, seek->prefix_bytes) == 0;
}

/* Steps over the rows of the index by peer, which lie between entries: to the entry before them or behind them. */
static int step_over_index(const struct seek *seek, struct head *head, MDB_val *key, MDB_val *value)
{
    uint8_t entry[ROW_KEY_BYTES_MAX];
    uint64_t ts = bytes_load_be64((const uint8_t *)key->mv_data + seek->prefix_bytes);
    if (seek->oldest_first && ts == PEER_DIRECTORY_TS)
        return MDB_NOTFOUND; /* it is behind all entries */
    memcpy(entry, seek->key, seek->prefix_bytes);
    bytes_store_be64(entry + seek->prefix_bytes, seek->oldest_first ? ts + 1 : ts);
    *key = (MDB_val){seek->prefix_bytes + 8, entry};
    return mdb_cursor_get(head->cursor, key, value, MDB_SET_RANGE);
}

/* 1: the head is at a row; 0: it has no more rows; or -errno. */
static int head_move(const struct seek *seek, struct head *head, MDB_cursor_op op, MDB_val key)
{
    MDB_val value;
    int result = mdb_cursor_get(head->cursor, &key, &value, op);
    if (op == MDB_SET_RANGE && !seek->oldest_first && (result == 0 || result == MDB_NOTFOUND))
        result = mdb_cursor_get(head->cursor, &key, &value, result == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
    if (result == 0 && is_index_key(seek, &key))
        result = step_over_index(seek, head, &key, &value);
    if (result == MDB_NOTFOUND)
        return 0;
    if (result != 0)
        return FAULT(READ_ERROR_IS_END) ? 0 : manifest_errno(result);
    return head_take(seek, head, &key, &value) ? 1 : 0;
}

static int head_position(struct walk *walk, struct head *head)
{
    struct seek *seek = &walk->seek;
    walk->at = head->run;
    int status = run_slot_cursor(head->run, walk->slot, &head->cursor);
    if (status != 0)
        return status;
    bytes_store_be64(seek->key + seek->prefix_bytes, seek->oldest_first ? seek->after + 1 : seek->before);
    return head_move(seek, head, MDB_SET_RANGE, (MDB_val){seek->prefix_bytes + 8, seek->key});
}

static int head_next(struct walk *walk, struct head *head)
{
    walk->at = head->run;
    return head_move(&walk->seek, head, walk->seek.oldest_first ? MDB_NEXT : MDB_PREV, (MDB_val){0, NULL});
}

static void walk_init(struct walk *walk, struct store_reader *reader, const struct run_list *list, struct head *heads,
                      struct span user)
{
    const struct seek *seek = &walk->seek;
    uint64_t hash = filter_hash(user);
    walk->slot = reader->slot;
    walk->last_ts = 0;
    walk->count = 0;
    walk->heads = heads;
    walk->front = NULL;
    walk->at = NULL;
    for (uint32_t i = 0; i < list->count; i++)
        filter_prefetch(&list->runs[i]->filter, hash);
    for (uint32_t i = 0; i < list->count; i++) {
        struct run *run = list->runs[i];
        bool overlaps = run->entry.ts_max > seek->after && run->entry.ts_min < seek->before;
        if (!overlaps || !filter_may_contain(&run->filter, hash))
            continue;
        heads[walk->count++] =
            (struct head){.run = run, .ts = seek->oldest_first ? run->entry.ts_min : run->entry.ts_max};
    }
}

static bool comes_before(const struct walk *walk, uint64_t ts, uint64_t other)
{
    return walk->seek.oldest_first ? ts < other : ts > other;
}

/* Mostly a row is from the same run as the row before: the other heads are compared only when front passes rival_ts. */
static struct head *walk_first(struct walk *walk)
{
    if (walk->front != NULL && comes_before(walk, walk->front->ts, walk->rival_ts))
        return walk->front;
    struct head *best = &walk->heads[0];
    walk->rival_ts = walk->seek.oldest_first ? UINT64_MAX : 0;
    for (uint32_t i = 1; i < walk->count; i++) {
        struct head *head = &walk->heads[i];
        if (comes_before(walk, head->ts, best->ts)) {
            walk->rival_ts = best->ts;
            best = head;
        } else if (comes_before(walk, head->ts, walk->rival_ts)) {
            walk->rival_ts = head->ts;
        }
    }
    return walk->front = best;
}

/* The next row that was not given yet: 1 with ts and value (borrowed until the next call); 0 at the end; or -errno. */
static int walk_next(struct walk *walk, uint64_t *ts_r, struct span *value_r)
{
    while (walk->count > 0) {
        struct head *head = walk_first(walk);
        int status;
        if (head->cursor == NULL) {
            status = head_position(walk, head);
        } else if (head->ts == walk->last_ts) {
            status = head_next(walk, head);
        } else {
            walk->last_ts = *ts_r = head->ts;
            *value_r = head->value;
            return 1;
        }
        if (status < 0)
            return status;
        if (status == 0) {
            *head = walk->heads[--walk->count];
            walk->front = NULL;
        }
    }
    return 0;
}

/* Keeps the reason for store_reader_take_error, and closes the slots, whose cursors may be in any state. */
static int read_failed(struct store_reader *reader, const struct run_list *list, const struct run *at, int status)
{
    char path[RUN_PATH_BYTES];
    for (uint32_t i = 0; i < list->count; i++)
        run_slot_close(list->runs[i], reader->slot);
    if (at == NULL || (status != -EIO && status != -EBADMSG))
        return status;
    run_path(path, reader->store->dir, at->entry.id);
    snprintf(reader->error.text, sizeof reader->error.text,
             status == -EBADMSG ? "%s is damaged (%s): its messages cannot be read; restore it from a backup"
                                : "%s cannot be read: %s: its messages are not served; look at the disk",
             path, strerror(-status));
    return status;
}

int store_read_guarded(struct store_reader *reader, const struct run_list *list, struct run *const *at,
                       int (*rows)(void *context), void *context)
{
    int status = page_guard_run(rows, context);
    return status < 0 ? read_failed(reader, list, *at, status) : status;
}

bool store_reader_take_error(struct store_reader *reader, struct store_error *error_r)
{
    if (reader->error.text[0] == '\0')
        return false;
    *error_r = reader->error;
    reader->error.text[0] = '\0';
    return true;
}

struct page_rows {
    struct walk *walk;
    const struct store_range *range;
    struct store_page *page;
    bool *more_r;
};

static int fill_page(void *context)
{
    const struct page_rows *rows = context;
    struct store_page *page = rows->page;
    const struct store_range *range = rows->range;
    uint64_t ts;
    struct span value;
    int more;
    while ((more = walk_next(rows->walk, &ts, &value)) == 1) {
        bool is_full = page->count >= range->rows_max || page->byte_count + value.bytes > range->bytes_max;
        if (page->count > 0 && is_full) {
            *rows->more_r = true;
            return 0;
        }
        int status = store_page_add(page, ts, value);
        if (status != 0)
            return status;
    }
    return more;
}

int store_reader_range(struct store_reader *reader, struct span user, const struct store_range *range,
                       struct store_page *page, bool *more_r)
{
    struct walk walk;
    ASSERT(range->rows_max > 0);
    ASSERT(user.bytes > 0);
    store_page_reset(page, user);
    *more_r = false;
    if (range->before == 0 || range->after >= range->before - 1)
        return store_page_seal(page, false);
    seek_init(&walk.seek, user, false, range->after, range->before, range->oldest_first);
    struct run_list *list = store_ref_list(reader->store);
    struct head heads[list->count + 1];
    walk_init(&walk, reader, list, heads, user);
    struct page_rows rows = {&walk, range, page, more_r};
    int status = store_read_guarded(reader, list, &walk.at, fill_page, &rows);
    store_unref_list(reader->store, list);
    reader->work.entries += page->count;
    if (status == 0)
        status = store_page_seal(page, !range->oldest_first);
    return status;
}

struct newest_row {
    struct walk *walk;
    uint64_t *ts_r;
};

static int newest_row(void *context)
{
    const struct newest_row *row = context;
    struct span value;
    return walk_next(row->walk, row->ts_r, &value);
}

int store_reader_newest(struct store_reader *reader, struct span user, uint64_t before, uint64_t *ts_r)
{
    struct walk walk;
    *ts_r = 0;
    seek_init(&walk.seek, user, false, 0, before, false);
    struct run_list *list = store_ref_list(reader->store);
    struct head heads[list->count + 1];
    walk_init(&walk, reader, list, heads, user);
    struct newest_row row = {&walk, ts_r};
    int status = store_read_guarded(reader, list, &walk.at, newest_row, &row);
    store_unref_list(reader->store, list);
    return status < 0 ? status : 0;
}

struct newest_rows {
    struct walk *walk;
    uint64_t *ts_list;
    uint32_t count_max;
    uint32_t *count_r;
};

static int newest_rows(void *context)
{
    const struct newest_rows *rows = context;
    struct span value;
    int more = 1;
    while (*rows->count_r < rows->count_max
           && (more = walk_next(rows->walk, &rows->ts_list[*rows->count_r], &value)) == 1)
        ++*rows->count_r;
    return more;
}

int store_reader_newest_some(struct store_reader *reader, struct span user, uint64_t after, uint64_t before,
                             uint64_t *ts_list, uint32_t count_max, uint32_t *count_r)
{
    struct walk walk;
    ASSERT(after < before);
    *count_r = 0;
    seek_init(&walk.seek, user, false, after, before, false);
    struct run_list *list = store_ref_list(reader->store);
    struct head heads[list->count + 1];
    walk_init(&walk, reader, list, heads, user);
    struct newest_rows rows = {&walk, ts_list, count_max, count_r};
    int status = store_read_guarded(reader, list, &walk.at, newest_rows, &rows);
    store_unref_list(reader->store, list);
    return status < 0 ? status : 0;
}

struct keyed_rows {
    struct walk *walk;
    struct store_keyed *keyed;
    uint32_t keyed_max;
    uint32_t *count_r;
};

static int keyed_rows(void *context)
{
    const struct keyed_rows *rows = context;
    uint64_t ts;
    struct span value;
    int more = 1;
    while (*rows->count_r < rows->keyed_max && (more = walk_next(rows->walk, &ts, &value)) == 1) {
        if (value.bytes != 8)
            return -EBADMSG;
        rows->keyed[(*rows->count_r)++] = (struct store_keyed){ts, bytes_load_le64(value.data)};
    }
    return more;
}

int store_reader_keyed(struct store_reader *reader, struct span user, uint64_t since, struct store_keyed *keyed,
                       uint32_t keyed_max, uint32_t *count_r)
{
    struct walk walk;
    *count_r = 0;
    seek_init(&walk.seek, user, true, since == 0 ? 0 : since - 1, UINT64_MAX, false);
    struct run_list *list = store_ref_list(reader->store);
    struct head heads[list->count + 1];
    walk_init(&walk, reader, list, heads, user);
    struct keyed_rows rows = {&walk, keyed, keyed_max, count_r};
    int status = store_read_guarded(reader, list, &walk.at, keyed_rows, &rows);
    store_unref_list(reader->store, list);
    return status < 0 ? status : 0;
}

static int visit_row(struct span key, struct span value,
                     int (*visit)(void *context, struct span user, const struct message *message), void *context)
{
    struct row_key_fields row;
    struct message message;
    int status = row_key_parse(key, &row);
    if (status != 0 || row.kind != ROW_ENTRY)
        return status;
    status = row_decode(row.user, row.ts, value, &message);
    return status == 0 ? visit(context, row.user, &message) : status;
}

int store_reader_walk(struct store_reader *reader,
                      int (*visit)(void *context, struct span user, const struct message *message), void *context)
{
    struct run_source *source;
    struct span key, value;
    struct run_list *list = store_ref_list(reader->store);
    int status = merge_source_open(&source, list->runs, list->count);
    if (status == 0) {
        int more;
        while (status == 0 && (more = run_source_next(source, &key, &value)) != 0)
            status = more < 0 ? more : visit_row(key, value, visit, context);
        run_source_close(&source);
    }
    store_unref_list(reader->store, list);
    return status;
}
