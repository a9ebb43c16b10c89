/*
 * batch_scan.h: finds the objects in {"messages":[{...},{...}]}, one at a time, so that a long body can be read over
 * several turns. What is inside of an object is not checked here. Pure; any thread.
 */
#ifndef CHITCHAT_API_BATCH_SCAN_H
#define CHITCHAT_API_BATCH_SCAN_H

#include <stddef.h>

/* Zeroed but for data and bytes: at the start. */
struct batch_scan {
    char *data;
    size_t bytes;
    size_t at;      /* bytes that were scanned */
    unsigned found; /* objects so far */
    unsigned is_begun : 1;
};

enum batch_found {
    BATCH_OBJECT, /* *object_r and *bytes_r are set */
    BATCH_END,    /* the body is complete */
    BATCH_BAD,    /* the body is no such object */
    BATCH_LONG,   /* the next object is longer than LIMIT_FRAME_BYTES */
};

/* Finds the next object. It may be changed before the next call. */
enum batch_found batch_scan_next(struct batch_scan *scan, char **object_r, size_t *bytes_r);

#endif
