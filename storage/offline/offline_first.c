#include "storage/offline/offline_first.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "storage/runs/cuts.h"

static const struct span all_users = {"", 0};

struct first_shard {
    uint64_t of_all;   /* the cut of all its users; 0: none */
    struct cuts users; /* those whose timelines begin later than all */
    uint32_t at;       /* the next of them to give */
};

struct offline_first {
    struct offline *offline;
    const struct datadir *datadir;
    uint64_t of_all;
    size_t given_bytes; /* of the user who was given last */
    char given[LIMIT_USER_BYTES];
    uint32_t count;
    struct first_shard shards[];
};

/* 1: `shard` has an entry or a cut; 0; or -errno. */
static int is_used(struct offline_first *first, uint32_t shard)
{
    struct offline_rows *rows;
    struct span user;
    struct message message;
    if (offline_cuts(first->offline, shard)->count > 0)
        return 1;
    int status = offline_rows_open(&rows, first->offline, shard, all_users);
    if (status == 0) {
        status = offline_rows_next(rows, &user, &message);
        offline_rows_close(&rows);
    }
    return status;
}

static int find_lowest(struct offline_first *first)
{
    uint64_t lowest = UINT64_MAX;
    for (uint32_t i = 0; i < first->count; i++) {
        uint64_t ts = cuts_ts(offline_cuts(first->offline, i), all_users);
        first->shards[i].of_all = ts;
        int status = is_used(first, i);
        if (status < 0)
            return status;
        if (status == 1 && ts < lowest)
            lowest = ts;
    }
    first->of_all = lowest == UINT64_MAX ? 0 : lowest;
    return 0;
}

/* Those who have a cut of their own. */
static int copy_cuts(struct offline_first *first, uint32_t shard)
{
    const struct cuts *cuts = offline_cuts(first->offline, shard);
    int status = 0;
    for (uint32_t i = 0; i < cuts->count && status == 0; i++) {
        struct span user = cut_user(cuts->list[i]);
        struct cut_value value = {.ts = cuts_ts(cuts, user), .user_bytes = (uint8_t)user.bytes};
        if (user.bytes == 0 || value.ts <= first->of_all)
            continue;
        memcpy(value.user, user.data, user.bytes);
        status = cuts_append(&first->shards[shard].users, &value);
    }
    return status;
}

/* The other user of `message`, if their shard has cut the other copy of it. */
static int take_other(struct offline_first *first, const struct message *message)
{
    struct span other = message_other(message);
    struct first_shard *shard = &first->shards[datadir_shard_of(first->datadir, other)];
    ASSERT(shard->at == 0);
    if (shard->of_all <= first->of_all || message->other_ts > shard->of_all)
        return 0;
    int status = cuts_add(&shard->users, other, shard->of_all, 0);
    return status == -ENOSPC ? 0 : status;
}

static int take_others(struct offline_first *first, uint32_t shard)
{
    struct offline_rows *rows;
    struct span user;
    struct message message;
    int more;
    int status = offline_rows_open(&rows, first->offline, shard, all_users);
    if (status != 0)
        return status;
    while (status == 0 && (more = offline_rows_next(rows, &user, &message)) != 0)
        status = more < 0 ? more : take_other(first, &message);
    offline_rows_close(&rows);
    return status;
}

static int find_users(struct offline_first *first)
{
    bool do_cuts_differ = false;
    int status = find_lowest(first);
    for (uint32_t i = 0; i < first->count && status == 0; i++) {
        status = copy_cuts(first, i);
        do_cuts_differ |= first->shards[i].of_all > first->of_all;
    }
    for (uint32_t i = 0; i < first->count && status == 0 && do_cuts_differ; i++)
        status = take_others(first, i);
    return status;
}

int offline_first_open(struct offline_first **first_r, struct offline *offline, const struct datadir *datadir)
{
    uint32_t count = datadir_shards(datadir);
    struct offline_first *first = calloc(1, sizeof *first + count * sizeof first->shards[0]);
    if (first == NULL)
        return -ENOMEM;
    first->offline = offline;
    first->datadir = datadir;
    first->count = count;
    int status = find_users(first);
    if (status == 0)
        *first_r = first;
    else
        offline_first_close(&first);
    return status;
}

void offline_first_close(struct offline_first **first)
{
    struct offline_first *closing = *first;
    if (closing == NULL)
        return;
    for (uint32_t i = 0; i < closing->count; i++)
        cuts_fini(&closing->shards[i].users);
    free(closing);
    *first = NULL;
}

uint64_t offline_first_of_all(const struct offline_first *first)
{
    return first->of_all;
}

/* The shard whose next user is the lowest; NULL: none is left. */
static struct first_shard *lowest_shard(struct offline_first *first)
{
    struct first_shard *best = NULL;
    for (uint32_t i = 0; i < first->count; i++) {
        struct first_shard *shard = &first->shards[i];
        if (shard->at == shard->users.count)
            continue;
        if (best == NULL
            || span_compare(cut_user(shard->users.list[shard->at]), cut_user(best->users.list[best->at])) < 0)
            best = shard;
    }
    return best;
}

static bool give(struct offline_first *first, struct span user, uint64_t ts, struct span *user_r, uint64_t *ts_r)
{
    ASSERT(user.bytes > 0 && user.bytes <= sizeof first->given);
    memcpy(first->given, user.data, user.bytes);
    first->given_bytes = user.bytes;
    *user_r = (struct span){first->given, user.bytes};
    *ts_r = ts;
    return true;
}

bool offline_first_next(struct offline_first *first, struct span user, struct span *user_r, uint64_t *ts_r)
{
    struct first_shard *shard = lowest_shard(first);
    const struct cut *cut = shard == NULL ? NULL : shard->users.list[shard->at];
    if (cut != NULL && (user.bytes == 0 || span_compare(cut_user(cut), user) <= 0)) {
        shard->at++;
        return give(first, cut_user(cut), cut->ts, user_r, ts_r);
    }
    if (user.bytes == 0 || span_equal(user, (struct span){first->given, first->given_bytes}))
        return false;
    uint64_t ts = offline_cut_ts(first->offline, user);
    return ts > first->of_all && give(first, user, ts, user_r, ts_r);
}
