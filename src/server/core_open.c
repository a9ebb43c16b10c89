#include "server/core_open.h"

#include <errno.h>
#include <stdlib.h>

#include "api/api.h"
#include "durability/checkpoint.h"
#include "durability/log_maintenance.h"
#include "durability/merge_schedule.h"
#include "durability/segment_recycler.h"
#include "operations/ops.h"
#include "server/core.h"

static void init_parts(struct core *core)
{
    uint32_t route_count;
    const struct http_route *routes = api_routes(&route_count);
    turn_renew(&core->turn);
    timer_init(&core->tick_timer);
    drain_init(&core->drain);
    wal_writer_init(&core->wal_writer);
    list_init(&core->handovers.waiting);
    barriers_init(&core->barriers);
    list_init(&core->histories.queue);
    list_init(&core->histories.place_queue);
    list_init(&core->idempotency.users);
    core->idempotency.memory.bytes_max = core->budget.key_bytes;
    deliveries_init(&core->deliveries);
    erasures_init(&core->erasures);
    posts_init(&core->posts);
    batches_init(&core->batches);
    senders_init(&core->senders);
    replays_init(&core->replays);
    skips_init(&core->skips);
    watches_init(core);
    conversations_init(&core->conversations);
    reads_init(&core->reads);
    page_reads_init(&core->page_reads);
    peers_pages_init(&core->peers_pages);
    background_init(&core->background, core->server->clock);
    exchanges_init(&core->exchanges, routes, route_count);
}

static int open_parts(struct core *core)
{
    const struct server *server = core->server;
    struct http_options http = {.origins = server->config->origins,
                                .origin_count = server->config->origin_count,
                                .hosts = server->config->hosts,
                                .host_count = server->config->host_count,
                                .proxies = {server->config->networks, server->config->network_count},
                                .files = server->web_files,
                                .file_count = server->web_file_count,
                                .not_ready = health_not_ready,
                                .health = server,
                                .has_api = server->config->auth == CONFIG_AUTH_TOKEN};
    core->peers = calloc(server->core_count, sizeof *core->peers);
    int status = core->peers == NULL ? -ENOMEM : 0;
    if (status == 0)
        status = stop_init(&core->stop, server->core_count);
    if (status == 0)
        status = user_table_init(&core->users, core_table_seed(core));
    if (status == 0)
        status = conns_init(&core->conns, ops_conn_callbacks(), &http, core->budget.message_bytes);
    if (status == 0)
        status = tokens_open(core, server->token_keys);
    if (status == 0)
        status = tls_state_init(&core->tls);
    if (status == 0)
        status = fanouts_init(&core->fanouts);
    if (status == 0)
        status = typings_init(&core->typings, core_table_seed(core));
    if (status == 0)
        status = seens_init(&core->seens);
    if (status == 0)
        status = presence_init(core);
    if (status == 0)
        status = checkpoint_open(&core->checkpoint, core);
    if (status == 0)
        status = merge_schedule_open(&core->merge_schedule, core);
    return status;
}

int core_open(struct core **core_r, struct server *server, uint32_t index)
{
    ASSERT(index < server->core_count);
    struct core *core = calloc(1, sizeof *core);
    if (core == NULL)
        return -ENOMEM;
    core->server = server;
    core->index = index;
    uint64_t needed = budget_make(server->config, server->core_count, &core->budget);
    ASSERT(needed == 0); /* serve.c has checked it */
    init_parts(core);
    int status = open_parts(core);
    if (status != 0)
        core_close(&core);
    *core_r = core;
    return status;
}

/* Unrefs the records of entries that are still pending. Some are after a failed WAL write, or when a test ends early.
 */
static void drop_pending(struct core *core)
{
    for (uint32_t i = 0; core->users.slots != NULL && i < core->users.slot_count; i++) {
        struct user *user = core->users.slots[i];
        if (user == NULL)
            continue;
        for (struct list *at; (at = list_shift(&user->timeline.pending)) != NULL;)
            record_heap_unref(core->generations.heap, &container_of(at, struct entry, link)->record);
    }
    /* The arrival of a message to its own sender is in no timeline; the sender's entry is. */
    for (struct list *at;
         core->deliveries.arrivals.next != NULL && (at = list_shift(&core->deliveries.arrivals)) != NULL;) {
        struct arrival *arrival = container_of(at, struct arrival, link);
        if (arrival->is_to_self)
            record_heap_unref(core->generations.heap, &arrival->entry.record);
    }
}

static void close_storage(struct core *core)
{
    struct generations *generations = &core->generations;
    checkpoint_close(&core->checkpoint);
    merge_schedule_close(&core->merge_schedule);
    segment_recycler_close(&core->recycler);
    log_maintenance_close(&core->log_maintenance);
    log_close(&core->wal_writer.log);
    memtable_close(&generations->leaving);
    memtable_close(&generations->frozen);
    memtable_close(&generations->filling);
    record_heap_close(&generations->heap);
    peers_pages_fini(&core->peers_pages);
    store_reader_close(&core->reads.store_reader);
    store_close(&core->runs.store);
}

void core_close(struct core **core_p)
{
    struct core *core = *core_p;
    *core_p = NULL;
    if (core == NULL)
        return;
    drop_pending(core);
    close_storage(core);
    conns_fini(&core->conns);
    tokens_close(core);
    tls_state_fini(&core->tls);
    user_table_fini(&core->users);
    range_reads_fini(&core->range_reads);
    fanouts_fini(&core->fanouts);
    deliveries_fini(&core->deliveries);
    seens_fini(&core->seens);
    senders_fini(&core->senders);
    replays_fini(&core->replays);
    typings_fini(&core->typings);
    watches_fini(core);
    presence_fini(core);
    stop_fini(&core->stop);
    free(core->peers);
    free(core);
}
