/*
 * disk.h: the disk under the jobs of workers and under recovery, with trouble by chance: the disk fills up and has room
 * again, its calls fail, the process dies in the middle of a call, and a crash leaves only what was flushed. After a
 * crash a run that was not synced is cut short or has holes, and a file that was removed exists again unless its
 * directory was synced since.
 *
 * The program is linked with --wrap for the calls that storage makes (listed in CMakeLists.txt), so that storage and
 * LMDB are the same as in the server. A commit of LMDB is done whole or not at all. WAL writes are not made here, but
 * in harness_io.c. The state is static, because the calls have no argument that could carry it.
 */
#ifndef CHITCHAT_TESTS_SIM_DISK_H
#define CHITCHAT_TESTS_SIM_DISK_H

#include <setjmp.h>

#include "harness.h"

/* Starts with a disk without trouble. `trash` is a directory of the same file system for files that may exist again
 * after a crash. Borrows both. */
void disk_begin(struct chaos *chaos, const char *trash);

/* From now on there is no room for a new run or segment, or there is room again. */
void disk_fill(bool is_full);
/* From now on there is room for runs, but for no segment, until disk_fill. */
void disk_fill_most(void);
bool disk_is_full(void);
/* One call in `in` fails with EIO; 0: none. A failed commit of the manifest may be done all the same. */
void disk_fail(uint32_t in);
/* The process dies in the `calls`th call from now: jumps to `death`. 0: the process does not die. */
void disk_die_in(uint32_t calls, jmp_buf *death);
uint32_t disk_calls_left(void);

/* Calls that were failed since the process began. */
struct disk_trouble {
    uint32_t full;
    uint32_t failed_writes;
    uint32_t failed_reads;
    bool is_in_doubt; /* a commit of a manifest may be done or not: LMDB accepts no more */
};
struct disk_trouble disk_trouble(void);

/* After a crash: decides by chance what is left of what was not flushed; a new process begins. */
void disk_crash(void);

#endif
