/*
 * file.h: files that are written whole. Those that nobody reads soon, or that are written in bulk, are opened past the
 * page cache (O_DIRECT): that neither pushes out what is read again nor costs a copy and a fresh page of memory per
 * 4 KiB. Any thread; blocks.
 */
#ifndef CHITCHAT_STORAGE_FILE_H
#define CHITCHAT_STORAGE_FILE_H

#include <stddef.h>
#include <sys/types.h>

/* Memory, offsets and lengths of what is written past the page cache are multiples of it. */
#define FILE_BLOCK_BYTES 4096u

/* For reading and writing, with the further `flags` of open(2), past the page cache; through it where the file system
 * has no O_DIRECT. The descriptor, which the caller owns, or -errno. */
int file_open_direct(const char *path, int flags);

/* All of it, or -errno. Durable only after fdatasync. */
int file_write(int fd, const void *data, size_t bytes, off_t offset);

#endif
