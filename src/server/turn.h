/*
 * turn.h: the budgets of a turn. A shard serves all its users in one thread, so for whatever one of them has done in a
 * turn the others wait. Each kind of work has a budget for a turn; what is left over is carried to the next turn.
 *
 * Carried work stands in a queue of its kind (core->conns.resume, history_conns, place_conns, replay_conns, fanouts and
 * the arrivals that are durable): whoever has had a share and has more goes to the end of the queue, so connections and
 * users take turns. At the end of a turn the budgets are renewed and the queues are served, with at most half of each
 * budget; the rest is for those who come new in the next turn. So neither can use up what the other needs. (Where the
 * memory for input that waits is half used up, input does not wait for its budget: conn_read.c.)
 *
 * The work of these kinds is counted in one unit besides, nanoseconds, by what was measured for each. Past TURN_WORK_NS
 * a turn ends as soon as each kind has had its least, new and carried. So there is a longest turn in counted work,
 * turn_work_ns_max, which the simulator asserts; what the clock says of the longest turns stands in the server's debug
 * lines (rest.h). Not counted: timers and letters, which have a bound of their own (shard.h), what the kernel does to
 * send, and what an entry costs that goes to one or two connections.
 *
 * Pure; the shard's thread.
 */
#ifndef CHITCHAT_SERVER_TURN_H
#define CHITCHAT_SERVER_TURN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/limits.h"

enum turn_kind {
    TURN_INPUT,   /* frames taken up; each TURN_FRAME_BYTES of one count as one more */
    TURN_READS,   /* entries of timelines looked at for pages; a page itself counts as TURN_PAGE_READS */
    TURN_PUSHES,  /* entries given to connections; a connection to be written to counts as TURN_CONN_PUSHES */
    TURN_REPLAYS, /* entries given by replays */
    /* In these three, TURN_OUTPUT_BYTES that are written count as one more entry. */
    TURN_ARRIVALS, /* durable records taken into the recipient's timeline and reported to the sender's shard */
    TURN_KINDS
};

#define TURN_FRAME_BYTES 512u
#define TURN_HEAD_FRAMES 16u  /* an HTTP head with its answer, in frames */
#define TURN_ACCEPT_FRAMES 8u /* a new connection, in frames */
#define TURN_OUTPUT_BYTES 1024u
#define TURN_PAGE_READS 16u
#define TURN_CONN_PUSHES 12u

#define TURN_OUTPUT(bytes) ((uint32_t)((bytes) / TURN_OUTPUT_BYTES))

/* The simulator's turns are shorter, so that its small loads come by the queues, too. */
#ifdef CHITCHAT_FAULTS
#define TURN_SCALE 32u
#else
#define TURN_SCALE 1u
#endif

/* What one connection or user may have before the next in the queue has its share. */
#define TURN_INPUT_SHARE (256u / TURN_SCALE)
#define TURN_READS_SHARE (1280u / TURN_SCALE)
#define TURN_PUSHES_SHARE (1024u / TURN_SCALE)

/* Per kind: the budget of a turn, what one unit takes (in nanoseconds, by profile on the machine of
 * docs/PERFORMANCE.md), and the largest single step, which is begun while anything is left: a message of 128 KiB, a
 * slice of a page and the page itself, one connection's pushes (FANOUT_ROUND_MAX, FANOUT_ROUND_BYTES and one more), a
 * page of a replay, a record. */
struct turn_limit {
    uint32_t max;
    uint32_t ns;
    uint32_t step;
};
static const struct turn_limit turn_limits[TURN_KINDS] = {
    [TURN_INPUT] = {2048 / TURN_SCALE, 300, 1 + LIMIT_FRAME_BYTES / TURN_FRAME_BYTES + TURN_HEAD_FRAMES},
    [TURN_READS] = {8192 / TURN_SCALE, 80, TURN_PAGE_READS + LIMIT_PAGE_ENTRIES + TURN_OUTPUT(LIMIT_PAGE_BYTES)},
    [TURN_PUSHES] = {4096 / TURN_SCALE, 250,
                     TURN_CONN_PUSHES + 64
                         + TURN_OUTPUT(LIMIT_ESCAPED_BYTES(65536) + LIMIT_MSG_BYTES(LIMIT_TEXT_BYTES))},
    [TURN_REPLAYS] = {4096 / TURN_SCALE, 170,
                      256 + TURN_OUTPUT(LIMIT_ESCAPED_BYTES(65536) + LIMIT_MSG_BYTES(LIMIT_TEXT_BYTES))},
    [TURN_ARRIVALS] = {2048 / TURN_SCALE, 500, 1},
};

/* Past so much counted work a turn ends, once each kind has had its least: an eighth of its budget. */
#define TURN_WORK_NS (2000000u / TURN_SCALE)

struct turn {
    uint32_t left[TURN_KINDS];
    uint32_t had[TURN_KINDS]; /* since the turn, or the end of it, began */
    uint64_t work_ns;         /* counted, in this turn */

    /* Since the start. */
    uint64_t count;
    uint64_t longest_work_ns;
    uint64_t longest_us; /* by the clock */
};

/* The most work that a turn can count: up to the limit, the least of each kind, new and carried, and a step beyond. */
static inline uint64_t turn_work_ns_max(void)
{
    uint64_t sum_ns = TURN_WORK_NS;
    for (int kind = 0; kind < TURN_KINDS; kind++)
        sum_ns += (uint64_t)(turn_limits[kind].max / 4 + turn_limits[kind].step) * turn_limits[kind].ns;
    return sum_ns;
}

/* Full budgets: before the first turn, and at the end of each, before the queues are served. */
static inline void turn_renew(struct turn *turn)
{
    for (int kind = 0; kind < TURN_KINDS; kind++) {
        turn->left[kind] = turn_limits[kind].max;
        turn->had[kind] = 0;
    }
}

/* The turn is over; by the clock it took `us`. */
static inline void turn_over(struct turn *turn, uint64_t us)
{
    turn->count++;
    if (turn->work_ns > turn->longest_work_ns)
        turn->longest_work_ns = turn->work_ns;
    if (us > turn->longest_us)
        turn->longest_us = us;
    turn->work_ns = 0;
    for (int kind = 0; kind < TURN_KINDS; kind++)
        turn->had[kind] = 0;
}

/* `units` of `kind` were done. */
static inline void turn_spend(struct turn *turn, enum turn_kind kind, uint32_t units)
{
    turn->left[kind] -= units < turn->left[kind] ? units : turn->left[kind];
    turn->had[kind] += units;
    turn->work_ns += (uint64_t)units * turn_limits[kind].ns;
}

static inline bool turn_has_time(const struct turn *turn, enum turn_kind kind)
{
    return turn->work_ns < TURN_WORK_NS || turn->had[kind] < turn_limits[kind].max / 8;
}

/* Whether `kind` may be done at once, for one who comes new. */
static inline bool turn_may(const struct turn *turn, enum turn_kind kind)
{
    return (turn->left[kind] > 0 && turn_has_time(turn, kind)) || FAULT(TURN_WITHOUT_END);
}

/* The same for the next in the queue of `kind`. */
static inline bool turn_may_carry(const struct turn *turn, enum turn_kind kind)
{
    return (turn->left[kind] > turn_limits[kind].max / 2 && turn_has_time(turn, kind)) || FAULT(TURN_WITHOUT_END);
}

#endif
