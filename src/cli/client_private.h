/*
 * client_private.h: the state of a client, for client.c (states and times), client_take.c (what comes) and
 * client_login.c (logging in). No other file includes this one.
 */
#ifndef CHITCHAT_CLI_CLIENT_PRIVATE_H
#define CHITCHAT_CLI_CLIENT_PRIVATE_H

#include "base/clock.h"
#include "base/limits.h"
#include "cli/client.h"
#include "cli/client_outbox.h"
#include "cli/client_token.h"
#include "cli/client_transport.h"

#define CLIENT_WHY_BYTES 512u
#define CLIENT_EPOCH_BYTES 128u
/* Half of a random key: 64 bits. */
#define CLIENT_KEY_PREFIX_CHARS 16u

/* A request that waits for its reply. */
struct client_pending {
    struct list link;
    uint64_t id;
    client_on_reply *on_reply; /* NULL: nobody wants it */
    void *context;
};

struct client {
    /* Set by open, then only read. */
    struct client_options options;
    struct client_transport *transport; /* owned */
    struct clock *clock;
    struct clock system_clock;

    enum client_state state;
    bool is_busy; /* within client_step or client_close, where the calls of the handler are made */
    char why[CLIENT_WHY_BYTES];
    char user[LIMIT_USER_BYTES + 1];
    char epoch[CLIENT_EPOCH_BYTES]; /* "": no login yet */
    uint64_t cursor;
    uint64_t first;
    uint64_t last;
    uint64_t text_bytes_max;
    uint64_t ping_us;
    bool was_logged_in;

    /* The connection. */
    uint32_t attempt;     /* n of section 11 */
    uint64_t due_us;      /* while waiting: when it connects; before the login: when the attempt is given up */
    uint64_t heard_us;    /* when something came last */
    uint64_t ping_due_us; /* 0: no ping is out; else when the connection is dead */
    uint64_t login_id;    /* of the newest login */
    bool asked_replay;    /* it had an `after` */
    uint64_t next_id;
    struct list pending;

    struct client_outbox outbox;
    uint64_t next_number;
    char key_prefix[CLIENT_KEY_PREFIX_CHARS + 1]; /* of the keys that this client makes */

    /* Tokens. */
    char token[CLIENT_TOKEN_BYTES];    /* of the newest login; "": none */
    char accepted[CLIENT_TOKEN_BYTES]; /* the newest that the server accepted; "": none */
    bool is_expired;                   /* that one is of no use any more */
    uint64_t token_due_us;             /* when the file is read again */
};

uint64_t client_now_us(const struct client *client);
/* From 0 to min(30 s, 0.5 s * 2^n), evenly spread. */
uint64_t client_jitter_us(const struct client *client, uint32_t n);
/* The writer of the state, but for client_open and client_close. `why` may be NULL: nothing to say. */
void client_set_state(struct client *client, enum client_state state, const char *why);
/* Ends the connection, and connects again after a random wait of at least `least_us`; or does not. */
void client_wait_again(struct client *client, uint16_t code, uint64_t least_us, const char *why);
void client_stop(struct client *client, uint16_t code, const char *why);
/* Sends one object; takes it. */
void client_put(struct client *client, json_t *object);
/* Sends what the outbox may send now. */
void client_pump(struct client *client);

/* client_login.c: begins an attempt; sends the login; takes its reply; after a while, looks for a newer token. */
void client_connect(struct client *client);
void client_login_send(struct client *client);
void client_login_take(struct client *client, const json_t *reply);
void client_login_refused(struct client *client, const json_t *error);
void client_token_check(struct client *client);

#endif
