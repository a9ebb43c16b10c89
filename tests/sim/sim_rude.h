/*
 * sim_rude.h: what a rude connection sends before its login: frames that are refused, or that need no answer, up to
 * thousands of them, in one write with the login and what follows. The server answers them one by one, in order, and
 * all of them before the login.
 */
#ifndef CHITCHAT_TESTS_SIM_SIM_RUDE_H
#define CHITCHAT_TESTS_SIM_SIM_RUDE_H

#include <stdbool.h>
#include <stdint.h>

#define RUDE_MAX 2000u

struct chaos;
struct client;
struct value;

struct rude {
    uint8_t kinds[RUDE_MAX]; /* of those that are refused, in the order in which they were sent */
    uint32_t count;
    uint32_t taken; /* so many of these have been refused */
    uint32_t pings; /* ping frames */
};

/* Sends random frames, at most RUDE_MAX; the requests among them have ids from `first_id` on. */
void rude_send(struct rude *rude, struct chaos *chaos, struct client *client, uint64_t first_id);
/* Sends very many frames that have no answer: the server reads on, since no output makes it pause. */
void rude_send_silent(struct chaos *chaos, struct client *client);
/* Checks an error that answers none of the connection's other requests. */
void rude_take(struct rude *rude, const struct value *frame, uint64_t first_id);
/* The login was answered: all that was sent before must have been answered. `pongs`: received so far. */
void rude_check_all_answered(const struct rude *rude, uint32_t pongs);

#endif
