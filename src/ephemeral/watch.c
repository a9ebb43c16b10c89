#include "ephemeral/watch.h"

#include <stdlib.h>

#include "connection/backpressure.h"
#include "ephemeral/conversations.h"
#include "protocol/reply.h"
#include "server/core.h"

/* So many users of a list cost as much as a frame, or a push. */
#define WATCH_USERS_OF_UNIT 4u
/* Items of one watched user that are gone over before those of the next one. */
#define SHARE_ITEMS 64u
/* A client that was refused asks again after this. */
#define WATCH_RETRY_MS 1000u

/* How far the subscription to a user is. */
enum watched_state {
    WATCHED_NOT,        /* the user's shard knows nothing of it */
    WATCHED_ASKED,      /* a letter is out, with its begin or its end */
    WATCHED_SUBSCRIBED, /* the user's shard reports what changes */
};

struct watched {
    struct name name;
    struct list items;        /* struct watch_item */
    struct list unasked_link; /* in presence_peer.unasked: WATCHED_NOT with items, or WATCHED_SUBSCRIBED without */
    struct list changed_link; /* in core->watches.changed */
    struct list *at;          /* while it is in there: the next item */
    uint64_t stamp;           /* of the watch that was the last to take it */
    uint32_t shard;
    uint8_t state; /* enum watched_state */
    bool is_online;
    char text[];
};

struct watch_item {
    struct list link; /* in watched->items */
    struct watched *watched;
    struct watch *watch;
    bool pushed; /* the state that was sent to the connection last */
};

struct watch {
    struct list link;       /* in conn_work.watches */
    struct list ready_link; /* in core->watches.ready */
    struct list behind_link;
    struct conn *conn;
    struct core *core;
    struct conversations *check; /* owned; NULL: none, or done */
    struct request_id id;
    uint32_t unknown;    /* items whose user's state is not known yet */
    bool is_answered;    /* it is the connection's watch */
    bool is_refused;     /* it gets `busy` */
    bool is_unavailable; /* then it gets `unavailable` */
    bool is_behind;      /* a push had no room */
    uint64_t bytes;      /* counted */
    uint32_t count;
    struct watch_item items[];
};

void watches_init(struct core *core)
{
    struct watches *watches = &core->watches;
    names_init(&watches->watched, core_table_seed(core));
    list_init(&watches->ready);
    list_init(&watches->changed);
    list_init(&watches->behind);
}

static struct watched *watched_of(struct name *name)
{
    return name == NULL ? NULL : container_of(name, struct watched, name);
}

void watches_fini(struct core *core)
{
    struct names *names = &core->watches.watched;
    for (struct watched *watched; (watched = watched_of(names_any(names))) != NULL;) {
        names_remove(names, &watched->name);
        free(watched);
    }
    names_fini(names);
}

/* -- watched users -- */

static uint64_t watched_bytes(const struct watched *watched)
{
    return sizeof *watched + watched->name.text.bytes + NAMES_OVERHEAD_BYTES;
}

/* NULL: no room. */
static struct watched *watched_make(struct core *core, struct span name)
{
    struct watched *watched = malloc(sizeof *watched + name.bytes);
    if (watched == NULL)
        return NULL;
    *watched = (struct watched){.shard = core_shard_of(core, name)};
    memcpy(watched->text, name.data, name.bytes);
    watched->name.text = (struct span){watched->text, name.bytes};
    list_init(&watched->items);
    list_init(&watched->unasked_link);
    list_init(&watched->changed_link);
    if (!presence_take_bytes(core, watched_bytes(watched))) {
        free(watched);
        return NULL;
    }
    if (!names_add(&core->watches.watched, &watched->name)) {
        presence_give_bytes(core, watched_bytes(watched));
        free(watched);
        return NULL;
    }
    return watched;
}

static void set_unasked(struct core *core, struct watched *watched, bool wanted)
{
    if (wanted == list_is_linked(&watched->unasked_link))
        return;
    if (wanted) {
        list_append(&core->presence.peers[watched->shard].unasked, &watched->unasked_link);
        core->watches.unasked_count++;
        return;
    }
    ASSERT(core->watches.unasked_count > 0);
    list_remove(&watched->unasked_link);
    core->watches.unasked_count--;
}

