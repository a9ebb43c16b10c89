#include "timeline/timeline.h"

#include "base/assert.h"
#include "base/fault.h"

void timeline_init(struct timeline *timeline)
{
    *timeline = (struct timeline){.newest = 0};
    list_init(&timeline->pending);
}

bool timeline_has_room(const struct timeline *timeline, uint32_t left_count, uint32_t bytes)
{
    return timeline->pending_count + left_count < TIMELINE_PENDING_MAX
           && timeline->pending_bytes + bytes <= TIMELINE_PENDING_BYTES_MAX;
}

void timeline_append(struct timeline *timeline, struct entry *entry)
{
    ASSERT(entry->ts > timeline->newest);
    ASSERT(entry->ts <= LIMIT_TS_MAX);
    ASSERT(entry->record != NULL);
    ASSERT(timeline->pending_count < TIMELINE_PENDING_MAX);
    entry->state = ENTRY_PENDING;
    timeline->newest = entry->ts;
    timeline->pending_count++;
    timeline->pending_bytes += record_body_bytes(entry->record);
    list_append(&timeline->pending, &entry->link);
}

void timeline_settle(struct timeline *timeline, struct entry *entry)
{
    ASSERT(entry->state == ENTRY_PENDING);
    ASSERT(list_is_linked(&entry->link));
    ASSERT(timeline->settled_count < timeline->pending_count);
    entry->state = ENTRY_SETTLED;
    timeline->settled_count++;
}

static void remove_entry(struct timeline *timeline, struct entry *entry)
{
    uint32_t bytes = record_body_bytes(entry->record);
    ASSERT(list_is_linked(&entry->link));
    ASSERT(timeline->pending_count > 0);
    ASSERT(timeline->pending_bytes >= bytes);
    list_remove(&entry->link);
    entry->state = ENTRY_LEFT;
    timeline->pending_count--;
    timeline->pending_bytes -= bytes;
}

void timeline_refuse(struct timeline *timeline, struct entry *entry)
{
    ASSERT(entry->state == ENTRY_PENDING);
    remove_entry(timeline, entry);
    if (FAULT(PREV_OF_REFUSED))
        timeline->last = entry->ts;
}

/* With thousands of entries in a queue the next one is in no near cache, and may lie across two cache lines. */
static void prefetch_entry(const struct list *link)
{
    __builtin_prefetch(link);
    __builtin_prefetch((const char *)link + sizeof(struct entry) - 1);
}

struct entry *timeline_release(struct timeline *timeline)
{
    if (timeline->settled_count == 0)
        return NULL;
    struct entry *entry = container_of(timeline->pending.next, struct entry, link);
    if (entry->state != ENTRY_SETTLED)
        return NULL;
    timeline->settled_count--;
    remove_entry(timeline, entry);
    prefetch_entry(timeline->pending.next);
    ASSERT(entry->ts > timeline->last);
    entry->prev = timeline->last;
    timeline->last = entry->ts;
    return entry;
}

uint64_t timeline_mark(const struct timeline *timeline)
{
    ASSERT(list_is_empty(&timeline->pending) == (timeline->pending_count == 0));
    if (list_is_empty(&timeline->pending))
        return TIMELINE_MARK_NONE;
    return container_of(timeline->pending.next, struct entry, link)->ts;
}

void timeline_learn_last(struct timeline *timeline, uint64_t read)
{
    ASSERT(read <= LIMIT_TS_MAX);
    if (read > timeline->last || FAULT(LAST_READ_LATE))
        timeline->last = read;
    if (read > timeline->newest)
        timeline->newest = read;
    timeline->last_is_known = true;
}

void timeline_cut(struct timeline *timeline, uint64_t ts)
{
    ASSERT(timeline_mark(timeline) > ts);
    if (ts > timeline->last)
        timeline->last = ts;
    if (ts > timeline->newest)
        timeline->newest = ts;
}

struct entry *timeline_find(const struct timeline *timeline, uint64_t ts)
{
    for (struct list *at = timeline->pending.prev; at != &timeline->pending; at = at->prev) {
        struct entry *entry = container_of(at, struct entry, link);
        if (entry->ts <= ts)
            return entry->ts == ts ? entry : NULL;
    }
    return NULL;
}
