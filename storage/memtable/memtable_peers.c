/* memtable_peers.c: the marks of conversations, and the entries of a user by peer. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "storage/memtable/memtable_private.h"

/* A record is prefetched so many entries before its use. */
#define FETCH_ENTRIES 8u

static uint64_t place_in_piece(uint64_t hash)
{
    return hash / MEMTABLE_PIECES % MEMTABLE_PIECE_HEADS;
}

/* -- marks -- */

/* The heads are split one by one as pairs come (linear hashing: Litwin, 1980), so those in use lie close together:
 * with a place for each of a million, each look-up missed the cache and the TLB. */

uint64_t memtable_pair_hash(const struct memtable *table, struct span user, struct span peer)
{
    uint64_t hash = hash_siphash13(table->name_seed, user);
    struct hash_key seed = {table->name_seed.k0 ^ hash, table->name_seed.k1};
    return hash_siphash13(seed, peer);
}

/* The greatest power of two that is not above `heads`. */
static uint32_t level_of(uint32_t heads)
{
    return 1u << (31 - __builtin_clz(heads));
}

/* The head of the hash among the first `heads`, at least one. */
static uint32_t head_of(uint32_t heads, uint64_t hash)
{
    uint32_t level = level_of(heads), at = (uint32_t)hash & (2 * level - 1);
    return at < heads ? at : at & (level - 1);
}

static struct mem_marks **head_at(const struct memtable *table, uint32_t at)
{
    return &table->marks[at / MEMTABLE_PIECE_HEADS][at % MEMTABLE_PIECE_HEADS];
}

/* One head more. False: there is no memory, or there are as many as there may be. */
static bool add_head(struct memtable *table)
{
    uint32_t at = table->mark_heads;
    if (at == MEMTABLE_PIECES * MEMTABLE_PIECE_HEADS)
        return false;
    struct mem_marks ***piece = &table->marks[at / MEMTABLE_PIECE_HEADS];
    if (*piece == NULL)
        *piece = memtable_block_take(table, MEMTABLE_PIECE_HEADS * sizeof **piece);
    if (*piece == NULL)
        return false;
    table->mark_heads++;
    return true;
}

/* Adds a head, and moves to it what belongs there. Without memory the chains get longer. */
static void split_head(struct memtable *table)
{
    uint32_t to = table->mark_heads, from = to - level_of(to);
    if (!add_head(table))
        return;
    struct mem_marks **link = head_at(table, from), **moved = head_at(table, to);
    while (*link != NULL) {
        struct mem_marks *marks = *link;
        if (head_of(table->mark_heads, marks->hash) == from) {
            link = &marks->next;
            continue;
        }
        *link = marks->next;
        marks->next = *moved;
        *moved = marks;
    }
}

static struct mem_marks *marks_find(const struct memtable *table, uint64_t hash, struct span user, struct span peer)
{
    struct mem_marks *marks = table->mark_heads == 0 ? NULL : *head_at(table, head_of(table->mark_heads, hash));
    while (marks != NULL
           && (marks->hash != hash || !span_equal(mem_marks_user(marks), user)
               || !span_equal(mem_marks_peer(marks), peer)))
        marks = marks->next;
    return marks;
}

void memtable_prefetch_head(const struct memtable *table, uint64_t hash)
{
    if (table->mark_heads > 0)
        __builtin_prefetch(head_at(table, head_of(table->mark_heads, hash)));
}

void memtable_prefetch_marks(const struct memtable *table, uint64_t hash)
{
    const struct mem_marks *marks = table->mark_heads == 0 ? NULL : *head_at(table, head_of(table->mark_heads, hash));
    if (marks != NULL)
        __builtin_prefetch(marks);
}

static struct mem_marks *marks_make(struct memtable *table, uint64_t hash, struct span user, struct span peer)
{
    if (table->mark_heads == 0 && !add_head(table))
        return NULL;
    struct mem_marks *marks = memtable_take(table, sizeof *marks + user.bytes + peer.bytes);
    if (marks == NULL)
        return NULL;
    struct mem_marks **head = head_at(table, head_of(table->mark_heads, hash));
    marks->hash = hash;
    marks->user_bytes = (uint8_t)user.bytes;
    marks->peer_bytes = (uint8_t)peer.bytes;
    memcpy(marks->names, user.data, user.bytes);
    memcpy(marks->names + user.bytes, peer.data, peer.bytes);
    marks->next = *head;
    *head = marks;
    marks->next_all = table->marks_first;
    table->marks_first = marks;
    if (++table->mark_count > table->mark_heads)
        split_head(table);
    return marks;
}

