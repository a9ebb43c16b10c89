#include "storage/runs/cuts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/fault.h"
#include "base/list.h"
#include "storage/record.h"

void cuts_fini(struct cuts *cuts)
{
    for (uint32_t i = 0; i < cuts->count; i++)
        free(cuts->list[i]);
    free(cuts->list);
    *cuts = (struct cuts){0};
}

/* The index of the first cut whose user is not below `user`. */
static uint32_t seek(const struct cuts *cuts, struct span user)
{
    uint32_t low = 0, high = cuts->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (span_compare(cut_user(cuts->list[middle]), user) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* With the fault a cut is that of all users whose names begin with the name of its user. */
static bool is_of(const struct cut *cut, struct span user)
{
    if (FAULT(CUT_BY_PREFIX) && cut->user_bytes > 0 && user.bytes > cut->user_bytes)
        user.bytes = cut->user_bytes;
    return span_equal(cut_user(cut), user);
}

struct cut *cuts_find(const struct cuts *cuts, struct span user)
{
    uint32_t at = seek(cuts, user);
    if (FAULT(CUT_BY_PREFIX) && at > 0 && (at == cuts->count || !span_equal(cut_user(cuts->list[at]), user)))
        at--;
    return at < cuts->count && is_of(cuts->list[at], user) ? cuts->list[at] : NULL;
}

static struct cut *cut_make(struct span user)
{
    struct cut *cut = calloc(1, sizeof *cut + user.bytes);
    if (cut == NULL)
        return NULL;
    cut->user_bytes = (uint8_t)user.bytes;
    if (user.bytes > 0)
        memcpy(cut->user, user.data, user.bytes);
    return cut;
}

/* A cut at `ts` 0 for `user`, who has none and whose place is `at`. NULL: no memory. */
static struct cut *insert(struct cuts *cuts, uint32_t at, struct span user)
{
    if (cuts->count == cuts->room) {
        uint32_t room = cuts->room == 0 ? 16 : cuts->room * 2;
        struct cut **grown = realloc(cuts->list, room * sizeof(struct cut *));
        if (grown == NULL)
            return NULL;
        cuts->list = grown;
        cuts->room = room;
    }
    struct cut *cut = cut_make(user);
    if (cut == NULL)
        return NULL;
    memmove(&cuts->list[at + 1], &cuts->list[at], (cuts->count - at) * sizeof(struct cut *));
    cuts->list[at] = cut;
    cuts->count++;
    return cut;
}

int cuts_add(struct cuts *cuts, struct span user, uint64_t ts, uint64_t since_id)
{
    ASSERT(user.bytes <= LIMIT_USER_BYTES);
    ASSERT(ts > 0 && ts <= LIMIT_TS_MAX);
    uint32_t at = seek(cuts, user);
    bool is_there = at < cuts->count && span_equal(cut_user(cuts->list[at]), user);
    if (!is_there && cuts->count >= CUTS_MAX)
        return -ENOSPC;
    struct cut *cut = is_there ? cuts->list[at] : insert(cuts, at, user);
    if (cut == NULL)
        return -ENOMEM;
    if (ts <= cut->ts)
        return 0;
    cut->ts = ts;
    cut->since_id = since_id;
    cut->is_saved = false;
    return 0;
}

void cuts_remove(struct cuts *cuts, struct span user)
{
    uint32_t at = seek(cuts, user);
    if (at == cuts->count || !span_equal(cut_user(cuts->list[at]), user))
        return;
    free(cuts->list[at]);
    cuts->count--;
    memmove(&cuts->list[at], &cuts->list[at + 1], (cuts->count - at) * sizeof(struct cut *));
}

uint64_t cuts_ts(const struct cuts *cuts, struct span user)
{
    if (cuts->count == 0)
        return 0;
    const struct cut *all = cuts->list[0]->user_bytes == 0 ? cuts->list[0] : NULL;
    const struct cut *own = cuts_find(cuts, user);
    uint64_t ts = all == NULL ? 0 : all->ts;
    return own != NULL && own->ts > ts ? own->ts : ts;
}

uint32_t cuts_slice(const struct cuts *cuts, const struct cut_value *after, struct cut_value slice_r[CUTS_SLICE])
{
    uint32_t count = 0;
    struct span last = after == NULL ? (struct span){"", 0} : (struct span){after->user, after->user_bytes};
    uint32_t at = after == NULL ? 0 : seek(cuts, last);
    if (after != NULL && at < cuts->count && span_equal(cut_user(cuts->list[at]), last))
        at++;
    for (; count < CUTS_SLICE && at < cuts->count; at++) {
        const struct cut *cut = cuts->list[at];
        struct cut_value *value = &slice_r[count++];
        value->ts = cut->ts;
        value->since_id = cut->since_id;
        value->keys_id = cut->keys_id;
        value->is_saved = cut->is_saved;
        value->user_bytes = cut->user_bytes;
        memcpy(value->user, cut->user, cut->user_bytes);
    }
    return count;
}

int cuts_append(struct cuts *cuts, const struct cut_value *value)
{
    struct span user = {value->user, value->user_bytes};
    ASSERT(cuts->count == 0 || span_compare(cut_user(cuts->list[cuts->count - 1]), user) < 0);
    struct cut *cut = insert(cuts, cuts->count, user);
    if (cut == NULL)
        return -ENOMEM;
    cut->ts = value->ts;
    cut->since_id = value->since_id;
    cut->keys_id = value->keys_id;
    cut->is_saved = value->is_saved;
    return 0;
}

/* -- the source -- */

struct cut_source {
    struct run_source source;
    struct run_source *inner;
    struct cuts *cuts;
    uint64_t keys_since;
    uint64_t ts; /* of the cut of `user`: rows come in order of their users */
    size_t user_bytes;
    char user[LIMIT_USER_BYTES];
};

static void set_user(struct cut_source *source, struct span user)
{
    if (user.bytes == source->user_bytes && memcmp(user.data, source->user, user.bytes) == 0)
        return;
    memcpy(source->user, user.data, user.bytes);
    source->user_bytes = user.bytes;
    source->ts = cuts_ts(source->cuts, user);
}

static bool is_keyed_send(struct span user, uint64_t ts, struct span value)
{
    struct message message;
    return row_decode(user, ts, value, &message) == 0 && message.key.bytes > 0;
}

static void note_kept(struct cut_source *source, struct span user, uint64_t ts)
{
    struct cut *own = cuts_find(source->cuts, user), *all = source->cuts->list[0];
    if (own != NULL && own->ts >= ts)
        own->keeps_keys = true;
    if (all->user_bytes == 0 && all->ts >= ts)
        all->keeps_keys = true;
}

/* Marks whose messages are both gone go with them. */
static bool do_marks_stay(const struct cut_source *source, struct span value)
{
    struct seen_marks marks;
    return row_decode_marks(value, &marks) != 0 || marks.seen > source->ts || marks.seen_by > source->ts;
}

/* Whether the row goes into the run. A row that cannot be read does: the reader will find it. */
static bool stays(struct cut_source *source, struct span key, struct span value)
{
    struct row_key_fields row;
    if (row_key_parse(key, &row) != 0)
        return true;
    set_user(source, row.user);
    if (row.kind == ROW_MARKS)
        return do_marks_stay(source, value);
    if (row.ts > source->ts)
        return true;
    if (row.ts < source->keys_since || (row.kind != ROW_KEYED && !is_keyed_send(row.user, row.ts, value)))
        return false;
    note_kept(source, row.user, row.ts);
    return true;
}

static int source_next(struct run_source *base, struct span *key_r, struct span *value_r)
{
    struct cut_source *source = container_of(base, struct cut_source, source);
    int more;
    do {
        more = run_source_next(source->inner, key_r, value_r);
    } while (more == 1 && !stays(source, *key_r, *value_r));
    return more;
}

static void source_close(struct run_source *base)
{
    free(container_of(base, struct cut_source, source));
}

int cut_source_open(struct run_source **source_r, struct run_source *inner, struct cuts *cuts, uint64_t keys_since)
{
    struct cut_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return -ENOMEM;
    source->source = (struct run_source){source_next, source_close};
    source->inner = inner;
    source->cuts = cuts;
    source->keys_since = keys_since;
    *source_r = &source->source;
    return 0;
}
