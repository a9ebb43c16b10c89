/*
 * tls.h: TLS of a connection (conn->is_tls). A plain connection pays a bit test. Shard's thread.
 *
 * Handshake. Records wait in tls->input. At the end of a turn tls_step_all feeds them to libssl
 * (connection/tls_handshake.h), as many as the turn has time for, one at least. libssl's memory is allocated when the
 * first record is complete; at most --tls-handshakes of a shard have it. When one more begins, the handshake that has
 * waited longest for its client is closed. The login time limits all of it.
 *
 * Input. A record is opened in place, and its data take the way of plain input. The bytes of an incomplete record wait
 * in tls->input, counted with the stashes. Connections without a login cannot use up the stashes by incomplete records:
 * when all stashes take a quarter of their budget, those that have waited longest for the rest of a record are closed.
 *
 * Output. Each chunk has room for a header and a tag around its data. It becomes one record, in place, when a send
 * starts. A client that bounds records (RFC 6066, 4) gets less data in each chunk. conn->out_bytes counts data before
 * that, and records after. A sealed chunk takes no more data.
 *
 * End. Our last record is the alert close_notify. The peer's counts as the end of its stream.
 */
#ifndef CHITCHAT_CONNECTION_TLS_H
#define CHITCHAT_CONNECTION_TLS_H

#include "connection/conn.h"
#include "connection/tls_handshake.h"
#include "protocol/tls_record.h"

struct tls {
    struct conn *conn;
    struct tls_handshake *handshake; /* owned; NULL: not begun, or done */
    struct list link;                /* in tls_state.queue if is_queued, else in .waiting, in .parts or in none */
    struct conn_stash input;
    struct tls_record record; /* meaningful if is_open */
    bool is_queued;
    bool is_open;       /* the handshake is done */
    bool is_over;       /* input is discarded: the peer ended its stream, or the connection failed */
    bool is_close_sent; /* our last alert was written */
    bool owes_update;   /* the peer asked for new keys of our direction */
    uint16_t data_max;  /* bytes of data in a record of ours, if is_open: the client may bound them (RFC 6066, 4) */
    uint8_t alert;      /* our last alert */
    uint8_t idle_count; /* records without data in a row */
};

/* A shard's state of this module. */
struct tls_state {
    struct tls_ciphers ciphers;
    struct list queue;        /* struct tls that have a complete record of their handshake */
    struct list waiting;      /* struct tls that have begun a handshake and wait for the client, oldest first */
    struct list parts;        /* struct tls without a login that hold a part of a record, oldest first */
    uint32_t handshake_count; /* that have libssl's memory */
    uint32_t count;           /* struct tls of the shard */
};

/* 0 or -ENOMEM; tls_state_fini in either case. */
int tls_state_init(struct tls_state *state);
/* A struct of zeros is fine. */
void tls_state_fini(struct tls_state *state);

/* -- life (tls.c) -- */
/* Makes `conn`, in CONN_HTTP or CONN_API, a TLS connection. False: no memory. */
bool tls_begin(struct core *core, struct conn *conn);
/* Frees the TLS of `conn`, if it has any. */
void tls_free(struct core *core, struct conn *conn);
/* A handover. Takes the TLS out of `conn`, whose handshake is done: the caller owns the result. NULL: plain. */
struct tls *tls_leave(struct core *core, struct conn *conn);
/* Gives it to `conn`, of another shard. NULL: plain. */
void tls_enter(struct core *core, struct conn *conn, struct tls *tls);
/* Frees what tls_leave returned. */
void tls_discard(struct tls *tls);
/* Whether the handshake is done: before that, nothing can be written but records of the handshake. */
bool tls_is_open(struct core *core, const struct conn *conn);
/* Bytes of data that one record of ours may have, when the handshake is done. */
size_t tls_data_max(struct core *core, const struct conn *conn);
/* Whether a complete record waits for tls_step_all: nothing is received meanwhile. */
bool tls_is_queued(struct core *core, const struct conn *conn);
/* Whether the input ends in the midst of a record. */
bool tls_has_part(struct core *core, const struct conn *conn);
/* End of a turn: continues handshakes. Some wait for it (asserted). */
void tls_step_all(struct core *core);
/* Input during the handshake. */
void tls_take_handshake(struct core *core, struct conn *conn, const char *data, size_t bytes);
/* `conn` holds a part of a record. Closes the oldest of such connections while stashes take too much: `conn` may be in
 * CONN_CLOSED after it. */
void tls_note_part(struct core *core, struct conn *conn);
/* The connection closes: a handshake that is not done ends. */
void tls_end_handshake(struct core *core, struct conn *conn);
/* Counts and logs the refusal, and closes the connection, with `alert` if the handshake is done. `reason` is static. */
void tls_fail(struct core *core, struct conn *conn, enum tls_alert alert, const char *reason);

/* -- input (tls_read.c) -- */
/* Bytes from the socket, changed in place. After it the connection may be in CONN_CLOSED. */
void tls_on_recv(struct core *core, struct conn *conn, char *data, size_t bytes);
/* Input after the handshake: whole records, and perhaps a part of one. */
void tls_take_records(struct core *core, struct conn *conn, char *data, size_t bytes);

/* -- output (tls_write.c) -- */
/* Writes bytes of the handshake, as they are. */
void tls_write_raw(struct core *core, struct conn *conn, const char *data, size_t bytes);
/* Before a send starts: makes records of the chunks that it takes. In CONN_CLOSING, close_notify follows the last. */
void tls_seal_output(struct core *core, struct conn *conn);
/* In CONN_CLOSING: whether close_notify must still be written. */
bool tls_owes_close(struct core *core, const struct conn *conn);

#endif
