/*
 * reply.h: the frames that the server sends, header and JSON, written whole into flat memory. Pure; any thread.
 *
 * Each reply_write_… writes a frame at `out` and returns its bytes. The caller provides the room: REPLY_BYTES_MAX, or
 * what the function says. Strings are escaped as RFC 8259 requires (`"`, `\`, control characters); all other characters
 * are written as UTF-8.
 */
#ifndef CHITCHAT_PROTOCOL_REPLY_H
#define CHITCHAT_PROTOCOL_REPLY_H

#include "base/message.h"
#include "protocol/request.h"

/* Room for any reply but `msg`, `history` and `peers`. */
#define REPLY_BYTES_MAX 2048u

struct reply_login {
    struct span user;
    struct span epoch;
    uint64_t last;
    uint64_t first;
    uint32_t ping_s;
    struct span auth; /* "none" or "token" */
    bool reset;
    uint64_t skipped_until; /* 0: the field is left out */
};

size_t reply_write_login(char *out, const struct request_id *id, const struct reply_login *login);
/* The ok of a send: with `prev`; or, for a duplicate, with `dup` and without `prev`. */
size_t reply_write_sent(char *out, const struct request_id *id, uint64_t ts, uint64_t prev, const uint8_t *mid);
size_t reply_write_dup(char *out, const struct request_id *id, uint64_t ts, const uint8_t *mid);
/* The ok of a ping. */
size_t reply_write_ok(char *out, const struct request_id *id);
size_t reply_write_live(char *out);
/* The push: `from` types. */
size_t reply_write_typing(char *out, struct span from);
/* The push: `user` is online now, or no more. */
size_t reply_write_presence(char *out, struct span user, bool is_online);
/* The ok of a watch: who of the list is online. Room: REPLY_BYTES_MAX, and REPLY_WATCH_BYTES of each. */
size_t reply_write_watch(char *out, const struct request_id *id, const struct span *online, uint32_t count);
#define REPLY_WATCH_BYTES(name_bytes) ((uint32_t)(name_bytes) + 3u)
/* `message` is cut to 512 bytes as written, escapes counted. retry_after_ms 0: the field is left out. */
size_t reply_write_error(char *out, const struct request_id *id, enum error_code code, const char *message,
                         uint32_t retry_after_ms);

/* A `msg`. Room: LIMIT_MSG_BYTES(text.bytes). An empty key is left out. */
size_t reply_write_msg(char *out, const struct message *message, uint64_t prev);

/* The pushes of a mark: how far this user has seen the messages of `with`; how far `user` has seen this user's
 * messages, up to the one with `mid`. */
size_t reply_write_seen(char *out, struct span with, uint64_t ts);
size_t reply_write_seen_by(char *out, struct span user, uint64_t ts, const uint8_t *mid);

/* A history page, written piece by piece into REPLY_PAGE_BYTES_MAX bytes at `out`; the frame, its header included, is
 * at most LIMIT_PAGE_BYTES. */
struct reply_page {
    char *out;
    size_t used; /* bytes of the payload so far, without its closing part */
    uint32_t count;
};
#define REPLY_PAGE_BYTES_MAX (LIMIT_PAGE_BYTES + 16u)
void reply_page_begin(struct reply_page *page, char *out, const struct request_id *id);
/* Exactly the bytes that the message takes in a page, without the comma before all but the first. */
size_t reply_page_message_bytes(const struct message *message);
/* A bound of the same, without a look at the text. */
size_t reply_page_message_bytes_max(const struct message *message);
/* False, and nothing is written, if the page would be longer than LIMIT_PAGE_BYTES. The first message always fits. */
bool reply_page_add(struct reply_page *page, const struct message *message);
/* Returns the start of the frame, within `out`, and its length in *bytes_r. `next` is written only if `more`. */
char *reply_page_end(struct reply_page *page, bool more, uint64_t next, size_t *bytes_r);
/* A page of conversations, in the same way: reply_page_end ends it. */
struct reply_peer {
    struct span user;
    const struct message *last;
    uint32_t unseen;
    uint64_t seen;    /* 0: none */
    uint64_t seen_by; /* 0: none */
};
void reply_page_begin_peers(struct reply_page *page, char *out, const struct request_id *id);
/* False, and nothing is written, if the page would be longer than LIMIT_PAGE_BYTES. The first peer always fits. */
bool reply_page_add_peer(struct reply_page *page, const struct reply_peer *peer);
/* A page of history for HTTP: without `op` and `id`; and its end without the header of a frame. */
void reply_page_begin_body(struct reply_page *page, char *out);
char *reply_page_end_body(struct reply_page *page, bool more, uint64_t next, size_t *bytes_r);

/* A message as in a page, and a line end. Room: reply_page_message_bytes and 1. Returns the bytes. */
size_t reply_write_line(char *out, const struct message *message);

/* `mid` as 20 characters of base64url, no NUL. */
void reply_write_mid(char out[LIMIT_MID_CHARS], const uint8_t mid[LIMIT_MID_BYTES]);

#endif
