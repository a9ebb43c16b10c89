/*
 * conn.h: one connection, from accept to close. The shard's thread.
 *
 * A connection goes through the states of enum conn_state; conn_set_state is their one writer and knows the moves that
 * are allowed. It is accepted on any shard, speaks HTTP, becomes a WebSocket, and at login moves to the shard of its
 * user, where it stays. It goes in steps: a close frame is queued (CONN_CLOSING), the output drains, our side is ended,
 * the peer's end or a timer closes the socket (CONN_CLOSED), and when the kernel has let go of its buffers the slot is
 * free.
 *
 * Reading. Bytes come to conn_on_recv; frames are taken up one by one, at most a share at a time and within the budget
 * of the turn (turn.h). What cannot be taken up yet (that is used up, a login under way, too many requests unanswered,
 * too much output waiting) is stashed, and past CONN_STASH_PAUSE_BYTES the receive is stopped until it can: the peer is
 * slowed down by TCP, nothing is lost.
 *
 * Writing. conn_reply_begin gives room, conn_reply_end says how much was written; at the end of the turn all output of
 * a connection leaves in one send. Output waits in chunks from a shared pool; an idle connection has none.
 *
 * Idle connections are the many. A struct conn is two cache lines; what one has only while it connects, catches up,
 * pages or is in mid-frame stands in a struct conn_work, which comes with conn_work and goes by itself (conn_rest) when
 * nothing in it is in use any more.
 */
#ifndef CHITCHAT_CONNECTION_CONN_H
#define CHITCHAT_CONNECTION_CONN_H

#include "base/pool.h"
#include "base/rate.h"
#include "protocol/http.h"
#include "protocol/reply.h"
#include "protocol/request.h"
#include "protocol/ws.h"
#include "shard/io.h"
#include "shard/timers.h"

struct conn;
struct core;
struct user;
struct replay;
struct history;

/* What the modules above do for connections; src/operations/ops.c has the table. All on the shard's thread. */
struct conn_callbacks {
    /* A request that is JSON with a known `op`, and within the frame rate: to be answered once, now or later. */
    void (*on_request)(struct core *core, struct conn *conn, struct request *request);
    /* Output has left, or backpressure has ended: a replay, pages or a handover may go on. */
    void (*on_room)(struct core *core, struct conn *conn);
    /* The connection leaves its user: nothing may be pushed to it or answered on it any more. */
    void (*on_leave)(struct core *core, struct conn *conn);
    /* Backpressure has ended: reads that waited for room may go on. */
    void (*on_room_for_reads)(struct core *core);
};

#define CONN_CHUNK_BYTES 4096u
/* The answers of a connection that is not logged in yet, and pings, wait in small chunks: a storm of logins or a round
 * of pings is thousands of them at once. */
#define CONN_CHUNK_SMALL_BYTES 256u
/* Past this much waiting output no further request of the connection is taken up, and replay and history pause. */
#define CONN_OUTPUT_PAUSE_BYTES (64u << 10)
/* Past this much stashed input the receive is stopped. */
#define CONN_STASH_PAUSE_BYTES (16u << 10)

enum conn_state {
    CONN_FREE,
    CONN_HTTP,     /* reading the head */
    CONN_OPEN,     /* a WebSocket, not logged in */
    CONN_HANDOVER, /* on its way to the shard of its user */
    CONN_LOGIN,    /* registered with its user; `last` is being read */
    CONN_REPLAY,   /* logged in, catching up */
    CONN_LIVE,     /* logged in, gets each entry as it leaves the timeline */
    CONN_CLOSING,  /* the last output drains; then it ends */
    CONN_CLOSED,   /* the kernel is letting go */
};

struct conn_chunk {
    struct conn_chunk *next;
    uint16_t room; /* bytes of data */
    uint16_t used; /* of these, bytes that were written */
    uint16_t sent; /* of these, bytes that have left */
    uint16_t at_s; /* of the first one: when it came there or lost bytes, seconds modulo 2^16 */
    char data[];
};
#define CONN_CHUNK_ROOM (CONN_CHUNK_BYTES - offsetof(struct conn_chunk, data))
#define CONN_CHUNK_SMALL_ROOM (CONN_CHUNK_SMALL_BYTES - offsetof(struct conn_chunk, data))

