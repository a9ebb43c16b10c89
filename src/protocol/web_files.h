/*
 * web_files.h: the files of src/web that the server serves at / and beside it, built into the program. Static bytes;
 * any thread.
 */
#ifndef CHITCHAT_PROTOCOL_WEB_FILES_H
#define CHITCHAT_PROTOCOL_WEB_FILES_H

#include <stdint.h>

#include "base/span.h"

/* A file is copied to a connection's output whole. */
#define WEB_FILE_BYTES_MAX 65536u

struct web_file {
    struct span path; /* of the URL: "/" for index.html, else a slash and the file's name */
    const char *type; /* its Content-Type */
    const char *etag; /* its ETag, with quotes: a digest of the bytes */
    struct span body; /* 1 to WEB_FILE_BYTES_MAX bytes */
};

/* The files, in no order; *count_r is their number. */
const struct web_file *web_files(uint32_t *count_r);

#endif
