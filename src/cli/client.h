/*
 * client.h: a client of chitchat's wire protocol (PROTOCOL.md) that loses nothing, doubles nothing and reorders
 * nothing: it reconnects with full jitter, resumes with its cursor, finds gaps by `prev`, notices a new data set by its
 * epoch, keeps unsent messages in an outbox with their keys, and notices dead connections. docs/CLIENT_C.md is its
 * page.
 *
 * Nothing here blocks, but for client_wait, client_close (briefly) and client_open (files). A program waits for what
 * client_wants names, in a poll loop of its own, and calls client_step; or it calls client_wait in a loop. All happens
 * in these calls, the calls of the handler too. A handler may call any function but client_step, client_wait and
 * client_close (asserted).
 *
 * One client is one user's connection, for one thread. A program may have many clients. The cursor is kept while the
 * client is open; a program that stores messages stores client_cursor and client_epoch with them, and gives them to
 * client_open again.
 *
 * Strings are UTF-8 with a NUL at their end. Without memory the program is aborted.
 */
#ifndef CHITCHAT_CLI_CLIENT_H
#define CHITCHAT_CLI_CLIENT_H

#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client;
struct client_transport;
struct clock;

/* The states of PROTOCOL.md, section 10. Sends are accepted in all of them. */
enum client_state {
    CLIENT_CONNECTING,
    CLIENT_LOGGING_IN,
    CLIENT_REPLAY,
    CLIENT_LIVE,
    CLIENT_WAITING, /* connects again by itself */
    CLIENT_STOPPED, /* does not: the server refuses this login, this address is wrong, or the client is broken */
};

/* An entry of the user's timeline. */
struct client_message {
    uint64_t ts; /* its place in the timeline of this user, and its time: microseconds since the Unix epoch */
    const char *mid;
    const char *from;
    const char *to;
    const char *text;
    const char *key; /* NULL: it has none, or another user sent it */
    bool is_own;     /* this client sent it, and not another connection of the user; never known of pages */
};

/* What became of a client_send. */
struct client_outcome {
    uint64_t number; /* as client_send gave it */
    const char *to;
    const char *text;
    const char *key;
    const char *error;  /* NULL: it is stored. Else it is dropped for good: too_large, bad_request, key_conflict; or
                           expired: a first attempt may have been stored, and its key protects no more */
    const char *reason; /* of an error, for people */
    uint64_t ts;        /* stored: its place in the timeline; 0: not known */
    const char *mid;    /* stored: its name; NULL: not known */
    bool is_dup;        /* stored before, under this key */
};

/* Each function may be NULL. What they get is borrowed until they return. */
struct client_handler {
    void *context;
    /* The state has changed; `why` is a line for people, "" if there is nothing to say. */
    void (*on_state)(void *context, enum client_state state, const char *why);
    /* An entry, new or replayed, also those of this user: each exactly once, in the order of `ts`. */
    void (*on_message)(void *context, const struct client_message *message);
    /* A message leaves the outbox. Where it is an entry, on_message comes first or later, or has come in an earlier
     * login: a program that shows entries by on_message needs this only to drop what it shows as unsent. */
    void (*on_outcome)(void *context, const struct client_outcome *outcome);
    /* The server has another data set: every `ts` that the program holds is void. `last` is the newest entry of the new
     * one; on_message goes on behind it. */
    void (*on_reset)(void *context, uint64_t last);
    /* The timeline begins behind `first`: older entries are gone, and are to be dropped. */
    void (*on_cut)(void *context, uint64_t first);
    /* Entries up to `until` are left out of the replay (option replay_max). */
    void (*on_skipped)(void *context, uint64_t until);
    /* Any other push: typing, presence, seen, seen_by, and those of later servers. */
    void (*on_push)(void *context, const json_t *push);
};

/* Borrowed until client_close, but for the numbers. */
struct client_options {
    const char *url;        /* ws://HOST[:PORT][/PATH] or wss://…; without a path it is /ws */
    const char *user;       /* who logs in; NULL: whom the token names */
    const char *token_file; /* its first line is the token; read again before each login and every 10 s. NULL: none */
    const char *tls_ca;     /* wss: certificates that may have signed the server's, PEM. NULL: the system's */
    uint32_t replay_max;    /* the newest missed entries that are replayed after a reconnect; 0: all */
    const char *epoch;      /* stored with a cursor by an earlier client; NULL: there is none */
    uint64_t cursor;        /* with an epoch */
    struct client_handler handler;
    /* For tests; NULL for all others: the network, the system's clock, a random number up to `max`. */
    struct client_transport *transport; /* owned */
    struct clock *clock;
    uint64_t (*random)(uint64_t max);
};

#define CLIENT_ERROR_BYTES 512u

/* Begins to connect. 0; or -1, and `error` has a line: what is wrong with an option, and what to do. */
int client_open(struct client **client_r, const struct client_options *options, char error[CLIENT_ERROR_BYTES]);
/* Says good-bye to the server, for at most 1 s, and frees the client. Messages in the outbox are dropped without an
 * outcome; callbacks of requests are called with NULL. Nulls *client. */
void client_close(struct client **client);

/* What to wait for: *poll_r is for poll(), with fd -1 if there is nothing to watch. Returns the most milliseconds to
 * wait, at least 0. */
int client_wants(const struct client *client, struct pollfd *poll_r);
/* Does what is due. `revents` is that of the last poll(), or 0. */
void client_step(struct client *client, short revents);
/* Waits for at most `timeout_ms`, then does what is due. */
void client_wait(struct client *client, int timeout_ms);

/* Puts a message into the outbox; the outcome comes by on_outcome. `key` NULL: a random one. NULL, and *number_r is its
 * number; or, static, why it can never be sent: then nothing was done. */
const char *client_send(struct client *client, const char *to, const char *text, const char *key, uint64_t *number_r);
/* Messages in the outbox. */
uint32_t client_unsent(const struct client *client);

/* `reply` is the whole reply, also an `error`, borrowed; NULL: the connection ended before it came. */
typedef void client_on_reply(void *context, const json_t *reply);
/* Sends any other request; takes `request`, an object with its `op`, without an `id` (asserted). False if nobody is
 * logged in: it is dropped, and on_reply is not called. */
bool client_request(struct client *client, json_t *request, client_on_reply *on_reply, void *context);
/* The `code` of a reply that is an error; NULL: it is none. */
const char *client_error_code(const json_t *reply);
/* Reads an entry of a page of history, or of `last` in a page of peers. False: it is none. */
bool client_message_read(const json_t *entry, struct client_message *message_r);

enum client_state client_state(const struct client *client);
/* Whether requests can be sent: CLIENT_REPLAY or CLIENT_LIVE. */
bool client_is_logged_in(const struct client *client);
/* Who is logged in; before the first login, the user of the options, or "". */
const char *client_user(const struct client *client);
/* The newest entry that the client has, and its data set: "" before the first login. */
uint64_t client_cursor(const struct client *client);
const char *client_epoch(const struct client *client);
/* `last` of the newest login: entries up to it that on_message did not give are in history. */
uint64_t client_last(const struct client *client);
/* The last reason of CLIENT_WAITING or CLIENT_STOPPED; "" if there was none. */
const char *client_why(const struct client *client);

#endif
