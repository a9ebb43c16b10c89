/*
 * sim_marks.h: `seen` and `peers` in the simulator: what people ask, and what the model says of marks, unseen counts
 * and the order of conversations. A mark that was acknowledged, pushed or shown is durable and never goes back.
 */
#ifndef CHITCHAT_TESTS_SIM_SIM_MARKS_H
#define CHITCHAT_TESTS_SIM_SIM_MARKS_H

#include "sim_client.h"

/* Person asks for a mark, or for a page of conversations; nothing if too many requests are unanswered. */
void marks_ask_seen(struct sim *sim, struct person *person);
void marks_ask_peers(struct sim *sim, struct person *person, struct sim_request want);
/* The `ok` of a mark; a page of conversations. */
void marks_take_ok(struct sim *sim, struct person *person, const struct sim_request *asked);
void marks_take_peers(struct sim *sim, struct person *person, const struct value *frame,
                      const struct sim_request *asked);
/* A push. */
void marks_take_push(struct sim *sim, struct person *person, const struct value *frame, bool is_by);
/* In the end: `client` asks for all conversations of `user`, and for the pages with each peer; they must be what the
 * timeline says: `sends` are numbers, ascending by ts. */
void marks_check(struct sim *sim, struct client *client, uint32_t user, const uint32_t *sends, uint32_t count);
/* After that of all users: both sides of each conversation agree. */
void marks_check_all(struct sim *sim);

#endif
