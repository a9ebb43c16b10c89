#include "history/history_page.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/fault.h"
#include "protocol/reply.h"

/* Capacity for names, key, mid and text of the messages of a full page: raw bytes are never more than written ones. */
#define COPY_BYTES_MAX (LIMIT_PAGE_BYTES + LIMIT_RECORD_BYTES)
/* {"op":"history","id":"…","messages":[],"more":false,"next":…} */
#define PAGE_FRAME_BYTES (128u + LIMIT_ESCAPED_BYTES(LIMIT_ID_BYTES))

void history_page_init(struct history_page *page, const struct request_history *asked)
{
    *page = (struct history_page){
        .oldest_first = asked->has_after, .limit = asked->limit, .after = asked->after, .before = asked->before};
    ASSERT(page->limit > 0);
    if (asked->has_with) {
        page->with_bytes = (uint8_t)asked->with.bytes;
        memcpy(page->with, asked->with.data, asked->with.bytes);
    }
}

void history_page_fini(struct history_page *page)
{
    free(page->kept);
    free(page->copies);
    free(page->bytes);
}

struct store_range history_page_range(const struct history_page *page, uint64_t mark, uint32_t bytes_max)
{
    struct store_range range = {.after = page->after,
                                .before = page->before < mark ? page->before : mark,
                                .oldest_first = page->oldest_first,
                                /* with a user, one more says whether there is more: a read may end before that */
                                .rows_max = page->limit - page->count + (page->with_bytes > 0),
                                .bytes_max = bytes_max};
    if (range.after >= range.before)
        range.before = range.after;
    return range;
}

bool history_page_reserve(struct history_page *page)
{
    if (page->kept == NULL)
        page->kept = malloc(page->limit * sizeof page->kept[0]);
    return page->kept != NULL;
}

struct span history_page_with(const struct history_page *page)
{
    return (struct span){page->with, page->with_bytes};
}

/* Whether the page has room for the message; if so, counts its bytes. Escaped bytes are counted exactly only when the
 * page might be full, since that reads the whole text. */
static bool has_room(struct history_page *page, const struct message *message)
{
    size_t bytes = reply_page_message_bytes_max(message) + 1;
    if (!page->is_exact && page->page_used + bytes + PAGE_FRAME_BYTES > LIMIT_PAGE_BYTES) {
        page->is_exact = true;
        page->page_used = 0;
        for (uint32_t i = 0; i < page->count; i++)
            page->page_used += reply_page_message_bytes(page->kept[i]) + 1;
    }
    if (page->is_exact)
        bytes = reply_page_message_bytes(message) + 1;
    if (page->count > 0 && page->page_used + bytes + PAGE_FRAME_BYTES > LIMIT_PAGE_BYTES)
        return false;
    page->page_used += bytes;
    return true;
}

/* Adds a message to the page. False: the page is full. */
static bool page_add(struct history_page *page, const struct message *message)
{
    ASSERT(page->count <= page->limit);
    if (page->count == page->limit || !has_room(page, message))
        return false;
    page->kept[page->count++] = message;
    return true;
}

static struct span copy_span(struct history_page *page, struct span span)
{
    char *to = page->bytes + page->bytes_used;
    ASSERT(page->bytes_used + span.bytes <= COPY_BYTES_MAX);
    if (span.bytes > 0)
        memcpy(to, span.data, span.bytes);
    page->bytes_used += span.bytes;
    return (struct span){to, span.bytes};
}

/* Copies the messages of the read, which will be closed before the page is complete. False: no memory. */
bool history_page_copy_kept(struct history_page *page)
{
    if (page->copied == page->count)
        return true;
    if (page->copies == NULL)
        page->copies = malloc(page->limit * sizeof *page->copies);
    if (page->bytes == NULL)
        page->bytes = malloc(COPY_BYTES_MAX);
    if (page->copies == NULL || page->bytes == NULL)
        return false;
    ASSERT(page->copied < page->count);
    for (; page->copied < page->count; page->copied++) {
        const struct message *message = page->kept[page->copied];
        struct message *copy = &page->copies[page->copied];
        struct span mid = {(const char *)message->mid, LIMIT_MID_BYTES};
        *copy = *message;
        copy->mid = (const uint8_t *)copy_span(page, mid).data;
        copy->from = copy_span(page, message->from);
        copy->to = copy_span(page, message->to);
        copy->key = copy_span(page, message->key);
        copy->text = copy_span(page, message->text);
        page->kept[page->copied] = copy;
    }
    return true;
}

/* All entries up to the one at `ts` were examined. */
void history_page_move_bound(struct history_page *page, uint64_t ts)
{
    if (page->oldest_first)
        page->after = ts + FAULT(PAGE_BOUND_OFF);
    else
        page->before = ts - FAULT(PAGE_BOUND_OFF);
}

/* Examines one entry: adds it; or the page is complete before it. */
static enum history_look examine(struct history_page *page, const struct message *message)
{
    if (!page_add(page, message))
        return LOOK_MORE;
    page->examined++;
    history_page_move_bound(page, message->ts);
    return LOOK_ON;
}

enum history_look history_page_examine(struct history_page *page, const struct message *messages, uint32_t count,
                                       bool more)
{
    for (uint32_t i = 0; i < count; i++) {
        enum history_look look = examine(page, &messages[page->oldest_first ? i : count - 1 - i]);
        if (look != LOOK_ON)
            return look;
    }
    if (!more)
        return LOOK_END;
    return page->with_bytes == 0 && page->count == page->limit ? LOOK_MORE : LOOK_ON;
}
