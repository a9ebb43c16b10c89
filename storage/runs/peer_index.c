#include "storage/runs/peer_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "storage/record.h"

#define VARINT_BYTES_MAX 10u
#define NAMES_BYTES_FIRST 4096u
#define ENTRIES_FIRST 64u
#define PEERS_FIRST 32u
#define SLOTS_FIRST 64u
#define PIECE_BYTES_MAX (1 + LIMIT_USER_BYTES + VARINT_BYTES_MAX + PEER_PIECE_ENTRIES * 8)
_Static_assert(VARINT_BYTES_MAX + PIECE_BYTES_MAX <= PEER_ROW_BYTES_MAX, "a row has room for a piece");
_Static_assert(PEER_BLOCKS_MAX *PEER_DIRECTORY_BLOCK_BYTES < 131072, "the directory is one value of LMDB's");

/* An entry of the block, by ts. */
struct entry {
    uint64_t begin;       /* of the peer's name, as a number, which compares as its bytes do */
    uint64_t ts_received; /* ts * 2 + is_received */
    uint32_t name_at;     /* in `names` */
    union {
        uint32_t name_bytes;
        uint32_t peer; /* from group_entries on: their number */
    };
};

/* A peer of the block: each has one, whatever the number of their entries. */
struct peer {
    uint64_t begin; /* as in an entry */
    uint32_t name_at;
    uint32_t name_bytes;
    union {
        uint32_t count;
        uint32_t next; /* in sort_entries: where their next entry goes in `sorted` */
    };
    uint32_t slot; /* in `slots` */
};

/* A peer among all by name: what a sort moves. */
struct place {
    uint64_t begin; /* of the name, as in an entry */
    uint64_t then;  /* the 8 bytes behind it, in the same way */
    uint32_t peer;
    uint32_t end; /* of their entries in `sorted` */
};

struct peer_index {
    struct entry *entries;
    uint32_t count;
    uint32_t room;
    char *names;
    uint32_t names_used;
    uint32_t names_room;
    uint64_t oldest; /* of the block */
    uint64_t last;

    struct peer_block *blocks; /* of the user so far */
    uint32_t block_count;
    uint32_t block_room;

    /* The entries by peer. */
    struct peer *peers; /* in the order of their first entries */
    uint32_t peer_count;
    uint32_t peer_room;
    uint32_t *slots; /* by name_hash: number of a peer + 1, or 0; open addressing, at most half full */
    uint32_t slot_count;
    uint64_t hash_key[2];
    struct place *places; /* of the peers, by name */
    uint32_t place_room;
    uint64_t *sorted; /* ts_received of the entries, by peer and ts */
    uint32_t sorted_room;

    /* The rows that are being given. */
    struct span user;
    bool is_end;
    bool is_directory_due;
    uint32_t place; /* of the next entry */
    uint32_t at;    /* in `sorted` */
    uint8_t key[ROW_KEY_PEERS_BYTES_MAX];
    uint8_t row[PEER_ROW_BYTES_MAX];
    uint8_t *directory;
};