/* Asks for what its items need, or frees it. */
static void watched_check(struct core *core, struct watched *watched)
{
    bool is_wanted = !list_is_empty(&watched->items);
    if (watched->state == WATCHED_ASKED)
        return; /* when the answer comes */
    set_unasked(core, watched, is_wanted != (watched->state == WATCHED_SUBSCRIBED));
    if (is_wanted || watched->state == WATCHED_SUBSCRIBED)
        return;
    ASSERT(!list_is_linked(&watched->changed_link));
    names_remove(&core->watches.watched, &watched->name);
    presence_give_bytes(core, watched_bytes(watched));
    free(watched);
}

/* Connections may have another state of the user than the present one. */
static void watched_changed(struct core *core, struct watched *watched)
{
    watched->at = watched->items.next;
    if (!list_is_linked(&watched->changed_link))
        list_append(&core->watches.changed, &watched->changed_link);
}

/* -- a watch -- */

static void item_free(struct core *core, struct watch_item *item)
{
    struct watched *watched = item->watched;
    if (watched->at == &item->link)
        watched->at = item->link.next;
    list_remove(&item->link);
    if (list_is_empty(&watched->items) && list_is_linked(&watched->changed_link))
        list_remove(&watched->changed_link);
    watched_check(core, watched);
}

static void watch_free(struct core *core, struct watch *watch)
{
    ASSERT(core->watches.count > 0);
    core->watches.count--;
    for (uint32_t i = 0; i < watch->count; i++)
        item_free(core, &watch->items[i]);
    list_remove(&watch->link);
    list_remove(&watch->ready_link);
    list_remove(&watch->behind_link);
    conversations_close(&watch->check);
    presence_give_bytes(core, watch->bytes);
    free(watch);
}

void watch_drop_all(struct core *core, struct conn *conn)
{
    if (conn->work == NULL)
        return;
    while (!list_is_empty(&conn->work->watches))
        watch_free(core, container_of(conn->work->watches.next, struct watch, link));
}

/* A watch with room for `count_max` items, at the end of those of `conn`. NULL: no room. */
static struct watch *watch_make(struct core *core, struct conn *conn, const struct request_id *id, uint32_t count_max)
{
    uint64_t bytes = sizeof(struct watch) + count_max * sizeof(struct watch_item);
    if (!presence_take_bytes(core, bytes))
        return NULL;
    struct watch *watch = malloc(bytes);
    if (watch == NULL) {
        presence_give_bytes(core, bytes);
        return NULL;
    }
    *watch = (struct watch){.conn = conn, .core = core, .bytes = bytes};
    request_id_copy(&watch->id, id);
    list_init(&watch->link);
    list_init(&watch->ready_link);
    list_init(&watch->behind_link);
    list_append(&conn_work(core, conn)->watches, &watch->link);
    core->watches.count++;
    return watch;
}

/* Adds a user, unless the watch has them. False: no room. */
static bool watch_add(struct core *core, struct watch *watch, struct span name)
{
    struct watched *watched = watched_of(names_find(&core->watches.watched, name));
    if (watched == NULL)
        watched = watched_make(core, name);
    if (watched == NULL)
        return false;
    if (watched->stamp == core->watches.stamp)
        return true;
    watched->stamp = core->watches.stamp;
    struct watch_item *item = &watch->items[watch->count++];
    *item = (struct watch_item){.watched = watched, .watch = watch};
    list_init(&item->link);
    list_append(&watched->items, &item->link);
    watch->unknown += watched->state != WATCHED_SUBSCRIBED;
    watched_check(core, watched);
    return true;
}

static void set_ready(struct core *core, struct watch *watch)
{
    if (!list_is_linked(&watch->ready_link))
        list_append(&core->watches.ready, &watch->ready_link);
}

static void refuse(struct core *core, struct conn *conn, const struct request_id *id, bool is_unavailable)
{
    if (is_unavailable) {
        conn_reply_error(core, conn, id, ERROR_UNAVAILABLE, "the store cannot be read: try again", 0);
        return;
    }
    conn_reply_error(core, conn, id, ERROR_BUSY, "no memory to watch these users: wait, or watch fewer",
                     WATCH_RETRY_MS);
}

