/*
 * load_run.h: a run: what all threads share, the workers, their sessions.
 *
 * A session is a place at the table: a user's connection, and what is kept when it ends and comes back: cursor, count
 * of sends, what it got. Each worker (a thread with a loop) owns a range of sessions. The main thread says which phase
 * it is, and reads what workers publish.
 *
 * The truth: whoever gets an `ok` writes the entry down for both users (number, and a sum of hashes of sender, count
 * and mid). Each session sums up what it got, by `msg` or by `ok`. At the end both must be equal: nothing lost, nothing
 * twice, nothing foreign.
 */
#ifndef CHITCHAT_BENCH_LOAD_RUN_H
#define CHITCHAT_BENCH_LOAD_RUN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "load/options.h"
#include "load/order.h"
#include "load/random.h"
#include "load/server.h"
#include "load/socket.h"
#include "load/stats.h"
#include "load/text.h"
#include "load/wire.h"
#include "shard/io.h"

/* In this order; the main thread moves on, all workers follow. */
enum load_phase { LOAD_CONNECT, LOAD_FILL, LOAD_FILLED, LOAD_WARMUP, LOAD_MEASURE, LOAD_DRAIN, LOAD_END };

#define LOAD_USER_BYTES_MAX (LOAD_PREFIX_BYTES_MAX + 10)
#define LOAD_EPOCH_BYTES_MAX 64u
#define LOAD_BROKEN_TEXT_BYTES 320u
#define LOAD_FILL_WINDOW 64u /* sends unanswered on a connection while timelines are filled */

/* A send whose answer is out. Its id: seq * LOAD_WINDOW_MAX + place. */
enum load_send_state { LOAD_SEND_FREE, LOAD_SEND_OUT, LOAD_SEND_REFUSED, LOAD_SEND_UNSURE };
struct load_send {
    uint64_t intended_us; /* since the run began */
    uint32_t seq;
    uint32_t to;
    uint16_t next_free;
    uint8_t state;
    bool was_resent;
};

enum load_session_state {
    LOAD_SESSION_AWAY,
    LOAD_SESSION_UPGRADING,
    LOAD_SESSION_LOGGING_IN,
    LOAD_SESSION_REPLAYING,
    LOAD_SESSION_LIVE,
    LOAD_SESSION_LEAVING,
    LOAD_SESSION_STATES
};

struct load_buffer {
    char *data; /* owned */
    uint32_t bytes;
    uint32_t room;
};

struct load_session {
    /* Set at the start, then only read. */
    uint32_t index;
    uint32_t user;
    /* Owned by the worker. */
    struct io_socket socket;
    struct list flush_link; /* in worker->flush while there is output and nothing is under way */
    struct list wait_link;  /* in worker->waiting while away, in worker->refused while live */
    struct load_buffer in, out, flying;
    enum load_session_state state;
    bool was_in;       /* has been logged in before */
    bool from_start;   /* comes back with what its first login said, to be given everything */
    uint64_t due_us;   /* when it connects, or tries again */
    uint64_t begun_us; /* connect */
    uint64_t base;     /* `last` of the first login: entries up to here are of other runs */
    uint64_t cursor;
    uint64_t login_last;
    uint64_t got_count, got_sum;
    uint64_t got_places;     /* the sum of their ts */
    struct load_send *sends; /* owned; grows up to the window */
    uint32_t sends_room;
    uint16_t first_free;
    uint32_t unanswered; /* sends that are not free */
    uint32_t next_seq;
    uint32_t filled; /* sends begun to fill timelines; one that was refused and tried anew is the same */
    _Atomic uint32_t
        order_from; /* below it sends may have been sent again; read by other workers when order seems broken */
    uint64_t full_count, full_sum, full_places; /* history, replay: what the filled timeline holds */
    uint32_t rounds;                            /* times that it was read from the start */
    struct load_walk *walks;                    /* history: owned; as many as the window, NULL until it begins */
};

struct load_truth {
    uint64_t count, sum;
    uint64_t unsure; /* sends that may or may not have been stored */
};

struct load_gauges {
    uint64_t live;
    uint64_t unanswered;
    uint64_t filled; /* sends begun to fill timelines */
    uint64_t pages;  /* under way */
    uint64_t owed;   /* entries that sessions must get, by the acknowledged sends */
    uint64_t got;
    uint64_t behind_us;            /* open loop: how late the latest send left */
    uint64_t behind;               /* open loop: sends that were due when measuring ended, and had not left */
    uint64_t held;                 /* 1: they waited for a connection that had room in its window */
    uint64_t due;                  /* those of them that shall still leave */
    uint64_t overdue;              /* those of them that never leave */
    uint64_t late[LOAD_LATENCIES]; /* counted as measured, though their answer came after the measured time */
    uint64_t draining;             /* workers that measure no more */
    uint64_t back_us;              /* when all sessions were live again after a storm; 0: not yet */
    uint64_t storm;                /* the latest that was seen */
};

