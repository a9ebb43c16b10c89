/*
 * session.h: a session of the PostgreSQL engine, its servers and their connections. Each function that talks to a
 * server ends at its deadline, a time of pg_now_ms. The thread of the session.
 */
#ifndef CHITCHAT_ENGINES_POSTGRESQL_SESSION_H
#define CHITCHAT_ENGINES_POSTGRESQL_SESSION_H

#include <libpq-fe.h>

#include "storage/log_engine.h"

#define PG_HOSTS_MAX 16u
#define PG_HOST_BYTES 256u
#define PG_SCHEMA_BYTES (LOG_ENGINE_CLUSTER_BYTES + sizeof "chitchat_")
#define PG_TEXT_BYTES 192u

/* One of the hosts of a URI. Empty fields: not given. */
struct pg_host {
    char name[PG_HOST_BYTES];
    char address[64];
    char port[8];
};

/* One log server: a primary and its standbys, by one URI. */
struct pg_server {
    /* Set by pg_server_init, then only read. */
    PQconninfoOption *options;
    uint32_t number; /* from 0, in the order of the URIs */
    uint32_t host_count;
    struct pg_host hosts[PG_HOSTS_MAX];

    /* Of the connection. */
    PGconn *conn;       /* NULL: none */
    uint32_t host;      /* connected to, or that was connected to last */
    uint32_t avoided;   /* the host whose answer did not come in time; PG_HOSTS_MAX: none */
    uint32_t timeline;  /* the highest of PostgreSQL's that was seen: it grows with each promotion */
    bool is_listening;  /* for notifications of this cluster */
    bool has_statement; /* one was sent whose results nobody has taken */
    bool was_warned;    /* by the statement before */
    char warning[PG_TEXT_BYTES];
    int64_t notified_ms;
    char sqlstate[6]; /* of the last error that the server reported; or "" */

    /* Found when it connected. */
    char id[37]; /* of the cluster */
    uint32_t slots;
    uint64_t clock_us;
    char about[PG_TEXT_BYTES]; /* host, version and durability */
};

struct log_session {
    /* Set by open, then only read. */
    enum log_durability durability;
    uint32_t keep_s;
    char node[LOG_ENGINE_NODE_BYTES + 1]; /* "": none */
    char cluster[LOG_ENGINE_CLUSTER_BYTES + 1];
    char schema[PG_SCHEMA_BYTES];
    bool is_creating; /* the schema may be missing */

    uint32_t server_count;
    struct pg_server *servers;

    /* Of the cluster; 0: not known yet. */
    uint32_t slots;
};

int64_t pg_now_ms(void);
/* The deadline of the first of `parts` steps (asserted not to be 0) that share the time until `deadline_ms`. */
int64_t pg_share(int64_t deadline_ms, uint32_t parts);
/* Writes the error and returns `status`: 0, or -errno (asserted). */
__attribute__((format(printf, 3, 4))) int pg_complain(struct log_engine_error *error_r, int status, const char *format,
                                                      ...);

/* Parses the URI, which is borrowed. 0, or -EINVAL and the error. The caller calls pg_server_fini in any case. */
int pg_server_init(struct pg_server *server, uint32_t number, const char *uri, struct log_engine_error *error_r);
void pg_server_fini(struct pg_server *server);
/* The host connected to, or that was last, for error texts: "log server 1 (127.0.0.1:5432)". */
const char *pg_server_name(const struct pg_server *server, char name[PG_HOST_BYTES + 64]);
/* What the URI, or the environment, says of an option of libpq; "": nothing. */
const char *pg_server_option(const struct pg_server *server, const char *keyword);
/* Ends the connection without waiting. */
void pg_server_close(struct pg_server *server);
/* Learns session->slots, if it is not known, from any server. 0 or an error. */
int pg_session_slots(struct log_session *session, int64_t deadline_ms, struct log_engine_error *error_r);
/* Finds the server of a slot and makes it ready (pg_server_ready). Slot s lies on server s modulo their number, the
 * meta log on the first. 0 or an error; -ENOENT: there is no such slot. */
int pg_session_server(struct log_session *session, uint32_t slot, int64_t deadline_ms, struct pg_server **server_r,
                      struct log_engine_error *error_r);

/* Connects to the host that takes writes, if there is no connection that seems to live, and checks the server
 * (check.h). Then no statement is open. 0 or an error. */
int pg_server_ready(struct log_session *session, struct pg_server *server, int64_t deadline_ms,
                    struct log_engine_error *error_r);

/* Waits until the socket of the connection (asserted) is ready for `events`. False: the deadline came. */
bool pg_server_wait(struct pg_server *server, short events, int64_t deadline_ms);

#endif