static void answer_empty(struct core *core, struct conn *conn, const struct request_id *id)
{
    char *out = conn_reply_begin(core, conn, REPLY_BYTES_MAX);
    conn_reply_end(core, conn, reply_write_watch(out, id, NULL, 0));
    conn_answered(core, conn);
}

/* Adds those of the list whom the user may see. False: no room. */
static bool add_checked(struct core *core, struct watch *watch)
{
    struct span name;
    uint32_t index = 0;
    core->watches.stamp++;
    while (conversations_next(watch->check, &index, &name))
        if (!watch_add(core, watch, name))
            return false;
    return true;
}

static void on_checked(void *context, int result)
{
    struct watch *watch = context;
    struct core *core = watch->core;
    ASSERT(watch->unknown == 1 && watch->count == 0);
    watch->is_unavailable = result != 0;
    watch->is_refused = result != 0 || !add_checked(core, watch);
    conversations_close(&watch->check);
    watch->unknown--;
    if (watch->is_refused || watch->unknown == 0)
        set_ready(core, watch);
}

static bool add_all(struct core *core, struct watch *watch, struct span names)
{
    struct span name;
    core->watches.stamp++;
    while (request_next_user(&names, &name))
        if (!watch_add(core, watch, name))
            return false;
    return true;
}

void watch_ask(struct core *core, struct conn *conn, const struct request *request)
{
    ASSERT_ON_SHARD(core->shard);
    const struct request_watch *asked = &request->watch;
    enum config_presence presence = core->server->config->presence;
    bool is_checked = presence == CONFIG_PRESENCE_PEERS && asked->count > 0;
    if (presence == CONFIG_PRESENCE_OFF) {
        answer_empty(core, conn, &request->id);
        return;
    }
    turn_spend(&core->turn, TURN_INPUT, asked->count / WATCH_USERS_OF_UNIT);
    struct watch *watch = watch_make(core, conn, &request->id, asked->count);
    if (watch == NULL) {
        refuse(core, conn, &request->id, false);
        return;
    }
    if (is_checked) {
        watch->unknown = 1;
        watch->check = conversations_begin(core, conn->user, asked, on_checked, watch);
        watch->is_refused = watch->check == NULL;
    } else {
        watch->is_refused = !add_all(core, watch, asked->users);
    }
    if (watch->is_refused || watch->unknown == 0)
        set_ready(core, watch);
}

/* -- answers -- */

static void answer(struct core *core, struct watch *watch)
{
    struct span online[LIMIT_WATCH_USERS];
    struct conn *conn = watch->conn;
    uint32_t count = 0, bytes = 0;
    for (uint32_t i = 0; i < watch->count; i++) {
        struct watch_item *item = &watch->items[i];
        item->pushed = item->watched->is_online;
        if (!item->pushed)
            continue;
        online[count++] = item->watched->name.text;
        bytes += REPLY_WATCH_BYTES(item->watched->name.text.bytes);
    }
    char *out = conn_reply_begin(core, conn, REPLY_BYTES_MAX + bytes);
    bytes = (uint32_t)reply_write_watch(out, &watch->id, online, count);
    conn_reply_end(core, conn, bytes);
    watch->is_answered = true;
    turn_spend(&core->turn, TURN_PUSHES, TURN_CONN_PUSHES + watch->count / WATCH_USERS_OF_UNIT + TURN_OUTPUT(bytes));
}

/* The first watch of the connection that is not answered; NULL: none. *before_r is the one before it, if any. */
static struct watch *next_of(struct conn *conn, struct watch **before_r)
{
    struct list *watches = &conn->work->watches;
    *before_r = NULL;
    for (struct list *at = watches->next; at != watches; at = at->next) {
        struct watch *watch = container_of(at, struct watch, link);
        if (!watch->is_answered)
            return watch;
        *before_r = watch;
    }
    return NULL;
}

/* The first watch that waits gets its answer. An answered one takes the place of the one before it; one without users
 * only ends that. */
