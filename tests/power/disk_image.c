/* disk_image.c: chooses which unflushed changes are in an image, and writes the image. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk_private.h"

#define SECTOR_BYTES 512u
#define BLOCK_BYTES 4096u
#define POOLED_BYTES_MIN 65536u
#define PATH_BYTES 1024u

/* How the unflushed writes, or names, of one image are chosen. */
enum policy { POLICY_NONE, POLICY_ALL, POLICY_EACH, POLICY_UNTIL, POLICY_TORN, POLICY_COUNT };

struct image {
    struct disk *disk;
    struct disk_counts *counts;
    uint64_t random;
    enum policy policy;
    uint64_t until; /* POLICY_UNTIL: the order of the write at which it was cut */
};

/* splitmix64 (Steele, Lea and Flood, 2014) */
static uint64_t next_random(struct image *image)
{
    uint64_t z = (image->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t below(struct image *image, uint64_t bound)
{
    return next_random(image) % bound;
}

static void must(bool is_well, const char *what, const char *path)
{
    if (!is_well)
        disk_fail("%s %s: %s", what, path, strerror(errno));
}

/* -- names -- */

static void choose_names(struct image *image, enum policy policy, bool *is_kept)
{
    const struct disk_names *changes = &image->disk->changes;
    uint64_t until = changes->count == 0 ? 0 : below(image, changes->count + 1);
    for (uint32_t i = 0; i < changes->count; i++) {
        bool has_half = i > 0 && changes->items[i].group != 0 && changes->items[i - 1].group == changes->items[i].group;
        switch (policy) {
        case POLICY_NONE: is_kept[i] = false; break;
        case POLICY_ALL: is_kept[i] = true; break;
        case POLICY_UNTIL: is_kept[i] = i < until; break;
        default: is_kept[i] = below(image, 2) == 0;
        }
        if (has_half)
            is_kept[i] = is_kept[i - 1];
        image->counts->names_kept += is_kept[i];
        image->counts->names_dropped += !is_kept[i];
    }
}

/* -- contents -- */

static void write_out(int fd, const char *path, const char *data, uint64_t bytes, uint64_t offset)
{
    must(pwrite(fd, data, bytes, (off_t)offset) == (ssize_t)bytes, "cannot write", path);
}

static bool is_zero(const char *data, uint64_t bytes)
{
    return bytes == 0 || (data[0] == 0 && memcmp(data, data + 1, bytes - 1) == 0);
}

/* What was flushed: all that is not zero, in few writes. */
static void write_base(int fd, const char *path, const struct disk_node *node)
{
    uint64_t begin = 0;
    bool has_begun = false;
    for (uint64_t at = 0; at < node->bytes; at += BLOCK_BYTES) {
        uint64_t bytes = node->bytes - at < BLOCK_BYTES ? node->bytes - at : BLOCK_BYTES;
        bool is_empty = is_zero(node->data + at, bytes);
        if (!is_empty && !has_begun)
            begin = at;
        else if (is_empty && has_begun)
            write_out(fd, path, node->data + begin, at - begin, begin);
        has_begun = !is_empty;
    }
    if (has_begun)
        write_out(fd, path, node->data + begin, node->bytes - begin, begin);
}

/* Which sectors of a torn write are in the image. */
struct tear {
    enum { TEAR_HEAD, TEAR_TAIL, TEAR_ANY } kind;
    uint64_t at;
};

static bool is_sector_kept(struct image *image, const struct tear *tear, uint64_t index)
{
    switch (tear->kind) {
    case TEAR_HEAD: return index < tear->at;
    case TEAR_TAIL: return index >= tear->at;
    case TEAR_ANY: break;
    }
    return below(image, 2) == 0;
}

static void write_piece(int fd, const char *path, const struct disk_write *write, uint64_t from, uint64_t bytes)
{
    static const char zeros[SECTOR_BYTES];
    write_out(fd, path, write->data == NULL ? zeros : write->data + from, bytes, write->offset + from);
}

/* The new size. */
static uint64_t write_torn(struct image *image, int fd, const char *path, const struct disk_write *write, uint64_t size)
{
    uint64_t last = (write->offset + write->bytes - 1) / SECTOR_BYTES - write->offset / SECTOR_BYTES;
    struct tear tear = {.kind = (int)below(image, 3), .at = below(image, last + 2)};
    uint64_t index = 0;
    for (uint64_t from = 0, bytes; from < write->bytes; from += bytes, index++) {
        bytes = SECTOR_BYTES - (write->offset + from) % SECTOR_BYTES;
        bytes = write->bytes - from < bytes ? write->bytes - from : bytes;
        if (!is_sector_kept(image, &tear, index))
            continue;
        write_piece(fd, path, write, from, bytes);
        uint64_t end = write->offset + from + bytes;
        size = end > size ? end : size;
    }
    return size;
}

static uint64_t write_whole(int fd, const char *path, const struct disk_write *write, uint64_t size)
{
    uint64_t end = write->offset + write->bytes;
    if (write->data != NULL)
        write_out(fd, path, write->data, write->bytes, write->offset);
    for (uint64_t from = 0; write->data == NULL && from < write->bytes && write->offset + from < size;) {
        uint64_t bytes = write->bytes - from < SECTOR_BYTES ? write->bytes - from : SECTOR_BYTES;
        write_piece(fd, path, write, from, bytes);
        from += bytes;
    }
    return end > size ? end : size;
}

enum fate { FATE_KEPT, FATE_DROPPED, FATE_TORN };

static enum fate fate_of(struct image *image, const struct disk_write *write)
{
    switch (image->policy) {
    case POLICY_NONE: return FATE_DROPPED;
    case POLICY_ALL: return FATE_KEPT;
    case POLICY_EACH: return below(image, 2) == 0 ? FATE_KEPT : FATE_DROPPED;
    case POLICY_UNTIL:
        return write->order < image->until ? FATE_KEPT : write->order == image->until ? FATE_TORN : FATE_DROPPED;
    default: return (enum fate)below(image, 3);
    }
}

/* Writes one unflushed write into the file; returns the size of the file after it. */
static uint64_t write_unflushed(struct image *image, int fd, const char *path, const struct disk_write *write,
                                uint64_t size)
{
    enum fate fate = fate_of(image, write);
    image->counts->kept += fate == FATE_KEPT;
    image->counts->dropped += fate == FATE_DROPPED;
    image->counts->torn += fate == FATE_TORN;
    if (write->is_size) {
        if (fate == FATE_DROPPED)
            return size;
        must(ftruncate(fd, (off_t)write->offset) == 0, "cannot cut", path);
        return write->offset;
    }
    /* The size may be on the disk before the bytes. */
    uint64_t end = write->offset + write->bytes;
    if (image->policy >= POLICY_EACH && end > size && below(image, 4) == 0)
        size = end;
    if (fate == FATE_KEPT)
        return write_whole(fd, path, write, size);
    return fate == FATE_TORN && write->bytes > 0 ? write_torn(image, fd, path, write, size) : size;
}

static void write_garbage(struct image *image, int fd, const char *path, uint64_t bytes)
{
    char block[BLOCK_BYTES];
    if (below(image, 2) == 0)
        return;
    for (uint64_t at = 0; at < bytes; at += sizeof block) {
        for (uint64_t i = 0; i < sizeof block; i += 8) {
            uint64_t random = next_random(image);
            memcpy(block + i, &random, 8);
        }
        write_out(fd, path, block, bytes - at < sizeof block ? bytes - at : sizeof block, at);
    }
}

static int make_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    must(fd >= 0, "cannot make", path);
    return fd;
}

/* The server never writes again to a finished run, nor to a segment of an earlier life; so images share them. */
static bool link_pooled(struct disk *disk, struct disk_node *node, const char *path, const char *name)
{
    char pooled[PATH_BYTES];
    if (node->write_count > 0 || node->bytes < POOLED_BYTES_MIN || node->mapped_bytes > 0
        || (strncmp(name, "run-", 4) != 0 && strncmp(name, "segment-", 8) != 0))
        return false;
    snprintf(pooled, sizeof pooled, "%s/%p", disk->pool_dir, (void *)node);
    if (node->pooled != node->version) {
        (void)unlink(pooled);
        int fd = make_file(pooled);
        write_base(fd, pooled, node);
        must(ftruncate(fd, (off_t)node->bytes) == 0, "cannot size", pooled);
        close(fd);
        node->pooled = node->version;
    }
    bool is_linked = link(pooled, path) == 0;
    must(is_linked || errno == EXDEV, "cannot link", path);
    return is_linked;
}

static void build_file(struct image *image, struct disk_node *node, const char *path, const char *name)
{
    if (link_pooled(image->disk, node, path, name))
        return;
    int fd = make_file(path);
    write_base(fd, path, node);
    uint64_t size = node->bytes;
    for (uint32_t i = 0; i < node->write_count; i++)
        size = write_unflushed(image, fd, path, &node->writes[i], size);
    must(ftruncate(fd, (off_t)size) == 0, "cannot size", path);
    if (node->mapped_bytes > 0)
        write_garbage(image, fd, path, size < node->mapped_bytes ? size : node->mapped_bytes);
    close(fd);
}

static void build_dir(struct image *image, const struct disk_names *names, const struct disk_node *dir,
                      const char *path)
{
    char below_path[PATH_BYTES];
    must(mkdir(path, 0700) == 0, "cannot make", path);
    for (uint32_t i = 0; i < names->count; i++) {
        const struct disk_name *name = &names->items[i];
        if (name->dir != dir)
            continue;
        if (snprintf(below_path, sizeof below_path, "%s/%s", path, name->name) >= (int)sizeof below_path)
            disk_fail("a path too long: %s", path);
        if (name->target->is_dir)
            build_dir(image, names, name->target, below_path);
        else
            build_file(image, name->target, below_path, name->name);
    }
}

/* The order of one of the unflushed writes; 0: there is none. */
static uint64_t some_write(struct image *image)
{
    const struct disk *disk = image->disk;
    uint64_t count = 0, chosen = 0;
    for (uint32_t i = 0; i < disk->node_count; i++)
        for (uint32_t k = 0; k < disk->nodes[i]->write_count; k++)
            if (below(image, ++count) == 0)
                chosen = disk->nodes[i]->writes[k].order;
    return chosen;
}

void disk_build(struct disk *disk, const char *dir, enum disk_choice choice, uint64_t seed, struct disk_counts *counts)
{
    struct image image = {.disk = disk, .counts = counts, .random = seed};
    bool is_kept[disk->changes.count + 1];
    enum policy names_policy = choice == DISK_NOTHING ? POLICY_NONE : POLICY_ALL;
    image.policy = names_policy;
    if (choice == DISK_BY_CHANCE) {
        image.policy = (enum policy)below(&image, POLICY_COUNT);
        names_policy = (enum policy)below(&image, POLICY_COUNT);
        image.until = some_write(&image);
    }
    choose_names(&image, names_policy, is_kept);
    struct disk_names names = disk_names_after(disk, is_kept);
    build_dir(&image, &names, disk->root, dir);
    free(names.items);
    counts->images++;
}
