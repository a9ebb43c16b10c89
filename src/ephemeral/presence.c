#include "ephemeral/presence.h"

#include <errno.h>
#include <stdlib.h>

#include "server/core.h"

struct source {
    struct name name;
    struct list subscriptions;
    bool is_online;
    char text[];
};

/* A shard that watches the user of a source. */
struct subscription {
    struct list link;         /* in source->subscriptions */
    struct list changed_link; /* in presence_peer.changed */
    struct source *source;
    struct watched *watched; /* of that shard: not looked at */
    uint32_t shard;
    bool reported; /* the state that was sent to that shard last */
};

int presence_init(struct core *core)
{
    struct presence *presence = &core->presence;
    names_init(&presence->sources, core_table_seed(core));
    pool_init(&presence->subscriptions, sizeof(struct subscription));
    pool_init(&presence->letters, sizeof(struct presence_letter));
    presence->peers = calloc(core->server->core_count, sizeof *presence->peers);
    if (presence->peers == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < core->server->core_count; i++) {
        list_init(&presence->peers[i].changed);
        list_init(&presence->peers[i].unasked);
    }
    return 0;
}

static struct source *source_of(struct name *name)
{
    return name == NULL ? NULL : container_of(name, struct source, name);
}

void presence_fini(struct core *core)
{
    struct presence *presence = &core->presence;
    for (struct source *source; (source = source_of(names_any(&presence->sources))) != NULL;) {
        names_remove(&presence->sources, &source->name);
        free(source);
    }
    names_fini(&presence->sources);
    pool_fini(&presence->subscriptions);
    pool_fini(&presence->letters);
    free(presence->peers);
    presence->peers = NULL;
}

bool presence_take_bytes(struct core *core, uint64_t bytes)
{
    ASSERT(core->presence.bytes <= core->budget.presence_bytes);
    if (bytes > core->budget.presence_bytes - core->presence.bytes)
        return false;
    core->presence.bytes += bytes;
    return true;
}

void presence_give_bytes(struct core *core, uint64_t bytes)
{
    ASSERT(core->presence.bytes >= bytes);
    core->presence.bytes -= bytes;
}

/* -- sources -- */

/* Whether a connection of `user` is logged in, `without` not counted. */
static bool is_online(const struct user *user, const struct conn *without)
{
    for (const struct list *at = user->conns.next; at != &user->conns; at = at->next) {
        const struct conn *conn = container_of(at, struct conn, user_link);
        if (conn != without && conn_is_logged_in(conn))
            return true;
    }
    return false;
}

static uint64_t source_bytes(const struct source *source)
{
    return sizeof *source + source->name.text.bytes + NAMES_OVERHEAD_BYTES;
}

static struct source *source_make(struct core *core, struct span name)
{
    struct source *source = malloc(sizeof *source + name.bytes);
    if (source == NULL)
        return NULL;
    memcpy(source->text, name.data, name.bytes);
    source->name.text = (struct span){source->text, name.bytes};
    if (!presence_take_bytes(core, source_bytes(source)))
        goto free_source;
    if (!names_add(&core->presence.sources, &source->name))
        goto give_bytes;
    const struct user *user = user_find(&core->users, name);
    source->is_online = user != NULL && is_online(user, NULL);
    list_init(&source->subscriptions);
    return source;

give_bytes:
    presence_give_bytes(core, source_bytes(source));
free_source:
    free(source);
    return NULL;
}

static void source_rest(struct core *core, struct source *source)
{
    if (!list_is_empty(&source->subscriptions))
        return;
    names_remove(&core->presence.sources, &source->name);
    presence_give_bytes(core, source_bytes(source));
    free(source);
}

/* The subscription waits for a letter if its shard has another state than the present one. */
static void subscription_check(struct core *core, struct subscription *subscription)
{
    struct presence *presence = &core->presence;
    bool is_changed = subscription->reported != subscription->source->is_online;
    if (is_changed == list_is_linked(&subscription->changed_link))
        return;
    if (is_changed) {
        list_append(&presence->peers[subscription->shard].changed, &subscription->changed_link);
        presence->changed_count++;
        return;
    }
    ASSERT(presence->changed_count > 0);
    list_remove(&subscription->changed_link);
    presence->changed_count--;
}

static void source_set(struct core *core, struct source *source, bool now_online)
{
    if (source->is_online == now_online)
        return;
    source->is_online = now_online;
    for (struct list *at = source->subscriptions.next; at != &source->subscriptions; at = at->next)
        subscription_check(core, container_of(at, struct subscription, link));
}

void presence_on_login(struct core *core, const struct conn *conn)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(conn_is_logged_in(conn));
    struct source *source = source_of(names_find(&core->presence.sources, user_name(conn->user)));
    if (source != NULL)
        source_set(core, source, true);
}

void presence_on_leave(struct core *core, const struct conn *conn)
{
    if (core->presence.sources.count == 0)
        return;
    struct source *source = source_of(names_find(&core->presence.sources, user_name(conn->user)));
    if (source != NULL)
        source_set(core, source, is_online(conn->user, conn));
}

