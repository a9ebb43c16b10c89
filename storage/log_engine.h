/*
 * log_engine.h: what a replicated log must do for a cluster: a table of functions, which a plug-in provides. One log is
 * kept for each slot, and one more, whose slot number is the number of slots: the `meta` log. A log is a sequence of
 * batches, numbered from 1 without a hole. A batch is opaque bytes to the engine.
 *
 * A log is spread over one or several log servers: a slot names its server. All calls of a session take the slot's
 * number and find the server by themselves.
 *
 * A session serves one thread at a time and has at most one statement in flight. Each call blocks for at most its
 * `timeout_ms` (the resolver of host names can take longer) and connects again by itself when a connection was lost.
 * Several sessions may exist in a process; they share nothing. Neither a session nor the engine starts a thread.
 *
 * Numbers of errors: -ETIMEDOUT and -ECONNABORTED: no server that takes writes answered in time, so try again later.
 * -EPERM: the server answered, but does not promise what `durability` asks for. -ENOENT: the server has no such
 * cluster or slot. -ERANGE: batches asked for were purged. -EBADMSG: batches are missing that were never purged: the
 * log is damaged. -EPROTO: the schema is of another version, or a server is not the one that the list names. -ENOSPC:
 * the server's disk is full. -EIO: any other error that the server reported. -EINVAL: a bad URI or name. -ENOMEM.
 * `error_r` then says what happened, where, and what to do. A URI is never part of it, since it may hold a password.
 */
#ifndef CHITCHAT_STORAGE_LOG_ENGINE_H
#define CHITCHAT_STORAGE_LOG_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_ENGINE_VERSION 2u /* of this table; a plug-in of another version is refused */
#define LOG_ENGINE_SYMBOL "chitchat_log_engine"
#define LOG_ENGINE_ERROR_BYTES 512u
#define LOG_ENGINE_BATCH_BYTES_MAX (2u << 20)
#define LOG_ENGINE_CLUSTER_BYTES 32u /* a cluster's name: a to z, 0 to 9 and _, first a letter */
#define LOG_ENGINE_NODE_BYTES 32u    /* of a node's name */
#define LOG_ENGINE_SERVERS_MAX 64u
#define LOG_ENGINE_HASH_BYTES 16u
#define LOG_ENGINE_FOLLOW_MAX 1025u

struct log_session;

struct log_engine_error {
    char text[LOG_ENGINE_ERROR_BYTES];
};

/* What an acknowledged batch must survive. */
enum log_durability {
    LOG_DURABILITY_STANDBY, /* the loss of a server: on the disks of two */
    LOG_DURABILITY_SINGLE,  /* a crash of the server: on its disk alone */
};

struct log_engine_options {
    const char *uris; /* of the log servers, separated by spaces, in the order that log_engine.create was given */
    const char *cluster;
    enum log_durability durability;
    uint32_t keep_s;  /* `purge` drops no batch that is younger */
    const char *node; /* whose own report is older than what it asks `purge` for; NULL: none */
};

/* What `check` found. */
struct log_engine_report {
    char id[37];       /* of the cluster: random, made with it */
    uint32_t slots;    /* without the meta log */
    uint64_t clock_us; /* the clock of the first server, since 1970 */
    char text[256];    /* the servers and their durability, for a log line or a person */
};

enum log_append_result {
    LOG_APPEND_ACKED,   /* durable as asked for */
    LOG_APPEND_REFUSED, /* not appended: the log does not end with batch `last` and its hash, or was appended to by a
                           newer generation */
    LOG_APPEND_UNKNOWN, /* sent, and the outcome is not known, or it is in the log and not durable as asked for. It may
                           be appended later, even after other calls, as long as the log still ends with `last`. The
                           caller appends the same bytes again, with the same `last` */
    LOG_APPEND_FAILED,  /* surely not appended, now or later: `status_r` says why */
};
#define LOG_APPEND_RESULTS (LOG_APPEND_FAILED + 1u)

struct log_append {
    uint32_t slot;
    uint32_t bytes;      /* at most LOG_ENGINE_BATCH_BYTES_MAX (asserted), at least 1 */
    uint64_t generation; /* not 0. One above the log's takes the log: no older generation can append any more */
    uint64_t last;       /* the number of the log's last batch; this one becomes last + 1. 0: the log is empty */
    const void *data;    /* borrowed */

    /* Hashes of LOG_ENGINE_HASH_BYTES, opaque to the engine, and borrowed. The log has to end with the batch `last`
     * that was appended with `previous`: a number and a generation alone may be those of a batch that a failover has
     * dropped. Zeros: the log is empty. */
    const uint8_t *previous;
    const uint8_t *hash; /* of this batch */
};

/* Where a log begins and ends. */
struct log_extent {
    uint64_t first;      /* the oldest batch that can be read; last + 1 if there is none */
    uint64_t last;       /* 0: nothing was ever appended */
    uint64_t generation; /* of the last batch; 0: none */
};

/* A batch as it was read. `data` is borrowed until the callback returns. */
struct log_batch {
    uint64_t number;
    uint64_t generation;
    const void *data;
    uint32_t bytes;
};

/* One slot that is followed. */
struct log_follow {
    uint32_t slot;
    uint64_t last; /* in: the last batch known to the caller; out: of the log */
};