/* Bytes that came and cannot be taken up yet. */
struct conn_stash {
    char *data; /* NULL: nothing */
    uint32_t begin;
    uint32_t end;
    uint32_t bytes;
};

/* A connection's name that stays true: a slot may be taken again, a generation never. */
struct conn_ref {
    uint32_t slot;
    uint32_t generation;
};

struct conn {
    struct io_socket socket;
    uint32_t slot;
    uint32_t generation;
    uint32_t heard_s; /* when the peer was last heard, monotonic */

    uint8_t state;
    bool is_reading_stopped : 1; /* a multishot receive was stopped because the stash is full */
    bool has_peer_closed : 1;    /* its close frame or its end came */
    bool has_shut_down : 1;      /* our side was ended */
    bool is_turned_away : 1;     /* by a full server: it takes no room */
    bool is_websocket : 1;       /* a close frame means something */
    bool is_read_requested : 1;  /* a one-shot receive is armed */
    uint16_t unanswered;
    uint32_t out_bytes; /* waiting and in flight */
    struct timer timer;

    struct user *user;
    struct list user_link; /* in user->conns */
    uint64_t cursor;       /* newest ts given to it (CONN_LIVE: of its user's timeline) */

    struct conn_chunk *out_first;
    struct conn_chunk *out_last;
    struct list output_link; /* in core->conns.output: something to send at the end of the turn */

    struct conn_work *work; /* owned; NULL: nothing of the kind */
};
_Static_assert(sizeof(struct conn) == 128, "two cache lines: there are very many, most of them idle");
_Static_assert(LIMIT_UNANSWERED <= UINT16_MAX, "unanswered holds it");

/* From core->conns.work_pool. */
struct conn_work {
    struct conn *conn;
    struct ws ws;              /* in mid-frame or mid-message, or closed */
    struct list resume_link;   /* in core->conns.resume: the stash may be read on */
    struct list handover_link; /* in core->handovers.waiting: CONN_HANDOVER, until the socket is released */
    struct list history_link;  /* in core->histories.queue: the next page may be gathered */
    struct list place_link;    /* in core->histories.place_queue: the next page waits for others to be through */
    struct conn_stash stash;
    uint64_t login_at_us;      /* the login must be complete by then */
    struct http_head *head;    /* CONN_HTTP; from core->conns.head_pool */
    struct login *login;       /* CONN_HANDOVER, CONN_LOGIN: what was asked */
    struct replay *replay;     /* CONN_REPLAY */
    struct history *histories; /* pages asked for, oldest first */
    struct history *histories_last;
    struct rate frame_rate;           /* until it is full again */
    uint32_t fragment_retry_after_ms; /* a fragment of the message under way was over the rate; 0: none */
};

/* A login that was asked for: kept while the connection moves and `last` is read. malloc'ed. */
struct login {
    struct request_id id;
    uint64_t after;
    bool has_after;
    bool is_other_epoch; /* the client's epoch is another data set's */
    uint8_t user_bytes;
    char user[LIMIT_USER_BYTES];
};

/* All connections of a shard, by slot. */
struct conn_table {
    struct pool pool;
    struct conn **slots;
    uint32_t slot_count;
    uint32_t *free; /* a stack of free slots */
    uint32_t free_count;
    uint32_t taken;
    uint32_t generation; /* of the newest connection */
};

/* The connections of one shard, and what they share. */
struct conns {
    /* Set by open, then only read. */
    const struct conn_callbacks *callbacks;
    struct http_options http;

    /* Owned by the shard's thread. */
    struct conn_table table;
    struct ws_pool *ws_pool;
    struct request_reader *request_reader;
    struct pool work_pool;
    struct pool head_pool; /* heads of HTTP of which a part has come */
    struct pool chunk_pool;
    struct pool small_chunk_pool;
    struct list output;     /* connections with something to send at the end of the turn */
    struct list resume;     /* connections whose stash may be read on */
    uint64_t stash_bytes;   /* of all connections */
    char *scratch;          /* CONN_SCRATCH_BYTES: replies that are too large for a chunk */
    bool is_scratch_in_use; /* by conn_reply_begin */
};

#define CONN_SCRATCH_BYTES (REPLY_PAGE_BYTES_MAX + 4096u)

