/*
 * disk.h: the disk under the jobs beside a shard and under recovery, as chance has it: it fills up and has room again,
 * its calls fail, the process dies in the middle of one, and a crash leaves only what was flushed: a run that was not
 * synced is cut short or full of holes, a file that was removed is back unless its directory was synced after that.
 *
 * The program is linked with --wrap for the calls that storage makes (listed in CMakeLists.txt), so storage is what it
 * is in the server, LMDB included. A commit of LMDB is done whole or not at all. Log writes are not made here
 * (harness_io.c). There is one disk: the state is static, as the calls know nothing but their arguments.
 */
#ifndef CHITCHAT_TESTS_SIM_DISK_H
#define CHITCHAT_TESTS_SIM_DISK_H

#include <setjmp.h>

#include "harness.h"

/* Starts with a sound disk. `trash` is a directory of the same file system for what may come back. Borrows both. */
void disk_begin(struct chaos *chaos, const char *trash);

/* No room for a new run or segment, from now on, or room again. */
void disk_fill(bool is_full);
bool disk_is_full(void);
/* One call in `in` fails with EIO; 0: none. Of the manifest's commits some leave it open whether they were done. */
void disk_fail(uint32_t in);
/* The process dies in the `calls`th call from now: `death` is jumped to. 0: it does not. */
void disk_die_in(uint32_t calls, jmp_buf *death);
uint32_t disk_calls_left(void);

/* Calls that were failed since the process began. */
struct disk_told {
    uint32_t full;
    uint32_t failed_writes;
    uint32_t failed_reads;
    bool is_in_doubt; /* a commit of a manifest: LMDB takes no more */
};
struct disk_told disk_told(void);

/* After a crash: what was not flushed is as chance has it; a new process begins. */
void disk_crash(void);

#endif
