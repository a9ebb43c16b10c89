/*
 * copy.h: files into a directory of their own, durably: linked where that can be, else copied. Blocks; any thread.
 */
#ifndef CHITCHAT_STORAGE_COPY_H
#define CHITCHAT_STORAGE_COPY_H

#include <stdbool.h>
#include <stdint.h>

struct copy_count {
    uint64_t linked;
    uint64_t copied;
    uint64_t bytes; /* of what was copied */
};

/* Makes `to`, which must not be there, a second name of `from`, which never changes again. 0, or -errno: it has to be
 * copied (-EXDEV, -EPERM, -EMLINK and the like). */
int copy_link(const char *from, const char *to, struct copy_count *count);
/* Copies all that `fd` holds to a new file, and makes it durable. 0 or -errno. */
int copy_fd(int fd, const char *to, struct copy_count *count);
int copy_file(const char *from, const char *to, struct copy_count *count);
/* Writes `bytes` at `data` to a new file, durable. 0 or -errno. */
int copy_bytes(const void *data, uint64_t bytes, const char *to, struct copy_count *count);
/* Makes the directory if it is not there. 0; -ENOTEMPTY: it holds something; -errno. */
int copy_make_dir(const char *path);

#endif