/* At the end of a run that did not come to its end: sessions that were waiting for the same. */
struct load_stuck {
    uint32_t count, first;
};

struct load_run;

/* A check of order under way: its cache line is on its way too. */
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
    uint64_t now_us;
    uint64_t random;
    uint32_t sources;
    uint32_t connecting;
    enum load_phase phase;
    uint64_t storm;
    uint64_t next_send_ns, next_step_us, next_churn_us, published_us;
    uint64_t due_until_ns, drain_us; /* open loop, in LOAD_DRAIN: what was due before leaves still; when it began */
    uint32_t next_leaver;
    struct load_stats stats;                        /* counts by the time of the answer; latencies not measured */
    struct load_histogram measured[LOAD_LATENCIES]; /* by the time when it was meant to begin */
    struct load_gauges gauges;
    struct load_stuck stuck[LOAD_SESSION_STATES]; /* read by the main thread after the thread has ended, as the next */
    struct load_truth *truth; /* owned; by user; read by the main thread after the thread has ended */
    struct load_order order;
    struct load_order_check checks[LOAD_ORDER_CHECKS]; /* a ring, of which these were begun and settled */
    uint32_t checks_begun, checks_ended;
    /* Shared, under the lock. */
    pthread_mutex_t lock;
    struct load_stats published[2]; /* not measured, measured; the main thread takes them away */
    struct load_gauges published_gauges;
    char first_broken[LOAD_BROKEN_TEXT_BYTES];
    char obstacle[LOAD_OBSTACLE_BYTES]; /* why not even the connect can begin, and what to do */
    char last_end[64];                  /* why a connection ended or did not come about */
};

struct load_run {
    /* Set at the start, then only read. */
    struct load_options options;
    struct load_server server; /* if it is ours; main thread */
    struct load_filler filler;
    uint32_t prefix_bytes;
    struct load_zipf zipf;
    uint32_t number; /* of the run: entries of others are not ours */
    uint64_t origin_us;
    struct load_session *sessions;
    uint32_t user_count; /* all that are sent to, connected or not */
    uint32_t *sessions_of_user;
    struct load_worker *workers;
    uint32_t sender_count;
    char host[LOAD_ADDRESS_TEXT_BYTES];
    /* Shared. */
    _Atomic int phase;
    _Atomic uint64_t measured_from_us, measured_until_us; /* UINT64_MAX: not known yet */
    _Atomic uint64_t storm;                               /* counts up: all drop */
    _Atomic bool is_down;                                 /* the server is being started again: do not connect */
    _Atomic bool is_hopeless;                             /* a worker has an obstacle */
    pthread_mutex_t epoch_lock;
    char epoch[LOAD_EPOCH_BYTES_MAX + 1]; /* as the first login told it */
};

/* Microseconds since the run began. */
uint64_t load_run_now_us(const struct load_run *run);
/* Opens sessions and workers, by the options that the caller has set; 0 or -errno. */
int load_run_open(struct load_run *run);
/* Starts the workers' threads; 0 or -errno. */
int load_run_start(struct load_run *run);
/* In the phase LOAD_END: waits for the threads. Then the truth may be read. */
void load_run_join(struct load_run *run);
void load_run_close(struct load_run *run);
/* Adds what workers published to stats[0], not measured, and stats[1]; sums up gauges. Main thread. */
void load_run_take(struct load_run *run, struct load_stats *stats, struct load_gauges *gauges_r);
/* Why a connection ended last, or did not come about. Main thread. */
void load_run_last_end(struct load_run *run, char *out, size_t room);
/* Why connections cannot even begin; empty if they can. Main thread. */
void load_run_obstacle(struct load_run *run, char *out, size_t room);
/* After join: sessions that did not get exactly what was acknowledged; says the first in `text`. */
uint64_t load_run_check(const struct load_run *run, char *text, uint32_t text_bytes);

/* After join: what connections were waiting for when the run ended; empty: for nothing. */
void load_run_stuck(const struct load_run *run, char *out, size_t room);

/* The name of a user, at most LOAD_USER_BYTES_MAX at out; returns its bytes. */
uint32_t load_run_user_name(const struct load_run *run, uint32_t user, char *out);
/* The number of a user of this run; false if that is none. */
bool load_run_user_number(const struct load_run *run, struct span name, uint32_t *user_r);

/* -- a worker's thread only -- */

/* load_worker.c */
void *load_worker_main(void *worker);
/* A connection ended, or did not come about. */
void load_worker_note_end(struct load_worker *worker, const char *why);
/* Something that was meant to begin at `since_us` has been answered. It is measured if it was meant to begin in the
 * measured time, whenever the answer comes: who left out what a stalled server answers too late would flatter it. */
