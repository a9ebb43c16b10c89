/*
 * sim_client.h: simulated clients ("people") of a few users: they log in, send, resend after a disconnect, ask for
 * pages, stop reading, disconnect; and they check every frame that they receive (sim_model.h). Some are rude
 * (sim_rude.h): they send bad frames, the login, and requests behind it in one write, and some of these do not read.
 * Some end their side after requests, and expect the answers.
 */
#ifndef CHITCHAT_TESTS_SIM_SIM_CLIENT_H
#define CHITCHAT_TESTS_SIM_SIM_CLIENT_H

#include "frame.h"
#include "harness.h"
#include "server/core.h"
#include "sim_clock.h"
#include "sim_model.h"
#include "sim_program.h"
#include "sim_rude.h"

#define SIM_PEOPLE 14u
#define SIM_REQUESTS_MAX 64u
#define SIM_PAGE_LIMIT 60u
/* The ids of what a rude connection sends before its login. */
#define SIM_RUDE_ID SIM_REQUESTS_MAX

/* The largest `max` of a login, and a login without one. */
#define SIM_MAX_MOST 40u
#define SIM_NO_MAX UINT32_MAX

enum sim_ask { ASK_NOTHING, ASK_LOGIN, ASK_SEND, ASK_HISTORY, ASK_PING, ASK_PEERS, ASK_SEEN };

struct sim_request {
    uint8_t ask;
    uint32_t place; /* among all requests of its connection */
    uint32_t send;  /* ASK_SEND */
    /* ASK_HISTORY */
    uint64_t after;
    uint64_t before; /* LIMIT_TS_MAX: not given */
    uint64_t known;  /* the newest ts that had been received when the request was sent; ASK_SEEN: of the peer, up to the
                        ts of the request */
    uint32_t limit;
    uint8_t with; /* SIM_USERS: not given */
    bool oldest_first;
    struct seen_marks marks[SIM_USERS]; /* ASK_PEERS: what was sure when the request was sent */
};

struct person {
    struct client *client; /* NULL: not connected */
    uint64_t begun_us;     /* monotonic */
    uint32_t user;
    uint32_t conn; /* number of this connection, unique in the run */
    bool has_head;
    bool is_logged_in;
    bool wants_live;
    bool is_stalled;
    bool reads_never;
    bool has_ended;   /* its side, and reads on: all that it has asked for must be answered */
    bool was_stalled; /* at any time */
    bool has_close;   /* a close frame was received */
    bool asked_anew;  /* a frame that was received led to a new request */
    bool was_login_refused;
    bool had_after;
    uint64_t cut; /* of the model when the connection began: up to there it is given nothing */
    uint64_t asked_after;
    uint32_t max;        /* of the login; SIM_NO_MAX: none */
    uint64_t login_last; /* `last` of the reply */
    bool has_skipped;    /* the reply had `skipped_until` */
    uint32_t missed;     /* entries up to login_last that were received */
    char login_fields[160];
    uint64_t cursor;                     /* ts of the newest entry received, or where the login begins */
    struct seen_marks pushed[SIM_USERS]; /* the newest marks of each peer that were pushed */
    uint32_t asked_count;
    uint32_t place;                             /* of the newest request */
    struct sim_request asked[SIM_REQUESTS_MAX]; /* by id */
    struct rude rude;
    /* Kept from one connection to the next. */
    uint64_t kept_cursor;
    uint32_t kept_user;
};

/* Kinds of trouble. Each may be left out of a run, to find what a failure needs. */
enum sim_trouble {
    TROUBLE_CRASH,
    TROUBLE_DEATH, /* a crash inside a job or in recovery */
    TROUBLE_STOP,
    TROUBLE_LOG, /* WAL writes fail */
    TROUBLE_FULL,
    TROUBLE_DISK, /* calls of workers' jobs fail */
    TROUBLE_CLOCK,
    TROUBLE_STALL,
    TROUBLE_VANISH,
    TROUBLE_RUDE,  /* bad frames before the login */
    TROUBLE_END,   /* a client ends its side and reads on */
    TROUBLE_ERASE, /* timelines are erased */
    TROUBLE_COUNT
};

