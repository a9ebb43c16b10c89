/*
 * state.h: tables of the transitions that a state machine allows: an array indexed by the state it is in, whose
 * elements are sets of the states that may follow.
 *
 *     static const uint8_t transitions[] = {[A] = STATE_TO(B) | STATE_TO(C), [B] = STATE_TO(A)};
 *     ASSERT_TRANSITION(transitions, from, to);
 *
 * Pure; any thread.
 */
#ifndef CHITCHAT_BASE_STATE_H
#define CHITCHAT_BASE_STATE_H

#include "base/assert.h"

/* The set of one state, which is below the bits of an element. */
#define STATE_TO(state) (1u << (state))
#define ASSERT_TRANSITION(table, from, to) ASSERT(((table)[from] & STATE_TO(to)) != 0)

#endif