int memtable_mark_pair(struct memtable *table, uint64_t hash, struct span user, struct span peer,
                       struct seen_marks raised)
{
    ASSERT(!table->is_frozen);
    ASSERT(user.bytes > 0 && user.bytes <= LIMIT_USER_BYTES);
    ASSERT(peer.bytes > 0 && peer.bytes <= LIMIT_USER_BYTES);
    ASSERT((raised.seen | raised.seen_by) != 0);
    struct mem_marks *marks = marks_find(table, hash, user, peer);
    if (marks == NULL)
        marks = marks_make(table, hash, user, peer);
    if (marks == NULL)
        return -ENOMEM;
    seen_marks_raise(&marks->marks, raised);
    return 0;
}

int memtable_mark(struct memtable *table, struct span user, struct span peer, struct seen_marks marks)
{
    return memtable_mark_pair(table, memtable_pair_hash(table, user, peer), user, peer, marks);
}

struct seen_marks memtable_marks_of_pair(const struct memtable *table, uint64_t hash, struct span user,
                                         struct span peer)
{
    const struct mem_marks *marks = marks_find(table, hash, user, peer);
    return marks == NULL ? (struct seen_marks){0, 0} : marks->marks;
}

struct seen_marks memtable_marks_of(const struct memtable *table, struct span user, struct span peer)
{
    return memtable_marks_of_pair(table, memtable_pair_hash(table, user, peer), user, peer);
}

uint64_t memtable_mark_count(const struct memtable *table)
{
    return table->mark_count;
}

/* -- the index by peer -- */

static uint64_t peer_hash(const struct memtable *table, const struct mem_index *index, struct span name)
{
    struct hash_key seed = {table->name_seed.k0 ^ (uintptr_t)index, table->name_seed.k1};
    return hash_siphash13(seed, name);
}

static struct mem_peer *peer_find(const struct memtable *table, const struct mem_index *index, uint64_t hash,
                                  struct span name)
{
    struct mem_peer *const *heads = table->peers[hash % MEMTABLE_PIECES];
    struct mem_peer *peer = heads == NULL ? NULL : heads[place_in_piece(hash)];
    while (peer != NULL
           && (peer->hash != hash || peer->index != index
               || !span_equal((struct span){peer->name, peer->name_bytes}, name)))
        peer = peer->next;
    return peer;
}

static struct mem_peer *peer_make(struct memtable *table, struct mem_index *index, uint64_t hash, struct span name)
{
    struct mem_peer ***heads = &table->peers[hash % MEMTABLE_PIECES];
    if (*heads == NULL)
        *heads = memtable_block_take(table, MEMTABLE_PIECE_HEADS * sizeof **heads);
    struct mem_peer *peer = *heads == NULL ? NULL : memtable_take(table, sizeof *peer + name.bytes);
    if (peer == NULL)
        return NULL;
    struct mem_peer **head = *heads + place_in_piece(hash);
    peer->index = index;
    peer->hash = hash;
    peer->name_bytes = (uint8_t)name.bytes;
    memcpy(peer->name, name.data, name.bytes);
    mem_entries_init(&peer->entries);
    peer->next = *head;
    *head = peer;
    peer->next_of_index = index->first;
    index->first = peer;
    return peer;
}

static struct span entry_peer(const struct mem_entry *entry)
{
    return mem_entry_role(entry) == ROLE_RECEIVED ? record_from(entry->record) : record_to(entry->record);
}

static int index_put(struct memtable *table, struct mem_index *index, const struct mem_entry *entry)
{
    struct span name = entry_peer(entry);
    uint64_t hash = peer_hash(table, index, name);
    struct mem_peer *peer = peer_find(table, index, hash, name);
    if (peer == NULL)
        peer = peer_make(table, index, hash, name);
    if (peer == NULL)
        return -ENOMEM;
    int status = mem_entries_insert(table, &peer->entries, *entry);
    if (mem_entry_role(entry) == ROLE_RECEIVED && mem_entry_ts(entry) > peer->received_newest)
        peer->received_newest = mem_entry_ts(entry);
    return status < 0 ? status : 0;
}

void mem_index_insert(struct memtable *table, struct mem_user *user, const struct mem_entry *entry)
{
    if (mem_entry_ts(entry) <= user->index->indexed_ts && index_put(table, user->index, entry) != 0)
        user->index = NULL;
}

static void fetch_ahead(const struct mem_entries *list, struct mem_place place)
{
    const struct mem_chunk *chunk = list->chunks[place.chunk];
    if (place.entry + FETCH_ENTRIES < chunk->count)
        record_prefetch(chunk->entries[place.entry + FETCH_ENTRIES].record);
}

