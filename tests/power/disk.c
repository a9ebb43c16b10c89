#include "disk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk_private.h"

_Noreturn void disk_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("power: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

void *disk_memory(void *old, size_t bytes)
{
    void *memory = realloc(old, bytes);
    if (memory == NULL)
        disk_fail("no memory");
    return memory;
}

void disk_open(struct disk **disk_r, const char *pool_dir, const struct disk_faults *faults)
{
    struct disk *disk = disk_memory(NULL, sizeof *disk);
    *disk = (struct disk){.faults = *faults};
    snprintf(disk->pool_dir, sizeof disk->pool_dir, "%s", pool_dir);
    *disk_r = disk;
}

static void free_writes(struct disk_node *node)
{
    for (uint32_t i = 0; i < node->write_count; i++)
        free(node->writes[i].data);
    free(node->writes);
}

void disk_close(struct disk **disk)
{
    for (uint32_t i = 0; i < (*disk)->node_count; i++) {
        free_writes((*disk)->nodes[i]);
        free((*disk)->nodes[i]->data);
        free((*disk)->nodes[i]);
    }
    free((*disk)->nodes);
    free((*disk)->names.items);
    free((*disk)->changes.items);
    free((*disk)->seen_names.items);
    free((*disk)->seen);
    free(*disk);
    *disk = NULL;
}

bool disk_is_live(const struct disk *disk)
{
    return disk->is_live;
}

bool disk_is_change(const struct trace_record *record)
{
    return record->kind >= TRACE_CREATE && record->kind <= TRACE_SYNC_END && record->kind != TRACE_SYNC_BEGIN;
}

/* -- nodes -- */

static struct disk_node *node_make(struct disk *disk, uint64_t number, bool is_dir)
{
    struct disk_node *node = disk_memory(NULL, sizeof *node);
    *node = (struct disk_node){.number = number, .is_dir = is_dir, .version = 1};
    disk->nodes = disk_memory(disk->nodes, (disk->node_count + 1) * sizeof *disk->nodes);
    disk->nodes[disk->node_count++] = node;
    return node;
}

static struct disk_node *node_find(const struct disk *disk, uint64_t number)
{
    for (uint32_t i = disk->node_count; i > 0; i--)
        if (disk->nodes[i - 1]->number == number)
            return disk->nodes[i - 1];
    return NULL;
}

static struct disk_node *node_of(const struct disk *disk, uint64_t number)
{
    struct disk_node *node = node_find(disk, number);
    if (node == NULL)
        disk_fail("the trace uses inode %llu before that was made", (unsigned long long)number);
    return node;
}

/* -- names -- */

static struct disk_name *names_add(struct disk_names *names, struct disk_node *dir, const char *name,
                                   struct disk_node *target)
{
    if (names->count == names->room) {
        names->room = names->room == 0 ? 64 : names->room * 2;
        names->items = disk_memory(names->items, names->room * sizeof *names->items);
    }
    struct disk_name *added = &names->items[names->count++];
    *added = (struct disk_name){.dir = dir, .target = target};
    snprintf(added->name, sizeof added->name, "%s", name);
    return added;
}

static struct disk_name *names_find(const struct disk_names *names, const struct disk_node *dir, const char *name)
{
    for (uint32_t i = 0; i < names->count; i++)
        if (names->items[i].dir == dir && strcmp(names->items[i].name, name) == 0)
            return &names->items[i];
    return NULL;
}

void disk_names_set(struct disk_names *names, struct disk_node *dir, const char *name, struct disk_node *target)
{
    struct disk_name *found = names_find(names, dir, name);
    if (found == NULL && target != NULL)
        names_add(names, dir, name, target);
    else if (found != NULL && target != NULL)
        found->target = target;
    else if (found != NULL)
        *found = names->items[--names->count];
}

struct disk_names disk_names_after(const struct disk *disk, const bool *is_kept)
{
    struct disk_names names = {NULL, 0, 0};
    for (uint32_t i = 0; i < disk->names.count; i++)
        names_add(&names, disk->names.items[i].dir, disk->names.items[i].name, disk->names.items[i].target);
    for (uint32_t i = 0; i < disk->changes.count; i++) {
        const struct disk_name *change = &disk->changes.items[i];
        if (is_kept == NULL || is_kept[i])
            disk_names_set(&names, change->dir, change->name, change->target);
    }
    return names;
}

static void change(struct disk *disk, struct disk_node *dir, const char *name, struct disk_node *target, uint64_t group)
{
    struct disk_name *added = names_add(&disk->changes, dir, name, target);
    added->order = disk->order;
    added->group = group;
}

static void change_name(struct disk *disk, struct disk_node *from_dir, const char *from, struct disk_node *to_dir)
{
    struct disk_names now = disk_names_after(disk, NULL);
    struct disk_name *found = names_find(&now, from_dir, from);
    if (found == NULL)
        disk_fail("the trace renames %s before that was made", from);
    change(disk, to_dir, from + strlen(from) + 1, found->target, disk->order);
    change(disk, from_dir, from, NULL, disk->order);
    free(now.items);
}

/* Names of `dir` that were changed before `order` are on the disk; with one half of a rename its other half. */
static void names_flush(struct disk *disk, const struct disk_node *dir, uint64_t order)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < disk->changes.count; i++) {
        struct disk_name *at = &disk->changes.items[i];
        bool is_flushed = at->dir == dir && at->order < order;
        for (uint32_t k = 0; k < disk->changes.count && !is_flushed && at->group != 0; k++) {
            const struct disk_name *other = &disk->changes.items[k];
            is_flushed = other->group == at->group && other->dir == dir && other->order < order;
        }
        if (is_flushed)
            disk_names_set(&disk->names, at->dir, at->name, at->target);
        else
            disk->changes.items[left++] = *at;
    }
    disk->changes.count = left;
}

