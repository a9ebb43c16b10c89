/* command_cluster.c: `chitchat cluster init`: makes the logs of a cluster. The other verbs have files of their own. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/command.h"
#include "storage/datadir/datadir_cluster.h"

#define TIMEOUT_MS 30000

static int print_report(const struct config *config, const struct log_engine_report *report)
{
    printf("cluster %s: %" PRIu32 " slots, id %s\n%s\n", config->cluster_name, report->slots, report->id, report->text);
    if (config->log_durability == CONFIG_LOG_SINGLE)
        printf("durability single: what is acknowledged is lost with the disk of its log server\n");
    return fflush(stdout) == 0 ? 0 : command_complain(1, "stdout cannot be written, but the cluster is made");
}

/* The first batch of the meta log: what all data directories of the cluster have in common. */
static int create_meta(const struct log_engine *engine, struct log_session *session, const char *name, uint32_t slots,
                       struct log_engine_error *error)
{
    struct datadir_cluster cluster = {engine, session, name, "init", slots, TIMEOUT_MS};
    struct datadir_meta meta;
    struct clock clock;
    clock_init_system(&clock);
    return datadir_cluster_create(&cluster, clock_wall_us(&clock), &meta, error);
}

static int check(const struct config *config, const struct log_engine *engine, const struct log_engine_options *options)
{
    struct log_session *session;
    struct log_engine_report report;
    struct log_engine_error error;
    if (engine->open(&session, options, &error) != 0)
        return command_complain(1, error.text);
    int status = engine->check(session, TIMEOUT_MS, &report, &error);
    if (status == 0)
        status = create_meta(engine, session, options->cluster, report.slots, &error);
    engine->close(&session);
    return status == 0 ? print_report(config, &report) : command_complain(1, error.text);
}

int command_cluster(const struct config *config)
{
    const struct log_engine *engine;
    struct log_engine_error error;
    struct log_engine_options options = {
        .uris = config->log_uris,
        .cluster = config->cluster_name,
        .durability = config->log_durability == CONFIG_LOG_SINGLE ? LOG_DURABILITY_SINGLE : LOG_DURABILITY_STANDBY};
    if (log_engine_load(config->log_uris, &engine, &error) != 0)
        return command_complain(2, error.text);
    if (strcmp(config->cluster_verb, "status") == 0)
        return command_cluster_status(config, engine, &options);
    if (strcmp(config->cluster_verb, "init") != 0)
        return command_cluster_node(config, engine, &options);
    int status = engine->create(&options, config->slots, TIMEOUT_MS, &error);
    if (status != 0)
        return command_complain(status == -EINVAL ? 2 : 1, error.text);
    return check(config, engine, &options);
}