static void answer_one(struct core *core, struct conn *conn, struct watch *watch, struct watch *before)
{
    if (watch->is_refused) {
        refuse(core, conn, &watch->id, watch->is_unavailable);
        watch_free(core, watch);
        return;
    }
    answer(core, watch);
    if (before != NULL)
        watch_free(core, before);
    if (watch->count == 0)
        watch_free(core, watch);
    conn_answered(core, conn);
}

/* Answers the watches of a connection in their order, as far as they can be and the turn has time. */
static void answer_all(struct core *core, struct conn *conn)
{
    struct watch *watch, *before;
    while ((watch = next_of(conn, &before)) != NULL && (watch->unknown == 0 || watch->is_refused)) {
        if (!turn_may(&core->turn, TURN_PUSHES)) {
            set_ready(core, watch);
            return;
        }
        answer_one(core, conn, watch, before);
    }
    conn_rest(core, conn);
}

/* -- pushes -- */

/* Pushes the present state, if the connection has another one. */
static void show(struct core *core, struct watch_item *item)
{
    struct conn *conn = item->watch->conn;
    bool is_online = item->watched->is_online;
    char frame[REPLY_BYTES_MAX];
    turn_spend(&core->turn, TURN_PUSHES, 1);
    if (item->pushed == is_online || !item->watch->is_answered || item->watch->is_behind)
        return;
    if (conn->out_bytes >= backpressure_pause_bytes(core, core->server->config->output_bytes / 4)) {
        item->watch->is_behind = true;
        metric_add(&core->metrics.presences[METRICS_PRESENCE_DEFERRED], 1);
        return;
    }
    item->pushed = is_online;
    conn_write(core, conn, frame, reply_write_presence(frame, item->watched->name.text, is_online));
    turn_spend(&core->turn, TURN_PUSHES, TURN_CONN_PUSHES);
    metric_add(&core->metrics.presences[METRICS_PRESENCE_WRITTEN], 1);
}

/* Goes on with the items of a watched user, a share of them. */
static void show_changed(struct core *core, struct watched *watched)
{
    for (uint32_t i = 0; i < SHARE_ITEMS && turn_may_carry(&core->turn, TURN_PUSHES); i++) {
        if (watched->at == &watched->items)
            return;
        struct watch_item *item = container_of(watched->at, struct watch_item, link);
        watched->at = item->link.next;
        show(core, item);
    }
    if (watched->at != &watched->items)
        list_append(&core->watches.changed, &watched->changed_link);
}

/* Goes over all items of a watch, since any may be behind. */
static void show_behind(struct core *core, struct watch *watch)
{
    watch->is_behind = false;
    for (uint32_t i = 0; i < watch->count && !watch->is_behind; i++) {
        if (!turn_may_carry(&core->turn, TURN_PUSHES)) {
            watch->is_behind = true;
            list_append(&core->watches.behind, &watch->behind_link);
            return;
        }
        show(core, &watch->items[i]);
    }
}

void watch_on_room(struct core *core, struct conn *conn)
{
    struct list *watches = &conn->work->watches;
    if (list_is_empty(watches))
        return;
    struct watch *watch = container_of(watches->next, struct watch, link);
    if (watch->is_behind && !list_is_linked(&watch->behind_link))
        list_append(&core->watches.behind, &watch->behind_link);
}

void watch_on_presence(struct core *core, uint32_t from, struct letter *letter)
{
    ASSERT_ON_SHARD(core->shard);
    const struct presence_letter *news = container_of(letter, struct presence_letter, letter);
    for (uint32_t i = 0; i < news->count; i++) {
        struct watched *watched = news->items[i].watched;
        ASSERT(watched->shard == from);
        watched->is_online = news->items[i].word == PRESENCE_ONLINE;
        if (!list_is_empty(&watched->items))
            watched_changed(core, watched);
    }
    letter->kind = LETTER_PRESENCE_RETURNED;
    shard_post(core->shard, from, letter);
}

/* -- subscriptions -- */

/* The subscription has begun: the watches that waited for it know more. */
static void begun(struct core *core, struct watched *watched, bool is_online)
{
    watched->state = WATCHED_SUBSCRIBED;
    watched->is_online = is_online;
    for (struct list *at = watched->items.next; at != &watched->items; at = at->next) {
        struct watch *watch = container_of(at, struct watch_item, link)->watch;
        ASSERT(!watch->is_answered && watch->unknown > 0);
        if (--watch->unknown == 0)
            set_ready(core, watch);
    }
    watched_check(core, watched);
}

