/*
 * in_flight.h: whether another send may be in flight: the limits of the pools and of a pair of shards.
 * The last eighth of each pool and pair is for connections with few unanswered requests (base/fair_share.h). Also the
 * bytes that the generation being filled will get from what is in flight. Shard's thread.
 */
#ifndef CHITCHAT_TIMELINE_IN_FLIGHT_H
#define CHITCHAT_TIMELINE_IN_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

struct core;
struct delivery;
struct record;

/* Whether a pool of which `taken` are in use, budget.deliveries_max at most, has one for a send that came when its
 * connection had `unanswered` requests, itself included. */
bool in_flight_has_place(const struct core *core, uint32_t taken, uint32_t unanswered);
/* Whether the limits of the pair of shards let the delivery go out now. */
bool in_flight_may_go_out(const struct core *core, const struct delivery *delivery);
/* The record will become an entry of this shard; and: it has become one, or will not. */
void in_flight_add(struct core *core, const struct record *record);
void in_flight_remove(struct core *core, const struct record *record);

#endif