void load_worker_add_latency(struct load_worker *worker, enum load_latency what, uint64_t since_us);
/* This machine does not let connections begin: the run ends. */
void load_worker_give_up(struct load_worker *worker, uint32_t nth, enum load_socket_step step, int error);
void load_worker_broken(struct load_worker *worker, enum load_count what, const char *why, struct span frame);
/* Two sends of session `from` to one user must come to `session` in the order of `seq`. The frame must be there until
 * load_worker_end_order_checks. */
void load_worker_check_order(struct load_worker *worker, const struct load_session *session,
                             const struct load_text *text, struct span frame);
void load_worker_end_order_checks(struct load_worker *worker);

/* load_session.c */
void load_session_connect(struct load_worker *worker, struct load_session *session);
/* Ends the connection from our side; it connects again at `due_us`. */
void load_session_leave(struct load_worker *worker, struct load_session *session, uint64_t due_us);
void load_session_on_closed(struct load_worker *worker, struct load_session *session);
/* Room for `bytes` at the end of what goes out; the caller then adds what it wrote to out.bytes. */
char *load_session_room(struct load_worker *worker, struct load_session *session, uint32_t bytes);
void load_session_login(struct load_worker *worker, struct load_session *session);
void load_session_flush(struct load_worker *worker, struct load_session *session);
/* Bytes that came. */
void load_session_take(struct load_worker *worker, struct load_session *session, const char *data, uint32_t bytes);
/* The connection has ended, not by us. */
void load_session_lost(struct load_worker *worker, struct load_session *session, const char *why);
void load_session_set_live(struct load_worker *worker, struct load_session *session);

/* load_frame.c: one text frame, judged */
/* Takes an entry into what the session got, and checks that it follows the one before. */
void load_frame_take_entry(struct load_worker *worker, struct load_session *session,
                           const struct load_wire_object *entry, uint64_t hash, struct span frame);
/* Whether a message, pushed or on a page, is what was sent, by and to whom it says; broken if not. */
bool load_frame_read_text(struct load_worker *worker, const struct load_session *session,
                          const struct load_wire_object *message, struct span frame, struct load_text *text_r);
void load_frame_take(struct load_worker *worker, struct load_session *session, struct span frame);

/* load_send.c */
void load_send_new(struct load_worker *worker, struct load_session *session, uint32_t to, uint64_t intended_us);
void load_send_answered(struct load_worker *worker, struct load_session *session, const struct load_wire_object *ok,
                        struct span frame);
void load_send_refused(struct load_worker *worker, struct load_session *session, const struct load_wire_object *error,
                       struct span frame);
/* On a new connection: what has no answer yet, once more. Without keys its outcome stays unknown. */
void load_send_resume(struct load_worker *worker, struct load_session *session);
void load_send_retry(struct load_worker *worker, struct load_session *session);

/* Answered: the entry that it has become. */
void load_send_done(struct load_worker *worker, struct load_session *session, struct load_send *send, uint64_t hash);
/* The send with this id whose answer is out; NULL if there is none. */
struct load_send *load_send_find(struct load_session *session, uint64_t id);

/* load_nats.c: the same with a nats-server */
/* Takes what is whole; returns the bytes used. */
uint32_t load_nats_take(struct load_worker *worker, struct load_session *session, const char *data, uint32_t bytes);
void load_nats_send(struct load_worker *worker, struct load_session *session, const struct load_send *send,
                    const struct load_text *text);

/* load_scenario.c */
uint32_t load_scenario_user(const struct load_options *options, uint32_t session);
bool load_scenario_sends(const struct load_options *options, uint32_t session);
void load_scenario_on_phase(struct load_worker *worker);
void load_scenario_on_turn(struct load_worker *worker);
/* How long the worker may sleep. */
uint64_t load_scenario_wait_us(const struct load_worker *worker);
void load_scenario_on_live(struct load_worker *worker, struct load_session *session);
/* A send has been answered, or a page has come. */
void load_scenario_on_answer(struct load_worker *worker, struct load_session *session);

/* load_history.c */
/* Asks for the next page of each walk that has none under way, if its time has come. */
void load_history_go_on(struct load_worker *worker, struct load_session *session);
/* Whether it refuses a page that is under way, which load_history_retry then asks for again. */
bool load_history_refused(const struct load_worker *worker, struct load_session *session,
                          const struct load_wire_object *error);
void load_history_retry(struct load_worker *worker, struct load_session *session);
/* On a new connection: asks for what was under way on the last one. */
void load_history_resume(struct load_worker *worker, struct load_session *session);
/* Whether a page is under way. */
bool load_history_is_waiting(const struct load_worker *worker, const struct load_session *session);
void load_history_take(struct load_worker *worker, struct load_session *session, const struct load_wire_object *page,
                       struct span frame);

#endif