/* There was no room for it: the watches that waited for it are refused. When they are gone, so is this. */
static void refused(struct core *core, struct watched *watched)
{
    watched->state = WATCHED_NOT;
    for (struct list *at = watched->items.next; at != &watched->items; at = at->next) {
        struct watch *watch = container_of(at, struct watch_item, link)->watch;
        ASSERT(!watch->is_answered);
        watch->is_refused = true;
        set_ready(core, watch);
    }
    if (list_is_empty(&watched->items))
        watched_check(core, watched);
}

void watch_on_returned(struct core *core, uint32_t from, struct letter *letter)
{
    struct presence_letter *asked = container_of(letter, struct presence_letter, letter);
    ASSERT(core->presence.peers[from].watches_out > 0);
    core->presence.peers[from].watches_out--;
    for (uint32_t i = 0; i < asked->count; i++) {
        struct watched *watched = asked->items[i].watched;
        ASSERT(watched->state == WATCHED_ASKED);
        if (asked->items[i].word == PRESENCE_END) {
            watched->state = WATCHED_NOT;
            watched_check(core, watched);
        } else if (asked->items[i].word == PRESENCE_REFUSED) {
            refused(core, watched);
        } else {
            begun(core, watched, asked->items[i].word == PRESENCE_ONLINE);
        }
    }
    pool_give(&core->presence.letters, asked);
}

static void post_asked(struct core *core, uint32_t to)
{
    struct presence_peer *peer = &core->presence.peers[to];
    struct presence_letter *asked = pool_take(&core->presence.letters);
    ASSERT(asked != NULL);
    asked->letter.kind = LETTER_WATCH;
    for (asked->count = 0; asked->count < PRESENCE_LETTER_ITEMS && !list_is_empty(&peer->unasked); asked->count++) {
        struct watched *watched = container_of(peer->unasked.next, struct watched, unasked_link);
        asked->items[asked->count] =
            (struct presence_item){.watched = watched,
                                   .name = watched->name.text,
                                   .word = watched->state == WATCHED_SUBSCRIBED ? PRESENCE_END : PRESENCE_BEGIN};
        set_unasked(core, watched, false);
        watched->state = WATCHED_ASKED;
    }
    peer->watches_out++;
    shard_post(core->shard, to, &asked->letter);
}

/* The first shard to which a letter can be posted; core_count: none. */
static uint32_t next_unasked(const struct core *core)
{
    uint32_t count = core->server->core_count;
    if (core->watches.unasked_count == 0)
        return count;
    for (uint32_t i = 0; i < count; i++)
        if (!list_is_empty(&core->presence.peers[i].unasked) && core->presence.peers[i].watches_out < PRESENCE_OUT_MAX)
            return i;
    return count;
}

void watch_step(struct core *core)
{
    struct watches *watches = &core->watches;
    struct list *at;
    ASSERT_ON_SHARD(core->shard);
    if (core->stop.step != STOP_NOT)
        return;
    while (turn_may(&core->turn, TURN_PUSHES) && (at = list_shift(&watches->ready)) != NULL)
        answer_all(core, container_of(at, struct watch, ready_link)->conn);
    while (turn_may_carry(&core->turn, TURN_PUSHES) && (at = list_shift(&watches->behind)) != NULL)
        show_behind(core, container_of(at, struct watch, behind_link));
    while (turn_may_carry(&core->turn, TURN_PUSHES) && (at = list_shift(&watches->changed)) != NULL)
        show_changed(core, container_of(at, struct watched, changed_link));
    for (uint32_t to; (to = next_unasked(core)) < core->server->core_count;)
        post_asked(core, to);
}

bool watch_is_behind(const struct core *core)
{
    const struct watches *watches = &core->watches;
    if (core->stop.step != STOP_NOT)
        return false;
    return !list_is_empty(&watches->ready) || !list_is_empty(&watches->behind) || !list_is_empty(&watches->changed)
           || next_unasked(core) < core->server->core_count;
}
