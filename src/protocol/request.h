/*
 * request.h: reads a client's frame with the strict JSON reader of json.h, in place: strings are unescaped where they
 * lie. Pure; one `struct request_reader` for each thread (scratch memory).
 *
 * PROTOCOL.md fixes the order of the checks, with the rate and the login between them; so a frame is read in three
 * steps: request_read (JSON, id), request_read_op (op is a string, op is known), request_read_fields.
 */
#ifndef CHITCHAT_PROTOCOL_REQUEST_H
#define CHITCHAT_PROTOCOL_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/span.h"

struct request_reader;

enum request_id_kind { REQUEST_ID_NONE, REQUEST_ID_INTEGER, REQUEST_ID_STRING };

/* An id, by value, since the reply may be written much later. */
struct request_id {
    uint8_t kind;
    uint8_t bytes; /* of string */
    union {
        int64_t integer; /* magnitude below 2^53 */
        char string[LIMIT_ID_BYTES];
    };
};

/* Copies the used part only. */
static inline void request_id_copy(struct request_id *to, const struct request_id *from)
{
    to->kind = from->kind;
    to->bytes = from->bytes;
    if (from->kind == REQUEST_ID_INTEGER)
        to->integer = from->integer;
    else if (from->kind == REQUEST_ID_STRING)
        memcpy(to->string, from->string, from->bytes);
}

enum request_op {
    REQUEST_LOGIN,
    REQUEST_SEND,
    REQUEST_HISTORY,
    REQUEST_PING,
    REQUEST_TYPING,
    REQUEST_PEERS,
    REQUEST_SEEN,
    REQUEST_WATCH
};

enum error_code {
    ERROR_NONE,
    ERROR_BAD_JSON,
    ERROR_BAD_REQUEST,
    ERROR_UNKNOWN_OP,
    ERROR_NOT_LOGGED_IN,
    ERROR_ALREADY_LOGGED_IN,
    ERROR_BAD_TOKEN,
    ERROR_TOO_LARGE,
    ERROR_KEY_CONFLICT,
    ERROR_RATE_LIMITED,
    ERROR_BUSY,
    ERROR_UNAVAILABLE,
};

/* The name on the wire, such as "bad_json". Static. */
struct span error_code_name(enum error_code code);

struct request_error {
    enum error_code code;
    const char *message; /* static: what is wrong and what to do */
};

struct request_login {
    struct span user;
    bool has_user;
    struct span token; /* as given */
    bool has_token;    /* present and a string */
    bool has_after;
    uint64_t after;
    bool has_max;
    uint32_t max; /* of missed entries that are replayed; 0 to LIMIT_REPLAY_MAX */
    bool has_epoch;
    struct span epoch;
};

struct request_send {
    struct span to;
    struct span text;
    struct span key; /* bytes 0: none */
};

/* A message that a program sends as `from`. */
struct request_post {
    struct span from;
    struct request_send send;
};

struct request_history {
    bool has_after;
    bool has_with;
    uint64_t after;  /* 0 if not given */
    uint64_t before; /* LIMIT_TS_MAX + 1 if not given */
    uint32_t limit;
    struct span with;
};

struct request_typing {
    struct span to;
};

struct request_peers {
    uint64_t before; /* LIMIT_TS_MAX + 1 if not given */
    uint32_t limit;
};

struct request_seen {
    struct span with;
    uint64_t ts;
};

struct request_watch {
    struct span users; /* request_next_user takes them off */
    uint32_t count;    /* at most LIMIT_WATCH_USERS; a user may be named more than once */
};

/* Spans are borrowed from the frame's bytes. */
struct request {
    struct request_id id;
    enum request_op op;
    union {
        struct request_login login;
        struct request_send send;
        struct request_history history;
        struct request_typing typing;
        struct request_peers peers;
        struct request_seen seen;
        struct request_watch watch;
    };
};

/* 0 or -errno. */
int request_reader_open(struct request_reader **reader_r);
void request_reader_close(struct request_reader **reader);

/* Reads the whole frame and its id. `bytes` is at most LIMIT_FRAME_BYTES: asserted. True, or false and *error_r
 * (bad_json, bad_request). Keeps the members in the reader for the next two steps. `data` is changed. */
bool request_read(struct request_reader *reader, char *data, size_t bytes, struct request *request_r,
                  struct request_error *error_r);
/* Sets request->op. False: bad_request if `op` is absent or not a string; unknown_op. */
bool request_read_op(struct request_reader *reader, struct request *request, struct request_error *error_r);
/* Reads the fields of request->op. False: bad_request, too_large. `wants_token`: the server asks for tokens, so `user`
 * may be absent; else a `token` is refused. */
bool request_read_fields(struct request_reader *reader, struct request *request, bool wants_token,
                         struct request_error *error_r);

/* A whole message of a program: an object with from, to, text and key, each checked as in a `send`. `bytes` as above.
 * False: bad_json, bad_request, too_large. `data` is changed. */
bool request_read_post(struct request_reader *reader, char *data, size_t bytes, struct request_post *post_r,
                       struct request_error *error_r);

/* Whether `name` has 1 to 128 bytes of 0x21..0x7E without `"` and `\`. */
bool request_is_user_name(struct span name);

/* Takes the next user off the list of a watch. False: there is none any more. */
bool request_next_user(struct span *users, struct span *user_r);

#endif
