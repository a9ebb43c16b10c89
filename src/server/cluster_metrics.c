#include "server/cluster_metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* No option of chitchat is set by it: the name does not begin with CHITCHAT_. */
#define CARRIED "_CHITCHAT_CLUSTER_COUNTS"

void cluster_metrics_carry(const struct cluster_metrics *metrics)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%" PRIu64 ",%" PRIu64, metric_read(&metrics->takeovers),
                   metric_read(&metrics->depositions));
    (void)setenv(CARRIED, text, 1); /* without memory the counters begin anew */
}

bool cluster_metrics_take(struct cluster_metrics *metrics)
{
    uint64_t takeovers, depositions;
    const char *text = getenv(CARRIED);
    if (text == NULL || sscanf(text, "%" SCNu64 ",%" SCNu64, &takeovers, &depositions) != 2)
        return false;
    metric_set(&metrics->takeovers, takeovers);
    metric_set(&metrics->depositions, depositions);
    return true;
}
