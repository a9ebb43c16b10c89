#include "storage/offline/offline_all.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"

/* The entries of one shard, with the next one read. */
struct stream {
    struct offline_rows *rows;
    struct span user;
    struct message message;
    bool is_at_end;
};

struct offline_all {
    struct stream *given; /* whose entry was given: the next call steps it */
    uint32_t count;
    struct stream streams[];
};

static int step(struct stream *stream)
{
    ASSERT(!stream->is_at_end);
    int more = offline_rows_next(stream->rows, &stream->user, &stream->message);
    stream->is_at_end = more <= 0;
    return more < 0 ? more : 0;
}

int offline_all_open(struct offline_all **all_r, struct offline *offline, const struct datadir *datadir,
                     struct span user)
{
    uint32_t first = user.bytes > 0 ? datadir_shard_of(datadir, user) : 0;
    uint32_t count = user.bytes > 0 ? 1 : datadir_shards(datadir);
    struct offline_all *all = calloc(1, sizeof *all + count * sizeof all->streams[0]);
    if (all == NULL)
        return -ENOMEM;
    int status = 0;
    for (uint32_t i = 0; i < count && status == 0; i++) {
        struct stream *stream = &all->streams[all->count++];
        status = offline_rows_open(&stream->rows, offline, first + i, user);
        if (status == 0)
            status = step(stream);
    }
    if (status == 0)
        *all_r = all;
    else
        offline_all_close(&all);
    return status;
}

void offline_all_close(struct offline_all **all)
{
    struct offline_all *closing = *all;
    if (closing == NULL)
        return;
    for (uint32_t i = 0; i < closing->count; i++)
        offline_rows_close(&closing->streams[i].rows);
    free(closing);
    *all = NULL;
}

int offline_all_next(struct offline_all *all, struct span *user_r, struct message *message_r)
{
    struct stream *best = NULL;
    int status = all->given == NULL ? 0 : step(all->given);
    if (status != 0)
        return status;
    for (uint32_t i = 0; i < all->count; i++) {
        struct stream *stream = &all->streams[i];
        if (!stream->is_at_end && (best == NULL || span_compare(stream->user, best->user) < 0))
            best = stream;
    }
    all->given = best;
    if (best == NULL)
        return 0;
    *user_r = best->user;
    *message_r = best->message;
    return 1;
}
