#include "history/range_read.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/state.h"
#include "server/core.h"

/* Limits of the idle reads: their number, and the size of their arrays. */
#define IDLE_READS_MAX 128u
#define IDLE_ROWS_MAX 256u
#define IDLE_PAGE_BYTES_MAX (64u << 10)
/* A record is prefetched so many records before its use. */
#define PREFETCH_AHEAD 8u

/* The state of a read. From RANGE_POSTED on it has a reference to the record of each hit. set_state is the only writer.
 */
enum range_state {
    RANGE_OF_MEMORY, /* runs were not read */
    RANGE_POSTED,    /* the reader has it */
    RANGE_ABANDONED, /* the reader has it, and its owner has closed it */
    RANGE_READ,      /* `page` has the rows of the runs */
    RANGE_FAILED,    /* with `result` */
};

struct range_read {
    uint8_t state; /* enum range_state */
    struct reader_job job;
    struct core *core;
    struct range_read *next_idle;
    struct store_range range;

    /* Of memory, ascending in ts. */
    struct memtable_hit *hits;
    uint32_t hit_room; /* capacity of hits */
    uint32_t hit_count;
    bool memory_has_more;

    /* Of runs; owned by the reader's thread while the read is posted. */
    struct store_page *page;
    bool runs_have_more;
    uint64_t runs_bound; /* with a user: up to where they were looked at, if they have more */
    int result;

    void (*on_done)(void *context, int result);
    void *context;

    /* Merged, after range_read_messages: in `room`, or those of the page. */
    const struct message *messages; /* NULL: not merged yet */
    uint32_t count;
    bool has_more;
    struct message *room;
    uint32_t message_room; /* capacity of room */

    uint8_t user_bytes;
    uint8_t with_bytes; /* 0: all entries */
    char user[LIMIT_USER_BYTES];
    char with[LIMIT_USER_BYTES];
};

/* The transitions of a read. */
static const uint8_t transitions[] = {
    [RANGE_OF_MEMORY] = STATE_TO(RANGE_POSTED),
    [RANGE_POSTED] = STATE_TO(RANGE_ABANDONED) | STATE_TO(RANGE_READ) | STATE_TO(RANGE_FAILED),
    [RANGE_ABANDONED] = STATE_TO(RANGE_READ) | STATE_TO(RANGE_FAILED),
    [RANGE_READ] = STATE_TO(RANGE_OF_MEMORY), /* for another read */
    [RANGE_FAILED] = STATE_TO(RANGE_OF_MEMORY),
};

static void set_state(struct range_read *read, enum range_state state)
{
    ASSERT_TRANSITION(transitions, read->state, state);
    read->state = (uint8_t)state;
}

static bool has_record_refs(const struct range_read *read)
{
    return read->state != RANGE_OF_MEMORY;
}

static struct span read_user(const struct range_read *read)
{
    return (struct span){read->user, read->user_bytes};
}

static struct span read_with(const struct range_read *read)
{
    return (struct span){read->with, read->with_bytes};
}

/* Merges two ascending arrays of hits, equal ts once. Returns the count. */
static uint32_t hits_merge(struct memtable_hit *out, const struct memtable_hit *a, uint32_t a_count,
                           const struct memtable_hit *b, uint32_t b_count)
{
    uint32_t count = 0;
    for (uint32_t i = 0, k = 0; i < a_count || k < b_count;) {
        bool take_a = k == b_count || (i < a_count && a[i].ts <= b[k].ts);
        const struct memtable_hit *hit = take_a ? &a[i++] : &b[k++];
        if (count == 0 || out[count - 1].ts != hit->ts)
            out[count++] = *hit;
    }
    return count;
}

/* The hit number `index` in the order of the range: from its oldest or its newest. */
static const struct memtable_hit *hit_at(const struct range_read *read, uint32_t index)
{
    ASSERT(index < read->hit_count);
    return &read->hits[read->range.oldest_first ? index : read->hit_count - 1 - index];
}

/* Keeps the first `keep` hits in the order of the range. */
static void hits_keep(struct range_read *read, uint32_t keep)
{
    ASSERT(keep <= read->hit_count);
    if (keep == read->hit_count)
        return;
    read->memory_has_more = true;
    if (!read->range.oldest_first)
        memmove(read->hits, read->hits + (read->hit_count - keep), keep * sizeof *read->hits);
    read->hit_count = keep;
}

