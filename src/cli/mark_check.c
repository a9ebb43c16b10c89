#include "cli/mark_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "cli/cross_check.h"
#include "storage/offline/offline_marks.h"

/* The marks of one user with one peer, and the messages that they name. */
struct pair {
    struct seen_marks marks;
    uint64_t seen_ts;  /* of the newest message from the peer up to marks.seen, in the peer's timeline; 0: none */
    uint64_t named_ts; /* of the message at marks.seen_by, in the peer's timeline; 0: none to the peer stands there */
    uint8_t peer_bytes;
    char peer[LIMIT_USER_BYTES];
};

struct mark_check {
    struct offline *offline;
    const struct datadir *datadir;
    struct problems *problems;
    struct cross_check *cross;
    int (*visit)(void *context, const struct mark_places *places); /* NULL: both sides are compared */
    void *context;
    bool is_second;     /* the second walk, which names what does not fit */
    struct pair *pairs; /* of `user`, by peer */
    uint32_t count;
    uint32_t room;
    uint8_t user_bytes;
    char user[LIMIT_USER_BYTES + 1]; /* and a byte for a bound */
};

static struct span user_of(const struct mark_check *check)
{
    return (struct span){check->user, check->user_bytes};
}

static struct span peer_of(const struct pair *pair)
{
    return (struct span){pair->peer, pair->peer_bytes};
}

/* -- the pairs of a user -- */

