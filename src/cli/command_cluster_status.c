/* command_cluster_status.c: `chitchat cluster status`: who owns the slots, by what the logs say, the log servers and
 * their durability, and the other nodes. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/command.h"
#include "storage/log_batch.h"
#include "storage/log_engine.h"

#define TIMEOUT_MS 10000u
#define META_BYTES_MAX (1u << 20)

/* The newest batch of a log, and the newest TAKE of the meta log. */
struct newest {
    struct log_batch_header header;
    bool has_batch;
    char owner[LOG_BATCH_NODE_BYTES + 1]; /* "": nobody has taken the slots yet */
    char address[256];
    uint64_t generation;
};

static int read_newest(void *context, const struct log_batch *batch)
{
    struct newest *newest = context;
    int status = log_batch_decode(batch->data, batch->bytes, &newest->header);
    if (status != 0)
        return status;
    newest->has_batch = true;
    if (newest->header.kind != LOG_BATCH_TAKE)
        return 0;
    struct span address = log_batch_payload(&newest->header, batch->data);
    memcpy(newest->owner, newest->header.node, sizeof newest->owner);
    newest->generation = newest->header.generation;
    (void)snprintf(newest->address, sizeof newest->address, "%.*s", (int)address.bytes, address.data);
    return 0;
}

/* The newest batch of a log; of the meta log, all of them, which are few. 0 or -errno. */
static int read_log(const struct log_engine *engine, struct log_session *session, uint32_t log, bool is_meta,
                    struct newest *newest_r, struct log_engine_error *error)
{
    struct log_extent extent = {0};
    *newest_r = (struct newest){.has_batch = false};
    int status = engine->tail(session, log, TIMEOUT_MS, &extent, error);
    uint64_t from = is_meta ? 1 : extent.last;
    while (status == 0 && from > 0 && from <= extent.last) {
        status = engine->read(session, log, from, META_BYTES_MAX, TIMEOUT_MS, read_newest, newest_r, error);
        if (status == -EBADMSG || status == -EPROTO)
            (void)snprintf(error->text, sizeof error->text, "log %" PRIu32 ": batch %" PRIu64 " cannot be read", log,
                           from);
        from += status > 0 ? (uint64_t)status : 0;
        status = status > 0 ? 0 : status < 0 ? status : -ENODATA;
    }
    return status;
}

static double age_s(const struct newest *newest)
{
    struct clock clock;
    clock_init_system(&clock);
    uint64_t now_us = clock_wall_us(&clock), wall_us = newest->header.wall_us;
    return now_us < wall_us ? 0 : (double)(now_us - wall_us) / 1e6;
}

static void print_slot(const struct newest *slot, uint32_t index)
{
    if (slot->has_batch)
        printf("slot %-4" PRIu32 " %-16s generation %-6" PRIu64 " batch %-10" PRIu64 " %.1f s ago\n", index,
               slot->header.node, slot->header.generation, slot->header.number, age_s(slot));
    else
        printf("slot %-4" PRIu32 " empty\n", index);
}

static json_t *slot_json(const struct newest *slot, uint32_t index)
{
    if (!slot->has_batch)
        return json_pack("{s:i}", "slot", (int)index);
    return json_pack("{s:i, s:s, s:I, s:I, s:I, s:f}", "slot", (int)index, "node", slot->header.node, "generation",
                     (json_int_t)slot->header.generation, "batch", (json_int_t)slot->header.number, "committed",
                     (json_int_t)slot->header.committed, "age_s", age_s(slot));
}

static void print_owner(const struct config *config, const struct newest *meta)
{
    if (!meta->has_batch)
        printf("cluster %s: not made yet: `chitchat cluster init` has not ended\n", config->cluster_name);
    else if (meta->owner[0] == '\0')
        printf("cluster %s: no node has taken the slots yet\n", config->cluster_name);
    else
        printf("cluster %s: owned by %s%s%s, generation %" PRIu64 "\n", config->cluster_name, meta->owner,
               meta->address[0] == '\0' ? "" : " at ", meta->address, meta->generation);
}

/* -- the nodes -- */

