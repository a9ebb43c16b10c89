/*
 * claims.h: what clients sent, and what the server has reported so far. The journal is the clients' side: each line is
 * a JSON object {n, from, to, bytes, key, again}: message number n, whose text follows from n and bytes; `again`: the
 * message may have been sent more than once, always with the same key. Or the line is {erase, first}: an erasure of
 * that user, and up to which ts its answer says that their entries are gone; 0: no answer came. A claim is one entry of
 * one timeline as a frame reported it: an `ok`, a `msg`, a message of a history page. Frames, and answers to erasures,
 * are read from what leaves the process (TRACE_SEND), whole ones only.
 *
 * One thread. Input that cannot be read ends the process.
 */
#ifndef CHITCHAT_TESTS_POWER_CLAIMS_H
#define CHITCHAT_TESTS_POWER_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace.h"

#define CLAIMS_USERS_MAX 64
#define CLAIMS_TEXT_MAX 16384

struct sent {
    bool is_known;
    bool is_again;
    int from; /* indices of users */
    int to;
    uint32_t bytes;
    char key[65]; /* empty: none */
};

struct erased {
    int user;
    uint64_t first; /* 0: no answer came */
};

struct claim {
    int user; /* whose timeline */
    uint32_t n;
    uint64_t ts;
    uint64_t prev;
    bool has_prev;
    char mid[21];
};

struct claims_stream;

struct claims {
    char users[CLAIMS_USERS_MAX][129];
    int user_count;
    struct sent *sent; /* by n */
    uint32_t sent_count;
    struct erased *erasures; /* of the journal: in force by now or not */
    uint32_t erasure_count;
    struct claim *items;
    uint32_t count;
    uint32_t room;
    uint32_t acknowledged;            /* `ok`s of sends among them, dups included */
    uint32_t erased;                  /* answers to erasures */
    uint64_t last[CLAIMS_USERS_MAX];  /* the greatest `last` that a login reported: an entry with that ts exists */
    uint64_t first[CLAIMS_USERS_MAX]; /* up to it the entries are gone, as a login or an erasure reported */
    struct claims_stream *streams;    /* by descriptor */
};

void claims_open(struct claims *claims, const char *journal_path);
void claims_close(struct claims *claims);
/* Adds claims of an earlier time; writes all claims. Each line is one {user, n, ts, prev, mid}, or
 * {user, first}. */
void claims_load(struct claims *claims, const char *path);
void claims_save(const struct claims *claims, const char *path);
/* Takes in a record of the trace: SEND, CLOSE and LIFE matter, others are ignored. */
void claims_apply(struct claims *claims, const struct trace_record *record, const void *data);

/* The text of message n, of `bytes` bytes; `out` has room for one more. */
void claims_text(uint32_t n, uint32_t bytes, char *out);
int claims_user(const struct claims *claims, const char *name);

#endif
