/*
 * direct.h: files that are written past the page cache (O_DIRECT): what is written once and in bulk neither pushes out
 * what is read again nor costs a copy and a fresh page of memory per 4 KiB. Where the file system has no O_DIRECT they
 * go through the page cache. Memory, offsets and lengths are multiples of DIRECT_BLOCK_BYTES. Any thread; blocks.
 */
#ifndef CHITCHAT_STORAGE_DIRECT_H
#define CHITCHAT_STORAGE_DIRECT_H

#include <stddef.h>
#include <sys/types.h>

#define DIRECT_BLOCK_BYTES 4096u

/* An empty file, for reading and writing; the caller owns the descriptor. It, or -errno. */
int direct_create(const char *path);

/* All of it, or -errno. Durable only after fdatasync. */
int direct_write(int fd, const void *data, size_t bytes, off_t offset);

#endif
