#include "storage/runs/peer_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/fault.h"
#include "base/hash.h"
#include "storage/record.h"
#include "storage/runs/filter.h"
#include "storage/runs/run_pages.h"

#define VARINT_BYTES_MAX 10u
#define NAMES_BYTES_FIRST 4096u
#define ENTRIES_FIRST 64u
#define PEERS_FIRST 32u
#define SLOTS_FIRST 64u
#define NOT_KEPT UINT32_MAX
#define HEAD_BYTES_MAX (2 * VARINT_BYTES_MAX)
#define TIME_BYTES_MAX 8u
/* A block has less than 2^20 pages, also if each entry has the longest text. */
#define PLACE_BYTES_MAX 4u
_Static_assert(PEER_BLOCK_ENTRIES *(1 + (ROW_VALUE_BYTES_MAX + 16) / RUN_PAGE_BYTES + 1) <= 1u << 20, "of 2^28 places");
#define ENTRIES_BYTES_MAX                                                                                              \
    (PEER_PIECE_WRITTEN * (TIME_BYTES_MAX + PLACE_BYTES_MAX) > PEER_PIECE_ENTRIES * TIME_BYTES_MAX                     \
         ? PEER_PIECE_WRITTEN * (TIME_BYTES_MAX + PLACE_BYTES_MAX)                                                     \
         : PEER_PIECE_ENTRIES * TIME_BYTES_MAX)
#define PIECE_BYTES_MAX (1 + LIMIT_USER_BYTES + 2 + ENTRIES_BYTES_MAX)
_Static_assert(HEAD_BYTES_MAX + PIECE_BYTES_MAX <= PEER_ROW_BYTES_MAX, "a row has room for a piece");
_Static_assert(PEER_BLOCKS_MAX *PEER_DIRECTORY_BLOCK_BYTES < 131072, "the directory is one value of LMDB's");

/* An entry of the block, by ts. */
struct entry {
    uint64_t ts_received; /* ts * 2 + is_received */
    uint32_t peer;        /* the number of their peer; of the first entries of a block: where the name is in `names` */
    uint32_t place;       /* from that of the block's first entry */
};

/* An entry by peer and ts. */
struct sorted {
    uint64_t ts_received;
    uint32_t place;
};

/* A peer of the block: each has one, whatever the number of their entries. */
struct peer {
    uint64_t begin;   /* of the name, as a number, which compares as its bytes do */
    uint32_t name_at; /* in `names` */
    uint32_t name_bytes;
    union {
        uint32_t count;
        uint32_t next; /* in sort_entries: where their next entry goes in `sorted` */
    };
    uint32_t slot; /* in `slots` */
    bool has_received;
};

/* A peer among all by name: what a sort moves. */
struct place {
    uint64_t begin; /* of the name, as in a peer */
    uint64_t then;  /* the 8 bytes behind it, in the same way */
    uint32_t peer;
    uint32_t end; /* of their entries in `sorted` */
};

struct peer_index {
    uint64_t version;
    struct entry *entries;
    uint32_t count;
    uint32_t room;
    uint8_t first_bytes[PEER_BLOCK_ENTRIES_MIN]; /* of the names of the first entries */
    char *names;
    uint32_t names_used;
    uint32_t names_room;
    uint64_t oldest; /* of the block */
    uint64_t last;
    uint64_t first_place;
    uint32_t last_place; /* from first_place */

    struct peer_block *blocks; /* of the user so far */
    uint32_t block_count;
    uint32_t block_room;

    /* The entries by peer, from the entry on with which the block is indexed. */
    struct peer *peers; /* in the order of their first entries */
    uint32_t peer_count;
    uint32_t peer_room;
    uint32_t last_peer; /* of the entry that was added last */
    uint32_t *slots;    /* by first_slot: number of a peer + 1, or 0; open addressing, at most half full */
    uint32_t slot_count;
    struct hash_key hash_key;
    struct place *places; /* of the peers, by name */
    uint32_t place_room;
    struct sorted *sorted; /* the entries, by peer and ts */
    uint32_t sorted_room;

    /* The rows that are being given. */
    struct span user;
    bool is_end;
    bool is_filter_due;
    bool is_directory_due;
    uint32_t place; /* of the next entry */
    uint32_t at;    /* in `sorted` */
    uint8_t key[ROW_KEY_PEERS_BYTES_MAX];
    uint8_t row[PEER_ROW_BYTES_MAX + PIECE_BYTES_MAX]; /* the last piece may be one too many */
    uint8_t *directory;
    uint8_t *filter; /* the value of its row */
    uint32_t filter_bytes;
    uint64_t *hashes; /* of the peers in it */
    uint32_t hash_room;
};

