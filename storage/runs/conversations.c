#include "storage/runs/conversations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"

#define TABLE_FIRST 1024u
#define NAMES_FIRST 8192u
/* The halves of a slot. */
#define SLOT_HASH UINT64_C(0xffffffff00000000)
#define SLOT_INDEX UINT64_C(0x00000000ffffffff)

void conversations_unchoose(struct conversations *all)
{
    for (uint32_t i = 0; i < all->chosen_count; i++)
        free(all->chosen[i].ts);
    free(all->chosen);
    all->chosen = NULL;
    all->chosen_count = 0;
}

size_t conversations_bytes(const struct conversations *all)
{
    size_t bytes = all->chosen_count * sizeof *all->chosen;
    for (uint32_t i = 0; i < all->chosen_count; i++)
        bytes += all->chosen[i].room * sizeof *all->chosen[i].ts;
    return bytes + all->room * (sizeof *all->list + (all->marks == NULL ? 0 : sizeof *all->marks))
           + all->table_room * sizeof *all->table + all->names_room;
}

void conversations_fini(struct conversations *all)
{
    conversations_unchoose(all);
    free(all->list);
    free(all->marks);
    free(all->table);
    free(all->names);
    *all = (struct conversations){0};
}

struct span conversations_name(const struct conversations *all, uint32_t at)
{
    ASSERT(at < all->count);
    return (struct span){all->names + all->list[at].name_at, all->list[at].name_bytes};
}

static bool has_name(const struct conversations *all, uint32_t at, struct span name)
{
    return all->list[at].name_bytes == name.bytes && span_compare(conversations_name(all, at), name) == 0;
}

/* Most slots that are passed differ in the upper half of the hash, so nothing else is read of theirs. */
static uint64_t *slot_of(const struct conversations *all, uint64_t hash, struct span name)
{
    uint32_t at = (uint32_t)hash & (all->table_room - 1);
    for (;; at = (at + 1) & (all->table_room - 1)) {
        uint64_t *slot = &all->table[at];
        bool may_be_it = ((*slot ^ hash) & SLOT_HASH) == 0;
        if (*slot == 0 || (may_be_it && has_name(all, (uint32_t)(*slot & SLOT_INDEX) - 1, name)))
            return slot;
    }
}

/* So many more marks as the list has got room. */
static int grow_marks(struct conversations *all, uint32_t room)
{
    struct seen_marks *marks = realloc(all->marks, room * sizeof *marks);
    if (marks == NULL)
        return -ENOMEM;
    uint32_t had = all->marks == NULL ? 0 : all->room;
    memset(marks + had, 0, (room - had) * sizeof *marks);
    all->marks = marks;
    return 0;
}

/* The table is at most half full. */
static int grow(struct conversations *all)
{
    if (2 * (all->count + 1) <= all->table_room)
        return 0;
    if (all->table_room == 0 && getrandom(&all->key, sizeof all->key, 0) != sizeof all->key)
        return -EIO;
    uint32_t room = all->table_room == 0 ? TABLE_FIRST : 2 * all->table_room;
    struct conversation *list = realloc(all->list, room / 2 * sizeof *list);
    if (list == NULL)
        return -ENOMEM;
    all->list = list;
    if (all->marks != NULL && grow_marks(all, room / 2) != 0)
        return -ENOMEM;
    all->room = room / 2;
    uint64_t *table = calloc(room, sizeof *table);
    if (table == NULL)
        return -ENOMEM;
    free(all->table);
    all->table = table;
    all->table_room = room;
    for (uint32_t i = 0; i < all->count; i++) {
        uint32_t at = (uint32_t)list[i].hash & (room - 1);
        while (table[at] != 0)
            at = (at + 1) & (room - 1);
        table[at] = (list[i].hash & SLOT_HASH) | (i + 1);
    }
    return 0;
}

static int keep_name(struct conversations *all, struct span name, uint32_t *at_r)
{
    if (all->names_used + name.bytes > all->names_room) {
        size_t room = all->names_room == 0 ? NAMES_FIRST : 2 * all->names_room;
        char *grown = room > UINT32_MAX ? NULL : realloc(all->names, room);
        if (grown == NULL)
            return -ENOMEM;
        all->names = grown;
        all->names_room = room;
    }
    *at_r = (uint32_t)all->names_used;
    memcpy(all->names + all->names_used, name.data, name.bytes);
    all->names_used += name.bytes;
    return 0;
}

/* The conversation with `name`, which is made if there is none. 0; -ENOMEM or -EIO. */
static int find_or_make(struct conversations *all, struct span name, struct conversation **found_r)
{
    ASSERT(name.bytes > 0 && name.bytes <= LIMIT_USER_BYTES);
    int status = grow(all);
    uint64_t hash = hash_multiply(all->key, name);
    if (status != 0)
        return status;
    uint64_t *slot = slot_of(all, hash, name);
    if (*slot == 0) {
        struct conversation made = {.hash = hash, .name_bytes = (uint8_t)name.bytes};
        status = keep_name(all, name, &made.name_at);
        if (status != 0)
            return status;
        ASSERT(all->count < all->room);
        all->list[all->count] = made;
        *slot = (hash & SLOT_HASH) | ++all->count;
    }
    *found_r = &all->list[(*slot & SLOT_INDEX) - 1];
    return 0;
}

