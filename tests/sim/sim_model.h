/*
 * sim_model.h: the model that the simulator compares the server with: every send with its outcome, and every timeline
 * as its user's connections have received it. A broken promise ends the run through sim_broken.
 *
 * Texts identify sends: the text of send 17 is "<s17>" and a filling whose length follows from 17; its key is "k17".
 */
#ifndef CHITCHAT_TESTS_SIM_SIM_MODEL_H
#define CHITCHAT_TESTS_SIM_SIM_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_USERS 6u
#define SIM_SENDS_MAX 40000u
#define SIM_MID_BYTES 24u

enum sim_outcome {
    SIM_UNKNOWN, /* no reply yet, or `unavailable` */
    SIM_STORED,  /* `ok` */
    SIM_REFUSED, /* `busy` and the like: nothing was stored */
};

struct sim_send {
    uint8_t from;
    uint8_t to;
    uint8_t outcome;
    bool is_keyed;
    bool is_durable; /* its record has been written to a WAL */
    bool was_resent;
    uint32_t conn;    /* the connection, or group of a program, that sent it first: keeps the order for one recipient */
    uint64_t ts_from; /* as received; 0: not yet */
    uint64_t ts_to;
    uint64_t prev_from; /* `prev` of the entry, plus 1; 0: not received yet */
    uint64_t prev_to;
    char mid[SIM_MID_BYTES]; /* as received; empty: not yet */
};

/* An entry of a timeline that a connection of its user has received. */
struct sim_seen {
    uint64_t ts;
    uint32_t send;
};

/* What is known of the marks of a user and a peer, in the timeline of the user. */
struct sim_marks {
    uint64_t sure;    /* at least so far the user has seen: acknowledged, pushed or shown */
    uint64_t most;    /* the highest that was asked for */
    uint64_t read_to; /* by who reads slowly: asked for one message after another */
    uint64_t sure_by; /* at least so far the peer has seen */
    /* In the end. */
    bool is_listed;
    uint64_t last;
    uint64_t last_by;
};

struct sim_model {
    struct sim_send sends[SIM_SENDS_MAX];
    uint32_t count;
    struct sim_seen seen[SIM_USERS][SIM_SENDS_MAX]; /* ascending by ts */
    uint32_t seen_count[SIM_USERS];
    /* What is gone: entries up to `cut` certainly, above the other two certainly not. */
    uint64_t cut[SIM_USERS];       /* by an erasure that is done, or as a login said */
    uint64_t cut_maybe[SIM_USERS]; /* by an erasure that was begun */
    uint64_t retention_maybe;      /* by --retention, for all users */
    struct sim_marks marks[SIM_USERS][SIM_USERS];
    uint64_t acknowledged;
    uint64_t entries; /* checked */
};

/* The promise that a failed run has broken. */
enum sim_promise { SIM_OTHER, SIM_LOST, SIM_DUPLICATED, SIM_REORDERED, SIM_ONE_SIDED, SIM_ERASED, SIM_PROMISES };

/* Fails the run: prints why, and the command that repeats it. */
_Noreturn void sim_broken(enum sim_promise promise, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define sim_fail(...) sim_broken(SIM_OTHER, __VA_ARGS__)

/* A new send; its number. */
uint32_t model_send(struct sim_model *model, uint32_t from, uint32_t to, bool is_keyed, uint32_t conn);
/* Bytes of a WAL are on the disk: the sends whose texts are in them are durable. */
void model_on_durable(struct sim_model *model, const char *data, uint64_t bytes);
/* `user` has received an entry of their timeline: a msg, or a message of a page. */
void model_see(struct sim_model *model, uint32_t user, const char *text, const char *from, const char *to,
               const char *key, uint64_t ts, const char *mid);
/* The entries of `user` up to `ts` are gone. */
void model_cut(struct sim_model *model, uint32_t user, uint64_t ts);
/* Up to which ts entries of `user` may be gone. */
uint64_t model_cut_maybe(const struct sim_model *model, uint32_t user);
/* The text of a send, into `out`. */
#define SIM_TEXT_BYTES 700u
void model_text(uint32_t send, char out[SIM_TEXT_BYTES]);
/* An entry that `user` received by msg or ok has `prev`, which must always be the same, but for what is gone. */
void model_prev(struct sim_model *model, uint32_t user, uint32_t send, uint64_t prev);
/* The number of the send whose text this is. */
uint32_t model_number(struct sim_model *model, const char *text);
/* The ok of a send: `is_dup` as in the reply. */
void model_ok(struct sim_model *model, uint32_t send, uint64_t ts, const char *mid, bool is_dup);
/* The newest ts that a connection of `user` has received: up to it the timeline does not change any more. */
uint64_t model_newest(const struct sim_model *model, uint32_t user);
/* A page of `user` has `count` entries at `ts`, ascending. The page must have every entry with after < ts < before that
 * was received before the request (ts <= known), of those exchanged with `with` (SIM_USERS: all), and is not gone. */
void model_page(struct sim_model *model, uint32_t user, uint64_t after, uint64_t before, uint64_t known, uint32_t with,
                const uint64_t *ts, uint32_t count);
/* The reply to a send was this error. */
void model_error(struct sim_model *model, uint32_t send, const char *code);

/* In the end: `sends` is the whole timeline of `user`, as numbers of sends, ascending by ts. */
void model_check_timeline(struct sim_model *model, uint32_t user, const uint32_t *sends, uint32_t count);
/* After all timelines: acknowledged messages are in both timelines, and none is in one only, but for what is gone. */
void model_check_all(struct sim_model *model);

#endif