/* -- contents -- */

static void grow(char **data, uint64_t *room, uint64_t bytes)
{
    if (bytes <= *room)
        return;
    uint64_t wanted = bytes + bytes / 2 + 4096;
    *data = disk_memory(*data, wanted);
    memset(*data + *room, 0, wanted - *room);
    *room = wanted;
}

void disk_put(char **data, uint64_t *bytes, uint64_t *room, const struct disk_write *write)
{
    uint64_t end = write->offset + write->bytes;
    grow(data, room, end);
    if (write->is_size) {
        if (write->offset < *bytes)
            memset(*data + write->offset, 0, *bytes - write->offset);
        *bytes = write->offset;
        return;
    }
    if (write->data != NULL)
        memcpy(*data + write->offset, write->data, write->bytes);
    else if (write->bytes > 0)
        memset(*data + write->offset, 0, write->bytes);
    *bytes = end > *bytes ? end : *bytes;
}

static void issue(struct disk *disk, const struct trace_record *record, const void *data)
{
    struct disk_node *node = node_of(disk, record->node);
    struct disk_write write = {.id = record->id,
                               .order = disk->order,
                               .offset = record->offset,
                               .bytes = record->bytes,
                               .is_sync = record->kind == TRACE_WRITE_SYNC};
    if (record->kind == TRACE_TRUNCATE)
        write = (struct disk_write){
            .id = record->id, .order = disk->order, .returned = disk->order, .offset = record->bytes, .is_size = true};
    if (disk->faults.small_sync_writes_are_plain && record->bytes < 4096)
        write.is_sync = false;
    if (record->data_bytes > 0) {
        write.data = disk_memory(NULL, record->data_bytes);
        memcpy(write.data, data, record->data_bytes);
    }
    node->writes = disk_memory(node->writes, (node->write_count + 1) * sizeof *node->writes);
    node->writes[node->write_count++] = write;
}

static bool overlaps(const struct disk_write *a, const struct disk_write *b)
{
    return !a->is_size && !b->is_size && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

/* Puts on the disk what `is_flushed` says of a node's writes. */
static void writes_flush(struct disk_node *node, const bool *is_flushed)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < node->write_count; i++) {
        struct disk_write *write = &node->writes[i];
        if (!is_flushed[i]) {
            node->writes[left++] = *write;
            continue;
        }
        disk_put(&node->data, &node->bytes, &node->room, write);
        free(write->data);
        node->version++;
    }
    node->write_count = left;
}

static void sync_file(struct disk_node *node, uint64_t order)
{
    bool is_flushed[node->write_count + 1];
    for (uint32_t i = 0; i < node->write_count; i++)
        is_flushed[i] = node->writes[i].returned != 0 && node->writes[i].returned < order;
    writes_flush(node, is_flushed);
}

/* The lost write takes along what it had overwritten. */
static void sync_write(struct disk_node *node, uint32_t index)
{
    bool is_flushed[node->write_count];
    for (uint32_t i = 0; i < node->write_count; i++)
        is_flushed[i] = i == index || (i < index && overlaps(&node->writes[i], &node->writes[index]));
    writes_flush(node, is_flushed);
}

