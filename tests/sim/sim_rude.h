/*
 * sim_rude.h: what a rude connection says before it logs in: frames that are refused, or that need no answer, up to
 * thousands of them, in one write with the login and what follows it. The server answers them one by one, in order, and
 * all of them before the login.
 */
#ifndef CHITCHAT_TESTS_SIM_SIM_RUDE_H
#define CHITCHAT_TESTS_SIM_SIM_RUDE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define RUDE_MAX 2000u

struct chaos;
struct client;

struct rude {
    uint8_t kinds[RUDE_MAX]; /* of those that are refused, in the order in which they were sent */
    uint32_t count;
    uint32_t taken; /* of these, so many have been refused */
    uint32_t pings; /* ping frames */
};

/* Sends what chance says, at most RUDE_MAX frames; the requests among them have ids from `first_id` on. */
void rude_send(struct rude *rude, struct chaos *chaos, struct client *client, uint64_t first_id);
/* An error came that answers no request of the connection's other ones: judges it. */
void rude_take(struct rude *rude, const json_t *frame, uint64_t first_id);
/* The login was answered: all that was sent before it must have been answered by then. `pongs` came so far. */
void rude_check_all_answered(const struct rude *rude, uint32_t pongs);

#endif
