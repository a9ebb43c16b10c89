/* command_cluster.c: `chitchat cluster init`: makes the logs of a cluster. The other verbs have files of their own. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cluster_fill.h"
#include "cli/command.h"
#include "storage/datadir/datadir_cluster.h"
#include "storage/datadir/datadir_make.h"
#include "storage/page_guard.h"

#define TIMEOUT_MS 30000

/* `chitchat cluster init`. */
struct init {
    const struct config *config;
    const struct log_engine *engine;
    const struct log_engine_options *options;
    struct log_session *session;
    struct log_engine_report report;
    struct datadir *from; /* whose content the cluster begins with; NULL: it is empty */
    char text[CLUSTER_FILL_ERROR_BYTES];
};

static int print_report(const struct init *init)
{
    const struct log_engine_report *report = &init->report;
    printf("cluster %s: %" PRIu32 " slots, id %s\n%s\n", init->config->cluster_name, report->slots, report->id,
           report->text);
    if (init->config->log_durability == CONFIG_LOG_SINGLE)
        printf("durability single: what is acknowledged is lost with the disk of its log server\n");
    return fflush(stdout) == 0 ? 0 : command_complain(1, "stdout cannot be written, but the cluster is made");
}

static int refuse(struct init *init, int code, const char *text)
{
    (void)snprintf(init->text, sizeof init->text, "%s", text);
    return code;
}

static struct datadir_cluster cluster_of(const struct init *init)
{
    return (struct datadir_cluster){init->engine, init->session,      init->options->cluster,
                                    "init",       init->report.slots, TIMEOUT_MS};
}

/* The first batch of the meta log: what all data directories of the cluster have in common. */
static int create_meta(struct init *init)
{
    struct datadir_cluster cluster = cluster_of(init);
    struct log_engine_error error = {""};
    struct datadir_meta meta;
    struct clock clock;
    clock_init_system(&clock);
    int status = datadir_cluster_create(&cluster, clock_wall_us(&clock), NULL, &meta, &error);
    return status == 0 ? 0 : refuse(init, status, error.text);
}

/* Whether a log of a slot has a batch: 1 or 0; or -errno. */
static int has_batches(struct init *init)
{
    struct log_engine_error error = {""};
    struct log_extent extent;
    for (uint32_t i = 0; i < init->report.slots; i++) {
        int status = init->engine->tail(init->session, i, TIMEOUT_MS, &extent, &error);
        if (status != 0)
            return refuse(init, status, error.text);
        if (extent.last > 0)
            return 1;
    }
    return 0;
}

/* Without the first batch of the meta log the others must be empty. 0: the cluster is to be made; 1: it is there; or
 * -errno. */
static int look(struct init *init)
{
    struct datadir_cluster cluster = cluster_of(init);
    struct log_engine_error error = {""};
    struct datadir_meta meta;
    int status = datadir_cluster_read(&cluster, &meta, &error);
    if (status != -ENOENT)
        return status == 0 ? 1 : refuse(init, status, error.text);
    status = has_batches(init);
    if (status != 1)
        return status;
    (void)snprintf(init->text, sizeof init->text,
                   "the logs of cluster %s have what an `init --from` appended that did not end: if none runs, "
                   "remove them by the SQL statement DROP SCHEMA chitchat_%s CASCADE, on each log server, and run "
                   "the command again; or give another --name",
                   init->options->cluster, init->options->cluster);
    return -EEXIST;
}

/* An `init --from` takes the logs and then reads the meta log; this writes the meta log and then reads the logs. So
 * where both run, one of them at least finds the other. */
static int make_empty(struct init *init)
{
    int status = create_meta(init);
    if (status == 0)
        status = has_batches(init);
    return status == 1 ? refuse(init, -EEXIST,
                                "the cluster is made, but another command has begun with its logs meanwhile: if that "
                                "is an `init --from`, start no node before its end, and do what it says then")
                       : status;
}

/* Clients whose cursors are of `from` go on with them, but not where `from` may lack what they have seen. */
static int fill(struct init *init)
{
    struct datadir_cluster cluster = cluster_of(init);
    struct datadir_meta meta = *datadir_meta(init->from);
    struct cluster_fill how = {&cluster, init->options, init->from, &meta};
    struct cluster_fill_report report;
    bool is_same = datadir_cluster(init->from)[0] == '\0' && !datadir_is_backup(init->from);
    if (!is_same && datadir_draw_epoch(&meta) != 0)
        return refuse(init, -EIO, "no random numbers for a new epoch");
    int status = cluster_fill_run(&how, &report, init->text);
    if (status != 0)
        return status;
    printf("from %s: %" PRIu64 " messages, marks in %" PRIu64 " conversations, %" PRIu64 " cuts, %s\n",
           datadir_path(init->from), report.messages, report.marks, report.cuts,
           is_same ? "the same epoch: clients go on where they are. Do not serve that directory any more"
                   : "a new epoch: clients read their history anew");
    if (report.one_sided > 0)
        printf("one of the two timelines lacked %" PRIu64 " of the messages, and has them now\n", report.one_sided);
    return 0;
}

static int make(struct init *init)
{
    struct log_engine_error error;
    int status = init->engine->check(init->session, TIMEOUT_MS, &init->report, &error);
    if (status != 0)
        return refuse(init, status, error.text);
    status = look(init);
    if (status == 1 && init->from != NULL)
        return refuse(init, -EEXIST, "the cluster is made already, and --from is for a new one: give another --name");
    if (status != 0)
        return status == 1 ? 0 : status;
    return init->from != NULL ? fill(init) : make_empty(init);
}

static int command_init(struct init *init, uint32_t slots)
{
    struct log_engine_error error;
    int status = init->engine->create(init->options, slots, TIMEOUT_MS, &error);
    if (status == 0)
        status = init->engine->open(&init->session, init->options, &error);
    if (status != 0)
        return command_complain(status == -EINVAL ? 2 : 1, error.text);
    status = make(init);
    init->engine->close(&init->session);
    return status == 0 ? print_report(init) : command_complain(1, init->text);
}

static int init_from(struct init *init)
{
    int status;
    char text[160];
    if (page_guard_install() != 0)
        return command_complain(2, "the handler for pages that cannot be read is not installed");
    status = command_open_data(init->config->from_dir, false, &init->from);
    if (status != 0)
        return status;
    uint32_t shards = datadir_shards(init->from), slots = init->config->slots;
    if (slots == 0 || slots == shards) {
        status = command_init(init, shards);
    } else {
        (void)snprintf(text, sizeof text,
                       "--from has %" PRIu32 " shards, and each becomes a slot: leave --slots out, or make a directory "
                       "of %" PRIu32 " shards with `chitchat reshard` first",
                       shards, slots);
        status = command_complain(2, text);
    }
    datadir_close(&init->from);
    return status;
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
    if (strcmp(config->cluster_verb, "status") == 0) {
        options.durability = LOG_DURABILITY_SINGLE; /* a status is needed most where a setting of a standby is wrong */
        return command_cluster_status(config, engine, &options);
    }
    if (strcmp(config->cluster_verb, "init") != 0)
        return command_cluster_node(config, engine, &options);
    struct init init = {.config = config, .engine = engine, .options = &options};
    return config->from_dir != NULL ? init_from(&init) : command_init(&init, config->slots);
}
