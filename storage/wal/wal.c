#include "storage/wal/wal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "storage/wal/wal_format.h"

/* The round of what was begun since the last rotation: the next rotation gives it its number. Until then nothing of it
 * can be released. */
#define ROUND_OPEN UINT64_MAX

#define BUFFER_BYTES (WAL_BLOCK_BYTES + WAL_BATCH_BYTES_MAX)

struct buffer {
    unsigned char *data; /* a block for a segment's header, then the batch; owned */
    uint32_t bytes;      /* of the batch, its header included; 0: empty */
    uint32_t record_count;
    uint64_t sequence;
    uint64_t round;
};

struct wal {
    /* Set by open, then only read. */
    struct wal_options options;

    /* Owned by the shard's thread. */
    struct buffer buffers[2];
    uint32_t filling;        /* index of the buffer that records are put into; the other is empty or being written */
    uint32_t write_bytes;    /* of the write in flight, or of the one that failed; 0: none */
    uint32_t reserved_bytes; /* between wal_reserve and wal_commit */
    bool failed;
    uint64_t sequence_last; /* of the newest batch begun */
    uint64_t sequence_durable;
    uint64_t generation_last; /* of the newest segment begun */
    uint64_t generation_gone; /* of the newest segment released: the applied position is not below its end */
    struct store_position position;
    uint64_t round; /* of the last rotation */

    struct wal_sealed current; /* bytes: the end of what was taken for writing; generation 0: none in use */
    struct wal_sealed sealed[WAL_LIVE_SEGMENTS_MAX + 1]; /* ascending by generation */
    uint32_t sealed_count;
    struct wal_spare spares[WAL_SPARES_MAX];
    uint32_t spare_count;
};

static bool is_behind(struct store_position position, const struct wal_sealed *sealed)
{
    return position.generation < sealed->generation
           || (position.generation == sealed->generation && position.bytes < sealed->bytes);
}

static void copy_sealed(struct wal *wal, const struct wal_sealed *sealed, uint32_t sealed_count)
{
    ASSERT(sealed_count <= WAL_LIVE_SEGMENTS_MAX + 1);
    for (uint32_t i = 0; i < sealed_count; i++) {
        ASSERT(sealed[i].generation <= wal->generation_last);
        ASSERT(i == 0 || sealed[i - 1].generation < sealed[i].generation);
        wal->sealed[i] = sealed[i];
        if (is_behind(wal->position, &sealed[i]))
            wal->position = (struct store_position){sealed[i].generation, sealed[i].bytes};
    }
    wal->sealed_count = sealed_count;
}

static void free_wal(struct wal *wal)
{
    for (uint32_t i = 0; i < 2; i++)
        free(wal->buffers[i].data);
    free(wal);
}