static void hits_cut_rows(struct range_read *read)
{
    hits_keep(read, read->hit_count < read->range.rows_max ? read->hit_count : read->range.rows_max);
}

/* Limits the hits to bytes_max. Apart from hits_cut_rows, since this reads the records. */
static void hits_cut_bytes(struct range_read *read)
{
    uint32_t keep = 0;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < PREFETCH_AHEAD && i < read->hit_count; i++)
        record_prefetch(hit_at(read, i)->record);
    while (keep < read->hit_count) {
        if (keep + PREFETCH_AHEAD < read->hit_count)
            record_prefetch(hit_at(read, keep + PREFETCH_AHEAD)->record);
        bytes += record_body_bytes(hit_at(read, keep)->record);
        if (keep > 0 && bytes > read->range.bytes_max)
            break;
        keep++;
    }
    hits_keep(read, keep);
}

static int reserve_hits(struct range_read *read, uint32_t count)
{
    if (read->hit_room >= count)
        return 0;
    ASSERT(read->hit_count == 0);
    struct memtable_hit *hits = malloc(count * sizeof *hits);
    if (hits == NULL)
        return -ENOMEM;
    free(read->hits);
    read->hits = hits;
    read->hit_room = count;
    return 0;
}

static uint32_t hits_of(const struct range_read *read, const struct memtable *table, struct memtable_hit *hits,
                        uint32_t hits_max)
{
    const struct store_range *range = &read->range;
    if (read->with_bytes > 0)
        return memtable_peer_range(table, read_user(read), read_with(read), range->after, range->before,
                                   range->oldest_first, hits, hits_max);
    return memtable_range(table, read_user(read), range->after, range->before, range->oldest_first, hits, hits_max);
}

static int hits_gather(struct range_read *read)
{
    const struct core *core = read->core;
    uint32_t rows_max = read->range.rows_max + 1; /* one more shows whether there are more */
    bool has_frozen = core->generations.frozen != NULL && !FAULT(LOSE_FROZEN);
    if (reserve_hits(read, has_frozen ? 4 * rows_max : rows_max) != 0)
        return -ENOMEM;
    if (has_frozen) {
        struct memtable_hit *older = read->hits + 2 * (size_t)rows_max;
        struct memtable_hit *newer = read->hits + 3 * (size_t)rows_max;
        uint32_t older_count = hits_of(read, core->generations.frozen, older, rows_max);
        uint32_t newer_count = hits_of(read, core->generations.filling, newer, rows_max);
        read->hit_count = hits_merge(read->hits, older, older_count, newer, newer_count);
    } else {
        read->hit_count = hits_of(read, core->generations.filling, read->hits, rows_max);
    }
    hits_cut_rows(read);
    return 0;
}

static void read_free(struct range_read *read)
{
    ASSERT(read->state != RANGE_POSTED && read->state != RANGE_ABANDONED);
    if (read->page != NULL)
        store_page_close(&read->page);
    free(read->hits);
    free(read->room);
    free(read);
}

/* Keeps the read and its arrays for another range, or frees it. */
static void read_give(struct core *core, struct range_read *read)
{
    bool is_large = read->hit_room > 2 * IDLE_ROWS_MAX || read->message_room > IDLE_ROWS_MAX
                    || (read->page != NULL && store_page_memory_bytes(read->page) > IDLE_PAGE_BYTES_MAX);
    if (is_large || core->range_reads.idle_count == IDLE_READS_MAX) {
        read_free(read);
        return;
    }
    if (read->state != RANGE_OF_MEMORY)
        set_state(read, RANGE_OF_MEMORY);
    read->next_idle = core->range_reads.idle;
    core->range_reads.idle = read;
    core->range_reads.idle_count++;
}

/* An empty read, new or with the arrays of an earlier one. NULL: no memory. */
static struct range_read *read_take(struct core *core)
{
    struct range_read *read = core->range_reads.idle;
    if (read == NULL)
        return calloc(1, sizeof *read);
    ASSERT(core->range_reads.idle_count > 0);
    ASSERT(read->state == RANGE_OF_MEMORY);
    core->range_reads.idle = read->next_idle;
    core->range_reads.idle_count--;
    read->hit_count = 0;
    read->memory_has_more = read->runs_have_more = false;
    read->messages = NULL;
    read->count = 0;
    read->has_more = false;
    return read;
}