int peer_index_open(struct peer_index **index_r, uint64_t version)
{
    ASSERT(version >= 1 && version <= PEER_INDEX_VERSION);
    struct peer_index *index = calloc(1, sizeof *index);
    if (index == NULL)
        return -ENOMEM;
    if (getrandom(&index->hash_key, sizeof index->hash_key, 0) != sizeof index->hash_key) {
        free(index);
        return -EIO;
    }
    index->version = version;
    *index_r = index;
    return 0;
}

void peer_index_close(struct peer_index **index)
{
    if (*index == NULL)
        return;
    free((*index)->entries);
    free((*index)->names);
    free((*index)->peers);
    free((*index)->slots);
    free((*index)->blocks);
    free((*index)->places);
    free((*index)->sorted);
    free((*index)->directory);
    free((*index)->filter);
    free((*index)->hashes);
    free(*index);
    *index = NULL;
}

/* -- entries -- */

/* Doubles an array of `size` until it has room for `wanted`. */
static int reserve(void **array, uint32_t *room, size_t size, uint32_t first, uint32_t wanted)
{
    uint32_t larger = *room == 0 ? first : *room;
    if (wanted <= *room)
        return 0;
    while (larger < wanted)
        larger *= 2;
    void *grown = realloc(*array, larger * size);
    if (grown == NULL)
        return -ENOMEM;
    *array = grown;
    *room = larger;
    return 0;
}

static uint64_t name_begin(struct span name)
{
    uint8_t begin[8] = {0};
    memcpy(begin, name.data, name.bytes < sizeof begin ? name.bytes : sizeof begin);
    return bytes_load_be64(begin);
}

static struct span peer_name(const struct peer_index *index, const struct peer *peer)
{
    return (struct span){index->names + peer->name_at, peer->name_bytes};
}

static int keep_name(struct peer_index *index, struct span name, uint32_t *at_r)
{
    uint32_t wanted = index->names_used + (uint32_t)name.bytes;
    if (reserve((void **)&index->names, &index->names_room, 1, NAMES_BYTES_FIRST, wanted) != 0)
        return -ENOMEM;
    *at_r = index->names_used;
    memcpy(index->names + index->names_used, name.data, name.bytes);
    index->names_used = wanted;
    return 0;
}

/* Without the key nobody can choose names that collide. */
static uint32_t first_slot(const struct peer_index *index, struct span name)
{
    return (uint32_t)hash_multiply(index->hash_key, name) & (index->slot_count - 1);
}

static uint32_t empty_slot(const struct peer_index *index, const struct peer *peer)
{
    uint32_t slot = first_slot(index, peer_name(index, peer));
    while (index->slots[slot] != 0)
        slot = (slot + 1) & (index->slot_count - 1);
    return slot;
}

/* Room for one more peer, with at most half of the slots in use. */
static int reserve_peer(struct peer_index *index)
{
    if (2 * (index->peer_count + 1) > index->slot_count) {
        uint32_t count = index->slot_count == 0 ? SLOTS_FIRST : 2 * index->slot_count;
        uint32_t *slots = calloc(count, sizeof *slots);
        if (slots == NULL)
            return -ENOMEM;
        free(index->slots);
        index->slots = slots;
        index->slot_count = count;
        for (uint32_t i = 0; i < index->peer_count; i++) {
            index->peers[i].slot = empty_slot(index, &index->peers[i]);
            slots[index->peers[i].slot] = i + 1;
        }
    }
    return reserve((void **)&index->peers, &index->peer_room, sizeof *index->peers, PEERS_FIRST, index->peer_count + 1);
}

/* `name_at`: where `names` has the name already; NOT_KEPT: nowhere. `slot`: the one for them, if `slots` stays. */
static int add_peer(struct peer_index *index, struct span name, uint32_t name_at, uint32_t slot)
{
    struct peer peer = {.begin = name_begin(name), .name_at = name_at, .name_bytes = (uint32_t)name.bytes};
    uint32_t slot_count = index->slot_count;
    if (name_at == NOT_KEPT && keep_name(index, name, &peer.name_at) != 0)
        return -ENOMEM;
    if (reserve_peer(index) != 0)
        return -ENOMEM;
    peer.slot = slot_count == index->slot_count ? slot : empty_slot(index, &peer);
    index->peers[index->peer_count++] = peer;
    index->slots[peer.slot] = index->peer_count;
    return 0;
}

