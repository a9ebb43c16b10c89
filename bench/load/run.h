/*
 * run.h: one run of the generator: what all its threads share, and the verdict at its end.
 *
 * Each worker (a thread with a loop, worker.h) owns a range of the sessions (session.h). The main thread sets the
 * phase; all workers follow it, and the main thread reads the counts that they publish.
 *
 * The truth: the session that gets an `ok` counts the entry for both users: the number of entries, and a sum of hashes
 * of sender, count and mid. Each session sums up in the same way what it received, by `msg` or by `ok`. At the end both
 * must be equal: then no entry was lost, none came twice, and none was foreign.
 *
 * The functions are for the main thread, except those under "Any thread".
 */
#ifndef CHITCHAT_BENCH_LOAD_RUN_H
#define CHITCHAT_BENCH_LOAD_RUN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "load/address.h"
#include "load/options.h"
#include "load/random.h"
#include "load/server.h"
#include "load/text.h"
#include "load/token.h"

struct load_gauges;
struct load_session;
struct load_stats;
struct client_tls_context;
struct load_worker;

/* In this order. */
enum load_phase { LOAD_CONNECT, LOAD_FILL, LOAD_FILLED, LOAD_WARMUP, LOAD_MEASURE, LOAD_DRAIN, LOAD_CHECK, LOAD_END };

#define LOAD_USER_BYTES_MAX (LOAD_PREFIX_BYTES_MAX + 10)
#define LOAD_EPOCH_BYTES_MAX 64u

struct load_run {
    /* Set at the start, then only read. */
    struct load_options options;
    struct load_server servers[LOAD_NODES_MAX]; /* with --kill-server; main thread only */
    struct load_filler filler;
    uint32_t prefix_bytes;
    struct load_zipf zipf;
    uint32_t number; /* of the run, in each of its texts: entries with another number belong to other runs */
    uint64_t origin_us;
    struct load_session *sessions; /* owned; options.connections of them */
    uint32_t user_count;           /* all that are sent to, connected or not */
    uint32_t *sessions_of_user;    /* owned; by user: how many sessions it has */
    struct load_worker *workers;   /* owned; options.threads of them */
    uint32_t sender_count;
    struct client_tls_context *tls; /* owned; NULL: without TLS */
    struct load_token_secret secret;
    struct load_tokens tokens;
    uint64_t tokens_expire_s; /* since 1970 */
    /* Shared. */
    _Atomic int phase;
    _Atomic uint64_t measured_from_us, measured_until_us; /* UINT64_MAX: not known yet */
    _Atomic uint64_t storm;                               /* how many have begun; with each, all sessions drop */
    _Atomic bool is_down;                                 /* the server is being restarted: do not connect */
    _Atomic uint32_t owner;                               /* of a pair: the node that has answered a login last */
    _Atomic uint64_t ok_us[LOAD_NODES_MAX]; /* by node: its first `ok` since this was last set to 0; 0: none yet */
    _Atomic bool is_hopeless;               /* a worker has set its obstacle */
    pthread_mutex_t epoch_lock;
    char epoch[LOAD_EPOCH_BYTES_MAX + 1]; /* from the first login; under the lock */
};

/* Reads the files of --tls-ca, --token-secret-file and --token-file; before load_run_open. False, with the reason in
 * `why`. */
bool load_run_read_files(struct load_run *run, char *why, size_t room);
/* Opens sessions and workers by the options, which the caller has set; 0 or -errno. */
int load_run_open(struct load_run *run);
/* Starts the workers' threads; 0 or -errno. */
int load_run_start(struct load_run *run);
/* In the phase LOAD_END: waits for the threads to end. */
void load_run_join(struct load_run *run);
void load_run_close(struct load_run *run);
/* Adds what workers have published to stats[0] (not measured) and stats[1] (measured); sums up the gauges. */
void load_run_take(struct load_run *run, struct load_stats *stats, struct load_gauges *gauges_r);
/* Why a connection last ended, or failed to open. */
void load_run_last_end(struct load_run *run, char *out, size_t room);
/* Why this machine cannot open connections; empty if it can. */
void load_run_obstacle(struct load_run *run, char *out, size_t room);
/* The first error that refused a request for now; empty: there was none. */
void load_run_first_refusal(struct load_run *run, char *out, size_t room);
/* After load_run_join: how many sessions did not get exactly what was acknowledged; `text` describes the first. */
uint64_t load_run_check(const struct load_run *run, char *text, uint32_t text_bytes);
/* After load_run_join: what connections were waiting for when the run ended; empty: for nothing. */
void load_run_stuck(const struct load_run *run, char *out, size_t room);

/* -- Any thread -- */

/* A node has answered a request, or with `is_login` a login, with `ok`. */
void load_run_note_ok(struct load_run *run, uint32_t node, bool is_login, uint64_t now_us);
/* Microseconds since the run began. */
uint64_t load_run_now_us(const struct load_run *run);
/* Writes the name of a user to `out`, at most LOAD_USER_BYTES_MAX bytes; returns how many. */
uint32_t load_run_user_name(const struct load_run *run, uint32_t user, char *out);
/* The number of the user with this name; false if the run has no such user. */
bool load_run_user_number(const struct load_run *run, struct span name, uint32_t *user_r);

#endif
