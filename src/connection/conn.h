/*
 * conn.h: one connection, from accept to close. All functions run on the shard's thread.
 *
 * A connection is in one state of enum conn_state. conn_set_state is the only writer and asserts that a transition is
 * allowed. A connection is accepted on any shard, reads an HTTP head and becomes a WebSocket. At login it goes to the
 * shard of its user (operations/handover.h) and stays there. It closes in steps: a close frame is queued
 * (CONN_CLOSING), the output drains, our side is shut down, and the peer's end or a timer closes the socket
 * (CONN_CLOSED). When the kernel has released the socket, conn_free frees the slot.
 *
 * Reading. io.h gives bytes to conn_on_recv. Frames are read one by one, within the share of one connection and the
 * budget of the turn (turn.h). Bytes that cannot be read yet go into the stash: when the budget is used up, while a
 * login is in progress, when too many requests are unanswered, or when too much output waits. Past
 * CONN_STASH_PAUSE_BYTES a logged-in connection stops receiving until its stash is empty. Before login each receive
 * asks for one buffer, and only when no bytes are stashed. TCP then slows the peer down. A new stash gets a small share
 * before those that have had one: who sends little does not wait for hundreds that send much. When the
 * memory of all stashes (core->budget.stash_bytes) is used up, the connection is closed with 1011.
 *
 * Half-close. A peer may end its side (TCP FIN) right after its requests. Complete requests that came before the end
 * are answered, and a replay goes on until `live`. Then the connection leaves its user and is closed with 1000.
 * Meanwhile it gets no pings. When it takes no output for as long as a silent peer is kept, it is closed with 4002.
 *
 * Writing. conn_reply_begin returns space, conn_reply_end says how many bytes were written. At the end of the turn one
 * send takes the waiting output (IO_SEND_VECTORS_MAX chunks at most). Output waits in chunks from the shard's pools; a
 * connection without output has no chunk.
 *
 * Most connections are idle. A struct conn is two cache lines. What a connection needs only while it connects, replays,
 * reads history or is inside a frame is in a struct conn_work: conn_work allocates it, conn_rest frees it when a live
 * connection needs no part of it any more.
 */
#ifndef CHITCHAT_CONNECTION_CONN_H
#define CHITCHAT_CONNECTION_CONN_H

#include "base/address.h"
#include "base/pool.h"
#include "base/rate.h"
#include "protocol/http.h"
#include "protocol/reply.h"
#include "protocol/request.h"
#include "protocol/ws.h"
#include "server/barrier.h"
#include "shard/io.h"
#include "shard/timers.h"

struct conn;
struct core;
struct user;
struct replay;
struct history;
struct tls;
struct exchange;

/* What connections call in the modules above them. operations/ops.c fills the table. Shard's thread. */
struct conn_callbacks {
    /* CONN_HTTP: the head is complete; `forwarded` is the client's address where a trusted proxy says it, else unknown.
     * False: the limits of the address do not admit the connection, which is answered and closing. */
    bool (*on_client)(struct core *core, struct conn *conn, const struct address *forwarded);
    /* A JSON request with a known `op`, within the frame rate. The callee answers it once, now or later, or closes the
     * connection. `request` is borrowed until the return. */
    void (*on_request)(struct core *core, struct conn *conn, struct request *request);
    /* Output was sent, or backpressure ended: a replay, history pages or a handover may continue. */
    void (*on_room)(struct core *core, struct conn *conn);
    /* The connection leaves its user, if it has one: no push and no answer may reach it any more. Its pages, its replay
     * and its handover end. */
    void (*on_leave)(struct core *core, struct conn *conn);
    /* A close frame with `code` was queued, to be counted. */
    void (*on_close)(struct core *core, uint16_t code);
    /* Backpressure ended: deferred reads may continue. */
    void (*on_room_for_reads)(struct core *core);
    /* CONN_HTTP: the head of a request for the HTTP API, borrowed until the return. The callee brings the connection
     * into CONN_API, or closes it. */
    void (*on_api)(struct core *core, struct conn *conn, struct span head);
    /* CONN_API: input; the callee advances *data and *bytes. */
    void (*on_api_input)(struct core *core, struct conn *conn, char **data, size_t *bytes);
    /* CONN_API: the timer, which the callee has set. */
    void (*on_api_timer)(struct core *core, struct conn *conn);
};