/* The number of the peer with this name, who is added if they are new. */
static int find_peer(struct peer_index *index, struct span name, uint32_t name_at, uint32_t *number_r)
{
    uint64_t begin = name_begin(name);
    uint32_t slot = first_slot(index, name);
    for (; index->slot_count > 0 && index->slots[slot] != 0; slot = (slot + 1) & (index->slot_count - 1)) {
        const struct peer *peer = &index->peers[index->slots[slot] - 1];
        if (peer->begin == begin && span_equal(peer_name(index, peer), name)) {
            *number_r = index->slots[slot] - 1;
            return 0;
        }
    }
    *number_r = index->peer_count;
    return add_peer(index, name, name_at, slot);
}

/* Gives an entry its peer. Mostly a conversation has a few entries in a row. */
static int group_entry(struct peer_index *index, struct entry *entry, struct span name, uint32_t name_at)
{
    uint32_t number = index->last_peer;
    if (number >= index->peer_count || !span_equal(peer_name(index, &index->peers[number]), name)) {
        if (find_peer(index, name, name_at, &number) != 0)
            return -ENOMEM;
        index->last_peer = number;
    }
    entry->peer = number;
    index->peers[number].count++;
    index->peers[number].has_received |= (entry->ts_received & 1) != 0;
    return 0;
}

/* The block is indexed: its entries so far, which have names of their own, get their peers. */
static int group_first(struct peer_index *index)
{
    int status = 0;
    for (uint32_t i = 0; i < index->count && status == 0; i++) {
        struct entry *entry = &index->entries[i];
        struct span name = {index->names + entry->peer, index->first_bytes[i]};
        status = group_entry(index, entry, name, entry->peer);
    }
    return status;
}

/* The entries of users who have a few are not grouped. */
static int take_name(struct peer_index *index, struct entry *entry, struct span name)
{
    if (index->count < PEER_BLOCK_ENTRIES_MIN - 1) {
        index->first_bytes[index->count] = (uint8_t)name.bytes;
        return keep_name(index, name, &entry->peer);
    }
    if (index->count == PEER_BLOCK_ENTRIES_MIN - 1 && group_first(index) != 0)
        return -ENOMEM;
    return group_entry(index, entry, name, NOT_KEPT);
}

int peer_index_add(struct peer_index *index, uint64_t ts, struct span peer, bool is_received, uint64_t place)
{
    ASSERT(index->count < PEER_BLOCK_ENTRIES);
    ASSERT(peer.bytes > 0 && peer.bytes <= LIMIT_USER_BYTES);
    struct entry entry = {.ts_received = ts << 1 | is_received};
    if (reserve((void **)&index->entries, &index->room, sizeof entry, ENTRIES_FIRST, index->count + 1) != 0
        || take_name(index, &entry, peer) != 0)
        return -ENOMEM;
    if (index->count == 0) {
        index->oldest = ts;
        index->first_place = place;
    }
    index->last = ts;
    index->last_place = entry.place = (uint32_t)(place - index->first_place);
    index->entries[index->count++] = entry;
    return 0;
}

bool peer_index_is_full(const struct peer_index *index)
{
    return index->count == PEER_BLOCK_ENTRIES;
}

/* -- rows -- */

static int compare_places(const void *a, const void *b, void *context)
{
    const struct place *x = a, *y = b;
    const struct peer_index *index = context;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->then != y->then)
        return x->then < y->then ? -1 : 1;
    return span_compare(peer_name(index, &index->peers[x->peer]), peer_name(index, &index->peers[y->peer]));
}

static struct place make_place(const struct peer_index *index, uint32_t number)
{
    const struct peer *peer = &index->peers[number];
    struct span name = peer_name(index, peer);
    struct place place = {.begin = peer->begin, .peer = number};
    if (name.bytes > sizeof place.begin)
        place.then = name_begin((struct span){name.data + sizeof place.begin, name.bytes - sizeof place.begin});
    return place;
}

/* Sorts the peers by name and moves the entries of each to their place, in the order of ts. So the entries, which are
 * many, are not compared. */
