/*
 * log_maintenance.h: what the log of a cluster needs beside its appends, on a thread beside the shard with a session of
 * its own. Once a second, and at a stop, the newest acknowledged batch is put on the disk (storage/log_tail.h). At the
 * start and once a minute, batches that the runs have are purged (the engine keeps the young ones, --log-keep, and what
 * other nodes need); and shard 0 checks that the log servers still promise what --log-durability asks for, and forgets
 * nodes that were away for --log-keep-max. Each NODE_REPORT_US it reports what the node has (node_report.h).
 *
 * A shard whose log is in segment files has no maintenance (core->log_maintenance is NULL): then nothing here does
 * anything. Shard's thread.
 */
#ifndef CHITCHAT_DURABILITY_LOG_MAINTENANCE_H
#define CHITCHAT_DURABILITY_LOG_MAINTENANCE_H

#include <stdbool.h>

struct core;
struct log_maintenance;
struct log_engine_error;

/* Main's thread. 0 and *maintenance_r, owned by the caller; or -errno and *error_r. Borrows `core`. */
int log_maintenance_open(struct log_maintenance **maintenance_r, struct core *core, struct log_engine_error *error_r);
/* Main's thread. No job may be in flight. Nulls *maintenance; NULL is fine. */
void log_maintenance_close(struct log_maintenance **maintenance);

/* Before the first turn: opens the thread. */
void log_maintenance_start(struct core *core);
/* The shard ends: closes it, and writes what is new. Blocks. */
void log_maintenance_finish(struct core *core);

/* Once a second: posts a job if there is something to do, and none is in progress. */
void log_maintenance_tick(struct core *core);
/* Whether a job is in progress. */
bool log_maintenance_is_busy(const struct core *core);

#endif
