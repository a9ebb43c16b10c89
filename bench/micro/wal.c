/* micro_wal DIR: what does it cost to append a record to a batch of the WAL (without a write), and to make batches of 1
 * to 4,096 records durable one after the other, in a real file below DIR (O_DIRECT|O_DSYNC)? */
#include <unistd.h>

#include "micro/micro.h"
#include "micro/record.h"
#include "storage/log.h"
#include "storage/wal/segment.h"

#define SPARES 3u

struct question {
    struct record_heap *heap;
    struct record *record;
    struct wal *wal;
    char *dir;
    uint64_t round;
    uint32_t batch; /* records */
    bool is_written;
};

/* The segment that was used last becomes a spare. */
static void recycle(struct question *question)
{
    struct wal_spare spare;
    wal_rotate(question->wal, ++question->round);
    while (wal_release(question->wal, question->round - 1, &spare))
        wal_give_spare(question->wal, spare);
}

static void write_batch(struct question *question)
{
    struct wal_write write;
    uint64_t sequence;
    bool is_due = wal_write_take(question->wal, &write);
    ASSERT(is_due);
    ssize_t bytes =
        question->is_written ? pwrite(write.fd, write.data, write.bytes, (off_t)write.offset) : (ssize_t)write.bytes;
    ASSERT(bytes == (ssize_t)write.bytes);
    micro_must(wal_write_done(question->wal, (int)bytes, &sequence));
    if (wal_spare_count(question->wal) < WAL_SPARES_WANTED)
        recycle(question);
}

static void append(void *context, uint64_t rounds)
{
    struct question *question = context;
    struct log log = {.file = question->wal};
    uint64_t sequence;
    for (uint64_t i = 0; i < rounds; i++) {
        for (uint32_t k = 0; k < question->batch; k++)
            micro_must(log_append(&log, question->record, &sequence));
        write_batch(question);
    }
}

int main(int argc, char **argv)
{
    static const uint32_t batches[] = {1, 16, 256, 4096};
    struct micro micro = {.program = "wal"};
    struct question question = {.dir = micro_make_dir(argc, argv), .round = 1};
    struct wal_options options = {.segment_bytes = WAL_SEGMENT_BYTES_DEFAULT};
    micro_must(record_heap_open(&question.heap, 8u << 20));
    micro_must(wal_open(&question.wal, &options, 0, NULL, 0));
    question.record = micro_record(question.heap, 1, 2, 1763900000000000);
    for (uint32_t i = 1; i <= SPARES; i++) {
        struct wal_spare spare;
        micro_must(segment_create(question.dir, i, options.segment_bytes, &spare));
        wal_give_spare(question.wal, spare);
    }
    question.batch = 4096;
    micro_run(&micro, "append a record of 64 bytes of text, not written", question.batch, append, &question);
    question.is_written = true;
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
        char name[64];
        question.batch = batches[i];
        snprintf(name, sizeof name, "make a batch of %u durable, per batch", batches[i]);
        micro_run(&micro, name, 1, append, &question);
    }
    wal_close(&question.wal);
    record_heap_unref(question.heap, &question.record);
    record_heap_close(&question.heap);
    micro_remove_dir(question.dir);
    micro_end(&micro);
    return 0;
}
