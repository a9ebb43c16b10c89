/*
 * exchange_private.h: struct exchange, for the files of this folder alone.
 */
#ifndef CHITCHAT_HTTP_EXCHANGE_PRIVATE_H
#define CHITCHAT_HTTP_EXCHANGE_PRIVATE_H

#include "http/credential.h"
#include "http/exchange.h"
#include "http/exchanges.h"
#include "http/routes.h"

enum exchange_state {
    EXCHANGE_IDLE,      /* waits for a request */
    EXCHANGE_READING,   /* a part of a request has come */
    EXCHANGE_HANDLING,  /* a request is complete, and not answered */
    EXCHANGE_STREAMING, /* the answer is written in pieces */
};

struct exchange {
    struct core *core;
    struct conn *conn;
    struct list link; /* with a place: in exchanges.waiting (IDLE, READING), .asking (STREAMING) or none */
    uint8_t state;
    uint8_t kind;    /* enum exchange_kind */
    bool has_place;  /* one of EXCHANGES_MAX */
    bool is_head;    /* the request is HEAD: the answer has no body */
    bool is_chunked; /* STREAMING: the answer has chunks; else its end is the end of the connection */
    bool is_asked;   /* STREAMING: on_more was called, and nothing was written since */
    bool keeps_alive;
    bool is_body_too_large;
    bool is_body_refused; /* the memory for bodies is used up */
    uint32_t number;      /* of the request */

    /* The request, from its head on. */
    const struct http_route *route;
    struct credential credential;
    struct http_target target;
    uint8_t user_bytes;
    char user[LIMIT_USER_BYTES];
    char *body; /* malloc'ed, owned; NULL: none */
    uint32_t body_bytes;
    uint32_t body_room; /* capacity of body, counted in exchanges.body_bytes */

    struct exchange_stream stream; /* STREAMING */
    struct http_parser *parser;    /* in parser_memory */
    _Alignas(16) char parser_memory[];
};

/* -- exchange_read.c -- */
/* The head of a request is complete, or an error was found, and it is not answered yet. */
void exchange_begin_handling(struct core *core, struct exchange *exchange);
/* Frees the body. */
void exchange_drop_body(struct core *core, struct exchange *exchange);
void exchange_on_body(void *context, const char *data, size_t bytes);

/* -- exchanges.c -- */
/* Takes a place, for which the one that has waited longest may have to go. False: all are at work. */
bool exchange_take_place(struct core *core, struct exchange *exchange);
/* The answer was written: the next request may come; or the connection closes, and the exchange is gone. */
void exchange_end(struct core *core, struct exchange *exchange);
/* Sets the timer for the state and the waiting output. */
void exchange_set_timer(struct core *core, struct exchange *exchange);
/* The connection's timer: so many login times from now. */
void exchange_set_deadline(struct core *core, struct exchange *exchange, uint32_t factor);

/* -- exchange.c -- */
/* exchange_refuse with Connection: close, since the rest of the request is not read. */
void exchange_refuse_and_close(struct core *core, struct exchange *exchange, const struct http_refusal *refusal);
/* 405 with Allow, and the answer to OPTIONS. */
void exchange_answer_allow(struct core *core, struct exchange *exchange, uint16_t status, const char *allow);
/* Puts a stream that can be asked into exchanges.asking. */
void exchange_queue_more(struct core *core, struct exchange *exchange);

#endif