static void forget_write(struct disk_node *node, uint32_t index)
{
    free(node->writes[index].data);
    node->write_count--;
    memmove(&node->writes[index], &node->writes[index + 1], (node->write_count - index) * sizeof *node->writes);
}

static void written(struct disk *disk, const struct trace_record *record)
{
    for (uint32_t i = 0; i < disk->node_count; i++) {
        struct disk_node *node = disk->nodes[i];
        for (uint32_t k = 0; k < node->write_count; k++) {
            struct disk_write *write = &node->writes[k];
            if (write->id != record->id || write->returned != 0) /* another life uses the same ids */
                continue;
            write->returned = disk->order;
            if (record->id == disk->faults.lost_write_id)
                forget_write(node, k);
            else if (write->is_sync && record->bytes == write->bytes)
                sync_write(node, k);
            return;
        }
    }
}

/* -- flushes -- */

static void sync_begin(struct disk *disk, const struct trace_record *record)
{
    if (disk->sync_count == sizeof disk->syncs / sizeof disk->syncs[0])
        disk_fail("more flushes at a time than the disk has room for");
    uint32_t i = disk->sync_count++;
    disk->syncs[i].id = record->id;
    disk->syncs[i].order = disk->order;
    disk->syncs[i].node = node_of(disk, record->node);
}

static void sync_end(struct disk *disk, const struct trace_record *record)
{
    uint32_t i = 0;
    while (i < disk->sync_count && disk->syncs[i].id != record->id)
        i++;
    if (i == disk->sync_count)
        disk_fail("the trace ends a flush that did not begin");
    struct disk_node *node = disk->syncs[i].node;
    uint64_t order = disk->syncs[i].order;
    disk->syncs[i] = disk->syncs[--disk->sync_count];
    if (node->is_dir && !disk->faults.dir_sync_is_nothing)
        names_flush(disk, node, order);
    if (!node->is_dir && !disk->faults.file_sync_is_nothing)
        sync_file(node, order);
}

/* -- the beginning of a life -- */

static struct disk_node *see_node(struct disk *disk, const struct trace_record *record)
{
    bool is_dir = record->kind == TRACE_SEEN_DIR;
    struct disk_node *node = node_find(disk, record->node);
    if (node == NULL || node->is_dir != is_dir)
        node = node_make(disk, record->node, is_dir);
    disk->seen = disk_memory(disk->seen, (disk->seen_count + 1) * sizeof *disk->seen);
    struct disk_seen *seen = &disk->seen[disk->seen_count++];
    *seen = (struct disk_seen){.node = node, .bytes = is_dir ? 0 : record->bytes};
    seen->data = disk_memory(NULL, seen->bytes + 1);
    memset(seen->data, 0, seen->bytes + 1);
    return node;
}

static void see(struct disk *disk, const struct trace_record *record, const void *data)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)record->data_bytes, (const char *)data);
    disk->is_live = false;
    if (record->kind == TRACE_SEEN_DATA) {
        struct disk_seen *seen = &disk->seen[disk->seen_count - 1];
        if (record->offset + record->data_bytes > seen->bytes)
            disk_fail("a file grew while the recorder read it");
        memcpy(seen->data + record->offset, data, record->data_bytes);
        return;
    }
    struct disk_node *node = see_node(disk, record);
    if (record->parent == 0 && disk->root == NULL)
        disk->root = node;
    else if (record->parent != 0)
        names_add(&disk->seen_names, node_of(disk, record->parent), name, node);
}

/* The first life: all that exists is on the disk. */
static void adopt(struct disk *disk)
{
    for (uint32_t i = 0; i < disk->seen_names.count; i++)
        disk_names_set(&disk->names, disk->seen_names.items[i].dir, disk->seen_names.items[i].name,
                       disk->seen_names.items[i].target);
    for (uint32_t i = 0; i < disk->seen_count; i++) {
        struct disk_node *node = disk->seen[i].node;
        node->data = disk->seen[i].data;
        node->bytes = disk->seen[i].bytes;
        node->room = disk->seen[i].bytes + 1;
    }
}

