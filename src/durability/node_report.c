#include "durability/node_report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/core.h"

int node_report(const struct server *server, struct log_session *session, struct log_engine_error *error_r)
{
    const struct cluster *cluster = server->cluster;
    uint32_t slots = server->core_count;
    uint64_t *numbers = calloc(2 * (size_t)slots, sizeof *numbers);
    struct log_node node = {
        .name = cluster->node, .address = cluster->address, .runs = numbers, .applied = numbers + slots};
    if (numbers == NULL) {
        (void)snprintf(error_r->text, sizeof error_r->text, "no memory for a report");
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < slots; i++) {
        numbers[i] = metric_read(&server->cores[i]->slot_metrics.in_runs);
        numbers[slots + i] = metric_read(&server->cores[i]->slot_metrics.applied);
    }
    int status = cluster->engine->report(session, &node, CLUSTER_TIMEOUT_MS, error_r);
    free(numbers);
    return status;
}
