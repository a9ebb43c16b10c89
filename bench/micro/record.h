/*
 * record.h: records of invented users, for the programs that store. One thread.
 */
#ifndef CHITCHAT_BENCH_MICRO_RECORD_H
#define CHITCHAT_BENCH_MICRO_RECORD_H

#include <stdio.h>

#include "base/assert.h"
#include "storage/memtable/record_heap.h"

/* From user `from` to user `to`, with 64 bytes of text. The caller gives back the reference. */
static inline struct record *micro_record(struct record_heap *heap, uint64_t from, uint64_t to, uint64_t ts)
{
    static const char text[65] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    char names[2][24];
    int bytes[2] = {snprintf(names[0], sizeof names[0], "user-%07llu", (unsigned long long)from),
                    snprintf(names[1], sizeof names[1], "user-%07llu", (unsigned long long)to)};
    struct record *record =
        record_heap_take(heap, (struct span){names[0], (size_t)bytes[0]}, (struct span){names[1], (size_t)bytes[1]},
                         (struct span){"", 0}, (struct span){text, 64});
    ASSERT(record != NULL);
    record->ts_from = ts;
    record->ts_to = ts + 1;
    return record;
}

#endif
