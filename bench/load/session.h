/*
 * session.h: a session: the connection of one user, and what is kept when it ends and comes back: cursor, count of
 * sends, what was received. Several sessions may belong to one user. A session belongs to one worker; all functions are
 * for that worker's thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_SESSION_H
#define CHITCHAT_BENCH_LOAD_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/list.h"
#include "load/talk.h"
#include "shard/io.h"

struct load_peers_walk;
struct load_send;
struct client_tls;
struct load_walk;
struct load_worker;

enum load_session_state {
    LOAD_SESSION_AWAY,
    LOAD_SESSION_SECURING, /* the TLS handshake */
    LOAD_SESSION_UPGRADING,
    LOAD_SESSION_LOGGING_IN,
    LOAD_SESSION_REPLAYING,
    LOAD_SESSION_LIVE,
    LOAD_SESSION_LEAVING,
    LOAD_SESSION_STATES
};

struct load_session {
    /* Set at the start, then only read. */
    uint32_t index;
    uint32_t user;
    struct client_tls *tls; /* owned; NULL: the connection is plain */
    /* Owned by the worker. */
    uint32_t node; /* of a pair: where it connects */
    struct io_socket socket;
    struct list flush_link; /* in worker->flush while there is output and no write is in flight */
    struct list wait_link;  /* in worker->waiting while away, in worker->refused while live */
    struct buffer in, out, in_flight;
    enum load_session_state state;
    bool was_in;         /* has logged in before */
    bool was_live;       /* has been live before */
    bool is_looking;     /* has asked for its newest message (look.h) */
    bool from_start;     /* logs in with the cursor of its first login, to get the whole timeline again */
    uint64_t due_us;     /* when it connects, or tries again */
    uint64_t begun_us;   /* when it began to connect */
    uint64_t base;       /* `last` of the first login: entries up to here belong to other runs */
    uint64_t cursor;     /* `ts` of the newest entry that it got */
    uint64_t login_last; /* `last` of the latest login */
    uint64_t got_count;  /* entries that it got: how many, */
    uint64_t got_sum;    /* the sum of their hashes, */
    uint64_t got_places; /* and the sum of their `ts` */
    uint64_t full_count; /* the same of the whole timeline, once it has been filled: scenarios history and replay */
    uint64_t full_sum;
    uint64_t full_places;
    struct load_send *sends; /* owned; grows up to the window */
    uint32_t sends_room;
    uint16_t first_free;
    uint32_t unanswered; /* sends that are not free */
    uint32_t next_seq;
    uint32_t filled;         /* sends begun to fill timelines; one that was refused and sent again counts once */
    uint32_t rounds;         /* how often the timeline was replayed from the start */
    struct load_talks talks; /* load_options_talks */
    struct load_peers_walk *peers_walks; /* owned; NULL until the first page of `peers` */
    bool is_checking, is_refreshing;     /* what the walk through `peers` is for (peers.h) */
    struct load_walk *walks;             /* scenario history: owned; as many as the window; NULL until the first page */
    /* Shared. */
    _Atomic uint32_t order_from; /* sends below this count may have been sent again: their order is not checked */
};

void load_session_connect(struct load_worker *worker, struct load_session *session);
/* Ends the connection from our side; the session connects again at `due_us`. */
void load_session_leave(struct load_worker *worker, struct load_session *session, uint64_t due_us);
/* The connection has ended, not by us. */
void load_session_lost(struct load_worker *worker, struct load_session *session, const char *why);
/* What came is no answer to a login, by a server of this protocol. True: it was to the first login of the session,
 * while the first connections open, so there is another server at the address: the run and this connection end.
 * `answer` is shown. */
bool load_session_refuse_server(struct load_worker *worker, struct load_session *session, struct span answer);
/* The io has let go of the socket: the session is away. */
void load_session_on_closed(struct load_worker *worker, struct load_session *session);

/* Room for `bytes` at the end of the output; the caller then adds the bytes that it wrote to out.bytes. */
char *load_session_room(struct load_worker *worker, struct load_session *session, uint32_t bytes);
/* Whether there is output that may not be in flight yet. */
bool load_session_has_output(const struct load_session *session);
/* Sends the output, unless a write is in flight. */
void load_session_flush(struct load_worker *worker, struct load_session *session);
/* Takes bytes that came from the server, encrypted if the connection has TLS; borrows them. */
void load_session_on_recv(struct load_worker *worker, struct load_session *session, const char *data, uint32_t bytes);
/* Takes bytes of the protocol; borrows them. */
void load_session_take(struct load_worker *worker, struct load_session *session, const char *data, uint32_t bytes);
/* The replay is over, or there was nothing to replay. */
void load_session_set_live(struct load_worker *worker, struct load_session *session);

#endif
