/*
 * worker.h: one thread of the generator: its loop, what it counts and what it publishes. All functions are for the
 * worker's own thread. What stands under "Shared" is for the main thread too, under the lock.
 */
#ifndef CHITCHAT_BENCH_LOAD_WORKER_H
#define CHITCHAT_BENCH_LOAD_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/list.h"
#include "base/span.h"
#include "load/order.h"
#include "load/run.h"
#include "load/session.h"
#include "load/socket.h"
#include "load/stats.h"
#include "load/text.h"

#define LOAD_BROKEN_TEXT_BYTES 320u
#define LOAD_WHY_BYTES 256u
#define LOAD_PLAIN_BYTES 65536u

/* By user: what its sessions must get. */
struct load_truth {
    uint64_t count, sum;
    uint64_t unknown; /* sends that may or may not have been stored */
};

struct load_gauges {
    uint64_t live;
    uint64_t unanswered;
    uint64_t filled; /* sends begun to fill timelines */
    uint64_t full;   /* workers that know what their full timelines are */
    uint64_t pages;  /* requests in flight */
    uint64_t owed;   /* entries that sessions must get, by the acknowledged sends */
    uint64_t got;
    uint64_t behind_us;            /* open loop: how late the latest send left */
    uint64_t behind;               /* open loop: sends that were due when measuring ended, and had not left */
    uint64_t held;                 /* 1: they waited for a connection that had room in its window */
    uint64_t due;                  /* those of them that may still leave */
    uint64_t overdue;              /* those of them that never leave */
    uint64_t late[LOAD_LATENCIES]; /* counted as measured, though the answer came after the measured time */
    uint64_t marks;                /* `seen` in flight */
    uint64_t marked, shown;        /* sums over the marks that users, and their peers, know of: in the end equal */
    uint64_t checking;             /* sessions that compare `peers` with what they know */
    uint64_t in_check;             /* workers in LOAD_CHECK */
    uint64_t looking;              /* sessions that look at their newest message (look.h) */
    uint64_t strangers;            /* those that found one which chitchat-load has not written; */
    uint64_t stranger;             /* the user of the last of them */
    uint64_t draining;             /* workers that no longer measure */
    uint64_t back_us;              /* when all sessions were live again after a storm; 0: not yet */
    uint64_t storm;                /* the latest that the worker has followed */
};

/* Sessions that were waiting in the same state when the run ended early. */
struct load_stuck {
    uint32_t count, first;
};

/* A check of order that has begun: the cache line of its pair is being fetched. */
struct load_order_check {
    uint64_t pair;
    uint32_t from, seq;
    struct span frame;
};
enum { LOAD_ORDER_CHECKS = 8 };

struct load_worker {
    /* Set at the start, then only read. */
    struct load_run *run;
    uint32_t index;
    uint32_t first_session, session_count;
    uint32_t sender_count; /* of its sessions */
    pthread_t thread;
    _Atomic int tid; /* set by the thread */
    /* Owned by its thread. */
    struct io *io;
    struct list flush, waiting, refused;
    char *plain; /* owned: LOAD_PLAIN_BYTES that TLS has decrypted; NULL: no connection has TLS */
    uint64_t now_us;
    uint64_t random;
    uint32_t sources;
    uint32_t connecting;
    enum load_phase phase;
    uint64_t storm;
    uint64_t next_send_ns, next_step_us, next_churn_us, published_us;
    uint64_t due_until_ns; /* open loop: a send that was due before this leaves even in LOAD_DRAIN */
    uint64_t typing_us;    /* when the scenario began to type */
    uint64_t drain_us;     /* open loop: when LOAD_DRAIN began */
    uint32_t next_leaver;
    uint32_t looks;                                 /* sessions that have looked at their newest message */
    uint64_t answers;                               /* sends that the server has taken */
    struct load_stats stats;                        /* counts by the time of the answer; latencies not measured */
    struct load_histogram measured[LOAD_LATENCIES]; /* by the time when the request was due */
    struct load_gauges gauges;
    struct load_order order;
    struct load_order_check checks[LOAD_ORDER_CHECKS]; /* a ring */
    uint32_t checks_begun, checks_ended;               /* the checks between these two are in the ring */
    /* Written by its thread, read by the main thread after the thread has ended. */
    struct load_stuck stuck[LOAD_SESSION_STATES];
    struct load_truth *truth; /* owned; by user */
    /* Shared, under the lock. */
    pthread_mutex_t lock;
    struct load_stats published[2]; /* not measured, measured; the main thread clears what it has taken */
    struct load_gauges published_gauges;
    char first_broken[LOAD_BROKEN_TEXT_BYTES];
    char obstacle[LOAD_OBSTACLE_BYTES]; /* why this machine cannot open connections, and what to do */
    char last_end[LOAD_WHY_BYTES];      /* why a connection ended or failed to open */
    char first_refusal[LOAD_WHY_BYTES]; /* the first error that refused a request for now */
};

/* The thread, a start routine of pthread_create. */
void *load_worker_main(void *worker);
/* A mask for a frame. */
uint32_t load_worker_mask(struct load_worker *worker);
/* Notes why a connection ended, or failed to open. */
void load_worker_note_end(struct load_worker *worker, const char *why);
/* A request that was due at `since_us` has been answered. Its latency is measured if the request was due in the
 * measured time, whenever the answer comes: to leave out what a stalled server answers too late would flatter the
 * server. */
void load_worker_add_latency(struct load_worker *worker, enum load_latency what, uint64_t since_us);
/* The server refused a request for now: the first such `frame` is kept, for a run in which it refuses all. */
void load_worker_note_refusal(struct load_worker *worker, struct span frame);
/* This machine does not let connections open: the run ends. */
void load_worker_give_up(struct load_worker *worker, uint32_t nth, enum load_socket_step step, int error);
/* The same for another reason. */
void load_worker_give_up_because(struct load_worker *worker, const char *why);
/* The server broke a promise; the first `frame` of all is kept for the report. */
void load_worker_broken(struct load_worker *worker, enum load_count what, const char *why, struct span frame);
/* Checks that two sends of one session to one user come to `session` in the order of `seq`. Borrows the frame until
 * load_worker_end_order_checks. */
void load_worker_check_order(struct load_worker *worker, const struct load_session *session,
                             const struct load_text *text, struct span frame);
void load_worker_end_order_checks(struct load_worker *worker);

#endif
