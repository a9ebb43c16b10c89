/*
 * node_report.h: a node of a cluster tells the log servers that it lives, and what it has of each slot, so that no
 * purge drops what it needs (log_engine.report). The numbers are those of struct slot_metrics, which are up to some
 * seconds old: an older one makes a purge keep more. Blocks; any thread, one at a time.
 */
#ifndef CHITCHAT_DURABILITY_NODE_REPORT_H
#define CHITCHAT_DURABILITY_NODE_REPORT_H

#include <stdint.h>

#include "storage/log_engine.h"

struct server;

/* How often a node reports. */
#define NODE_REPORT_US UINT64_C(10000000)

/* By `session`. 0 or an error of the engine. */
int node_report(const struct server *server, struct log_session *session, struct log_engine_error *error_r);

#endif