/* -- subscriptions -- */

static struct subscription *subscription_find(struct source *source, uint32_t shard)
{
    for (struct list *at = source->subscriptions.next; at != &source->subscriptions; at = at->next) {
        struct subscription *subscription = container_of(at, struct subscription, link);
        if (subscription->shard == shard)
            return subscription;
    }
    return NULL;
}

static enum presence_word subscribe(struct core *core, uint32_t shard, const struct presence_item *item)
{
    struct presence *presence = &core->presence;
    struct source *source = source_of(names_find(&presence->sources, item->name));
    if (source == NULL)
        source = source_make(core, item->name);
    if (source == NULL)
        return PRESENCE_REFUSED;
    ASSERT(subscription_find(source, shard) == NULL);
    bool has_room = presence_take_bytes(core, sizeof(struct subscription));
    struct subscription *subscription = has_room ? pool_take(&presence->subscriptions) : NULL;
    if (subscription == NULL) {
        presence_give_bytes(core, has_room ? sizeof *subscription : 0);
        source_rest(core, source);
        return PRESENCE_REFUSED;
    }
    *subscription = (struct subscription){
        .source = source, .watched = item->watched, .shard = shard, .reported = source->is_online};
    list_init(&subscription->link);
    list_init(&subscription->changed_link);
    list_append(&source->subscriptions, &subscription->link);
    return source->is_online ? PRESENCE_ONLINE : PRESENCE_OFFLINE;
}

static void unsubscribe(struct core *core, uint32_t shard, const struct presence_item *item)
{
    struct presence *presence = &core->presence;
    struct source *source = source_of(names_find(&presence->sources, item->name));
    ASSERT(source != NULL);
    struct subscription *subscription = subscription_find(source, shard);
    ASSERT(subscription != NULL && subscription->watched == item->watched);
    subscription->reported = source->is_online;
    subscription_check(core, subscription);
    list_remove(&subscription->link);
    pool_give(&presence->subscriptions, subscription);
    presence_give_bytes(core, sizeof *subscription);
    source_rest(core, source);
}

void presence_on_watch(struct core *core, uint32_t from, struct letter *letter)
{
    ASSERT_ON_SHARD(core->shard);
    struct presence_letter *watch = container_of(letter, struct presence_letter, letter);
    for (uint32_t i = 0; i < watch->count; i++) {
        struct presence_item *item = &watch->items[i];
        if (item->word == PRESENCE_BEGIN)
            item->word = subscribe(core, from, item);
        else
            unsubscribe(core, from, item);
    }
    letter->kind = LETTER_WATCH_RETURNED;
    shard_post(core->shard, from, letter);
}

/* -- letters -- */

void presence_on_returned(struct core *core, uint32_t from, struct letter *letter)
{
    ASSERT(core->presence.peers[from].presences_out > 0);
    core->presence.peers[from].presences_out--;
    pool_give(&core->presence.letters, container_of(letter, struct presence_letter, letter));
}

/* Posts a letter with what has changed for shard `to`. */
static void post_changes(struct core *core, uint32_t to)
{
    struct presence *presence = &core->presence;
    struct presence_peer *peer = &presence->peers[to];
    struct presence_letter *news = pool_take(&presence->letters);
    ASSERT(news != NULL);
    news->letter.kind = LETTER_PRESENCE;
    for (news->count = 0; news->count < PRESENCE_LETTER_ITEMS && !list_is_empty(&peer->changed); news->count++) {
        struct subscription *subscription = container_of(peer->changed.next, struct subscription, changed_link);
        subscription->reported = subscription->source->is_online;
        news->items[news->count] = (struct presence_item){
            .watched = subscription->watched, .word = subscription->reported ? PRESENCE_ONLINE : PRESENCE_OFFLINE};
        subscription_check(core, subscription);
    }
    peer->presences_out++;
    shard_post(core->shard, to, &news->letter);
}

void presence_step(struct core *core)
{
    ASSERT_ON_SHARD(core->shard);
    if (core->presence.changed_count == 0 || core->stop.step != STOP_NOT)
        return;
    for (uint32_t i = 0; i < core->server->core_count; i++) {
        struct presence_peer *peer = &core->presence.peers[i];
        while (!list_is_empty(&peer->changed) && peer->presences_out < PRESENCE_OUT_MAX)
            post_changes(core, i);
    }
}

bool presence_is_behind(const struct core *core)
{
    if (core->presence.changed_count == 0 || core->stop.step != STOP_NOT)
        return false;
    for (uint32_t i = 0; i < core->server->core_count; i++) {
        const struct presence_peer *peer = &core->presence.peers[i];
        if (!list_is_empty(&peer->changed) && peer->presences_out < PRESENCE_OUT_MAX)
            return true;
    }
    return false;
}

bool presence_is_out(const struct core *core, uint32_t to)
{
    return core->presence.peers[to].presences_out > 0 || core->presence.peers[to].watches_out > 0;
}