/* Goes on with the entries above indexed_ts. */
static int index_some(struct memtable *table, const struct mem_user *user, uint32_t entries_max)
{
    const struct mem_entries *list = &user->entries;
    struct mem_index *index = user->index;
    struct mem_place place = mem_entries_seek(list, index->indexed_ts + 1);
    for (; mem_entries_find(list, &place); place.entry++) {
        if (entries_max-- == 0)
            return 0;
        fetch_ahead(list, place);
        const struct mem_entry *entry = mem_entries_at(list, place);
        int status = index_put(table, index, entry);
        if (status != 0)
            return status;
        index->indexed_ts = mem_entry_ts(entry);
    }
    index->indexed_ts = UINT64_MAX;
    return 1;
}

int memtable_index_peers(struct memtable *table, struct span name, uint32_t entries_max)
{
    struct mem_user *user = memtable_find_user(table, name);
    if (user == NULL || user->entries.chunk_count == 0)
        return 1;
    if (user->index == NULL)
        user->index = memtable_take(table, sizeof *user->index);
    if (user->index == NULL)
        return -ENOMEM;
    return user->index->indexed_ts == UINT64_MAX ? 1 : index_some(table, user, entries_max);
}

/* NULL: the user has no entries. */
static const struct mem_index *index_of(const struct memtable *table, struct span name)
{
    const struct mem_user *user = memtable_find_user(table, name);
    if (user == NULL || user->entries.chunk_count == 0)
        return NULL;
    ASSERT(user->index != NULL);
    ASSERT(user->index->indexed_ts == UINT64_MAX);
    return user->index;
}

/* NULL: the user has no entries with the peer. */
static const struct mem_peer *peer_with(const struct memtable *table, struct span user, struct span name)
{
    const struct mem_index *index = index_of(table, user);
    return index == NULL ? NULL : peer_find(table, index, peer_hash(table, index, name), name);
}

static const struct mem_entries *entries_with(const struct memtable *table, struct span user, struct span name)
{
    const struct mem_peer *peer = peer_with(table, user, name);
    return peer == NULL ? NULL : &peer->entries;
}

uint32_t memtable_peer_range(const struct memtable *table, struct span user, struct span peer, uint64_t after,
                             uint64_t before, bool oldest_first, struct memtable_hit *hits, uint32_t hits_max)
{
    const struct mem_entries *list = entries_with(table, user, peer);
    return list == NULL ? 0 : mem_entries_range(list, after, before, oldest_first, hits, hits_max);
}

bool memtable_peer_received(const struct memtable *table, struct span user, struct span peer, uint64_t before,
                            struct memtable_hit *hit_r)
{
    const struct mem_entries *list = entries_with(table, user, peer);
    if (list == NULL)
        return false;
    struct mem_place place = mem_entries_seek(list, before);
    while (mem_entries_back(list, &place)) {
        *hit_r = mem_entries_hit(list, place);
        if (hit_r->role == ROLE_RECEIVED)
            return true;
    }
    return false;
}

uint32_t memtable_peer_unseen(const struct memtable *table, struct span user, struct span peer, uint64_t after,
                              uint64_t before, uint64_t *ts_r, uint32_t ts_max)
{
    const struct mem_peer *found = peer_with(table, user, peer);
    uint32_t count = 0;
    if (found == NULL || found->received_newest <= after)
        return 0;
    const struct mem_entries *list = &found->entries;
    struct mem_place place = mem_entries_seek(list, before);
    while (count < ts_max && mem_entries_back(list, &place)) {
        struct memtable_hit hit = mem_entries_hit(list, place);
        if (hit.ts <= after)
            break;
        if (hit.role == ROLE_RECEIVED)
            ts_r[count++] = hit.ts;
    }
    return count;
}

/* The ts of the newest entry below `before`; 0: there is none. Mostly that is the newest one of all. */
static uint64_t newest_before(const struct mem_entries *list, uint64_t before)
{
    struct memtable_hit hit;
    if (list->newest < before)
        return list->newest;
    return mem_entries_range(list, 0, before, false, &hit, 1) == 0 ? 0 : hit.ts;
}

bool memtable_peer_next(const struct memtable *table, struct span user, struct memtable_peer_walk *walk,
                        uint64_t before, struct memtable_peer *peer_r)
{
    const struct mem_index *index = index_of(table, user);
    const struct mem_peer *peer = walk->at != NULL ? walk->at->next_of_index : index == NULL ? NULL : index->first;
    uint64_t newest = 0;
    while (peer != NULL && (newest = newest_before(&peer->entries, before)) == 0)
        peer = peer->next_of_index;
    if (peer == NULL)
        return false;
    walk->at = peer;
    *peer_r = (struct memtable_peer){{peer->name, peer->name_bytes}, newest};
    return true;
}
