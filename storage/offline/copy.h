/*
 * copy.h: files into a directory of their own, durably: linked where that can be, else copied. What was copied is read
 * back from the disk and compared in length and CRC32C: 0 says that the copy is there as it was read. Blocks; any
 * thread.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_COPY_H
#define CHITCHAT_STORAGE_OFFLINE_COPY_H

#include <stdbool.h>
#include <stdint.h>

/* Two things that should be the same, where a copy ended with -EBADMSG. */
struct copy_difference {
    bool is_source; /* what was to be copied has another length than wanted; no CRC then */
    uint64_t bytes_wanted;
    uint64_t bytes_found;
    uint32_t crc_wanted;
    uint32_t crc_found;
};

struct copy_report {
    uint64_t linked;
    uint64_t copied;
    uint64_t bytes; /* of what was copied */
    struct copy_difference difference;
};

/* Opens a file that is to be copied, and locks it (flock, shared) until it is closed: run_remove.h does not cut what is
 * locked. Where the file system has no locks, run_remove cuts nothing. The descriptor; -EBUSY: it is being removed; or
 * -errno. */
int copy_open(const char *from);

/* Makes `to`, which must not be there, a second name of `from`, which never changes again and has `bytes`. 0; -EBADMSG
 * and report->difference: it has another length; or -errno: it has to be copied (-EXDEV, -EPERM, -EMLINK and the like).
 */
int copy_link(const char *from, uint64_t bytes, const char *to, struct copy_report *report);
/* Copies all that `fd` holds, which has to be `bytes`, to a new file. 0, or -errno (-EBADMSG: report->difference), and
 * the file is gone again. */
int copy_fd(int fd, uint64_t bytes, const char *to, struct copy_report *report);
/* As copy_fd, from a file as long as it is found; and from memory. */
int copy_file(const char *from, const char *to, struct copy_report *report);
int copy_bytes(const void *data, uint64_t bytes, const char *to, struct copy_report *report);

/* Makes the file durable and takes it out of the page cache, as far as the file system lets that be: what is read next
 * is what the disk has. 0 or -errno. */
int copy_flush_and_drop_cache(int fd);
/* Makes the directory if it is not there. 0; -ENOTEMPTY: it holds something; -errno. */
int copy_make_dir(const char *path);

#endif
