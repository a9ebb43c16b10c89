/*
 * wall_fill.c: makes a data directory that holds many messages, as checkpoints and merges would leave it: runs of
 * several levels, each with its part of the time. The storage code writes it; nothing is sent:
 *
 *     wall-fill DIR MESSAGES USERS [SHARDS]
 *
 * makes DIR. Senders and recipients are uniform over the users `load-0` to `load-(USERS-1)`, the names of
 * chitchat-load. Each message is in both timelines, with the same mid. `chitchat serve --data DIR` can start with it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/list.h"
#include "storage/datadir/datadir.h"
#include "storage/runs/run.h"

#define NAME_BYTES 16u
#define TEXT_BYTES 64u
#define SHARDS_MAX 64u
#define FIRST_TS UINT64_C(1700000000000000)
/* Rows of a checkpoint's run, and how many runs a merge takes. They determine the levels. */
#define CHECKPOINT_ROWS 500000u
#define FAN_OUT 6u

struct fill {
    struct datadir *datadir;
    uint32_t messages;
    uint32_t users;
    uint32_t shards;
    char (*names)[NAME_BYTES]; /* in the order of their bytes */
    uint8_t *shard_of;         /* of a name */
    struct manifest *manifests[SHARDS_MAX];
    struct manifest_marks marks[SHARDS_MAX];
};

/* The rows of some messages. Of message i entry 2 i is the sender's, entry 2 i + 1 the recipient's. */
struct part {
    struct run_source source;
    const struct fill *fill;
    uint32_t shard;
    uint32_t user;
    uint32_t at;
    uint32_t *begin; /* owned; users + 2: where the entries of each user begin in `order` */
    uint32_t *order; /* owned; the entries by user, then by time */
    uint8_t key[ROW_KEY_BYTES_MAX];
    uint8_t value[ROW_VALUE_BYTES_MAX];
};

static int complain(const char *what, const char *text)
{
    fprintf(stderr, "wall-fill: %s: %s\n", what, text);
    return 1;
}

