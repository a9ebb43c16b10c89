/*
 * wal_assigned.h: which file each of the next generations of a WAL has. The manifest keeps this list outside of the
 * segments, so that a newest segment whose file was removed is missed. A WAL uses its spares in the order in which they
 * were given, so each spare has its generation before its first write. The list is durable before a spare is given:
 * with the first file at the start (recovery), and by the recycler's thread after that (segment_recycler.h). The path
 * of a send does not write it.
 *
 * The list names the segment in use, all spares, and the newest sealed segment: a crash may leave that one as the
 * newest, when the first write of the one in use did not reach the disk. A listed segment above the newest header is a
 * spare or the newest one that was written: nothing tells which, so its file must exist (wal_survey.h). The greatest
 * generation of the list is the newest one that any file may have. Where no file has that one (a start that had no room
 * for a file, and forgot those of the server before), the list has it with WAL_ASSIGNED_NO_FILE. Pure; any thread.
 */
#ifndef CHITCHAT_STORAGE_WAL_ASSIGNED_H
#define CHITCHAT_STORAGE_WAL_ASSIGNED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"

#define WAL_ASSIGNED_MAX                                                                                               \
    18u /* the newest sealed segment, the one in use, WAL_SPARES_MAX spares (storage/wal/wal.h)                        \
         */

#define WAL_ASSIGNED_NO_FILE 0u /* no file has this number */

struct wal_assigned {
    uint32_t count; /* 0: nothing is known, as in a directory of a version that had no such list */
    struct {
        uint64_t generation;
        uint64_t file; /* the number in its name */
    } segments[WAL_ASSIGNED_MAX];
};

static inline void wal_assigned_add(struct wal_assigned *assigned, uint64_t generation, uint32_t file)
{
    ASSERT(assigned->count < WAL_ASSIGNED_MAX);
    assigned->segments[assigned->count].generation = generation;
    assigned->segments[assigned->count++].file = file;
}

/* The greatest generation of the list; 0: it is empty. */
static inline uint64_t wal_assigned_generation_last(const struct wal_assigned *assigned)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < assigned->count; i++)
        if (assigned->segments[i].generation > last)
            last = assigned->segments[i].generation;
    return last;
}

static inline bool wal_assigned_has_file(const struct wal_assigned *assigned, uint32_t file)
{
    for (uint32_t i = 0; i < assigned->count; i++)
        if (assigned->segments[i].file == file)
            return true;
    return false;
}

#endif