#define CONN_CHUNK_BYTES 4096u
/* Before login, and for pings, output that fits a small chunk gets one: a storm of logins or a round of pings needs
 * thousands of chunks at once. */
#define CONN_CHUNK_SMALL_BYTES 256u
/* From this much waiting output on, the connection's requests are not read and its history pages pause (a replay pauses
 * at REPLAY_OUTPUT_PAUSE_BYTES). Backpressure lowers both. */
#define CONN_OUTPUT_PAUSE_BYTES (64u << 10)
/* Past this much stashed input a multishot receive is stopped. */
#define CONN_STASH_PAUSE_BYTES (16u << 10)

enum conn_state {
    CONN_FREE,
    CONN_HTTP,     /* reads the HTTP head */
    CONN_API,      /* serves HTTP requests of programs (http/exchanges.h) */
    CONN_OPEN,     /* a WebSocket, not logged in */
    CONN_HANDOVER, /* moves to the shard of its user: waits, or its socket is being released */
    CONN_LOGIN,    /* registered with its user; `last` is being read */
    CONN_REPLAY,   /* logged in, receives the entries after its cursor */
    CONN_LIVE,     /* logged in, receives each entry when it leaves the timeline */
    CONN_CLOSING,  /* the last output drains, then the peer ends its side, or its time is over: the socket closes */
    CONN_CLOSED,   /* the kernel still has the socket */
};

struct conn_chunk {
    struct conn_chunk *next;
    uint16_t room; /* capacity of data, bytes */
    uint16_t used; /* bytes written to data */
    uint16_t sent; /* of `used`, bytes that were sent */
    uint16_t at_s; /* of the first chunk: when output last progressed, monotonic seconds modulo 2^16 */
    bool is_small;
    bool is_sealed; /* a record of TLS: takes no more data (tls.h) */
    char data[];
};
#define CONN_CHUNK_ROOM (CONN_CHUNK_BYTES - offsetof(struct conn_chunk, data))
#define CONN_CHUNK_SMALL_ROOM (CONN_CHUNK_SMALL_BYTES - offsetof(struct conn_chunk, data))

/* Received bytes that cannot be read yet: data[begin..end). */
struct conn_stash {
    char *data; /* malloc'ed, owned; NULL: empty */
    uint32_t begin;
    uint32_t end;
    uint32_t bytes; /* capacity of data */
};

/* A weak reference to a connection: a slot is reused, its generation only after 2^32 connections of the shard. */
struct conn_ref {
    uint32_t slot;
    uint32_t generation;
};

struct conn {
    struct io_socket socket; /* its count: frames in the second heard_s, up to those that need no bucket */
    uint32_t slot;
    uint32_t generation;
    uint32_t heard_s; /* when the peer last sent bytes, or took output of a replay: monotonic seconds */

    uint8_t state;
    bool is_reading_stopped : 1; /* nothing is received: the stash, or all stashes, had too much; or the peer ended */
    bool has_peer_closed : 1;    /* the peer's end of stream came */
    bool has_shut_down : 1;      /* our side was shut down */
    bool is_turned_away : 1;     /* by a full server: the count of connections leaves it out */
    bool is_websocket : 1;       /* the handshake is done: a close frame is possible */
    bool is_read_requested : 1;  /* a one-shot receive is armed */
    bool is_tls : 1;             /* it has a struct tls */
    uint16_t unanswered;         /* requests read and not answered */
    uint32_t out_bytes;          /* waiting and in flight */
    struct timer timer;          /* login time, keepalive ping, the end of a token, or the limit for closing */

    struct user *user;     /* a reference (fanout_join); NULL before the login and after on_leave */
    struct list user_link; /* in user->conns */
    uint64_t cursor;       /* ts of the newest entry written to it; meaningful in CONN_REPLAY and CONN_LIVE */

    struct conn_chunk *out_first;
    struct conn_chunk *out_last;
    struct list output_link; /* in core->conns.output: has output to send at the end of the turn */

    struct conn_work *work; /* owned; NULL: idle */
};
_Static_assert(sizeof(struct conn) == 128, "two cache lines: there are very many, most of them idle");
_Static_assert(LIMIT_UNANSWERED <= UINT16_MAX, "unanswered counts up to it");

/* What a connection keeps for its whole life and seldom uses: in an array beside the slots, so that it costs no cache
 * line of struct conn. A handover moves it. */
