/* disk_private.h: what disk.c (which plays a trace) and disk_image.c (which builds images) share. */
#ifndef CHITCHAT_TESTS_POWER_DISK_PRIVATE_H
#define CHITCHAT_TESTS_POWER_DISK_PRIVATE_H

#include <stddef.h>

#include "disk.h"

struct disk_node;

/* A write or a change of size that is not known to be on the disk. */
struct disk_write {
    uint64_t id;
    uint64_t order;
    uint64_t returned; /* the order of its return; 0: not yet */
    uint64_t offset;   /* of a change of size: the new size */
    uint64_t bytes;
    char *data; /* owned; NULL: zeros */
    bool is_sync;
    bool is_size;
};

struct disk_node {
    uint64_t number; /* of the inode: reused, so the newest counts */
    bool is_dir;
    uint64_t mapped_bytes;
    /* On the disk, certainly. */
    char *data;
    uint64_t bytes;
    uint64_t room;
    uint64_t version;
    uint64_t pooled; /* the version of the file in the pool; 0: none */
    /* Not yet. */
    struct disk_write *writes;
    uint32_t write_count;
};

/* A name and its node. In the list of changes: from `order` on; target NULL: the name is removed. */
struct disk_name {
    struct disk_node *dir;
    char name[64];
    struct disk_node *target;
    uint64_t order;
    uint64_t group; /* changes of one rename have the same, others none (0) */
};

struct disk_names {
    struct disk_name *items;
    uint32_t count;
    uint32_t room;
};

/* A file or directory that was seen when a life began. */
struct disk_seen {
    struct disk_node *node;
    char *data;
    uint64_t bytes;
};

struct disk {
    char pool_dir[256];
    struct disk_faults faults;
    uint64_t order;
    bool is_live;
    struct disk_node *root;
    struct disk_node **nodes;
    uint32_t node_count;
    struct disk_names names;   /* on the disk, certainly */
    struct disk_names changes; /* not yet, in their order */
    struct {
        uint64_t id;
        uint64_t order;
        struct disk_node *node;
    } syncs[64];
    uint32_t sync_count;
    /* While a life begins. */
    struct disk_names seen_names;
    struct disk_seen *seen;
    uint32_t seen_count;
};

void *disk_memory(void *old, size_t bytes);
_Noreturn void disk_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Sets `name` in `dir` in a list that has each name once; NULL removes the name. */
void disk_names_set(struct disk_names *names, struct disk_node *dir, const char *name, struct disk_node *target);
/* The list after those of the first `count` changes that `is_kept` marks (NULL: all). The caller frees items. */
struct disk_names disk_names_after(const struct disk *disk, const bool *is_kept);
/* Puts a write onto contents that may grow. */
void disk_put(char **data, uint64_t *bytes, uint64_t *room, const struct disk_write *write);

#endif
