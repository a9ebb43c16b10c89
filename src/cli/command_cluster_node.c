/* command_cluster_node.c: `chitchat cluster join` and `leave`: which nodes the log servers know. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "storage/log_engine.h"

#define TIMEOUT_MS 10000u
/* A node reports each 10 s. */
#define LIVE_S 30u

struct found {
    const char *name;
    uint32_t slots;
    bool is_live;
    uint32_t seen_s;
};

/* A node that has applied nothing was joined, and not started yet. */
static void look(void *context, const struct log_node *node)
{
    struct found *found = context;
    bool was_started = false;
    for (uint32_t i = 0; i < found->slots; i++)
        was_started = was_started || node->applied[i] > 0;
    if (strcmp(node->name, found->name) != 0 || !was_started || node->is_forgotten || node->seen_s >= LIVE_S)
        return;
    found->is_live = true;
    found->seen_s = node->seen_s;
}

static int check_name(const struct config *config, const struct log_engine *engine, struct log_session *session,
                      uint32_t slots, struct log_engine_error *error)
{
    struct found found = {.name = config->node, .slots = slots};
    int status = engine->nodes(session, TIMEOUT_MS, look, &found, error);
    if (status != 0 || !found.is_live)
        return status;
    bool joins = strcmp(config->cluster_verb, "join") == 0;
    (void)snprintf(error->text, sizeof error->text, "node %s is alive: it reported %" PRIu32 " s ago. Stop it, %s",
                   config->node, found.seen_s,
                   joins ? "and wait for half a minute, or give another name"
                         : "wait for half a minute, and try again");
    return -1;
}

/* In single quotes, for a shell. */
static void print_quoted(const char *text)
{
    putchar('\'');
    for (; *text != '\0'; text++)
        if (*text == '\'')
            printf("'\\''");
        else
            putchar(*text);
    putchar('\'');
}

static void print_start(const struct config *config)
{
    printf("start it with:\n  chitchat serve --cluster ");
    print_quoted(config->log_uris);
    if (strcmp(config->cluster_name, "chitchat") != 0)
        printf(" --cluster-name %s", config->cluster_name);
    printf(" --node %s", config->node);
    if (config->advertise != NULL) {
        printf(" --advertise ");
        print_quoted(config->advertise);
    }
    printf("%s\n", config->log_durability == CONFIG_LOG_SINGLE ? " --log-durability single" : "");
}

/* Whether an empty data directory can become this node. */
static int print_purged(const struct log_engine *engine, struct log_session *session, uint32_t slots,
                        struct log_engine_error *error)
{
    for (uint32_t i = 0; i < slots; i++) {
        struct log_extent extent;
        int status = engine->tail(session, i, TIMEOUT_MS, &extent, error);
        if (status != 0)
            return status;
        if (extent.first > 1) {
            printf("the log of slot %" PRIu32 " begins at batch %" PRIu64
                   ": start it on a copy of the data directory of another node\n",
                   i, extent.first);
            return 0;
        }
    }
    return 0;
}

static int join(const struct config *config, const struct log_engine *engine, struct log_session *session,
                struct log_engine_error *error)
{
    struct log_engine_report report;
    char address[CONFIG_ADDRESS_BYTES];
    struct log_node node = {.name = config->node, .address = address};
    config_address(config, address);
    int status = engine->check(session, TIMEOUT_MS, &report, error);
    if (status == 0)
        status = check_name(config, engine, session, report.slots, error);
    if (status == 0)
        status = engine->report(session, &node, TIMEOUT_MS, error);
    if (status != 0)
        return status;
    printf("node %s is known to the cluster %s: the log keeps what it will read\n", config->node, config->cluster_name);
    status = print_purged(engine, session, report.slots, error);
    print_start(config);
    return status;
}

static int leave(const struct config *config, const struct log_engine *engine, struct log_session *session,
                 struct log_engine_error *error)
{
    struct log_engine_report report;
    int status = engine->check(session, TIMEOUT_MS, &report, error);
    if (status == 0)
        status = check_name(config, engine, session, report.slots, error);
    if (status == 0)
        status = engine->leave(session, config->node, TIMEOUT_MS, error);
    if (status == 0)
        printf("node %s has left the cluster %s: the log keeps nothing for it\n", config->node, config->cluster_name);
    return status;
}

int command_cluster_node(const struct config *config, const struct log_engine *engine,
                         const struct log_engine_options *options)
{
    struct log_session *session;
    struct log_engine_error error = {""};
    if (engine->open(&session, options, &error) != 0)
        return command_complain(1, error.text);
    bool joins = strcmp(config->cluster_verb, "join") == 0;
    int status = joins ? join(config, engine, session, &error) : leave(config, engine, session, &error);
    engine->close(&session);
    if (status != 0)
        return command_complain(1, error.text);
    return fflush(stdout) == 0 ? 0 : command_complain(1, "stdout cannot be written");
}