static int sort_entries(struct peer_index *index)
{
    uint32_t end = 0;
    if (reserve((void **)&index->places, &index->place_room, sizeof *index->places, PEERS_FIRST, index->peer_count) != 0
        || reserve((void **)&index->sorted, &index->sorted_room, sizeof *index->sorted, ENTRIES_FIRST, index->count)
               != 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < index->peer_count; i++)
        index->places[i] = make_place(index, i);
    qsort_r(index->places, index->peer_count, sizeof *index->places, compare_places, index);
    for (uint32_t i = 0; i < index->peer_count; i++) {
        struct peer *peer = &index->peers[index->places[i].peer];
        uint32_t count = peer->count;
        peer->next = end;
        end += count;
        index->places[i].end = end;
    }
    ASSERT(end == index->count);
    for (uint32_t i = 0; i < index->count; i++) {
        const struct entry *entry = &index->entries[i];
        index->sorted[index->peers[entry->peer].next++] = (struct sorted){entry->ts_received, entry->place};
    }
    return 0;
}

/* The block is one of the directory's if it is whole, or if there are others. */
static int note_block(struct peer_index *index)
{
    if (index->is_end && !peer_index_is_full(index) && index->block_count == 0)
        return 0;
    if (index->block_count == PEER_BLOCKS_MAX) {
        index->count = 0; /* its entries are not indexed */
        return 0;
    }
    int status =
        reserve((void **)&index->blocks, &index->block_room, sizeof *index->blocks, 16, index->block_count + 1);
    if (status == 0)
        index->blocks[index->block_count++] = (struct peer_block){index->oldest, index->last};
    return status;
}

static int make_directory(struct peer_index *index)
{
    uint8_t *grown = realloc(index->directory, (size_t)index->block_count * PEER_DIRECTORY_BLOCK_BYTES);
    if (grown == NULL)
        return -ENOMEM;
    index->directory = grown;
    for (uint32_t i = 0; i < index->block_count; i++) {
        bytes_store_le64(grown + (size_t)i * PEER_DIRECTORY_BLOCK_BYTES, index->blocks[i].oldest);
        bytes_store_le64(grown + (size_t)i * PEER_DIRECTORY_BLOCK_BYTES + 8, index->blocks[i].last);
    }
    return 0;
}

static uint32_t put_varint(uint8_t *out, uint64_t value)
{
    uint32_t bytes = 0;
    for (; value >= 0x80; value >>= 7)
        out[bytes++] = (uint8_t)(value | 0x80);
    out[bytes++] = (uint8_t)value;
    return bytes;
}

static bool has_places(const struct peer_index *index)
{
    return index->version >= PEER_INDEX_PLACES;
}

static uint32_t put_head(const struct peer_index *index, uint8_t *out)
{
    uint32_t used = put_varint(out, index->last - index->oldest);
    return has_places(index) ? used + put_varint(out + used, index->first_place + index->last_place) : used;
}

static int make_filter(struct peer_index *index)
{
    struct filter filter;
    uint32_t count = 0;
    if (reserve((void **)&index->hashes, &index->hash_room, sizeof *index->hashes, PEERS_FIRST, index->peer_count) != 0)
        return -ENOMEM;
    for (uint32_t i = 0; i < index->peer_count; i++)
        if (index->peers[i].has_received && !(FAULT(FILTER_LACKS_SENDERS) && i % 2 == 0))
            index->hashes[count++] = filter_hash(peer_name(index, &index->peers[i]));
    int status = filter_make(&filter, index->hashes, count);
    uint8_t *grown = status == 0 ? realloc(index->filter, HEAD_BYTES_MAX + filter_bytes(&filter)) : NULL;
    if (grown != NULL) {
        index->filter = grown;
        index->filter_bytes = put_head(index, grown);
        if (count > 0)
            memcpy(grown + index->filter_bytes, filter.bytes, filter_bytes(&filter));
        index->filter_bytes += (uint32_t)filter_bytes(&filter);
    }
    filter_fini(&filter);
    return grown == NULL ? -ENOMEM : 0;
}

int peer_index_begin_rows(struct peer_index *index, struct span user, bool is_end)
{
    ASSERT(is_end || peer_index_is_full(index));
    index->user = user;
    index->is_end = is_end;
    index->at = index->place = 0;
    if (index->count < PEER_BLOCK_ENTRIES_MIN)
        index->count = 0;
    int status = index->count == 0 ? 0 : note_block(index);
    if (status == 0 && index->count > 0)
        status = sort_entries(index);
    index->is_filter_due = index->count > 0 && has_places(index) && index->peer_count >= PEER_FILTER_MIN;
    index->is_directory_due = is_end && index->block_count > 0;
    if (status == 0 && index->is_filter_due)
        status = make_filter(index);
    return status == 0 && index->is_directory_due ? make_directory(index) : status;
}

