/*
 * refusals.h: what the server refuses, counted by cause, with a log line for the operator. Shard's thread.
 *
 *     event=refused shard=0 cause=full address=192.0.2.7 count=12 left_out=11 hint="raise --connections, ..."
 *     event=refusals shard=0 full=12 user_connections=1                      when the shard ends, if there were any
 *
 * Each cause has one line a minute at most; `count` is the number of refusals since the start, `left_out` the number of
 * those without a line since the last line. To add a cause, add it to the enum and to the table in refusals.c.
 */
#ifndef CHITCHAT_SERVER_REFUSALS_H
#define CHITCHAT_SERVER_REFUSALS_H

#include <stdint.h>

#include "base/address.h"
#include "base/log_limit.h"
#include "base/metric.h"
#include "protocol/request.h"

struct core;

enum refusal {
    REFUSAL_ORIGIN,              /* 403: a web page of an origin that is not allowed */
    REFUSAL_HOST,                /* 403: a web page under a Host that is not known */
    REFUSAL_FORWARDED,           /* a header of a trusted proxy was ignored; the connection stays */
    REFUSAL_FULL,                /* 503: as many connections as --connections allows */
    REFUSAL_HEADS,               /* 503: no memory for another HTTP head of which a part has come */
    REFUSAL_TOKEN,               /* 4101: a login without a good token; 401 or 403: a request like that by HTTP */
    REFUSAL_USER_CONNECTIONS,    /* 4201: as many connections of the user as --user-connections allows */
    REFUSAL_ADDRESS_CONNECTIONS, /* 503: as many connections of the address as --address-connections allows */
    REFUSAL_ADDRESS_RATE,        /* 503: more new connections of the address than --address-rate allows */
    REFUSAL_ADDRESS_LOGIN_RATE,  /* rate_limited, 1013: more failed logins than --address-login-rate allows */
    REFUSAL_FRAME_RATE,          /* rate_limited, or no pong: more frames than --frame-rate allows */
    REFUSAL_SEND_RATE,           /* rate_limited: more sends of the user than --send-rate allows */
    REFUSAL_HISTORY_RATE,        /* rate_limited: more requests for pages than --history-rate allows */
    REFUSAL_TLS,                 /* a TLS connection broke the protocol, or spoke something else */
    REFUSAL_TLS_HANDSHAKES,      /* more handshakes than --tls-handshakes: the longest waiting one was closed */
    REFUSAL_LOGIN_TIME,          /* 4002 or the end: no complete head, handshake or login within --login-time-s */
    REFUSAL_OUTPUT,              /* 4001 or the end: it does not read its output; 503 for a file: others do not */
    REFUSAL_INPUT,       /* 1011 or the end: no memory for input that cannot be processed yet, or for a message */
    REFUSAL_ADMIN_TOKEN, /* 401: a request on the admin address without a token, or with a wrong one */
    REFUSAL_ADMIN_PAGE,  /* 403: a request on the admin address that a web page may have sent */
    REFUSAL_EXCHANGES,   /* more HTTP connections of programs than a shard has: the longest waiting was closed */
    REFUSAL_BUSY,        /* busy, or 503: no room for the request; nothing was stored */
    REFUSAL_REQUEST,     /* an error, or 4xx: a request that is not valid, or not at this time */
    REFUSAL_PROTOCOL,    /* 1002, 1003, 1007, 1009: frames that break the WebSocket protocol, or a message too long */
};
#define REFUSAL_COUNT (REFUSAL_PROTOCOL + 1)

/* A shard's state of this module. */
struct refusals {
    struct metric counts[REFUSAL_COUNT]; /* since the start */
    struct log_limit limits[REFUSAL_COUNT];
};

/* Counts a refusal, and logs it with the peer's address. `reason` says more than the cause does; NULL: nothing. It is
 * borrowed, and may hold bytes of a client: what is not printable ASCII is written as `?`. */
void refusal_note(struct core *core, enum refusal refusal, const struct address *address, const char *reason);
/* The same, for an error that a request gets. Causes of their own (rates, tokens) and failures of the store are not
 * noted here. `message` is the error's: the reason. */
void refusal_note_error(struct core *core, enum error_code code, const struct address *address, const char *message);
/* The same, for the status of an answer by HTTP: 400, 408, 413, 415, 417, 426, 431, 501, 505; others have a cause of
 * their own, or are no refusals. */
void refusal_note_status(struct core *core, uint16_t status, const struct address *address, const char *message);
/* The name of a cause, as in the log. Static; any thread. */
const char *refusal_cause(uint32_t refusal);
/* The shard ends: logs the counters that are not zero. */
void refusals_on_end(struct core *core);

#endif
