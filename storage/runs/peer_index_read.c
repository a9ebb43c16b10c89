/* peer_index_read.c: the rows of an index by peer are read. */
#include <errno.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "storage/runs/peer_index.h"

#define VARINT_BYTES_MAX 10u

struct peer_block peer_directory_block(struct span value, uint32_t at)
{
    const char *block = value.data + (size_t)at * PEER_DIRECTORY_BLOCK_BYTES;
    ASSERT((at + 1) * PEER_DIRECTORY_BLOCK_BYTES <= value.bytes);
    return (struct peer_block){bytes_load_le64(block), bytes_load_le64(block + 8)};
}

/* The 7 bits of each byte of `word` side by side. */
static uint64_t squeeze(uint64_t word)
{
    word = (word & UINT64_C(0x007f007f007f007f)) | (word & UINT64_C(0x7f007f007f007f00)) >> 1;
    word = (word & UINT64_C(0x00003fff00003fff)) | (word & UINT64_C(0x3fff00003fff0000)) >> 2;
    return (word & UINT64_C(0x000000000fffffff)) | (word & UINT64_C(0x0fffffff00000000)) >> 4;
}

static bool take_slowly(struct span *rest, uint64_t *value_r)
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

/* Up to 8 bytes at once: most of a page of conversations is this. */
static inline bool take_varint(struct span *rest, uint64_t *value_r)
{
    if (rest->bytes < sizeof(uint64_t))
        return take_slowly(rest, value_r);
    uint64_t word = bytes_load_le64(rest->data);
    uint64_t ends = ~word & UINT64_C(0x8080808080808080);
    if (ends == 0)
        return take_slowly(rest, value_r);
    uint32_t bytes = (uint32_t)__builtin_ctzll(ends) / 8 + 1;
    *value_r = squeeze(word & (ends ^ (ends - 1)));
    *rest = (struct span){rest->data + bytes, rest->bytes - bytes};
    return true;
}

int peer_row_open(struct peer_row *row, uint64_t version, struct span value, uint64_t last, struct peer_block *block_r)
{
    uint64_t age_us;
    *row = (struct peer_row){.rest = value, .last = last, .has_places = version >= PEER_INDEX_PLACES};
    if (!take_varint(&row->rest, &age_us) || age_us >= last
        || (row->has_places && !take_varint(&row->rest, &row->last_place)))
        return -EBADMSG;
    *block_r = (struct peer_block){last - age_us, last};
    return 0;
}

/* Passes over a number. */
static inline bool skip_varint(struct span *rest)
{
    uint64_t value, ends;
    if (rest->bytes < sizeof ends)
        return take_slowly(rest, &value);
    ends = ~bytes_load_le64(rest->data) & UINT64_C(0x8080808080808080);
    if (ends == 0)
        return take_slowly(rest, &value);
    uint32_t bytes = (uint32_t)__builtin_ctzll(ends) / 8 + 1;
    *rest = (struct span){rest->data + bytes, rest->bytes - bytes};
    return true;
}

/* Goes on to the next older entry: *ts is that of the one above it. */
static inline bool take_time(struct span *rest, uint64_t *ts, bool *is_received_r)
{
    uint64_t time;
    if (!take_varint(rest, &time) || time >> 1 >= *ts)
        return false;
    *ts -= time >> 1;
    *is_received_r = (time & 1) != 0;
    return true;
}

static inline bool take_place(struct span *rest, uint64_t *place)
{
    uint64_t places;
    if (!take_varint(rest, &places) || places >= *place)
        return false;
    *place -= places;
    return true;
}

/* Mostly one byte. */
static inline bool take_bytes(struct span *rest, uint64_t *bytes_r)
{
    if (rest->bytes == 0 || (uint8_t)rest->data[0] >= 0x80)
        return take_varint(rest, bytes_r);
    *bytes_r = (uint8_t)rest->data[0];
    *rest = (struct span){rest->data + 1, rest->bytes - 1};
    return true;
}

int peer_row_next(struct peer_row *row, struct peer_piece *piece_r)
{
    struct span rest = row->rest;
    uint64_t bytes;
    if (rest.bytes == 0)
        return 0;
    size_t name_bytes = (uint8_t)rest.data[0];
    if (name_bytes == 0 || name_bytes > LIMIT_USER_BYTES || name_bytes + 1 > rest.bytes)
        return -EBADMSG;
    piece_r->peer = (struct span){rest.data + 1, name_bytes};
    rest = (struct span){rest.data + 1 + name_bytes, rest.bytes - 1 - name_bytes};
    if (!take_bytes(&rest, &bytes) || bytes == 0 || bytes > rest.bytes)
        return -EBADMSG;
    piece_r->entries = (struct span){rest.data, bytes};
    piece_r->behind = rest.bytes - bytes;
    piece_r->last = row->last;
    piece_r->has_places = row->has_places;
    piece_r->last_place = row->last_place;
    row->rest = (struct span){rest.data + bytes, rest.bytes - bytes};
    return 1;
}

/* The entries of the piece with what follows, which is faster. */
static struct span piece_rest(const struct peer_piece *piece)
{
    return (struct span){piece->entries.data, piece->entries.bytes + piece->behind};
}

static const char *piece_end(const struct peer_piece *piece)
{
    return piece->entries.data + piece->entries.bytes;
}

uint64_t peer_piece_newest(const struct peer_piece *piece)
{
    struct span rest = piece_rest(piece);
    uint64_t ts = piece->last;
    bool is_received;
    return take_time(&rest, &ts, &is_received) && rest.data <= piece_end(piece) ? ts : 0;
}

uint64_t peer_piece_newest_place(const struct peer_piece *piece)
{
    struct span rest = piece_rest(piece);
    uint64_t place = piece->last_place;
    bool is_good = piece->has_places && skip_varint(&rest) && take_place(&rest, &place);
    return is_good && rest.data <= piece_end(piece) ? place : 0;
}

int peer_piece_read(const struct peer_piece *piece, struct peer_entry entries_r[PEER_PIECE_ENTRIES])
{
    struct span rest = piece_rest(piece);
    const char *end = piece_end(piece);
    uint64_t ts = piece->last, place = piece->last_place;
    uint32_t count = 0;
    for (; rest.data < end; count++) {
        bool is_received;
        if (count == PEER_PIECE_ENTRIES || !take_time(&rest, &ts, &is_received)
            || (piece->has_places && !take_place(&rest, &place)))
            return -EBADMSG;
        entries_r[count] = (struct peer_entry){ts, place, is_received};
    }
    return rest.data == end ? (int)count : -EBADMSG;
}

int peer_piece_received(const struct peer_piece *piece, uint64_t after, uint64_t ts_r[PEER_PIECE_ENTRIES])
{
    struct span rest = piece_rest(piece);
    const char *end = piece_end(piece);
    uint64_t ts = piece->last;
    uint32_t looked = 0, count = 0;
    for (; rest.data < end; looked++) {
        bool is_received;
        if (looked == PEER_PIECE_ENTRIES || !take_time(&rest, &ts, &is_received)
            || (piece->has_places && !skip_varint(&rest)) || rest.data > end)
            return -EBADMSG;
        if (ts <= after)
            break;
        ts_r[count] = ts;
        count += is_received;
    }
    return (int)count;
}
