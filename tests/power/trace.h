/*
 * trace.h: what the recorder (record.c, record_ring.c) writes down and the disk (disk.c) reads: one file for each life
 * of a server, records in the order in which the server could know of them. A record of something that is about to be
 * done stands before the call, one of something that is done after it and before the server goes on. So, cutting the
 * trace anywhere: whatever was written or sent by then is before the cut, and whatever the server could have concluded
 * from a completion has that completion before it.
 */
#ifndef CHITCHAT_TESTS_POWER_TRACE_H
#define CHITCHAT_TESTS_POWER_TRACE_H

#include <stdint.h>

enum trace_kind {
    /* What stands below the root when a life begins, then LIFE. */
    TRACE_SEEN_DIR = 1, /* node, parent, name; parent 0: the root itself */
    TRACE_SEEN_FILE,    /* node, parent, name; bytes: its size */
    TRACE_SEEN_DATA,    /* node, offset, data: all that is not zero */
    TRACE_LIFE,         /* bytes: the process id */
    /* Names: told when done. */
    TRACE_CREATE, /* node, parent, name */
    TRACE_MKDIR,  /* node, parent, name */
    TRACE_UNLINK, /* parent, name */
    TRACE_RENAME, /* parent, name; node: the directory of the new name, which stands behind the first, both with a 0 */
    /* Contents: told before; WRITTEN when the call returned or the ring completed it. */
    TRACE_WRITE,      /* id, node, offset, bytes, data; nothing as data: zeros */
    TRACE_WRITE_SYNC, /* the same through an O_DSYNC descriptor: durable when it is WRITTEN whole */
    TRACE_TRUNCATE,   /* id, node, bytes: the new size */
    TRACE_WRITTEN,    /* id; bytes that were, 0 if it failed */
    TRACE_MAP,        /* node, bytes: mapped to be written; what becomes of its contents is not seen */
    /* fsync, fdatasync of a file or a directory: END only if it was well. */
    TRACE_SYNC_BEGIN, /* id, node */
    TRACE_SYNC_END,   /* id */
    /* What leaves the process. */
    TRACE_SEND,  /* node: the descriptor; data */
    TRACE_CLOSE, /* node: the descriptor */
};

struct trace_record {
    uint32_t kind;
    uint32_t data_bytes; /* of data or name, which follow, padded to 8 */
    uint64_t id;
    uint64_t node; /* inode number */
    uint64_t parent;
    uint64_t offset;
    uint64_t bytes;
};

static inline uint64_t trace_padded(uint64_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

#endif
