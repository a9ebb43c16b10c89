/*
 * segment.h: the files of a WAL, `segment-NNNNNN.wal` in one directory: made and written with zeros, recycled, removed,
 * listed, and mapped for reading. Any thread but a shard's: everything here blocks.
 */
#ifndef CHITCHAT_STORAGE_WAL_SEGMENT_H
#define CHITCHAT_STORAGE_WAL_SEGMENT_H

#include "storage/wal/wal.h"

/* Makes file number `file`, which must not exist (-EEXIST), writes zeros to all of it, makes it and its name durable,
 * and opens it with O_DIRECT | O_DSYNC (O_DSYNC alone where the file system has no O_DIRECT). 0, or -errno and there is
 * no new file. The caller owns spare_r->fd. */
int segment_create(const char *dir, uint32_t file, uint32_t segment_bytes, struct wal_spare *spare_r);

/* Overwrites the header of a file that is to be recycled with zeros, durably. So if the first write after that is torn,
 * nobody reads the old batches. Borrows spare.fd. 0 or -errno. */
int segment_clear(struct wal_spare spare);

/* Closes spare.fd unless it is -1, and removes the file. 0 or -errno. */
int segment_remove(const char *dir, struct wal_spare spare);

/* The numbers of all segment files of `dir`, ascending. 0 or -errno. The caller frees *files_r. */
int segment_list(const char *dir, uint32_t **files_r, uint32_t *count_r);

/* A segment mapped read-only. */
struct segment_map {
    const void *data; /* NULL: the file is empty, or nothing is mapped */
    uint64_t bytes;
};
/* Maps the whole file. 0 or -errno. The caller unmaps *map_r. A page that cannot be read is SIGBUS (page_guard.h). */
int segment_map(const char *dir, uint32_t file, struct segment_map *map_r);
/* Nulls *map; a struct of zeros is fine. */
void segment_unmap(struct segment_map *map);

/* Makes the file's content durable. 0 or -errno. */
int segment_sync(const char *dir, uint32_t file);
/* Makes the names in `dir`, which may be any directory, durable. 0 or -errno. */
int segment_sync_dir(const char *dir);

#endif