/* The process died in the middle of a call: the name exists, or not. */
static void reconcile_names(struct disk *disk)
{
    struct disk_names now = disk_names_after(disk, NULL);
    for (uint32_t i = 0; i < disk->seen_names.count; i++) {
        const struct disk_name *seen = &disk->seen_names.items[i];
        const struct disk_name *known = names_find(&now, seen->dir, seen->name);
        if (known == NULL || known->target != seen->target)
            change(disk, seen->dir, seen->name, seen->target, 0);
    }
    for (uint32_t i = 0; i < now.count; i++)
        if (names_find(&disk->seen_names, now.items[i].dir, now.items[i].name) == NULL)
            change(disk, now.items[i].dir, now.items[i].name, NULL, 0);
    free(now.items);
}

/* The process died in the middle of a write: the new life sees what it sees; whether that is on the disk is unknown. */
static void reconcile_writes(struct disk *disk, struct disk_seen *seen)
{
    struct disk_node *node = seen->node;
    for (uint32_t i = 0; i < node->write_count; i++) {
        struct disk_write *write = &node->writes[i];
        if (write->returned != 0)
            continue;
        write->returned = disk->order;
        uint64_t end = write->offset + write->bytes;
        end = end < seen->bytes ? end : seen->bytes;
        write->bytes = end > write->offset ? end - write->offset : 0;
        write->data = disk_memory(write->data, write->bytes + 1);
        memcpy(write->data, seen->data + (write->bytes > 0 ? write->offset : 0), write->bytes);
        if (write->bytes == 0)
            forget_write(node, i--);
    }
}

/* Finds changes by calls that the recorder does not know. */
static void compare(const struct disk_seen *seen)
{
    struct disk_node *node = seen->node;
    char *data = NULL;
    uint64_t bytes = 0, room = 0;
    struct disk_write all = {.bytes = node->bytes, .data = node->data};
    disk_put(&data, &bytes, &room, &all);
    for (uint32_t i = 0; i < node->write_count; i++)
        disk_put(&data, &bytes, &room, &node->writes[i]);
    if (node->mapped_bytes == 0 && (bytes != seen->bytes || memcmp(data, seen->data, bytes) != 0))
        disk_fail("the trace does not explain inode %llu: %llu bytes instead of %llu, or another content",
                  (unsigned long long)node->number, (unsigned long long)bytes, (unsigned long long)seen->bytes);
    free(data);
}

static void reconcile(struct disk *disk)
{
    reconcile_names(disk);
    for (uint32_t i = 0; i < disk->seen_count; i++) {
        reconcile_writes(disk, &disk->seen[i]);
        /* The write that --fault loses is on the real disk, but not on this one. */
        if (!disk->seen[i].node->is_dir && disk->faults.lost_write_id == 0)
            compare(&disk->seen[i]);
        free(disk->seen[i].data);
    }
}

static void begin_life(struct disk *disk)
{
    if (disk->names.count == 0 && disk->changes.count == 0)
        adopt(disk);
    else
        reconcile(disk);
    disk->seen_count = 0;
    disk->seen_names.count = 0;
    disk->sync_count = 0;
    disk->is_live = true;
}

static void make_name(struct disk *disk, const struct trace_record *record, const char *name)
{
    struct disk_node *node = node_make(disk, record->node, record->kind == TRACE_MKDIR);
    change(disk, node_of(disk, record->parent), name, node, 0);
}

void disk_apply(struct disk *disk, const struct trace_record *record, const void *data)
{
    char name[160];
    snprintf(name, sizeof name, "%.*s", record->data_bytes < 128 ? (int)record->data_bytes : 0, (const char *)data);
    disk->order++;
    switch ((enum trace_kind)record->kind) {
    case TRACE_SEEN_DIR:
    case TRACE_SEEN_FILE:
    case TRACE_SEEN_DATA: see(disk, record, data); return;
    case TRACE_LIFE: begin_life(disk); return;
    case TRACE_CREATE:
    case TRACE_MKDIR: make_name(disk, record, name); return;
    case TRACE_UNLINK: change(disk, node_of(disk, record->parent), name, NULL, 0); return;
    case TRACE_RENAME: change_name(disk, node_of(disk, record->parent), data, node_of(disk, record->node)); return;
    case TRACE_WRITE:
    case TRACE_WRITE_SYNC:
    case TRACE_TRUNCATE: issue(disk, record, data); return;
    case TRACE_WRITTEN: written(disk, record); return;
    case TRACE_MAP: node_of(disk, record->node)->mapped_bytes = record->bytes; return;
    case TRACE_SYNC_BEGIN: sync_begin(disk, record); return;
    case TRACE_SYNC_END: sync_end(disk, record); return;
    case TRACE_SEND:
    case TRACE_CLOSE: return;
    }
    disk_fail("the trace has a record of unknown kind %u", record->kind);
}