int conversations_note(struct conversations *all, struct span name, uint64_t ts, uint8_t source,
                       struct conversation **noted_r)
{
    struct conversation *conversation;
    int status = find_or_make(all, name, &conversation);
    if (status != 0)
        return status;
    conversation->is_in_memory |= source == 0;
    bool is_newer = ts > conversation->newest || (ts == conversation->newest && conversation->source == 0);
    *noted_r = is_newer ? conversation : NULL;
    if (is_newer) {
        conversation->newest = ts;
        conversation->source = source;
        conversation->place = 0;
    }
    return 0;
}

int conversations_mark(struct conversations *all, struct span name, struct seen_marks marks)
{
    struct conversation *conversation;
    int status = find_or_make(all, name, &conversation);
    if (status == 0 && all->marks == NULL)
        status = grow_marks(all, all->room);
    if (status == 0)
        seen_marks_raise(&all->marks[conversation - all->list], marks);
    return status;
}

uint32_t conversations_within(const struct conversations *all, uint64_t from, uint64_t before)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < all->count; i++)
        count += all->list[i].newest >= from && all->list[i].newest < before;
    return count;
}

/* -- those of the page -- */

static int compare_newest(const void *a, const void *b, void *context)
{
    const struct conversations *all = context;
    uint64_t x = all->list[((const struct chosen *)a)->conversation].newest;
    uint64_t y = all->list[((const struct chosen *)b)->conversation].newest;
    return x > y ? -1 : x < y;
}

static int compare_names(const void *a, const void *b, void *context)
{
    const struct conversations *all = context;
    return span_compare(conversations_name(all, ((const struct chosen *)a)->conversation),
                        conversations_name(all, ((const struct chosen *)b)->conversation));
}

/* The root of a heap of `count`, with the least at the root, becomes `value`. */
static void heap_sink(uint64_t *heap, uint32_t count, uint64_t value)
{
    uint32_t at = 0;
    for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && heap[child + 1] < heap[child];
        if (heap[child] >= value)
            break;
        heap[at] = heap[child];
    }
    heap[at] = value;
}

/* The newest entry of the last of the `count_max` newest conversations with newest < before; 0: there are no more. The
 * heap has the newest of them so far, so most conversations cost one comparison. */
static uint64_t find_lowest(const struct conversations *all, uint64_t before, uint64_t *heap, uint32_t count_max)
{
    for (uint32_t i = 0; i < all->count; i++) {
        uint64_t newest = all->list[i].newest;
        if (newest < before && newest > heap[0])
            heap_sink(heap, count_max, newest);
    }
    return heap[0];
}

int conversations_choose(struct conversations *all, uint64_t before, uint32_t count_max)
{
    uint64_t heap[LIMIT_PAGE_ENTRIES + 1];
    ASSERT(all->chosen == NULL);
    ASSERT(count_max > 0 && count_max <= LIMIT_PAGE_ENTRIES + 1);
    memset(heap, 0, count_max * sizeof *heap);
    uint64_t lowest = find_lowest(all, before, heap, count_max);
    lowest = lowest > 0 ? lowest : 1; /* one that has only marks has no entry */
    all->chosen = calloc(count_max, sizeof *all->chosen);
    if (all->chosen == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < all->count && all->chosen_count < count_max; i++)
        if (all->list[i].newest >= lowest && all->list[i].newest < before)
            all->chosen[all->chosen_count++] = (struct chosen){.conversation = i};
    conversations_take_marks(all);
    qsort_r(all->chosen, all->chosen_count, sizeof *all->chosen, compare_names, all);
    return 0;
}

void conversations_take_marks(struct conversations *all)
{
    for (uint32_t i = 0; i < all->chosen_count && all->marks != NULL; i++)
        all->chosen[i].marks = all->marks[all->chosen[i].conversation];
}

void conversations_sort_newest(struct conversations *all)
{
    qsort_r(all->chosen, all->chosen_count, sizeof *all->chosen, compare_newest, all);
}

static int compare_descending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x > y ? -1 : x < y;
}

void chosen_sort(struct chosen *chosen, uint32_t max)
{
    uint32_t kept = 0;
    bool is_sorted = true;
    for (uint32_t i = 1; i < chosen->count && is_sorted; i++)
        is_sorted = chosen->ts[i] < chosen->ts[i - 1];
    if (!is_sorted)
        qsort(chosen->ts, chosen->count, sizeof *chosen->ts, compare_descending);
    for (uint32_t i = 0; i < chosen->count && kept < max; i++)
        if (kept == 0 || chosen->ts[kept - 1] != chosen->ts[i])
            chosen->ts[kept++] = chosen->ts[i];
    chosen->count = kept;
}

int chosen_add(struct chosen *chosen, uint64_t ts, uint32_t max)
{
    if (ts <= chosen->above)
        return 0;
    if (chosen->count == 2 * max) {
        chosen_sort(chosen, max);
        if (chosen->count == max && ts < chosen->ts[max - 1])
            return 0;
    }
    if (chosen->count == chosen->room) {
        uint32_t room = chosen->room == 0 ? 8 : 2 * chosen->room;
        uint64_t *grown = realloc(chosen->ts, room * sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        chosen->ts = grown;
        chosen->room = room;
    }
    chosen->ts[chosen->count++] = ts;
    return 0;
}
