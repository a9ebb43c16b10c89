#include "timeline/seen_ahead.h"

#include <string.h>

#include "base/assert.h"
#include "base/fault.h"
#include "history/reads.h"

static struct span place_user(const struct seen_place *place)
{
    return (struct span){place->names, place->user_bytes};
}

static struct span place_peer(const struct seen_place *place)
{
    return (struct span){place->names + place->user_bytes, place->peer_bytes};
}

static bool is_of(const struct seen_place *place, const struct seen_ahead_key *key)
{
    return span_equal(place_user(place), key->user) && span_equal(place_peer(place), key->peer);
}

/* Whether runs have for the pair what they had when the place was filled. */
static bool holds(const struct seen_place *place, const struct seen_ahead_key *key)
{
    return place->is_known && is_of(place, key) && (place->oldest == key->oldest || FAULT(SEEN_AHEAD_STALE));
}

/* The newest item below `before`; NULL: none. */
static const struct seen_item *newest_below(const struct seen_place *place, uint64_t before)
{
    uint32_t low = 0, high = place->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (place->items[middle].ts < before)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? NULL : &place->items[low - 1];
}

bool seen_ahead_find(const struct seen_ahead *ahead, const struct seen_ahead_key *key, uint64_t after, uint64_t before,
                     uint64_t *mark_r, const struct seen_item **item_r)
{
    const struct seen_place *place = &ahead->places[key->hash % SEEN_AHEAD_PLACES];
    *item_r = NULL;
    if (!holds(place, key))
        return false;
    *mark_r = place->mark;
    if (after + 1 >= before || place->mark + 1 >= before)
        return true;
    const struct seen_item *item = newest_below(place, before);
    if ((before > place->to && !FAULT(SEEN_AHEAD_TOO_FAR)) || (item == NULL && after + 1 < place->from))
        return false;
    if (item != NULL && item->ts > after)
        *item_r = item;
    return true;
}

struct seen_place *seen_ahead_take(struct seen_ahead *ahead, const struct seen_ahead_key *key, bool *is_again_r)
{
    struct seen_place *place = &ahead->places[key->hash % SEEN_AHEAD_PLACES];
    ASSERT(key->user.bytes > 0 && key->user.bytes <= LIMIT_USER_BYTES);
    ASSERT(key->peer.bytes > 0 && key->peer.bytes <= LIMIT_USER_BYTES);
    if (place->is_taken)
        return NULL;
    *is_again_r = is_of(place, key);
    if (!*is_again_r) {
        place->user_bytes = (uint8_t)key->user.bytes;
        place->peer_bytes = (uint8_t)key->peer.bytes;
        memcpy(place->names, key->user.data, key->user.bytes);
        memcpy(place->names + key->user.bytes, key->peer.data, key->peer.bytes);
    }
    place->is_known = false;
    place->oldest = key->oldest;
    place->is_taken = true;
    ahead->taken_count++;
    return place;
}

void seen_ahead_return(struct seen_ahead *ahead, struct seen_place *place, bool is_known)
{
    ASSERT(place->is_taken && ahead->taken_count > 0);
    place->is_taken = false;
    place->is_known = is_known;
    ahead->taken_count--;
}

static void add(struct seen_place *place, const struct message *message)
{
    ASSERT(place->count < SEEN_AHEAD_ITEMS && message->role == ROLE_RECEIVED);
    struct seen_item *item = &place->items[place->count++];
    item->ts = message->ts;
    item->other_ts = message->other_ts;
    memcpy(item->mid, message->mid, sizeof item->mid);
}

void seen_place_begin(struct seen_place *place, uint64_t mark, uint64_t after, uint64_t before,
                      const struct message *message)
{
    ASSERT(after < before);
    place->mark = mark;
    place->from = after + 1;
    place->to = before;
    place->count = 0;
    if (message != NULL) {
        ASSERT(message->ts > after && message->ts < before);
        place->from = message->ts;
        add(place, message);
    }
}

int seen_place_read(struct seen_place *place, struct store_reader *reader, struct store_page *page, uint64_t bound)
{
    struct store_with with = {.peer = place_peer(place), .only_received = true};
    struct store_range range = {.after = place->to - 1,
                                .before = bound,
                                .oldest_first = true,
                                .rows_max = SEEN_AHEAD_ITEMS - place->count,
                                .bytes_max = SEEN_AHEAD_BYTES};
    if (range.rows_max == 0 || range.after + 1 >= range.before)
        return 0;
    uint64_t looked_to;
    bool has_more;
    int status = store_reader_with(reader, place_user(place), &with, &range, page, &looked_to, &has_more);
    if (status != 0)
        return status;
    for (uint32_t i = 0; i < store_page_count(page); i++) {
        struct message message = store_page_message(page, i);
        add(place, &message);
    }
    place->to = has_more ? looked_to + 1 : bound;
    return 0;
}
