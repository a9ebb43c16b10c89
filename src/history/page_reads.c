#include "history/page_reads.h"

#include <stdlib.h>

#include "history/range_read.h"
#include "protocol/reply.h"
#include "server/core.h"

/* What a page does after a step. */
enum step { STEP_ON, STEP_NEXT_TURN, STEP_READING, STEP_DONE };

void page_reads_init(struct page_reads *reads)
{
    *reads = (struct page_reads){.active = 0};
    list_init(&reads->waiting);
    list_init(&reads->ready);
}

/* -- the end of a page -- */

static enum step end(struct core *core, struct page_read *read)
{
    ASSERT(!list_is_linked(&read->link));
    ASSERT(core->page_reads.active > 0);
    core->page_reads.active--;
    range_read_close(&read->read);
    history_page_fini(&read->page);
    read->on_done(core, read);
    return STEP_DONE;
}

static enum step fail(struct core *core, struct page_read *read, enum error_code code, const char *message,
                      uint32_t retry_after_ms)
{
    read->code = code;
    read->message = message;
    read->retry_after_ms = retry_after_ms;
    return end(core, read);
}

static enum step fail_memory(struct core *core, struct page_read *read)
{
    return fail(core, read, ERROR_BUSY, HISTORY_PAGE_NO_MEMORY, HISTORY_PAGE_RETRY_MS);
}

/* The message number `index` of the page, ascending in ts. */
static const struct message *message_at(const struct page_read *read, uint32_t index)
{
    const struct history_page *page = &read->page;
    return page->kept[page->oldest_first ? index : page->count - 1 - index];
}

/* Writes the page into the scratch; returns where it begins. */
static const char *write_page(struct core *core, const struct page_read *read, size_t *bytes_r)
{
    struct reply_page page;
    reply_page_begin_body(&page, core->conns.scratch);
    for (uint32_t i = 0; i < read->page.count; i++) {
        bool has_room = reply_page_add(&page, message_at(read, i));
        ASSERT(has_room);
    }
    return reply_page_end_body(&page, read->has_more, read->next, bytes_r);
}

static const char *write_lines(struct core *core, const struct page_read *read, size_t *bytes_r)
{
    *bytes_r = 0;
    for (uint32_t i = 0; i < read->page.count; i++) {
        *bytes_r += reply_write_line(core->conns.scratch + *bytes_r, message_at(read, i));
        ASSERT(*bytes_r <= CONN_SCRATCH_BYTES);
    }
    return core->conns.scratch;
}

static enum step complete(struct core *core, struct page_read *read, bool more)
{
    ASSERT(!core->conns.is_scratch_in_use);
    read->has_more = more;
    read->cut = erasure_cut_ts(core, read->user);
    read->next = read->page.oldest_first ? read->page.after : read->page.before;
    const char *text =
        read->as_lines ? write_lines(core, read, &read->text_bytes) : write_page(core, read, &read->text_bytes);
    turn_spend(&core->turn, TURN_READS, TURN_OUTPUT(read->text_bytes));
    metric_add(&core->metrics.history_pages, 1);
    metric_add(&core->metrics.history_entries, read->page.count);
    if (read->text_bytes > 0) {
        read->text = malloc(read->text_bytes);
        if (read->text == NULL)
            return fail_memory(core, read);
        memcpy(read->text, text, read->text_bytes);
    }
    return end(core, read);
}

/* -- reads -- */

/* Examines the rows of the read. */
static enum step examine(struct core *core, struct page_read *read)
{
    uint32_t examined = read->page.examined;
    uint32_t count;
    bool more;
    if (read->result != 0)
        return fail(core, read, ERROR_UNAVAILABLE, "the store cannot be read: try again", 0);
    if (!history_page_reserve(&read->page))
        return fail_memory(core, read);
    const struct message *messages = range_read_messages(read->read, &count, &more);
    enum history_look look = history_page_examine(&read->page, messages, count, more);
    turn_spend(&core->turn, TURN_READS, read->page.examined - examined);
    if (look != LOOK_ON)
        return complete(core, read, look == LOOK_MORE);
    if (!history_page_copy_kept(&read->page))
        return fail_memory(core, read);
    if (read->page.with_bytes > 0)
        history_page_move_bound(&read->page, range_read_bound(read->read));
    range_read_close(&read->read);
    return STEP_ON;
}