struct nodes {
    json_t *list;
    bool wants_json;
    const char *owner;
    uint32_t slots;
    const uint64_t *last; /* by slot: the newest batch of the log */
};

/* Batches of all slots that the node had not applied when it reported. The newest one of a slot is applied when a later
 * one says that it is committed: it does not count. */
static uint64_t behind(const struct nodes *nodes, const struct log_node *node)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < nodes->slots; i++)
        if (nodes->last[i] > node->applied[i] + 1)
            sum += nodes->last[i] - node->applied[i] - 1;
    return sum;
}

static json_t *numbers_json(const uint64_t *numbers, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(list, json_integer((json_int_t)numbers[i]));
    return list;
}

/* An owner has applied what it has appended, and a report is old as soon as it is read. */
static void print_node(const struct nodes *nodes, const struct log_node *node, const char *role)
{
    printf("node %-16s %-9s ", node->name, role);
    if (strcmp(role, "owner") != 0)
        printf("at most %" PRIu64 " batches behind, ", behind(nodes, node));
    printf("reported %" PRIu32 " s ago%s%s%s\n", node->seen_s, node->address[0] == '\0' ? "" : ", ", node->address,
           node->is_forgotten ? ": the log keeps nothing for it" : "");
}

static void show_node(void *context, const struct log_node *node)
{
    const struct nodes *nodes = context;
    const char *role = strcmp(node->name, nodes->owner) == 0 ? "owner" : node->is_forgotten ? "forgotten" : "standby";
    if (nodes->wants_json)
        json_array_append_new(nodes->list, json_pack("{s:s, s:s, s:s, s:i, s:I, s:o, s:o}", "node", node->name,
                                                     "address", node->address, "role", role, "seen_s",
                                                     (int)node->seen_s, "behind", (json_int_t)behind(nodes, node),
                                                     "applied", numbers_json(node->applied, nodes->slots), "runs",
                                                     numbers_json(node->runs, nodes->slots)));
    else
        print_node(nodes, node, role);
}

static int show(const struct config *config, const struct log_engine *engine, struct log_session *session,
                const struct log_engine_report *report, struct log_engine_error *error)
{
    uint32_t slots = report->slots;
    struct newest meta, newest;
    uint64_t last[CONFIG_SHARDS_MAX] = {0};
    int status = read_log(engine, session, slots, true, &meta, error);
    if (status != 0)
        return status;
    json_t *list = json_array(), *node_list = json_array();
    json_t *all = json_pack("{s:s, s:s, s:s, s:I, s:s, s:O, s:O}", "cluster", config->cluster_name, "owner", meta.owner,
                            "address", meta.address, "generation", (json_int_t)meta.generation, "log", report->text,
                            "slots", list, "nodes", node_list);
    if (!config->wants_json) {
        print_owner(config, &meta);
        printf("%s\n", report->text);
    }
    for (uint32_t i = 0; i < slots && status == 0; i++) {
        status = read_log(engine, session, i, false, &newest, error);
        last[i] = newest.header.number;
        if (status == 0 && config->wants_json)
            json_array_append_new(list, slot_json(&newest, i));
        else if (status == 0)
            print_slot(&newest, i);
    }
    struct nodes nodes = {node_list, config->wants_json, meta.owner, slots, last};
    if (status == 0)
        status = engine->nodes(session, TIMEOUT_MS, show_node, &nodes, error);
    if (status == 0 && config->wants_json) {
        json_dumpf(all, stdout, JSON_COMPACT);
        putchar('\n');
    }
    json_decref(list);
    json_decref(node_list);
    json_decref(all);
    return status;
}

int command_cluster_status(const struct config *config, const struct log_engine *engine,
                           const struct log_engine_options *options)
{
    struct log_session *session;
    struct log_engine_report report;
    struct log_engine_error error = {""};
    if (engine->open(&session, options, &error) != 0)
        return command_complain(1, error.text);
    int status = engine->check(session, TIMEOUT_MS, &report, &error);
    if (status == 0)
        status = show(config, engine, session, &report, &error);
    engine->close(&session);
    if (status != 0)
        return command_complain(1, error.text);
    return fflush(stdout) == 0 ? 0 : command_complain(1, "stdout cannot be written");
}
