/*
 * file.h: writes to files. Files that nobody reads soon, or that are written in bulk, are opened past the page cache
 * (O_DIRECT): such writes evict no pages that are read again, and cost neither a copy nor a new page of memory per 4
 * KiB. Any thread; blocks.
 */
#ifndef CHITCHAT_STORAGE_FILE_H
#define CHITCHAT_STORAGE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Memory, offset and length of a write past the page cache are multiples of this. */
#define FILE_BLOCK_BYTES 4096u

/* Opens `path` for reading and writing past the page cache, or through it where the file system has no O_DIRECT.
 * `flags` are further flags of open(2). Returns the descriptor, which the caller owns, or -errno. */
int file_open_direct(const char *path, int flags);

/* Writes all `bytes` of `data` at `offset`. 0 or -errno: then a part may be written. Durable only after fdatasync, or
 * if the file was opened with O_DSYNC. */
int file_write(int fd, const void *data, size_t bytes, off_t offset);

/* The same for zeros: at most FILE_ZEROS_BYTES_MAX of them at a time. */
#define FILE_ZEROS_BYTES_MAX (1u << 20)
int file_write_zeros(int fd, size_t bytes, off_t offset);

/* Whether `status` (-errno of a write below `dir`) means that its disk is full, or a quota is used up. LMDB calls a
 * write that a full disk cut short an I/O error: so that counts too, if there is no room now. */
bool file_has_no_room(int status, const char *dir);

#endif
