/*
 * copy.h: links or copies files, durably. A copy is read back from the disk and compared in length and CRC32C with what
 * was read from its source. Blocks; any thread.
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_COPY_H
#define CHITCHAT_STORAGE_OFFLINE_COPY_H

#include <stdbool.h>
#include <stdint.h>

/* What differs when a call returns -EBADMSG. */
struct copy_difference {
    bool is_source; /* the source has another length than wanted, and the CRCs are 0; else the copy differs */
    uint64_t bytes_wanted;
    uint64_t bytes_found;
    uint32_t crc_wanted;
    uint32_t crc_found;
};

/* The calls add to the counts. */
struct copy_report {
    uint64_t linked; /* files */
    uint64_t copied; /* files */
    uint64_t bytes;  /* of the copied files */
    struct copy_difference difference;
};

/* Opens a file that is to be copied, with a shared flock until it is closed: run_remove does not cut a locked file, and
 * cuts no file where the file system has no locks. Returns the descriptor, which the caller owns; -EBUSY: the file is
 * being removed; or -errno. */
int copy_open(const char *from);

/* Makes `to`, which must not exist, a second name of the file `from`, which never changes and must have `bytes` bytes.
 * 0; -EBADMSG and report->difference: it has another length; or -errno (-EXDEV, -EPERM, -EMLINK and others): the file
 * has to be copied. After an error `to` does not exist. */
int copy_link(const char *from, uint64_t bytes, const char *to, struct copy_report *report);
/* Copies the file of `fd`, which must have `bytes` bytes, to the new file `to`. 0; or -errno (-EBADMSG: see
 * report->difference), and `to` does not exist. Borrows `fd`, which is open (asserted). */
int copy_fd(int fd, uint64_t bytes, const char *to, struct copy_report *report);
/* The same from a path, whatever the length of the file. */
int copy_file(const char *from, const char *to, struct copy_report *report);
/* The same from memory. */
int copy_bytes(const void *data, uint64_t bytes, const char *to, struct copy_report *report);

/* Makes the file durable and asks the kernel to drop it from the page cache, so that the next read is from the disk. (A
 * file system in memory keeps it.) 0 or -errno. */
int copy_flush_and_drop_cache(int fd);
/* Makes the directory, or checks that it is empty (lost+found does not count). 0; -ENOTEMPTY; or -errno. */
int copy_make_dir(const char *path);

#endif