int peer_index_open(struct peer_index **index_r)
{
    struct peer_index *index = calloc(1, sizeof *index);
    if (index == NULL)
        return -ENOMEM;
    if (getrandom(index->hash_key, sizeof index->hash_key, 0) != sizeof index->hash_key) {
        free(index);
        return -EIO;
    }
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

/* Mostly a conversation has a few entries in a row: their name is copied once. */
static int keep_name(struct peer_index *index, struct span peer, struct entry *entry)
{
    const struct entry *last = index->count == 0 ? NULL : &index->entries[index->count - 1];
    entry->name_bytes = (uint32_t)peer.bytes;
    entry->begin = name_begin(peer);
    if (last != NULL && span_equal((struct span){index->names + last->name_at, last->name_bytes}, peer)) {
        entry->name_at = last->name_at;
        return 0;
    }
    uint32_t wanted = index->names_used + (uint32_t)peer.bytes;
    if (reserve((void **)&index->names, &index->names_room, 1, NAMES_BYTES_FIRST, wanted) != 0)
        return -ENOMEM;
    entry->name_at = index->names_used;
    memcpy(index->names + index->names_used, peer.data, peer.bytes);
    index->names_used = wanted;
    return 0;
}

int peer_index_add(struct peer_index *index, uint64_t ts, struct span peer, bool is_received)
{
    ASSERT(index->count < PEER_BLOCK_ENTRIES);
    ASSERT(peer.bytes > 0 && peer.bytes <= LIMIT_USER_BYTES);
    struct entry entry = {.ts_received = ts << 1 | is_received};
    if (reserve((void **)&index->entries, &index->room, sizeof entry, ENTRIES_FIRST, index->count + 1) != 0
        || keep_name(index, peer, &entry) != 0)
        return -ENOMEM;
    if (index->count == 0)
        index->oldest = ts;
    index->last = ts;
    index->entries[index->count++] = entry;
    return 0;
}

bool peer_index_is_full(const struct peer_index *index)
{
    return index->count == PEER_BLOCK_ENTRIES;
}

/* -- rows -- */

static struct span peer_name(const struct peer_index *index, const struct peer *peer)
{
    return (struct span){index->names + peer->name_at, peer->name_bytes};
}

__extension__ typedef unsigned __int128 product128;

static uint64_t mix(uint64_t x, uint64_t y)
{
    product128 product = (product128)x * y;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Without the key nobody can choose names that collide. SipHash (base/hash.h) took longer than all else here. */
static uint64_t name_hash(const struct peer_index *index, const struct entry *entry)
{
    uint64_t hash = mix(entry->begin ^ index->hash_key[0], index->hash_key[1] ^ entry->name_bytes);
    for (uint32_t at = 8; at < entry->name_bytes; at += 8) {
        uint64_t word = 0;
        uint32_t left = entry->name_bytes - at;
        memcpy(&word, index->names + entry->name_at + at, left < sizeof word ? left : sizeof word);
        hash = mix(hash ^ word, index->hash_key[1]);
    }
    return hash;
}

/* At most half full with all entries of the block. */
static int reserve_slots(struct peer_index *index)
{
    uint32_t count = index->slot_count == 0 ? SLOTS_FIRST : index->slot_count;
    while (count < 2 * index->count)
        count *= 2;
    if (count == index->slot_count)
        return 0;
    free(index->slots);
    index->slots = calloc(count, sizeof *index->slots);
    index->slot_count = index->slots == NULL ? 0 : count;
    return index->slots == NULL ? -ENOMEM : 0;
}

/* The number of the entry's peer, who is added if they are new. `peers` has room. */
static uint32_t find_peer(struct peer_index *index, const struct entry *entry)
{
    struct span name = {index->names + entry->name_at, entry->name_bytes};
    uint32_t slot = (uint32_t)name_hash(index, entry) & (index->slot_count - 1);
    for (; index->slots[slot] != 0; slot = (slot + 1) & (index->slot_count - 1)) {
        const struct peer *peer = &index->peers[index->slots[slot] - 1];
        if (peer->begin == entry->begin && span_equal(peer_name(index, peer), name))
            return index->slots[slot] - 1;
    }
    index->peers[index->peer_count] =
        (struct peer){.begin = entry->begin, .name_at = entry->name_at, .name_bytes = entry->name_bytes, .slot = slot};
    index->slots[slot] = ++index->peer_count;
    return index->peer_count - 1;
}

/* Gives each entry its peer. Leaves `slots` empty for the next block. */
static int group_entries(struct peer_index *index)
{
    index->peer_count = 0;
    if (reserve_slots(index) != 0)
        return -ENOMEM;
    uint32_t name_at = UINT32_MAX, number = 0;
    for (uint32_t i = 0; i < index->count; i++) {
        struct entry *entry = &index->entries[i];
        if (entry->name_at != name_at) {
            if (reserve((void **)&index->peers, &index->peer_room, sizeof *index->peers, PEERS_FIRST,
                        index->peer_count + 1)
                != 0)
                return -ENOMEM;
            name_at = entry->name_at;
            number = find_peer(index, entry);
        }
        entry->peer = number;
        index->peers[number].count++;
    }
    for (uint32_t i = 0; i < index->peer_count; i++)
        index->slots[index->peers[i].slot] = 0;
    return 0;
}

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
    if (group_entries(index) != 0
        || reserve((void **)&index->places, &index->place_room, sizeof *index->places, PEERS_FIRST, index->peer_count)
               != 0
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
    for (uint32_t i = 0; i < index->count; i++)
        index->sorted[index->peers[index->entries[i].peer].next++] = index->entries[i].ts_received;
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
    index->is_directory_due = is_end && index->block_count > 0;
    return status == 0 && index->is_directory_due ? make_directory(index) : status;
}

static uint32_t put_varint(uint8_t *out, uint64_t value)
{
    uint32_t bytes = 0;
    for (; value >= 0x80; value >>= 7)
        out[bytes++] = (uint8_t)(value | 0x80);
    out[bytes++] = (uint8_t)value;
    return bytes;
}

/* Writes the entries `begin` to `end` of `sorted`, a piece, with the name of their peer. Returns the bytes. */
static uint32_t put_piece(const struct peer_index *index, struct span name, uint32_t begin, uint32_t end, uint8_t *out)
{
    uint8_t entries[PEER_PIECE_ENTRIES * 8];
    uint64_t above = index->last;
    uint32_t bytes = 0, used = 0;
    for (uint32_t i = end; i > begin; i--) {
        uint64_t ts = index->sorted[i - 1] >> 1;
        bytes += put_varint(entries + bytes, (above - ts) << 1 | (index->sorted[i - 1] & 1));
        above = ts;
    }
    out[used++] = (uint8_t)name.bytes;
    memcpy(out + used, name.data, name.bytes);
    used += (uint32_t)name.bytes;
    used += put_varint(out + used, bytes);
    memcpy(out + used, entries, bytes);
    return used + bytes;
}

static struct span place_name(const struct peer_index *index)
{
    return peer_name(index, &index->peers[index->places[index->place].peer]);
}

/* A row of as many pieces as fit. */
static void next_row(struct peer_index *index, struct span *key_r, struct span *value_r)
{
    uint8_t piece[PIECE_BYTES_MAX];
    struct span first = index->at == 0 ? (struct span){"", 0} : place_name(index);
    uint32_t key_bytes = row_key_peers(index->user, index->last, first, index->sorted[index->at] >> 1, index->key);
    uint32_t used = put_varint(index->row, index->last - index->oldest);
    while (index->at < index->count) {
        uint32_t end_max = index->places[index->place].end;
        uint32_t end = index->at + PEER_PIECE_ENTRIES < end_max ? index->at + PEER_PIECE_ENTRIES : end_max;
        uint32_t bytes = put_piece(index, place_name(index), index->at, end, piece);
        if (used + bytes > PEER_ROW_BYTES_MAX)
            break;
        memcpy(index->row + used, piece, bytes);
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

bool peer_index_next(struct peer_index *index, struct span *key_r, struct span *value_r)
{
    if (index->at < index->count) {
        next_row(index, key_r, value_r);
        return true;
    }
    if (index->is_directory_due) {
        index->is_directory_due = false;
        give_directory(index, key_r, value_r);
        return true;
    }
    index->count = index->at = index->names_used = 0;
    if (index->is_end)
        index->block_count = 0;
    return false;
}

/* -- reading -- */

struct peer_block peer_directory_block(struct span value, uint32_t at)
{
    const char *block = value.data + (size_t)at * PEER_DIRECTORY_BLOCK_BYTES;
    ASSERT((at + 1) * PEER_DIRECTORY_BLOCK_BYTES <= value.bytes);
    return (struct peer_block){bytes_load_le64(block), bytes_load_le64(block + 8)};
}

static bool take_varint(struct span *rest, uint64_t *value_r)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < VARINT_BYTES_MAX && i < rest->bytes; i++) {
        uint8_t byte = (uint8_t)rest->data[i];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *rest = (struct span){rest->data + i + 1, rest->bytes - i - 1};
            *value_r = value;
            return true;
        }
    }
    return false;
}

int peer_row_open(struct peer_row *row, struct span value, uint64_t last, struct peer_block *block_r)
{
    uint64_t age_us;
    *row = (struct peer_row){value, last};
    if (!take_varint(&row->rest, &age_us) || age_us >= last)
        return -EBADMSG;
    *block_r = (struct peer_block){last - age_us, last};
    return 0;
}

int peer_row_next(struct peer_row *row, struct peer_piece *piece_r)
{
    struct span *rest = &row->rest;
    uint64_t bytes, first;
    if (rest->bytes == 0)
        return 0;
    size_t name_bytes = (uint8_t)rest->data[0];
    if (name_bytes == 0 || name_bytes > LIMIT_USER_BYTES || name_bytes + 1 > rest->bytes)
        return -EBADMSG;
    piece_r->peer = (struct span){rest->data + 1, name_bytes};
    *rest = (struct span){rest->data + 1 + name_bytes, rest->bytes - 1 - name_bytes};
    if (!take_varint(rest, &bytes) || bytes > rest->bytes)
        return -EBADMSG;
    piece_r->entries = (struct span){rest->data, bytes};
    *rest = (struct span){rest->data + bytes, rest->bytes - bytes};
    struct span entries = piece_r->entries;
    if (!take_varint(&entries, &first) || first >> 1 >= row->last)
        return -EBADMSG;
    piece_r->last = row->last;
    piece_r->newest = row->last - (first >> 1);
    return 1;
}

int peer_piece_read(const struct peer_piece *piece, struct peer_entry entries_r[PEER_PIECE_ENTRIES])
{
    struct span rest = piece->entries;
    uint64_t above = piece->last, value;
    uint32_t count = 0;
    while (rest.bytes > 0) {
        if (count == PEER_PIECE_ENTRIES || !take_varint(&rest, &value) || value >> 1 >= above)
            return -EBADMSG;
        above -= value >> 1;
        entries_r[count++] = (struct peer_entry){above, (value & 1) != 0};
    }
    return (int)count;
}
