/*
 * trace.h: what the recorder (record.c, record_ring.c) writes and the disk (disk.c) reads: one file for each life of a
 * server, records in the order in which the server could know of them. The record that something begins is written
 * before the call; the record that it is done is written after the call and before the server continues. So, wherever
 * the trace is cut: whatever was written or sent by then is before the cut, and whatever the server could have
 * concluded from a completion comes after that completion.
 */
#ifndef CHITCHAT_TESTS_POWER_TRACE_H
#define CHITCHAT_TESTS_POWER_TRACE_H

#include <stdint.h>

enum trace_kind {
    /* What exists below the root when a life begins, then LIFE. */
    TRACE_SEEN_DIR = 1, /* node, parent, name; parent 0: the root itself */
    TRACE_SEEN_FILE,    /* node, parent, name; bytes: its size */
    TRACE_SEEN_DATA,    /* node, offset, data: all that is not zero */
    TRACE_LIFE,         /* bytes: the process id */
    /* Names: recorded when done. */
    TRACE_CREATE, /* node, parent, name */
    TRACE_MKDIR,  /* node, parent, name */
    TRACE_UNLINK, /* parent, name */
    TRACE_RENAME, /* parent, both names, each with a 0 behind it; node: the directory of the new name */
    /* Contents: recorded before the call; WRITTEN when the call returned or the ring completed it. */
    TRACE_WRITE,      /* id, node, offset, bytes, data; nothing as data: zeros */
    TRACE_WRITE_SYNC, /* the same through an O_DSYNC descriptor: durable when it is WRITTEN whole */
    TRACE_TRUNCATE,   /* id, node, bytes: the new size */
    TRACE_WRITTEN,    /* id; bytes that were written, 0 if it failed */
    TRACE_MAP,        /* node, bytes: mapped to be written; changes through the map are not seen */
    /* fsync, fdatasync of a file or a directory: END only if it succeeded. */
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