/* `message_bytes`: memory for messages that come in fragments. 0 or -ENOMEM; conns_fini follows in either case. */
int conns_init(struct conns *conns, const struct conn_callbacks *callbacks, const struct http_options *http,
               uint64_t message_bytes);
/* No connection may be left. */
void conns_fini(struct conns *conns);
/* The connection of a slot below slot_count, NULL if it is free. */
struct conn *conn_at(const struct conn_table *table, uint32_t slot);

/* Makes a connection of descriptor `fd` (owned from now on, closed on failure) in `state`. NULL: no memory. */
struct conn *conn_open(struct core *core, int fd, enum conn_state state);
struct conn_ref conn_ref(const struct conn *conn);
/* NULL if it is gone or on its way out. */
struct conn *conn_find(struct core *core, struct conn_ref ref);
void conn_set_state(struct conn *conn, enum conn_state state);
bool conn_is_logged_in(const struct conn *conn);

/* What it has only while it is not idle: taken from the pool if it has none. */
struct conn_work *conn_work(struct core *core, struct conn *conn);
/* Gives it back if nothing in it is in use. The last thing that a callback does. */
void conn_rest(struct core *core, struct conn *conn);
bool conn_has_stash(const struct conn *conn);
struct replay *conn_replay(const struct conn *conn);     /* NULL: none */
struct history *conn_histories(const struct conn *conn); /* the oldest; NULL: none */

/* Callbacks of io.h and of the timers. */
void conn_on_recv(struct core *core, struct conn *conn, char *data, int result);
void conn_on_sent(struct core *core, struct conn *conn, int result);
void conn_on_timer(struct core *core, struct conn *conn);
/* The kernel holds nothing of it any more: gives the slot back. */
void conn_free(struct core *core, struct conn *conn);

/* -- reading (conn_read.c) -- */
/* End of a turn: connections of core->conns.resume read on what is stashed, a share each, and receive again when
 * nothing is left. */
void conn_resume_all(struct core *core);
/* Puts it into core->conns.resume, if it has reason to. */
void conn_wants_resume(struct core *core, struct conn *conn);
/* Arms the receive that fits its state. */
void conn_receive(struct core *core, struct conn *conn);
/* Gives back the head of HTTP, if there is one. */
void conn_head_free(struct core *core, struct conn *conn);
/* Gives back what is stashed, if anything. */
void conn_stash_free(struct core *core, struct conn *conn);
/* What to do with incoming bytes (also from a move). */
void conn_take_bytes(struct core *core, struct conn *conn, char *data, size_t bytes);

/* -- writing (conn_write.c) -- */
/* Room for `bytes_max` bytes in one piece, until the matching end. */
char *conn_reply_begin(struct core *core, struct conn *conn, size_t bytes_max);
void conn_reply_end(struct core *core, struct conn *conn, size_t bytes);
/* Copies. */
void conn_write(struct core *core, struct conn *conn, const char *data, size_t bytes);
/* As conn_write, of a push: past the limit of waiting output the connection is closed with 4001. */
void conn_push(struct core *core, struct conn *conn, const char *data, size_t bytes);
/* What waits will not be sent. */
void conn_drop_output(struct core *core, struct conn *conn);
/* A ping frame. */
void conn_ping(struct core *core, struct conn *conn);
/* Sends what waits, if no send is in flight. */
void conn_flush(struct core *core, struct conn *conn);
/* A request was answered: counts, and resumes reading if that stopped it. */
void conn_answered(struct core *core, struct conn *conn);
/* The error reply of a request, counted as its answer. */
void conn_reply_error(struct core *core, struct conn *conn, const struct request_id *id, enum error_code code,
                      const char *message, uint32_t retry_after_ms);

/* -- ending (conn_close.c) -- */
/* Takes it out of its user, queues a close frame, lets the output drain. `reason` is static. */
void conn_close(struct core *core, struct conn *conn, uint16_t code, const char *reason);
/* The same without a close frame: after an HTTP answer. */
void conn_close_http(struct core *core, struct conn *conn);
/* CONN_HTTP: there is no room for it. Answers 503 and closes. */
void conn_refuse_full(struct core *core, struct conn *conn);
/* At once: the peer is gone. */
void conn_drop(struct core *core, struct conn *conn);
/* CONN_CLOSING: goes on when output has drained. */
void conn_closing_step(struct core *core, struct conn *conn);

#endif