static int add_pair(struct mark_check *check, const struct offline_mark *mark)
{
    if (check->count == check->room) {
        uint32_t room = check->room == 0 ? 64 : check->room * 2;
        struct pair *grown = realloc(check->pairs, room * sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        check->pairs = grown;
        check->room = room;
    }
    ASSERT(mark->peer.bytes <= LIMIT_USER_BYTES);
    struct pair *pair = &check->pairs[check->count++];
    *pair = (struct pair){.marks = mark->marks, .peer_bytes = (uint8_t)mark->peer.bytes};
    memcpy(pair->peer, mark->peer.data, mark->peer.bytes);
    return 0;
}

static struct pair *find_pair(const struct mark_check *check, struct span peer)
{
    uint32_t low = 0, high = check->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = span_compare(peer_of(&check->pairs[middle]), peer);
        if (order == 0)
            return &check->pairs[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* A message of the user, in order of ts. */
static void take_message(struct mark_check *check, const struct message *message)
{
    bool is_received = message->role == ROLE_RECEIVED;
    struct pair *pair = check->count == 0 || message->role == ROLE_SELF
                            ? NULL
                            : find_pair(check, is_received ? message->from : message->to);
    if (pair == NULL)
        return;
    if (is_received && message->ts <= pair->marks.seen)
        pair->seen_ts = message->other_ts;
    else if (!is_received && message->ts == pair->marks.seen_by)
        pair->named_ts = message->other_ts;
}

/* -- both sides -- */

/* `seer` has seen the messages of `author` up to the one at `ts` of the author's timeline: as one of the two says. */
static int compare_sides(struct mark_check *check, struct span seer, struct span author, uint64_t ts, bool is_authors)
{
    uint8_t mid[LIMIT_MID_BYTES] = {0};
    struct message mark = {.role = is_authors ? ROLE_SENT : ROLE_RECEIVED,
                           .ts = is_authors ? ts : 0,
                           .other_ts = is_authors ? 0 : ts,
                           .mid = mid,
                           .from = author,
                           .to = seer};
    char names[2 * LIMIT_USER_BYTES + 1];
    ASSERT(seer.bytes + 1 + author.bytes <= sizeof names);
    memcpy(names, seer.data, seer.bytes);
    names[seer.bytes] = ' ';
    memcpy(names + seer.bytes + 1, author.data, author.bytes);
    bytes_store_le64(mid, hash_siphash13((struct hash_key){1, 2}, (struct span){names, seer.bytes + 1 + author.bytes}));
    if (check->is_second)
        return cross_check_gather(check->cross, &mark);
    cross_check_add(check->cross, &mark, false);
    return 0;
}

static int finish_pair(struct mark_check *check, const struct pair *pair)
{
    struct span user = user_of(check), peer = peer_of(pair);
    uint64_t cut = offline_cut_ts(check->offline, user), cut_peer = offline_cut_ts(check->offline, peer);
    int status = 0;
    if (pair->marks.seen > 0 && pair->seen_ts == 0 && cut == 0 && !check->is_second)
        problems_add(check->problems,
                     "the mark of %.*s with %.*s is at ts %" PRIu64 ", and no message from there is below",
                     (int)user.bytes, user.data, (int)peer.bytes, peer.data, pair->marks.seen);
    if (pair->marks.seen_by > 0 && pair->named_ts == 0 && !check->is_second)
        problems_add(check->problems,
                     "%.*s is said to be seen by %.*s up to ts %" PRIu64 ", where no message to there stands",
                     (int)user.bytes, user.data, (int)peer.bytes, peer.data, pair->marks.seen_by);
    if (check->visit != NULL) {
        struct mark_places places = {{user, peer, pair->marks}, pair->seen_ts, pair->named_ts};
        return check->visit(check->context, &places);
    }
    if (pair->marks.seen > 0 && pair->seen_ts > cut_peer)
        status = compare_sides(check, user, peer, pair->seen_ts, false);
    if (status == 0 && pair->marks.seen_by > 0 && pair->named_ts > cut_peer)
        status = compare_sides(check, peer, user, pair->marks.seen_by, true);
    return status;
}

static int finish_user(struct mark_check *check)
{
    int status = 0;
    for (uint32_t i = 0; i < check->count && status == 0; i++)
        status = finish_pair(check, &check->pairs[i]);
    check->count = 0;
    return status;
}

/* -- the walk -- */

static void set_user(struct mark_check *check, struct span user)
{
    ASSERT(user.bytes <= LIMIT_USER_BYTES);
    memcpy(check->user, user.data, user.bytes);
    check->user_bytes = (uint8_t)user.bytes;
}

/* Finishes the users up to `user`, who may have marks and no messages, and takes the marks of `user`. No bytes: all
 * that are left. */
static int begin_user(struct mark_check *check, struct offline_marks *marks, struct span user)
{
    struct offline_mark mark;
    char bound[LIMIT_USER_BYTES + 1];
    int more = 0, status = finish_user(check);
    ASSERT(user.bytes <= LIMIT_USER_BYTES);
    memcpy(bound, user.data, user.bytes);
    bound[user.bytes] = '\1'; /* below every byte of a name */
    struct span before = {bound, user.bytes == 0 ? 0 : user.bytes + 1};
    while (status == 0 && (more = offline_marks_next(marks, before, &mark)) == 1) {
        if (check->count > 0 && !span_equal(mark.user, user_of(check)))
            status = finish_user(check);
        set_user(check, mark.user);
        if (status == 0)
            status = add_pair(check, &mark);
    }
    if (status == 0 && more == 0 && check->count > 0 && !span_equal(user, user_of(check)))
        status = finish_user(check);
    set_user(check, user);
    return status != 0 ? status : more;
}

static int walk_rows(struct mark_check *check, struct offline_marks *marks, struct offline_rows *rows)
{
    struct message message;
    struct span user;
    int more = 1, status = 0;
    check->count = check->user_bytes = 0;
    while (status == 0 && (more = offline_rows_next(rows, &user, &message)) == 1) {
        if (!span_equal(user, user_of(check)))
            status = begin_user(check, marks, user);
        if (status == 0)
            take_message(check, &message);
    }
    if (status == 0 && more == 0)
        status = begin_user(check, marks, (struct span){"", 0});
    return status != 0 ? status : more;
}

static int walk_shard(struct mark_check *check, uint32_t shard)
{
    struct offline_marks *marks = NULL;
    struct offline_rows *rows = NULL;
    int status = offline_marks_open_shard(&marks, check->offline, shard);
    if (status == 0)
        status = offline_rows_open(&rows, check->offline, shard, (struct span){"", 0});
    if (status == 0)
        status = walk_rows(check, marks, rows);
    offline_rows_close(&rows);
    offline_marks_close(&marks);
    return status;
}

static int walk(struct mark_check *check)
{
    int status = 0;
    for (uint32_t shard = 0; shard < datadir_shards(check->datadir) && status == 0; shard++)
        status = walk_shard(check, shard);
    return status;
}

/* 1: there are marks. 0 or -errno. */
static int has_marks(struct mark_check *check)
{
    struct offline_marks *marks = NULL;
    struct offline_mark mark;
    int status = offline_marks_open(&marks, check->offline, check->datadir, (struct span){"", 0});
    if (status == 0)
        status = offline_marks_next(marks, (struct span){"", 0}, &mark);
    offline_marks_close(&marks);
    return status;
}

int mark_check_run(struct offline *offline, const struct datadir *datadir, struct problems *problems)
{
    struct mark_check check = {.offline = offline, .datadir = datadir, .problems = problems};
    int status = has_marks(&check);
    if (status != 1)
        return status;
    status = cross_check_open(&check.cross);
    if (status == 0)
        status = walk(&check);
    if (status == 0 && cross_check_bad_parts(check.cross) > 0) {
        check.is_second = true;
        status = walk(&check);
        if (status == 0)
            cross_check_report_marks(check.cross, problems);
    }
    if (check.cross != NULL)
        cross_check_close(&check.cross);
    free(check.pairs);
    return status;
}

int mark_check_visit(struct offline *offline, const struct datadir *datadir, struct problems *problems,
                     int (*visit)(void *context, const struct mark_places *places), void *context)
{
    struct mark_check check = {
        .offline = offline, .datadir = datadir, .problems = problems, .visit = visit, .context = context};
    int status = has_marks(&check);
    if (status == 1)
        status = walk(&check);
    free(check.pairs);
    return status;
}