struct conn_cold {
    struct address address;   /* of the peer, or of the client that a trusted proxy has forwarded */
    uint32_t address_entry;   /* in server->addresses */
    struct rate history_rate; /* of requests for pages and the like (ops.c) */
    uint32_t expires_s;       /* when its token ends: monotonic seconds; 0: never, or not logged in */
    struct tls *tls;          /* owned; NULL: plain */
    uint32_t since_s;         /* when it was accepted: monotonic seconds */
    bool is_admin;            /* of an admin listener: in no limit of the public ones */
    bool has_subprotocol;     /* the handshake chose chitchat.v1 */
};

/* What a connection needs only while it is not idle. From core->conns.work_pool. */
struct conn_work {
    struct conn *conn;
    struct ws ws;              /* inside a frame or a fragmented message, or closed */
    struct list resume_link;   /* in core->conns.resume_first or .resume: the stash can be read */
    struct list handover_link; /* in core->handovers.waiting: CONN_HANDOVER, until io_release is called */
    struct list history_link;  /* in core->histories.queue: the next page can be gathered */
    struct list place_link;    /* in core->histories.place_queue: the next page waits for a place */
    struct conn_stash stash;
    uint64_t login_at_us;             /* deadline of the login, monotonic */
    struct http_head *head;           /* CONN_HTTP: a part of the head has come; from core->conns.head_pool */
    struct login *login;              /* owned; CONN_HANDOVER, CONN_LOGIN: the request; logged in: those that wait for
                                         the log of a cluster, oldest first */
    struct replay *replay;            /* owned; CONN_REPLAY */
    struct exchange *exchange;        /* owned by http/exchanges.h; CONN_API */
    struct list watches;              /* owned by ephemeral/watch.h; the answered one first */
    struct history *histories;        /* owned; requested pages, oldest first */
    struct history *histories_last;   /* meaningful unless histories is NULL */
    struct rate frame_rate;           /* a bucket that is not full; a full one needs no conn_work */
    bool has_had_share;               /* of a turn's input, since its stash began */
    uint32_t fragment_retry_after_ms; /* a fragment of the unfinished message exceeded the rate; 0: none did */
};

/* A login request, kept during the handover and while `last` is read. Allocated with calloc. */
struct login {
    struct request_id id;
    uint64_t after;
    uint64_t last;      /* of the timeline, while it is found what `max` leaves out */
    uint64_t first;     /* the newest entry up to hidden_ts; 0: none, or not above what is gone */
    uint64_t hidden_ts; /* what --retention hid when `first` was looked for */
    uint32_t max;       /* of missed entries that are replayed, if has_max */
    bool has_after;
    bool has_max;
    bool is_other_epoch; /* the client's epoch is not the one of this data */
    uint8_t user_bytes;
    char user[LIMIT_USER_BYTES];

    /* While it waits for the log of a cluster. */
    struct barrier barrier;
    bool is_past_barrier;
    struct conn *conn;

    /* Of a login on a connection that is logged in. */
    uint32_t expires_s; /* of its token, monotonic */
    struct login *next; /* came later, and waits too; owned */
};

/* All connections of a shard, by slot. */
struct conn_table {
    struct pool pool;
    struct conn **slots;    /* slot_count of them; NULL: free */
    struct conn_cold *cold; /* slot_count of them */
    uint32_t slot_count;
    uint32_t *free; /* a stack of free slots; capacity slot_count */
    uint32_t free_count;
    uint32_t taken;      /* slots in use; with free_count it makes slot_count */
    uint32_t generation; /* of the newest connection */
};

/* The connections of one shard, and the resources that they share. */
struct conns {
    /* Set by open, then only read. */
    const struct conn_callbacks *callbacks;
    struct http_options http;

    /* Owned by the shard's thread. */
    struct conn_table table;
    struct ws_pool *ws_pool;
    struct request_reader *request_reader;
    struct pool work_pool;
    struct pool head_pool; /* HTTP heads of which a part has come */
    struct pool chunk_pool;
    struct pool small_chunk_pool;
    struct list output;       /* connections that have output to send at the end of the turn */
    struct list resume_first; /* connections whose stash can be read, and has had no share since it began */
    struct list resume;       /* connections whose stash can be read further */
    uint64_t stash_bytes;     /* capacity of all stashes */
    char *scratch;          /* CONN_SCRATCH_BYTES: for replies that are not written into a chunk directly, and pages */
    bool is_scratch_in_use; /* between conn_reply_begin and conn_reply_end */
};

