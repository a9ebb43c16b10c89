/*
 * recovery_private.h: the parts of recovery (recovery.h). recovery.c has the steps, and puts what it is given into runs
 * and memtables. recovery_wal.c knows the log as segment files: where its records are, and how a new WAL begins behind
 * them. recovery_log.c opens the logs of a cluster, and recovery_standby.c reads them and takes them over. Main's
 * thread.
 */
#ifndef CHITCHAT_DURABILITY_RECOVERY_PRIVATE_H
#define CHITCHAT_DURABILITY_RECOVERY_PRIVATE_H

#include "durability/recovery.h"
#include "server/core.h"
#include "storage/wal/wal_survey.h"

/* The WAL that one shard had before this start. */
struct old_wal {
    struct core *core;
    struct wal_survey survey;   /* of a log engine: `dir` alone, as a name in errors */
    struct log_remote *remote;  /* owned until recovery_log_begin; NULL: the log is in segment files */
    struct ownership_mark tail; /* of a log engine: a batch that the log must have (storage/log_tail.h) */
};

struct recovery {
    struct server *server;
    struct old_wal *old_wals;
    struct recovery_report *report;
    struct recovery_error *error;
    bool has_no_room; /* a run could not be written: all that is replayed stays in memory */
};

/* Writes the error text; returns `code`. */
int recovery_refuse(struct recovery *recovery, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The context of recovery_replay_record: whose log is read. */
struct recovery_replay {
    struct recovery *recovery;
    struct old_wal *old;
};

/* Puts a record of the log where it belongs: for functions that visit records. 0; or -errno, after recovery_refuse. */
int recovery_replay_record(void *context, const struct record_fields *fields);

/* The next ones return 0; or -errno, after recovery_refuse. */

/* Finds the segments of old->core, whose runs are open, and refuses damage. */
int recovery_wal_survey(struct recovery *recovery, struct old_wal *old);
/* Gives each record to recovery_replay_record, in order. */
int recovery_wal_replay(struct recovery *recovery, struct old_wal *old);
/* After all WALs are replayed: opens the WAL and the recycler of old->core, and begins the first segment. */
int recovery_wal_begin(struct recovery *recovery, struct old_wal *old);

/* The segments that are live and have batches. */
uint32_t recovery_wal_sealed_count(const struct old_wal *old);
/* The runs of all shards have all records: no segment is needed any more. */
void recovery_wal_drop(struct old_wal *old);

/* Whether so much is in memory that it should go to runs. */
bool recovery_is_filling(const struct recovery *recovery);
/* Writes all that was replayed to runs, on every shard; then nothing of the old logs is needed any more. Without room
 * for that they stay. */
int recovery_write_all_runs(struct recovery *recovery);

/* Opens the log of old->core in a log engine; connects to nothing. */
int recovery_log_open(struct recovery *recovery, struct old_wal *old);
/* What is behind the runs is to be read; may be called again. Refuses nothing: as log_remote_seek. */
int recovery_log_seek(struct old_wal *old, struct log_remote_error *error_r);
/* Gives the log to old->core. */
int recovery_log_begin(struct recovery *recovery, struct old_wal *old);

#endif