void range_reads_fini(struct range_reads *reads)
{
    for (struct range_read *read; (read = reads->idle) != NULL;) {
        reads->idle = read->next_idle;
        read_free(read);
    }
    reads->idle_count = 0;
}

struct range_read *range_read_open(struct core *core, struct span user, const struct store_range *range,
                                   const struct span *with)
{
    ASSERT(user.bytes > 0 && user.bytes <= LIMIT_USER_BYTES);
    ASSERT(range->rows_max > 0);
    struct range_read *read = read_take(core);
    if (read == NULL)
        return NULL;
    read->core = core;
    read->range = *range;
    uint64_t cut = erasure_cut_ts(core, user);
    if (cut > read->range.after)
        read->range.after = cut;
    read->user_bytes = (uint8_t)user.bytes;
    memcpy(read->user, user.data, user.bytes);
    read->with_bytes = with == NULL ? 0 : (uint8_t)with->bytes;
    memcpy(read->with, with == NULL ? "" : with->data, read->with_bytes);
    if (read->range.after + 1 < range->before && hits_gather(read) != 0) {
        read_free(read);
        return NULL;
    }
    return read;
}

bool range_read_needs_runs(const struct range_read *read)
{
    if (read->range.after + 1 >= read->range.before || !reads_runs_reach(read->core, read->range.after))
        return false;
    if (read->range.oldest_first)
        return true;
    return !read->memory_has_more || read->hits[0].ts <= read->core->runs.ts_max;
}

const struct memtable_hit *range_read_hits(const struct range_read *read, uint32_t *count_r, bool *more_r)
{
    ASSERT(read->state == RANGE_OF_MEMORY);
    *count_r = read->hit_count;
    *more_r = read->memory_has_more;
    return read->hits;
}

/* On the reader's thread. */
static void range_work(struct reader_job *job)
{
    struct range_read *read = container_of(job, struct range_read, job);
    read->result = read->page == NULL ? store_page_open(&read->page) : 0;
    struct store_reader *reader = job->core->reads.store_reader;
    struct store_with with = {.peer = read_with(read)};
    if (read->result == 0 && read->with_bytes > 0)
        read->result = store_reader_with(reader, read_user(read), &with, &read->range, read->page, &read->runs_bound,
                                         &read->runs_have_more);
    else if (read->result == 0)
        read->result = store_reader_range(reader, read_user(read), &read->range, read->page, &read->runs_have_more);
}

static void range_done(struct reader_job *job)
{
    struct range_read *read = container_of(job, struct range_read, job);
    bool is_abandoned = read->state == RANGE_ABANDONED;
    set_state(read, read->result == 0 ? RANGE_READ : RANGE_FAILED);
    if (is_abandoned)
        range_read_close(&read);
    else
        read->on_done(read->context, read->result);
}

void range_read_post(struct range_read *read, enum reads_lane lane, void (*on_done)(void *context, int result),
                     void *context)
{
    ASSERT(read->state == RANGE_OF_MEMORY);
    hits_cut_bytes(read);
    for (uint32_t i = 0; i < read->hit_count; i++)
        record_heap_ref(read->core->generations.heap, read->hits[i].record);
    read->on_done = on_done;
    read->context = context;
    set_state(read, RANGE_POSTED);
    read->job.read = range_work;
    read->job.done = range_done;
    reads_post(read->core, &read->job, lane);
}

/* The part of the range that both sources have given: a source with more rows stopped before the end of the range. The
 * merge ends where the first source stopped. Both bounds are inclusive. */
struct known {
    uint64_t first;
    uint64_t last;
};

static void known_cut(struct known *known, bool oldest_first, uint64_t first, uint64_t last)
{
    if (oldest_first)
        known->last = last < known->last ? last : known->last;
    else
        known->first = first > known->first ? first : known->first;
}

static struct known what_is_known(const struct range_read *read, const struct message *rows, uint32_t row_count)
{
    struct known known = {0, UINT64_MAX};
    if (read->memory_has_more)
        known_cut(&known, read->range.oldest_first, read->hits[0].ts, read->hits[read->hit_count - 1].ts);
    if (read->runs_have_more && read->with_bytes > 0)
        known_cut(&known, read->range.oldest_first, read->runs_bound, read->runs_bound);
    else if (read->runs_have_more)
        known_cut(&known, read->range.oldest_first, rows[0].ts, rows[row_count - 1].ts);
    return known;
}

