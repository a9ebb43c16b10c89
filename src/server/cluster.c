#include "server/cluster.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "server/cluster_metrics.h"
#include "storage/datadir/datadir_cluster.h"

static int check_clock(const struct cluster *cluster, struct clock *clock, struct log_engine_error *error)
{
    uint64_t now_us = clock_wall_us(clock);
    if (now_us <= cluster->report.clock_us + CLUSTER_CLOCK_OFF_US)
        return 0;
    (void)snprintf(error->text, sizeof error->text,
                   "the clock of this machine is %" PRIu64 " s ahead of that of the log server: set it and start again",
                   (now_us - cluster->report.clock_us) / 1000000);
    return -ERANGE;
}

bool cluster_clock_is_right(const struct log_engine_report *report, uint64_t wall_us, struct cluster_metrics *metrics,
                            char *text, size_t text_bytes)
{
    uint64_t ahead_us = wall_us > report->clock_us ? wall_us - report->clock_us : 0;
    uint64_t behind_us = wall_us < report->clock_us ? report->clock_us - wall_us : 0;
    metric_set(&metrics->clock_ahead, ahead_us);
    metric_set(&metrics->clock_behind, behind_us);
    (void)snprintf(text, text_bytes, "the clock of this machine is %" PRIu64 " s %s that of the log server",
                   (ahead_us + behind_us) / 1000000, ahead_us > 0 ? "ahead of" : "behind");
    return ahead_us + behind_us <= CLUSTER_CLOCK_OFF_US;
}

int cluster_ask(const struct cluster *cluster, struct log_engine_report *report_r, struct datadir_meta *meta_r,
                struct log_engine_error *error_r)
{
    struct log_session *session;
    int status = cluster->engine->open(&session, &cluster->where, error_r);
    if (status != 0)
        return status;
    struct datadir_cluster asked = {.engine = cluster->engine,
                                    .session = session,
                                    .name = cluster->where.cluster,
                                    .node = cluster->node,
                                    .timeout_ms = CLUSTER_TIMEOUT_MS};
    status = cluster->engine->check(session, CLUSTER_TIMEOUT_MS, report_r, error_r);
    if (status == 0) {
        asked.slots = report_r->slots;
        status = datadir_cluster_read(&asked, meta_r, error_r);
    }
    cluster->engine->close(&session);
    return status;
}

static int complain(const struct cluster *cluster, int status, const struct log_engine_error *error, char *text,
                    size_t text_bytes)
{
    if (status != 0)
        (void)snprintf(text, text_bytes, "cluster %s: %s", cluster->where.cluster, error->text);
    return status;
}

int cluster_load(struct cluster *cluster, const struct config *config, char *text, size_t text_bytes)
{
    struct log_engine_error error = {""};
    *cluster = (struct cluster){
        .where = {.uris = config->log_uris,
                  .cluster = config->cluster_name,
                  .durability =
                      config->log_durability == CONFIG_LOG_SINGLE ? LOG_DURABILITY_SINGLE : LOG_DURABILITY_STANDBY,
                  .keep_s = config->log_keep_s,
                  .node = config->node},
        .node = config->node,
    };
    config_address(config, cluster->address);
    return complain(cluster, log_engine_load(config->log_uris, &cluster->engine, &error), &error, text, text_bytes);
}

int cluster_open(struct cluster *cluster, const struct config *config, struct clock *clock, char *text,
                 size_t text_bytes)
{
    struct log_engine_error error = {""};
    int status = cluster_load(cluster, config, text, text_bytes);
    if (status != 0)
        return status;
    status = cluster_ask(cluster, &cluster->report, &cluster->meta, &error);
    if (status == 0)
        status = check_clock(cluster, clock, &error);
    return complain(cluster, status, &error, text, text_bytes);
}
