/*
 * sim_client.h: simulated people: connections of a few users that log in, send, resend after a cut, page history, go slow, vanish;
 * and that judge every frame they get (sim_model.h).
 */
#ifndef CHITCHAT_TESTS_SIM_CLIENT_H
#define CHITCHAT_TESTS_SIM_CLIENT_H

#include "sim_model.h"
#include "world.h"

#define SIM_PEOPLE 14u
#define SIM_REQUESTS_MAX 64u

enum sim_ask { ASK_NOTHING, ASK_LOGIN, ASK_SEND, ASK_HISTORY, ASK_PING };

struct sim_request {
    uint8_t ask;
    uint32_t send;   /* ASK_SEND */
    uint64_t after;  /* ASK_HISTORY */
    uint64_t before;
};

struct person {
    struct client *client; /* NULL: not connected */
    uint32_t user;
    uint32_t conn;         /* number of this connection, unique in the run */
    bool has_head;
    bool is_logged_in;
    bool wants_live;
    bool is_stalled;
    bool had_after;
    uint64_t asked_after;
    uint64_t cursor;       /* as of the login's rules */
    uint32_t asked_count;
    struct sim_request asked[SIM_REQUESTS_MAX]; /* by id */
    /* From connection to connection. */
    uint64_t kept_cursor;
    uint32_t kept_user;
};

struct sim {
    struct chaos chaos;
    struct world *world;
    uint32_t shards;
    uint64_t wall_us; /* at which the next life begins */
    char epoch[64];
    char names[SIM_USERS][16];
    struct person people[SIM_PEOPLE];
    uint32_t conn_count;
    uint32_t unsure[SIM_SENDS_MAX]; /* keyed sends that had no reply when their connection ended */
    uint32_t unsure_count;
    struct sim_model model;
};

/* One thing that person `index` does, or takes what came. */
void person_act(struct sim *sim, uint32_t index);
void person_take(struct sim *sim, uint32_t index);
/* The connection is gone: what was asked stays unanswered. */
void person_lose(struct sim *sim, uint32_t index, bool with_world);

/* In the end: a new connection of `user` reads its whole timeline by replay and by pages both ways; they must agree. */
void people_check(struct sim *sim, uint32_t user);
/* Something happened, for the trace. */
void sim_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