#define CONN_SCRATCH_BYTES (REPLY_PAGE_BYTES_MAX + 4096u)

/* Initialises *conns. Borrows `callbacks` and what `http` points to. `message_bytes` is the memory for messages that
 * come in fragments. 0 or -errno; the caller calls conns_fini in either case. */
int conns_init(struct conns *conns, const struct conn_callbacks *callbacks, const struct http_options *http,
               uint64_t message_bytes);
/* Frees the pools, the table and the scratch. For a connection that still exists the descriptor, the stash and the
 * login are not freed. A struct of zeros is fine. */
void conns_fini(struct conns *conns);
/* The connection of a slot below slot_count (asserted); NULL if the slot is free. Borrowed. */
struct conn *conn_at(const struct conn_table *table, uint32_t slot);

/* Makes a connection of descriptor `fd` in `state`, CONN_HTTP, CONN_API or CONN_OPEN, to the peer at `address`. Owns
 * `fd`, and closes it on failure. NULL: no memory. No receive is armed and no timer is set. */
struct conn *conn_open(struct core *core, int fd, enum conn_state state, const struct address *address);
/* Borrowed, until the next connection is opened. */
struct conn_cold *conn_cold(struct core *core, const struct conn *conn);
struct conn_ref conn_ref(const struct conn *conn);
/* The connection of `ref`, if it still exists and is logged in (CONN_REPLAY or CONN_LIVE); else NULL. Borrowed. */
struct conn *conn_find(struct core *core, struct conn_ref ref);
/* The same in whatever state it is. */
struct conn *conn_of_ref(const struct core *core, struct conn_ref ref);
/* The transition must be allowed (asserted). */
void conn_set_state(struct conn *conn, enum conn_state state);
/* CONN_REPLAY or CONN_LIVE. */
bool conn_is_logged_in(const struct conn *conn);
/* How long a logged-in peer may be silent before its connection is closed. */
uint64_t conn_silence_us(const struct core *core);

/* The connection's struct conn_work, allocated if it has none. Never NULL (asserted). */
struct conn_work *conn_work(struct core *core, struct conn *conn);
/* Frees the struct conn_work of a connection in CONN_LIVE if no part of it is needed. Pointers into it are invalid
 * then: a callback calls this last. */
void conn_rest(struct core *core, struct conn *conn);
bool conn_has_stash(const struct conn *conn);
struct replay *conn_replay(const struct conn *conn);     /* borrowed; NULL: none */
struct history *conn_histories(const struct conn *conn); /* the oldest, borrowed; NULL: none */

/* The peer sent bytes, or took output of a replay. */
void conn_hear(struct core *core, struct conn *conn);

/* Callbacks of io.h and of the timers; after them the connection may be in CONN_CLOSED. `data` is borrowed, and changed
 * in place. `result` is as in io.h. */
void conn_on_recv(struct core *core, struct conn *conn, char *data, int result);
void conn_on_sent(struct core *core, struct conn *conn, int result);
void conn_on_timer(struct core *core, struct conn *conn);
/* The kernel has nothing of the connection any more, in CONN_CLOSED or, released, in CONN_HANDOVER. Frees it and all
 * that it owns, and the slot. */
void conn_free(struct core *core, struct conn *conn);

/* Sets the timer of a logged-in connection: to `at_us`, or to the end of its token if that is earlier. */
void conn_set_keepalive(struct core *core, struct conn *conn, uint64_t at_us);

/* -- reading (conn_read.c) -- */
/* End of a turn: connections of core->conns.resume_first and .resume read their stashes, one share each, as far as the
 * turn's budget and the sends in flight allow. A connection whose stash is empty receives again. */
void conn_resume_all(struct core *core);
/* Whether the sends in flight allow more requests (core_has_sends_enough). If not, those queues wait for answers. */
bool conn_may_resume(const struct core *core);
/* Whether stashes wait that conn_resume_all reads. */
bool conn_has_resuming(const struct core *core);
/* Puts the connection into one of the two queues if it has a stash or stopped receiving, and may read now. */
void conn_queue_resume(struct core *core, struct conn *conn);
/* Arms a receive: one-shot before login (unless bytes are stashed), multishot after login and in CONN_CLOSING, none in
 * the other states. */