int wal_open(struct wal **wal_r, const struct wal_options *options, uint64_t generation_last,
             const struct wal_sealed *sealed, uint32_t sealed_count)
{
    ASSERT(options->segment_bytes >= WAL_SEGMENT_BYTES_MIN);
    ASSERT(options->segment_bytes % WAL_BLOCK_BYTES == 0);
    ASSERT(options->applied.generation <= generation_last);
    struct wal *wal = calloc(1, sizeof *wal);
    if (wal == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < 2; i++) {
        wal->buffers[i].data = aligned_alloc(WAL_BLOCK_BYTES, BUFFER_BYTES);
        if (wal->buffers[i].data == NULL) {
            free_wal(wal);
            return -ENOMEM;
        }
    }
    wal->options = *options;
    wal->generation_last = generation_last;
    wal->generation_gone = options->applied.generation;
    wal->position = options->applied;
    wal->current.fd = -1;
    copy_sealed(wal, sealed, sealed_count);
    *wal_r = wal;
    return 0;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void wal_close(struct wal **wal)
{
    struct wal *closing = *wal;
    *wal = NULL;
    if (closing == NULL)
        return;
    close_fd(closing->current.fd);
    for (uint32_t i = 0; i < closing->sealed_count; i++)
        close_fd(closing->sealed[i].fd);
    for (uint32_t i = 0; i < closing->spare_count; i++)
        close_fd(closing->spares[i].fd);
    free_wal(closing);
}

uint32_t wal_spares_wanted(const struct wal *wal)
{
    if (wal->failed || wal->spare_count >= WAL_SPARES_WANTED)
        return 0;
    return WAL_SPARES_WANTED - wal->spare_count;
}

uint32_t wal_spare_count(const struct wal *wal)
{
    return wal->spare_count;
}

void wal_give_spare(struct wal *wal, struct wal_spare spare)
{
    ASSERT(spare.fd >= 0);
    ASSERT(wal->spare_count < WAL_SPARES_MAX);
    wal->spares[wal->spare_count++] = spare;
}

uint64_t wal_generation_of_next_spare(const struct wal *wal)
{
    return wal->generation_last + wal->spare_count + 1;
}

void wal_assigned_read(const struct wal *wal, struct wal_assigned *assigned_r)
{
    assigned_r->count = 0;
    if (wal->sealed_count > 0)
        wal_assigned_add(assigned_r, wal->sealed[wal->sealed_count - 1].generation,
                         wal->sealed[wal->sealed_count - 1].file);
    if (wal->current.generation != 0)
        wal_assigned_add(assigned_r, wal->current.generation, wal->current.file);
    for (uint32_t i = 0; i < wal->spare_count; i++)
        wal_assigned_add(assigned_r, wal->generation_last + 1 + i, wal->spares[i].file);
    if (wal_assigned_generation_last(assigned_r) < wal->generation_last && wal->generation_gone < wal->generation_last)
        wal_assigned_add(assigned_r, wal->generation_last, WAL_ASSIGNED_NO_FILE);
}

static struct wal_spare take_spare(struct wal *wal)
{
    ASSERT(wal->spare_count > 0);
    struct wal_spare spare = wal->spares[0];
    wal->spare_count--;
    memmove(&wal->spares[0], &wal->spares[1], wal->spare_count * sizeof wal->spares[0]);
    return spare;
}

static bool has_current(const struct wal *wal)
{
    return wal->current.generation != 0;
}

/* A batch of one round never goes into a segment of another, because segments are released by their round. */
static bool fits_current(const struct wal *wal, uint64_t round, uint32_t batch_bytes)
{
    return has_current(wal) && wal->current.round == round
           && wal->current.bytes + wal_block_round(batch_bytes) <= wal->options.segment_bytes;
}

static bool can_begin_segment(const struct wal *wal)
{
    return wal->spare_count > 0 && wal_live_segments(wal) <= WAL_LIVE_SEGMENTS_MAX;
}

uint32_t wal_take_back_spares(struct wal *wal, uint32_t file, struct wal_spare *spares_r)
{
    bool has_older = false;
    for (uint32_t i = 0; i < wal->spare_count; i++)
        has_older |= wal->spares[i].file < file;
    if (!has_older || wal->failed || wal->buffers[wal->filling].bytes > 0
        || (has_current(wal) && !fits_current(wal, ROUND_OPEN, WAL_BATCH_BYTES_MAX)))
        return 0;
    uint32_t count = wal->spare_count;
    memcpy(spares_r, wal->spares, count * sizeof *spares_r);
    wal->spare_count = 0;
    return count;
}

int wal_can_append(const struct wal *wal, uint32_t record_bytes)
{
    ASSERT(record_bytes > 0);
    ASSERT(record_bytes <= WAL_BATCH_PAYLOAD_BYTES_MAX);
    const struct buffer *buffer = &wal->buffers[wal->filling];
    uint32_t bytes = record_bytes + (buffer->bytes > 0 ? buffer->bytes : WAL_BATCH_HEADER_BYTES);
    if (wal->failed)
        return -EIO;
    if (buffer->bytes > 0 && buffer->round != ROUND_OPEN)
        return -EAGAIN;
    if (bytes > WAL_BATCH_BYTES_MAX)
        return -EAGAIN;
    return fits_current(wal, ROUND_OPEN, bytes) || can_begin_segment(wal) ? 0 : -ENOSPC;
}

static void begin_batch(struct wal *wal, struct buffer *buffer)
{
    buffer->bytes = WAL_BATCH_HEADER_BYTES;
    buffer->record_count = 0;
    buffer->sequence = ++wal->sequence_last;
    buffer->round = ROUND_OPEN;
}

int wal_reserve(struct wal *wal, uint32_t record_bytes, void **at_r)
{
    struct buffer *buffer = &wal->buffers[wal->filling];
    int result = wal_can_append(wal, record_bytes);
    if (result != 0)
        return result;
    if (buffer->bytes == 0)
        begin_batch(wal, buffer);
    *at_r = buffer->data + WAL_BLOCK_BYTES + buffer->bytes;
    wal->reserved_bytes = record_bytes;
    return 0;
}

uint64_t wal_commit(struct wal *wal, uint32_t record_bytes)
{
    struct buffer *buffer = &wal->buffers[wal->filling];
    ASSERT(record_bytes > 0);
    ASSERT(record_bytes <= wal->reserved_bytes);
    wal->reserved_bytes = 0;
    buffer->bytes += record_bytes;
    buffer->record_count++;
    return buffer->sequence;
}

/* No write is in flight when a segment is sealed, so all that was taken for writing is durable. */
static void seal_current(struct wal *wal)
{
    if (!has_current(wal))
        return;
    ASSERT(wal->write_bytes == 0);
    ASSERT(wal->sealed_count < WAL_LIVE_SEGMENTS_MAX);
    wal->sealed[wal->sealed_count++] = wal->current;
    wal->current = (struct wal_sealed){.fd = -1};
}

/* Makes a spare the current segment and writes its header to `block`. */
static void begin_segment(struct wal *wal, uint64_t round, void *block)
{
    ASSERT(can_begin_segment(wal));
    seal_current(wal);
    struct wal_header header = {
        .shard = wal->options.shard,
        .generation = wal->generation_last + 1,
        .previous = wal->generation_last,
        .file_bytes = wal->options.segment_bytes,
        .sealed_count = wal->sealed_count,
    };
    for (uint32_t i = 0; i < wal->sealed_count; i++) {
        header.sealed[i].generation = wal->sealed[i].generation;
        header.sealed[i].bytes = wal->sealed[i].bytes;
    }
    wal_header_encode(&header, block);
    struct wal_spare spare = take_spare(wal);
    wal->generation_last++;
    wal->current = (struct wal_sealed){wal->generation_last, WAL_BLOCK_BYTES, spare.file, spare.fd, round};
}

/* Makes *write_r: `bytes` at `data` for `offset` of the current segment. From now on the other buffer is filled. */
static void start_write(struct wal *wal, const void *data, uint32_t bytes, uint64_t offset, struct wal_write *write_r)
{
    ASSERT(bytes % WAL_BLOCK_BYTES == 0);
    ASSERT(offset % WAL_BLOCK_BYTES == 0);
    ASSERT(offset + bytes <= wal->options.segment_bytes);
    *write_r = (struct wal_write){wal->current.fd, data, bytes, offset};
    wal->write_bytes = bytes;
    wal->current.bytes = offset + bytes;
    wal->filling ^= 1;
    ASSERT(wal->buffers[wal->filling].bytes == 0);
}

bool wal_write_take(struct wal *wal, struct wal_write *write_r)
{
    struct buffer *buffer = &wal->buffers[wal->filling];
    if (wal->failed || wal->write_bytes > 0 || buffer->bytes == 0)
        return false;
    bool is_first = !fits_current(wal, buffer->round, buffer->bytes);
    if (is_first)
        begin_segment(wal, buffer->round, buffer->data);
    struct wal_batch batch = {buffer->sequence, buffer->bytes - WAL_BATCH_HEADER_BYTES, buffer->record_count};
    unsigned char *data = buffer->data + WAL_BLOCK_BYTES;
    uint32_t bytes = wal_batch_encode(wal->current.generation, &batch, data);
    if (is_first)
        start_write(wal, buffer->data, WAL_BLOCK_BYTES + bytes, 0, write_r);
    else
        start_write(wal, data, bytes, wal->current.bytes, write_r);
    return true;
}

bool wal_write_take_header(struct wal *wal, struct wal_write *write_r)
{
    struct buffer *buffer = &wal->buffers[wal->filling];
    ASSERT(wal->sequence_last == 0);
    if (wal->failed || has_current(wal) || !can_begin_segment(wal))
        return false;
    begin_segment(wal, ROUND_OPEN, buffer->data);
    start_write(wal, buffer->data, WAL_BLOCK_BYTES, 0, write_r);
    return true;
}

int wal_write_done(struct wal *wal, int result, uint64_t *sequence_r)
{
    ASSERT(wal_write_is_in_flight(wal));
    struct buffer *buffer = &wal->buffers[wal->filling ^ 1];
    if (result < 0 || (uint32_t)result != wal->write_bytes) {
        wal->failed = true;
        return -EIO;
    }
    if (buffer->bytes > 0)
        wal->sequence_durable = buffer->sequence;
    buffer->bytes = 0;
    wal->write_bytes = 0;
    wal->position = (struct store_position){wal->current.generation, wal->current.bytes};
    *sequence_r = wal->sequence_durable;
    return 0;
}

bool wal_write_is_in_flight(const struct wal *wal)
{
    return wal->write_bytes > 0 && !wal->failed;
}

bool wal_has_failed(const struct wal *wal)
{
    return wal->failed;
}

bool wal_is_empty(const struct wal *wal)
{
    return wal->write_bytes == 0 && wal->buffers[wal->filling].bytes == 0;
}

uint32_t wal_filling_records(const struct wal *wal)
{
    const struct buffer *buffer = &wal->buffers[wal->filling];
    return buffer->bytes == 0 ? 0 : buffer->record_count;
}

static void set_round(uint64_t *round_io, uint64_t round)
{
    if (*round_io == ROUND_OPEN)
        *round_io = round;
}

void wal_rotate(struct wal *wal, uint64_t round)
{
    ASSERT(round >= wal->round);
    ASSERT(round != ROUND_OPEN);
    wal->round = round;
    for (uint32_t i = 0; i < wal->sealed_count; i++)
        set_round(&wal->sealed[i].round, round);
    /* A segment that has only its header, and gets no batch of this round, is used for the next round. */
    if (wal->current.bytes > WAL_BLOCK_BYTES || wal->buffers[wal->filling].bytes > 0)
        set_round(&wal->current.round, round);
    for (uint32_t i = 0; i < 2; i++)
        set_round(&wal->buffers[i].round, round);
}

bool wal_round_is_written(const struct wal *wal, uint64_t round)
{
    ASSERT(round <= wal->round);
    for (uint32_t i = 0; i < 2; i++)
        if (wal->buffers[i].bytes > 0 && wal->buffers[i].round <= round)
            return false;
    return true;
}

struct store_position wal_position(const struct wal *wal)
{
    return wal->position;
}

/* Whether nothing more is to be written to the current segment. A write in flight always goes there; the filling batch
 * does if it is of the same round. */
static bool is_current_complete(const struct wal *wal)
{
    const struct buffer *buffer = &wal->buffers[wal->filling];
    return wal->write_bytes == 0 && (buffer->bytes == 0 || buffer->round != wal->current.round);
}

bool wal_release(struct wal *wal, uint64_t round, struct wal_spare *spare_r)
{
    ASSERT(round != ROUND_OPEN);
    for (uint32_t i = 0; i < wal->sealed_count; i++) {
        struct wal_sealed *sealed = &wal->sealed[i];
        if (sealed->round > round)
            continue;
        *spare_r = (struct wal_spare){sealed->file, sealed->fd};
        wal->generation_gone = sealed->generation > wal->generation_gone ? sealed->generation : wal->generation_gone;
        wal->sealed_count--;
        memmove(sealed, sealed + 1, (wal->sealed_count - i) * sizeof *sealed);
        return true;
    }
    if (!has_current(wal) || wal->current.round > round || !is_current_complete(wal))
        return false;
    *spare_r = (struct wal_spare){wal->current.file, wal->current.fd};
    wal->generation_gone = wal->current.generation;
    wal->current = (struct wal_sealed){.fd = -1};
    return true;
}

uint32_t wal_live_segments(const struct wal *wal)
{
    return wal->sealed_count + (has_current(wal) ? 1 : 0);
}

bool wal_has_batches(const struct wal *wal)
{
    return wal->sealed_count > 0 || wal->current.bytes > WAL_BLOCK_BYTES;
}