/* splitmix64 (Steele, Lea and Flood, 2014): the n-th number of a stream. */
static uint64_t mix(uint64_t n)
{
    n += UINT64_C(0x9e3779b97f4a7c15);
    n = (n ^ (n >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    n = (n ^ (n >> 27)) * UINT64_C(0x94d049bb133111eb);
    return n ^ (n >> 31);
}

static uint32_t sender_of(const struct fill *fill, uint32_t message)
{
    return (uint32_t)(mix(2 * (uint64_t)message) % fill->users);
}

/* Any user but the sender. */
static uint32_t recipient_of(const struct fill *fill, uint32_t message)
{
    uint32_t other = (uint32_t)(mix(2 * (uint64_t)message + 1) % (fill->users - 1));
    return other + (other >= sender_of(fill, message));
}

static uint32_t user_of(const struct fill *fill, uint32_t entry)
{
    return entry % 2 == 0 ? sender_of(fill, entry / 2) : recipient_of(fill, entry / 2);
}

static struct span name_of(const struct fill *fill, uint32_t user)
{
    return (struct span){fill->names[user], strlen(fill->names[user])};
}

static struct message message_of(const struct fill *fill, uint32_t entry, uint8_t mid[LIMIT_MID_BYTES])
{
    static const char text[TEXT_BYTES + 1] = "a message that was stored before the first one of this run came ";
    uint32_t message = entry / 2;
    memset(mid, 0, LIMIT_MID_BYTES);
    bytes_store_be64(mid, FIRST_TS + 2 * (uint64_t)message);
    return (struct message){.ts = FIRST_TS + entry,
                            .other_ts = FIRST_TS + (entry ^ 1),
                            .role = entry % 2 == 0 ? ROLE_SENT : ROLE_RECEIVED,
                            .mid = mid,
                            .from = name_of(fill, sender_of(fill, message)),
                            .to = name_of(fill, recipient_of(fill, message)),
                            .text = {text, TEXT_BYTES}};
}

static int part_next(struct run_source *base, struct span *key_r, struct span *value_r)
{
    struct part *part = container_of(base, struct part, source);
    const struct fill *fill = part->fill;
    uint8_t mid[LIMIT_MID_BYTES];
    while (part->user < fill->users
           && (fill->shard_of[part->user] != part->shard || part->at == part->begin[part->user + 1])) {
        part->user++;
        part->at = part->begin[part->user];
    }
    if (part->user == fill->users)
        return 0;
    struct message message = message_of(fill, part->order[part->at++], mid);
    *key_r = (struct span){(const char *)part->key, row_key(name_of(fill, part->user), message.ts, part->key)};
    *value_r = (struct span){(const char *)part->value, row_encode(&message, part->value)};
    return 1;
}

static void part_close(struct run_source *base)
{
    struct part *part = container_of(base, struct part, source);
    free(part->begin);
    free(part->order);
    free(part);
}

/* The rows of the messages from `first` to before `end`, in order (a counting sort). NULL: no memory. */
static struct part *part_make(const struct fill *fill, uint32_t first, uint32_t end)
{
    struct part *part = calloc(1, sizeof *part);
    if (part == NULL)
        return NULL;
    part->source = (struct run_source){part_next, part_close};
    part->fill = fill;
    part->begin = calloc(fill->users + 2, sizeof *part->begin);
    part->order = malloc(2 * (size_t)(end - first) * sizeof *part->order);
    if (part->begin == NULL || part->order == NULL) {
        part_close(&part->source);
        return NULL;
    }
    for (uint32_t entry = 2 * first; entry < 2 * end; entry++)
        part->begin[user_of(fill, entry) + 2]++;
    for (uint32_t user = 0; user < fill->users; user++)
        part->begin[user + 2] += part->begin[user + 1];
    for (uint32_t entry = 2 * first; entry < 2 * end; entry++)
        part->order[part->begin[user_of(fill, entry) + 1]++] = entry;
    return part;
}

static int write_run(struct fill *fill, struct part *part, uint32_t shard, uint32_t level)
{
    char dir[RUN_PATH_BYTES / 2];
    struct manifest_marks *marks = &fill->marks[shard];
    struct run_entry entry = {.id = marks->next_id++, .level = level, .seq_first = marks->next_seq};
    uint32_t checkpoints = 1;
    for (uint32_t i = 0; i < level; i++)
        checkpoints *= FAN_OUT;
    entry.seq_last = marks->next_seq + checkpoints - 1;
    marks->next_seq += checkpoints;
    part->shard = shard;
    part->user = 0;
    part->at = part->begin[0];
    int status = datadir_runs_path(fill->datadir, shard, dir, sizeof dir);
    if (status == 0)
        status = run_write(dir, &part->source, &entry, NULL, NULL);
    if (status == 0 && entry.rows > 0) {
        marks->last_ts = entry.ts_max;
        status = manifest_commit(fill->manifests[shard], marks, &entry, NULL, 0);
    }
    printf("level %u: %" PRIu64 " rows, %" PRIu64 " bytes\n", level, entry.rows, entry.file_bytes);
    return status;
}

/* Writes the largest runs first, as many of each level as fit. */
static int write_runs(struct fill *fill)
{
    uint32_t level = 0;
    uint64_t rows = (uint64_t)CHECKPOINT_ROWS * fill->shards;
    for (; rows * FAN_OUT <= 2 * (uint64_t)fill->messages; level++)
        rows *= FAN_OUT;
    for (uint32_t first = 0; first < fill->messages;) {
        uint32_t left = fill->messages - first;
        if (rows > 2 * (uint64_t)left && level > 0) {
            level--;
            rows /= FAN_OUT;
            continue;
        }
        uint32_t end = rows > 2 * (uint64_t)left ? fill->messages : first + (uint32_t)(rows / 2);
        struct part *part = part_make(fill, first, end);
        int status = part == NULL ? -ENOMEM : 0;
        for (uint32_t shard = 0; shard < fill->shards && status == 0; shard++)
            status = write_run(fill, part, shard, level);
        if (part != NULL)
            part_close(&part->source);
        if (status != 0)
            return status;
        first = end;
    }
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int make_names(struct fill *fill)
{
    fill->names = malloc(fill->users * sizeof *fill->names);
    fill->shard_of = malloc(fill->users);
    if (fill->names == NULL || fill->shard_of == NULL)
        return -ENOMEM;
    for (uint32_t user = 0; user < fill->users; user++)
        snprintf(fill->names[user], sizeof fill->names[user], "load-%" PRIu32, user);
    qsort(fill->names, fill->users, sizeof *fill->names, compare_names);
    for (uint32_t user = 0; user < fill->users; user++)
        fill->shard_of[user] = (uint8_t)datadir_shard_of(fill->datadir, name_of(fill, user));
    return 0;
}

static int open_shard(struct fill *fill, uint32_t shard, struct store_error *error_r)
{
    char dir[RUN_PATH_BYTES / 2], path[RUN_PATH_BYTES];
    struct manifest_state state;
    int status = datadir_runs_path(fill->datadir, shard, dir, sizeof dir);
    if (status != 0)
        return status;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return -errno;
    snprintf(path, sizeof path, "%s/manifest.mdb", dir);
    if (access(path, F_OK) == 0)
        return -EEXIST;
    fill->marks[shard] = (struct manifest_marks){.next_id = 1, .next_seq = 1};
    status = manifest_make(path, &fill->marks[shard]);
    if (status == 0)
        status = manifest_open(&fill->manifests[shard], path, &state, error_r);
    if (status == 0)
        free(state.entries);
    return status;
}

static int run(struct fill *fill, const char *path)
{
    struct datadir_error dir_error;
    struct store_error error = {""};
    if (datadir_open(&fill->datadir, path, fill->shards, 1, &dir_error) != 0)
        return complain(path, dir_error.text);
    int status = 0;
    for (uint32_t shard = 0; shard < fill->shards && status == 0; shard++)
        status = open_shard(fill, shard, &error);
    if (status == 0)
        status = make_names(fill);
    if (status == 0)
        status = write_runs(fill);
    for (uint32_t shard = 0; shard < fill->shards; shard++)
        manifest_close(&fill->manifests[shard]);
    free(fill->names);
    free(fill->shard_of);
    datadir_close(&fill->datadir);
    return status == 0 ? 0 : complain(path, error.text[0] != 0 ? error.text : strerror(-status));
}

static bool number(const char *text, uint32_t min, uint32_t max, uint32_t *number_r)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    *number_r = (uint32_t)value;
    return *text != 0 && *end == 0 && value >= min && value <= max;
}

int main(int argc, char **argv)
{
    struct fill fill = {.shards = 1};
    if (argc < 4 || argc > 5 || !number(argv[2], 1, 1000000000, &fill.messages)
        || !number(argv[3], 2, 100000000, &fill.users)
        || (argc == 5 && !number(argv[4], 1, SHARDS_MAX, &fill.shards))) {
        fputs("Usage: wall-fill DIR MESSAGES USERS [SHARDS]\n", stderr);
        return 2;
    }
    return run(&fill, argv[1]);
}