/* Adds a message at `at`, unless it is a duplicate or beyond `known`. Returns where the next one goes. */
static struct message *messages_add(struct range_read *read, struct message *at, const struct message *message,
                                    struct known known)
{
    if (at > read->room && at[-1].ts == message->ts)
        return at;
    if (message->ts < known.first || message->ts > known.last) {
        read->has_more = true;
        return at;
    }
    ASSERT(at < read->room + read->message_room);
    *at = *message;
    return at + 1;
}

static void messages_merge(struct range_read *read, const struct message *rows, uint32_t row_count)
{
    struct known known = what_is_known(read, rows, row_count);
    struct message *at = read->room;
    for (uint32_t i = 0, k = 0; i < read->hit_count || k < row_count;) {
        if (k == row_count || (i < read->hit_count && read->hits[i].ts <= rows[k].ts)) {
            struct message message = record_view(read->hits[i].record, read->hits[i].role);
            at = messages_add(read, at, &message, known);
            i++;
        } else {
            at = messages_add(read, at, &rows[k++], known);
        }
    }
    read->count = (uint32_t)(at - read->room);
}

static void messages_of_memory(struct range_read *read)
{
    for (uint32_t i = 0; i < read->hit_count; i++)
        read->room[i] = record_view(read->hits[i].record, read->hits[i].role);
    read->count = read->hit_count;
}

static void reserve_messages(struct range_read *read, uint32_t count)
{
    if (read->message_room >= count)
        return;
    free(read->room);
    read->room = malloc(count * sizeof *read->room);
    ASSERT(read->room != NULL);
    read->message_room = count;
}

/* Merges the hits and the rows of the page; rows alone are used in place. */
static void messages_make(struct range_read *read)
{
    if (!has_record_refs(read)) /* else range_read_post has done it */
        hits_cut_bytes(read);
    uint32_t row_count = read->state == RANGE_READ ? store_page_count(read->page) : 0;
    const struct message *rows = row_count == 0 ? NULL : store_page_messages(read->page);
    read->has_more = read->memory_has_more || read->runs_have_more;
    if (read->hit_count == 0) {
        read->messages = rows;
        read->count = row_count;
        return;
    }
    reserve_messages(read, read->hit_count + row_count);
    if (row_count == 0 && !read->runs_have_more)
        messages_of_memory(read);
    else
        messages_merge(read, rows, row_count);
    read->messages = read->room;
}

/* Entries may have been cut while the reader had the read. */
static const struct message *skip_cut(const struct range_read *read, const struct message *messages, uint32_t *count)
{
    uint64_t cut = *count == 0 ? 0 : erasure_cut_ts(read->core, read_user(read));
    while (*count > 0 && messages->ts <= cut) {
        messages++;
        --*count;
    }
    return messages;
}

const struct message *range_read_messages(struct range_read *read, uint32_t *count_r, bool *more_r)
{
    ASSERT(read->state != RANGE_POSTED && read->state != RANGE_ABANDONED);
    if (read->messages == NULL)
        messages_make(read);
    const struct message *messages = read->messages;
    *count_r = read->count;
    *more_r = read->has_more;
    if (read->count > read->range.rows_max) {
        *count_r = read->range.rows_max;
        *more_r = true;
        if (!read->range.oldest_first)
            messages += read->count - read->range.rows_max;
    }
    return skip_cut(read, messages, count_r);
}

uint64_t range_read_bound(const struct range_read *read)
{
    ASSERT(read->messages != NULL || read->count == 0);
    const uint32_t rows_max = read->range.rows_max;
    if (read->count > rows_max) /* range_read_messages has given these, less what was cut meanwhile */
        return read->messages[read->range.oldest_first ? rows_max - 1 : read->count - rows_max].ts;
    uint32_t row_count = read->state == RANGE_READ ? store_page_count(read->page) : 0;
    struct known known = what_is_known(read, row_count == 0 ? NULL : store_page_messages(read->page), row_count);
    return read->range.oldest_first ? known.last : known.first;
}

void range_read_close(struct range_read **read_p)
{
    struct range_read *read = *read_p;
    *read_p = NULL;
    if (read == NULL)
        return;
    if (read->state == RANGE_POSTED) {
        set_state(read, RANGE_ABANDONED);
        return;
    }
    for (uint32_t i = 0; i < read->hit_count && has_record_refs(read); i++)
        record_heap_unref(read->core->generations.heap, &read->hits[i].record);
    read_give(read->core, read);
}