static void page_go(struct core *core, struct page_read *read);

static void on_read(void *context, int result)
{
    struct page_read *read = context;
    read->has_rows = true;
    read->result = result;
    page_go(read->core, read);
}

static enum step begin_read(struct core *core, struct page_read *read)
{
    struct span with = history_page_with(&read->page);
    int indexed = with.bytes > 0 ? reads_index_peers(core, read->user) : 1;
    if (indexed != 1)
        return indexed == 0 ? STEP_NEXT_TURN : fail_memory(core, read);
    struct user *user = user_take(&core->users, read->user);
    if (user == NULL)
        return fail_memory(core, read);
    uint64_t bound = reads_bound(core, user);
    user_unref(&core->users, user);
    if (read->bound == 0)
        read->bound = bound;
    struct store_range range = history_page_range(&read->page, bound, HISTORY_PAGE_READ_BYTES);
    read->result = 0;
    read->read = range_read_open(core, read->user, &range, with.bytes > 0 ? &with : NULL);
    if (read->read == NULL)
        return fail_memory(core, read);
    if (!range_read_needs_runs(read->read))
        return examine(core, read);
    range_read_post(read->read, read->as_lines ? READS_REPLAY : READS_HISTORY, on_read, read);
    return STEP_READING;
}

/* -- turns -- */

/* Goes on with a page that has a place and is not being read, a share at most. */
static void page_go(struct core *core, struct page_read *read)
{
    uint32_t had = core->turn.had[TURN_READS];
    for (enum step step = STEP_ON; step == STEP_ON;) {
        if (!turn_may(&core->turn, TURN_READS) || core->turn.had[TURN_READS] - had >= TURN_READS_SHARE) {
            list_append(&core->page_reads.ready, &read->link);
            return;
        }
        turn_spend(&core->turn, TURN_READS, TURN_PAGE_READS);
        bool has_rows = read->has_rows;
        read->has_rows = false;
        step = has_rows ? examine(core, read) : begin_read(core, read);
        if (step == STEP_NEXT_TURN)
            list_append(&core->page_reads.ready, &read->link);
    }
}

void page_reads_take(struct core *core, struct page_read *read)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(core_shard_of(core, read->user) == core->index);
    read->core = core;
    read->text = NULL;
    read->text_bytes = 0;
    read->bound = 0;
    read->code = ERROR_NONE;
    read->has_rows = false;
    read->read = NULL;
    list_init(&read->link);
    history_page_init(&read->page, &read->asked);
    if (core->page_reads.active >= PAGE_READS_ACTIVE_MAX || !list_is_empty(&core->page_reads.waiting)) {
        list_append(&core->page_reads.waiting, &read->link);
        return;
    }
    core->page_reads.active++;
    page_go(core, read);
}

bool page_reads_are_behind(const struct core *core)
{
    return !list_is_empty(&core->page_reads.ready)
           || (!list_is_empty(&core->page_reads.waiting) && core->page_reads.active < PAGE_READS_ACTIVE_MAX);
}

static void give_places(struct core *core)
{
    while (!list_is_empty(&core->page_reads.waiting) && core->page_reads.active < PAGE_READS_ACTIVE_MAX) {
        core->page_reads.active++;
        list_append(&core->page_reads.ready, list_shift(&core->page_reads.waiting));
    }
}

void page_reads_continue(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    give_places(core);
    while (!list_is_empty(&core->page_reads.ready) && turn_may_carry(&core->turn, TURN_READS)) {
        page_go(core, container_of(list_shift(&core->page_reads.ready), struct page_read, link));
        give_places(core);
    }
}
