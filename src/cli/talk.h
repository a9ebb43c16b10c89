/*
 * talk.h: what the commands that talk to a server as a user have in common: chat, send, history. Main's thread.
 */
#ifndef CHITCHAT_CLI_TALK_H
#define CHITCHAT_CLI_TALK_H

#include "base/buffer.h"
#include "cli/client.h"
#include "cli/config.h"

/* Their exit codes. */
enum talk_exit {
    TALK_DONE = 0,
    TALK_REFUSED = 1, /* a message or a page was refused for good, or stdout failed; the rest may be done */
    TALK_USAGE = 2,   /* wrong options, or a file that cannot be read: nothing was done */
    TALK_STOPPED = 3, /* the server refuses the login, or the address is wrong: trying again is of no use */
    TALK_LATE = 4,    /* not done in time; a message may be stored or not */
};

/* The options of the client that `config` asks for; without a handler. Borrows. */
struct client_options talk_options(const struct config *config);

/* Milliseconds of a clock that does not step back. */
uint64_t talk_now_ms(void);

/* A request that is sent again until it has a reply: after `busy`, and on the next connection. */
struct talk_request {
    struct client *client; /* borrowed */
    uint32_t timeout_s;
    /* Owned by talk_ask. */
    json_t *reply;
    bool is_waiting;
};
/* Asks; takes `request`. TALK_DONE, and the caller owns *reply_r; or another code, after a line on stderr. */
enum talk_exit talk_ask(struct talk_request *ask, json_t *request, json_t **reply_r);

/* Appends a message as one line of text: 2026-11-29 18:30:05 alice -> bob: text */
void talk_put_line(struct buffer *out, const struct client_message *message);
/* Appends a message as one line of JSON; with `op` NULL, without one. */
void talk_put_json(struct buffer *out, const struct client_message *message, const char *op);
/* Writes and empties the buffer. False: stdout cannot be written. */
bool talk_flush(struct buffer *out);

#endif