struct sim_tally {
    uint64_t crashes; /* deaths among them */
    uint64_t deaths;
    uint64_t leaps;       /* of the clock, by a year */
    uint64_t full_starts; /* on a full disk */
    uint64_t missing;     /* newest segments that were taken away after a crash, and missed */
    uint64_t stops;
    uint64_t rests; /* all clients left, and all was given back */
    uint64_t failed_logs;
    uint64_t full_disks;
    uint64_t failed_calls;
    uint64_t slow; /* 4001 */
    uint64_t busy;
    uint64_t unavailable;
    uint64_t conns;
    uint64_t rude; /* of these */
    uint64_t ended;
    uint64_t erasures;
    uint64_t posts; /* sends of programs that were answered */
    uint64_t sent;
    uint64_t acknowledged;
    uint64_t entries;
    uint64_t pages;
    uint64_t marks; /* acknowledged */
    uint64_t mark_pushes;
    uint64_t peers_pages;
};

struct sim {
    struct chaos chaos;
    struct harness *harness;
    struct frame_reader reader;
    char dir[64];
    uint32_t without; /* bits: enum sim_trouble */
    bool is_stopping;
    bool is_store_failing;   /* a WAL write has failed in this life */
    uint32_t calls_to_death; /* 0: none is near */
    uint64_t memtable_bytes;
    uint32_t retention_s; /* 0: none */
    struct sim_tally tally;
    uint32_t shards;
    uint64_t wall_us;       /* at which the next life begins */
    int64_t leap_us;        /* by which the clock is wrong now; shorter than the server follows */
    uint64_t leap_since_us; /* monotonic */
    struct sim_clock clock;
    bool is_crash_due; /* after an erasure */
    char epoch[64];
    char names[SIM_USERS][16];
    struct person people[SIM_PEOPLE];
    struct sim_program programs[SIM_PROGRAMS];
    uint32_t conn_count;
    uint32_t unsure[SIM_SENDS_MAX]; /* keyed sends that had no reply when their connection ended */
    uint32_t unsure_count;
    struct sim_model model;
};

/* Person `index` does one thing; or reads what has been received. */
void person_act(struct sim *sim, uint32_t index);
void person_take(struct sim *sim, uint32_t index);
/* A place for a request, whose id is *id_r. NULL: the person has ended their side, or too many are unanswered. */
struct sim_request *person_ask(struct person *person, enum sim_ask what, uint32_t *id_r);
/* Asks for a page as `want` says. */
void person_ask_page(struct sim *sim, struct person *person, struct sim_request want);
/* Checks `first` in the reply to a login: it is the cursor if that is below. */
void person_take_first(struct sim *sim, struct person *person, const struct value *frame);
/* Checks `skipped_until` in the same reply: the newest entries are left, as many as the login's `max`. */
void person_take_skipped(struct sim *sim, struct person *person, const struct value *frame);
/* Checks a `msg` that was received. */
void person_take_message(struct sim *sim, struct person *person, const struct value *frame);
/* The connection has ended: its requests stay unanswered. `with_harness`: the server has, too. */
void person_lose(struct sim *sim, uint32_t index, bool with_harness);

/* A keyed send of this user whose outcome is unknown, which is taken off; SIM_SENDS_MAX: none. */
uint32_t sim_take_unsure(struct sim *sim, uint32_t user);
/* A send was refused with `code`: ends the run if nothing can be the cause. */
void sim_check_refusal(struct sim *sim, const char *code);

/* In the end, with a disk without trouble: the server accepts a send of every user. */
void people_probe(struct sim *sim);
/* In the end: a new connection of `user` reads their whole timeline by replay and by pages in both directions, which
 * must agree. */
void people_check(struct sim *sim, uint32_t user);
/* Something happened, for the trace. */
void sim_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