void conn_receive(struct core *core, struct conn *conn);
/* Frees the HTTP head, if there is one. */
void conn_head_free(struct core *core, struct conn *conn);
/* Frees the stash, if there is one. */
void conn_stash_free(struct core *core, struct conn *conn);
/* Appends to any stash, which counts in core->conns.stash_bytes. 0; or -1: no memory. */
int conn_stash_append(struct core *core, struct conn_stash *stash, const char *data, size_t bytes);
/* Frees the memory of any stash. */
void conn_stash_clear(struct core *core, struct conn_stash *stash);
/* Reads plain bytes, after those in the stash. Changes them in place. */
void conn_take_bytes(struct core *core, struct conn *conn, char *data, size_t bytes);
/* The peer ended its side (0), or the connection failed (-errno). */
void conn_on_end(struct core *core, struct conn *conn, int result);

/* -- writing (conn_write.c) -- */
/* Contiguous space for `bytes_max` bytes, CONN_SCRATCH_BYTES at most. Stands until conn_reply_end, before which no
 * other output of `conn` and no other reply may be begun. Never NULL. */
char *conn_reply_begin(struct core *core, struct conn *conn, size_t bytes_max);
/* `bytes` of that space were written. */
void conn_reply_end(struct core *core, struct conn *conn, size_t bytes);
/* Copies `bytes` of `data` to the output. */
void conn_write(struct core *core, struct conn *conn, const char *data, size_t bytes);
/* As conn_write, for a push. When the connection's waiting output has no room for it, the connection is closed with
 * 4001; while the shard's output memory is tight it is dropped without a close frame. Then: false. */
bool conn_push(struct core *core, struct conn *conn, const char *data, size_t bytes);
/* As conn_write, for a push that may be lost. False: nothing was written, since more than a quarter of the connection's
 * limit of output waits, or the shard's output memory is tight. */
bool conn_push_ephemeral(struct core *core, struct conn *conn, const char *data, size_t bytes);
/* Frees all output, unsent. No send may be in flight. */
void conn_drop_output(struct core *core, struct conn *conn);
/* At the end of the turn a send starts, unless one is in flight. */
void conn_queue_output(struct core *core, struct conn *conn);
/* An empty chunk, which the caller gives to conn_chunk_insert. Never NULL (asserted). */
struct conn_chunk *conn_chunk_make(struct core *core, bool is_small);
/* Takes a sealed chunk: puts it behind the sealed chunks at the front of the output. */
void conn_chunk_insert(struct core *core, struct conn *conn, struct conn_chunk *chunk);
/* Writes a ping frame. */
void conn_ping(struct core *core, struct conn *conn);
/* Starts a send of waiting output unless one is in flight; takes the connection out of core->conns.output. */
void conn_flush(struct core *core, struct conn *conn);
/* One request was answered: counts it, and resumes reading if the number of unanswered ones had stopped it. */
void conn_answered(struct core *core, struct conn *conn);
/* Writes the error reply of a request, and counts the request as answered. Borrows `id` and `message`. */
void conn_reply_error(struct core *core, struct conn *conn, const struct request_id *id, enum error_code code,
                      const char *message, uint32_t retry_after_ms);

/* -- closing (conn_close.c) -- */
/* Queues a close frame (none in CONN_API), takes the connection out of its user and lets the output drain. `reason` is
 * copied. Changes nothing in CONN_CLOSING and CONN_CLOSED. */
void conn_close(struct core *core, struct conn *conn, uint16_t code, const char *reason);
/* The same with 1001 of all connections; those that have not sent their HTTP head are dropped, and those in
 * CONN_HANDOVER stay. */
void conns_close_all(struct core *core, const char *reason);
/* The same without a close frame: after an HTTP answer. */
void conn_close_http(struct core *core, struct conn *conn);
/* CONN_HTTP: answers 503, since the server is full or has no memory for another HTTP head or file, and closes. */
void conn_refuse_full(struct core *core, struct conn *conn);
/* CONN_HTTP: the same, since the limits of the address do not admit the connection. */
void conn_refuse_address(struct core *core, struct conn *conn);
/* Closes the socket at once: waiting output is lost. Changes nothing in CONN_CLOSED. */
void conn_drop(struct core *core, struct conn *conn);
/* CONN_CLOSING: continues when the output has drained. */
void conn_closing_step(struct core *core, struct conn *conn);
/* The peer ended its side: closes the connection when no input, no unanswered request and no replay is left. A
 * WebSocket gets the code 1000. Changes nothing in CONN_CLOSING and CONN_CLOSED. */
void conn_ended_step(struct core *core, struct conn *conn);

#endif