/* Writes the entries `begin` to `end` of `sorted`. Returns the bytes. */
static uint32_t put_entries(const struct peer_index *index, uint32_t begin, uint32_t end, uint8_t *out)
{
    uint64_t ts_above = index->last;
    uint32_t place_above = index->last_place, bytes = 0;
    for (uint32_t i = end; i > begin; i--) {
        const struct sorted *sorted = &index->sorted[i - 1];
        uint64_t ts = sorted->ts_received >> 1;
        bytes += put_varint(out + bytes, (ts_above - ts) << 1 | (sorted->ts_received & 1));
        if (has_places(index))
            bytes += put_varint(out + bytes, place_above - sorted->place);
        ts_above = ts;
        place_above = sorted->place;
    }
    return bytes;
}

/* The same as a piece, with the name of their peer. */
static uint32_t put_piece(const struct peer_index *index, struct span name, uint32_t begin, uint32_t end, uint8_t *out)
{
    uint32_t used = 0;
    out[used++] = (uint8_t)name.bytes;
    memcpy(out + used, name.data, name.bytes);
    used += (uint32_t)name.bytes;
    uint32_t bytes = put_entries(index, begin, end, out + used + 1);
    if (bytes >= 0x80) /* the number of bytes has two itself */
        memmove(out + used + 2, out + used + 1, bytes);
    return used + put_varint(out + used, bytes) + bytes;
}

static struct span place_name(const struct peer_index *index)
{
    return peer_name(index, &index->peers[index->places[index->place].peer]);
}

/* A row of as many pieces as fit. */
static void next_row(struct peer_index *index, struct span *key_r, struct span *value_r)
{
    struct span first = index->at == 0 ? (struct span){"", 0} : place_name(index);
    uint32_t piece_entries = has_places(index) ? PEER_PIECE_WRITTEN : PEER_PIECE_ENTRIES;
    uint32_t key_bytes =
        row_key_peers(index->user, index->last, first, index->sorted[index->at].ts_received >> 1, index->key);
    uint32_t used = put_head(index, index->row);
    while (index->at < index->count) {
        uint32_t end_max = index->places[index->place].end;
        uint32_t end = index->at + piece_entries < end_max ? index->at + piece_entries : end_max;
        uint32_t bytes = put_piece(index, place_name(index), index->at, end, index->row + used);
        if (used + bytes > PEER_ROW_BYTES_MAX)
            break;
        used += bytes;
        index->at = end;
        index->place += end == end_max;
    }
    *key_r = (struct span){(const char *)index->key, key_bytes};
    *value_r = (struct span){(const char *)index->row, used};
}

static void give_directory(struct peer_index *index, struct span *key_r, struct span *value_r)
{
    uint32_t key_bytes = row_key_peers(index->user, PEER_DIRECTORY_TS, (struct span){"", 0}, 0, index->key);
    *key_r = (struct span){(const char *)index->key, key_bytes};
    *value_r = (struct span){(const char *)index->directory, (size_t)index->block_count * PEER_DIRECTORY_BLOCK_BYTES};
}

/* Leaves `slots` empty for the next block. */
static void forget_peers(struct peer_index *index)
{
    for (uint32_t i = 0; i < index->peer_count; i++)
        index->slots[index->peers[i].slot] = 0;
    index->peer_count = index->last_peer = 0;
}

bool peer_index_next(struct peer_index *index, struct span *key_r, struct span *value_r)
{
    if (index->at < index->count) {
        next_row(index, key_r, value_r);
        return true;
    }
    if (index->is_filter_due) {
        index->is_filter_due = false;
        *key_r = (struct span){(const char *)index->key, row_key_peers_filter(index->user, index->last, index->key)};
        *value_r = (struct span){(const char *)index->filter, index->filter_bytes};
        return true;
    }
    if (index->is_directory_due) {
        index->is_directory_due = false;
        give_directory(index, key_r, value_r);
        return true;
    }
    forget_peers(index);
    index->count = index->at = index->names_used = 0;
    if (index->is_end)
        index->block_count = 0;
    return false;
}