/* A node of the cluster, as it reports itself. All is borrowed. */
struct log_node {
    const char *name;
    const char *address;     /* where clients reach it; "": not known */
    const uint64_t *runs;    /* by slot: the newest batch that its runs have. It needs the log from there on */
    const uint64_t *applied; /* by slot: the newest batch that it has in memory, too */

    /* Not of a report. */
    uint32_t seen_s;   /* since its last report, by the clock of the first server */
    bool is_forgotten; /* away for so long that the log keeps nothing for it */
};

struct log_engine {
    uint32_t version;
    const char *name; /* "postgresql" */

    /* Makes the logs of a cluster of `slots` slots, or migrates them to this version; what is there already stays. Of
     * a cluster with another number of slots or servers: -EEXIST. Checks the durability first. 0 or an error. */
    int (*create)(const struct log_engine_options *options, uint32_t slots, uint32_t timeout_ms,
                  struct log_engine_error *error_r);

    /* Copies the options. Does no I/O: the calls connect. 0, -EINVAL or -ENOMEM. The caller closes *session_r. */
    int (*open)(struct log_session **session_r, const struct log_engine_options *options,
                struct log_engine_error *error_r);
    /* Does not wait. Nulls *session; NULL is fine. */
    void (*close)(struct log_session **session);

    /* Connects to every server and checks its schema and its durability. 0 or an error. At the start, and each minute
     * by one session. Each new connection, of any call, is checked too. */
    int (*check)(struct log_session *session, uint32_t timeout_ms, struct log_engine_report *report_r,
                 struct log_engine_error *error_r);

    /* Appends one batch if the log ends with batch append->last, which has the hash append->previous, and its
     * generation is not above append->generation. If
     * refused, *extent_r says what the log is now. *status_r: 0 when acked or refused, else an error. */
    enum log_append_result (*append)(struct log_session *session, const struct log_append *append, uint32_t timeout_ms,
                                     struct log_extent *extent_r, int *status_r, struct log_engine_error *error_r);

    /* Calls `visit` for batches from number `from` on, in order, as long as their sum is at most `bytes_max`, but for
     * one at least if there is one. Returns how many were visited: 0: the log ends below `from`. -ERANGE: `from` was
     * purged, or is 0. If `visit` does not return 0, the call ends and returns that, which must be negative. To have
     * read a batch does not mean that it is durable: it is when it, or a later one, was acked. */
    int (*read)(struct log_session *session, uint32_t slot, uint64_t from, uint32_t bytes_max, uint32_t timeout_ms,
                int (*visit)(void *context, const struct log_batch *batch), void *context,
                struct log_engine_error *error_r);

    /* 0 and *extent_r, or an error. The last batch is read with `read`. */
    int (*tail)(struct log_session *session, uint32_t slot, uint32_t timeout_ms, struct log_extent *extent_r,
                struct log_engine_error *error_r);

    /* Waits until a log has more than the caller knows, for at most `wait_ms`; sets `last` of each. Returns how many
     * have more; 0: none has. At most LOG_ENGINE_FOLLOW_MAX (asserted). A session that follows is best used for that
     * alone. */
    int (*follow)(struct log_session *session, struct log_follow *slots, uint32_t count, uint32_t wait_ms,
                  struct log_engine_error *error_r);

    /* Batches of the slot below number `below` are not needed any more, but for what the runs of a node lack that is
     * known and not forgotten, other than the one that asks. The engine drops what it can; a batch below may still be
     * read. 0 or an error. */
    int (*purge)(struct log_session *session, uint32_t slot, uint64_t below, uint32_t timeout_ms,
                 struct log_engine_error *error_r);

    /* A node says that it lives, and what it has. Registers it if it is not known; it is not forgotten then. `runs` and
     * `applied` may be NULL: they stay, or nothing is known to be there. On all servers, durably. 0 or an error. */
    int (*report)(struct log_session *session, const struct log_node *node, uint32_t timeout_ms,
                  struct log_engine_error *error_r);
    /* Visits each known node, in the order of names. 0 or an error. */
    int (*nodes)(struct log_session *session, uint32_t timeout_ms,
                 void (*visit)(void *context, const struct log_node *node), void *context,
                 struct log_engine_error *error_r);
    /* Forgets the nodes that have not reported for `away_s`, and visits them: the log keeps nothing for them until they
     * report again. With several servers a node may be visited once for each. 0 or an error. */
    int (*forget)(struct log_session *session, uint32_t away_s, uint32_t timeout_ms,
                  void (*visit)(void *context, const char *name), void *context, struct log_engine_error *error_r);
    /* The node is not known any more. 0; -ENOENT: it was not; or an error. */
    int (*leave)(struct log_session *session, const char *name, uint32_t timeout_ms, struct log_engine_error *error_r);
};

/* Loads the plug-in for `uris` by their scheme (postgresql:// or postgres://: chitchat-log-pg.so) from the directory of
 * this program, or from ../lib/chitchat beside it. The plug-in stays loaded until the process ends. 0; -EINVAL: no
 * engine has that scheme; -ENOENT: the plug-in is not installed; -EPROTO: of another version. */
int log_engine_load(const char *uris, const struct log_engine **engine_r, struct log_engine_error *error_r);

#endif
