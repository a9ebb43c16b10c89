/* store_page.c: copies of the rows of one read, so that the read can unref the runs. */
#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "storage/runs/store_page.h"

#define PAGE_ROWS_FIRST 64u
#define PAGE_BYTES_FIRST 16384u

int store_page_open(struct store_page **page_r)
{
    *page_r = calloc(1, sizeof **page_r);
    return *page_r == NULL ? -ENOMEM : 0;
}

void store_page_close(struct store_page **page)
{
    if (*page == NULL)
        return;
    free((*page)->rows);
    free((*page)->messages);
    free((*page)->bytes);
    free(*page);
    *page = NULL;
}

void store_page_reset(struct store_page *page, struct span user)
{
    ASSERT(user.bytes <= LIMIT_USER_BYTES);
    memcpy(page->user, user.data, user.bytes);
    page->user_bytes = user.bytes;
    page->count = 0;
    page->byte_count = 0;
    page->is_sealed = false;
}

static int reserve(struct store_page *page, size_t bytes)
{
    if (page->count == page->row_room) {
        uint32_t room = page->row_room == 0 ? PAGE_ROWS_FIRST : page->row_room * 2;
        struct store_row *grown = realloc(page->rows, room * sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        page->rows = grown;
        page->row_room = room;
    }
    if (page->byte_count + bytes > page->byte_room) {
        size_t room = page->byte_room == 0 ? PAGE_BYTES_FIRST : page->byte_room * 2;
        while (room < page->byte_count + bytes)
            room *= 2;
        char *grown = realloc(page->bytes, room);
        if (grown == NULL)
            return -ENOMEM;
        page->bytes = grown;
        page->byte_room = room;
    }
    return 0;
}

int store_page_add(struct store_page *page, uint64_t ts, struct span value)
{
    ASSERT(!page->is_sealed);
    int status = reserve(page, value.bytes);
    if (status != 0)
        return status;
    memcpy(page->bytes + page->byte_count, value.data, value.bytes);
    page->rows[page->count++] = (struct store_row){ts, page->byte_count, (uint32_t)value.bytes};
    page->byte_count += value.bytes;
    return 0;
}

static int reserve_messages(struct store_page *page)
{
    if (page->message_room >= page->row_room)
        return 0;
    struct message *messages = malloc(page->row_room * sizeof *messages);
    if (messages == NULL)
        return -ENOMEM;
    free(page->messages);
    page->messages = messages;
    page->message_room = page->row_room;
    return 0;
}

int store_page_seal(struct store_page *page, bool is_descending)
{
    ASSERT(!page->is_sealed);
    struct span user = {page->user, page->user_bytes};
    int status = reserve_messages(page);
    for (uint32_t i = 0; i < page->count && status == 0; i++) {
        const struct store_row *row = &page->rows[is_descending ? page->count - 1 - i : i];
        struct span value = {page->bytes + row->offset, row->bytes};
        status = row_decode(user, row->ts, value, &page->messages[i]);
    }
    page->is_sealed = status == 0;
    return status;
}

uint32_t store_page_count(const struct store_page *page)
{
    return page->is_sealed ? page->count : 0;
}

const struct message *store_page_messages(const struct store_page *page)
{
    return page->messages;
}

struct message store_page_message(const struct store_page *page, uint32_t index)
{
    ASSERT(page->is_sealed);
    ASSERT(index < page->count);
    return page->messages[index];
}

size_t store_page_memory_bytes(const struct store_page *page)
{
    return page->row_room * sizeof *page->rows + page->message_room * sizeof *page->messages + page->byte_room;
}
