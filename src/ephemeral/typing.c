#include "ephemeral/typing.h"

#include <errno.h>
#include <stdlib.h>

#include "protocol/reply.h"
#include "server/core.h"

struct typing {
    struct letter letter;
    uint8_t from_bytes;
    uint8_t to_bytes;
    char from[LIMIT_USER_BYTES];
    char to[LIMIT_USER_BYTES];
};

int typings_init(struct typings *typings, struct hash_key seed)
{
    typings->seed = seed;
    pool_init(&typings->pool, sizeof(struct typing));
    typings->rows = calloc(TYPING_ROWS, sizeof *typings->rows);
    return typings->rows == NULL ? -ENOMEM : 0;
}

void typings_fini(struct typings *typings)
{
    free(typings->rows);
    typings->rows = NULL;
    pool_fini(&typings->pool);
}

/* -- one a second -- */

static uint64_t pair_hash(const struct typings *typings, struct span from, struct span to)
{
    char pair[2 * LIMIT_USER_BYTES + 1];
    ASSERT(from.bytes <= LIMIT_USER_BYTES && to.bytes <= LIMIT_USER_BYTES);
    memcpy(pair, from.data, from.bytes);
    pair[from.bytes] = ' '; /* in no user name */
    memcpy(pair + from.bytes + 1, to.data, to.bytes);
    return hash_siphash13(typings->seed, (struct span){pair, from.bytes + 1 + to.bytes});
}

bool typing_may_pass(struct typings *typings, struct span from, struct span to, uint32_t now_ms)
{
    uint64_t hash = pair_hash(typings, from, to);
    struct typing_row *row = &typings->rows[hash % TYPING_ROWS];
    uint32_t tag = (uint32_t)(hash >> 32) | 1;
    uint32_t place = TYPING_ROW_PAIRS;
    for (uint32_t i = 0; i < TYPING_ROW_PAIRS; i++) {
        bool is_recent = row->pairs[i].hash != 0 && now_ms - row->pairs[i].at_ms < TYPING_INTERVAL_MS;
        if (is_recent && row->pairs[i].hash == tag)
            return false;
        if (!is_recent)
            place = i;
    }
    if (place == TYPING_ROW_PAIRS)
        return false;
    row->pairs[place].hash = tag;
    row->pairs[place].at_ms = now_ms;
    return true;
}

/* -- from the sender -- */

static void count(struct core *core, enum metrics_typing outcome)
{
    metric_add(&core->metrics.typings[outcome], 1);
}

/* Whether the way to shard `to` has room: messages come first. */
static bool has_room(const struct core *core, uint32_t to)
{
    const struct core_peer *peer = &core->peers[to];
    return peer->typings_out < TYPING_OUT_MAX && peer->sends_out < CORE_SENDS_OUT_MAX / 2;
}

void typing_take(struct core *core, struct conn *conn, struct span to)
{
    ASSERT_ON_SHARD(core->shard);
    struct span from = user_name(conn->user);
    uint32_t shard = core_shard_of(core, to);
    if (span_equal(from, to))
        return;
    if (!typing_may_pass(&core->typings, from, to, (uint32_t)(shard_monotonic_us(core->shard) / 1000))) {
        count(core, METRICS_TYPING_LIMITED);
        return;
    }
    struct typing *typing = has_room(core, shard) ? pool_take(&core->typings.pool) : NULL;
    if (typing == NULL) {
        count(core, METRICS_TYPING_DROPPED);
        return;
    }
    typing->letter.kind = LETTER_TYPING;
    typing->from_bytes = (uint8_t)from.bytes;
    typing->to_bytes = (uint8_t)to.bytes;
    memcpy(typing->from, from.data, from.bytes);
    memcpy(typing->to, to.data, to.bytes);
    core->peers[shard].typings_out++;
    shard_post(core->shard, shard, &typing->letter);
    count(core, METRICS_TYPING_PASSED);
}

void typing_on_returned(struct core *core, uint32_t from, struct letter *letter)
{
    ASSERT(core->peers[from].typings_out > 0);
    core->peers[from].typings_out--;
    pool_give(&core->typings.pool, container_of(letter, struct typing, letter));
}

/* -- to the recipient -- */

static void push(struct core *core, struct conn *conn, const char *frame, size_t bytes)
{
    if (!conn_is_logged_in(conn))
        return;
    bool has_time = !turn_is_full(&core->turn, TURN_PUSHES);
    bool is_pushed = has_time && conn_push_ephemeral(core, conn, frame, bytes);
    turn_spend(&core->turn, TURN_PUSHES, is_pushed ? TURN_CONN_PUSHES : 1);
    metric_add(&core->metrics.ephemeral[is_pushed ? METRICS_EPHEMERAL_WRITTEN : METRICS_EPHEMERAL_DROPPED], 1);
}

void typing_arrive(struct core *core, uint32_t from, struct letter *letter)
{
    ASSERT_ON_SHARD(core->shard);
    struct typing *typing = container_of(letter, struct typing, letter);
    struct user *user = user_find(&core->users, (struct span){typing->to, typing->to_bytes});
    if (user != NULL && !list_is_empty(&user->conns)) {
        char frame[REPLY_BYTES_MAX];
        size_t bytes = reply_write_typing(frame, (struct span){typing->from, typing->from_bytes});
        for (struct list *at = user->conns.next; at != &user->conns; at = at->next)
            push(core, container_of(at, struct conn, user_link), frame, bytes);
    }
    letter->kind = LETTER_TYPING_RETURNED;
    shard_post(core->shard, from, letter);
}
