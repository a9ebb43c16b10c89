/*
 * turn.h: the budgets of a turn. A shard serves all its users in one thread, so the work of one user in a turn delays
 * all others. Each kind of work has a budget per turn. Work that exceeds it is carried to the next turn.
 *
 * Carried work waits in a queue of its kind: core->conns.resume_first and .resume, core->histories.queue and
 * .place_queue, core->fanouts.queue, core->replays.queue, and the durable ones of core->deliveries.arrivals. A
 * connection or user that had its share and has more to do goes to the end of the queue, so they take turns. At the end
 * of a turn the budgets are renewed and the queues are served. Queues of input, pages and pushes use at most half of
 * their budget; the rest is for work that arrives in the next turn, so neither can use up what the other needs. Replays
 * and arrivals have one queue for new and carried work, which may use the whole budget. (When stashes take much memory,
 * input may exceed its budget: conn_read.c.)
 *
 * The work of all kinds is also counted in one unit, nanoseconds, by the measured cost of each. Past its length a turn
 * ends as soon as each kind has had its minimum, new and carried. A turn that stores and delivers nothing is short: to
 * gather more would only make others wait. Each message that is stored or delivered makes it longer by more than what
 * that message costs, since messages in one batch share the write of the WAL and the sends. TURN_WORK_NS bounds both.
 * So the counted work of a turn has an upper limit, turn_work_ns_max, which the simulator asserts. The server's debug
 * lines have the longest turns by the clock (rest.h). Not counted: timers and letters, which have limits of their own
 * (shard.h), and pushes to users with one or two connections. The kernel's work to send counts for the length only.
 *
 * Pure. One thread: the shard's.
 */
#ifndef CHITCHAT_SERVER_TURN_H
#define CHITCHAT_SERVER_TURN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/fault.h"
#include "base/limits.h"

enum turn_kind {
    TURN_INPUT, /* frames read; each TURN_FRAME_BYTES of a frame count as one more */
    /* In the next three, each TURN_OUTPUT_BYTES of output count as one more entry. */
    TURN_READS,    /* timeline entries examined for pages; a page itself counts as TURN_PAGE_READS */
    TURN_PUSHES,   /* entries pushed to connections; a connection without other output counts as TURN_CONN_PUSHES */
    TURN_REPLAYS,  /* entries written by replays */
    TURN_ARRIVALS, /* durable records settled in the recipient's timeline and reported to the sender's shard */
    TURN_KINDS
};

#define TURN_FRAME_BYTES 512u
#define TURN_STASH_BYTES 256u      /* of input that is stashed, for one frame: the kernel's part of a receive */
#define TURN_HEAD_FRAMES 16u       /* an HTTP head with its answer, in frames */
#define TURN_ACCEPT_FRAMES 8u      /* a new connection, in frames */
#define TURN_TOKEN_FRAMES 667u     /* a token that is verified, at most: 0.2 ms */
#define TURN_KEY_UPDATE_FRAMES 10u /* a KeyUpdate of TLS, in frames */
#define TURN_OUTPUT_BYTES 1024u
#define TURN_PAGE_READS 16u
#define TURN_CONN_PUSHES 12u

#define TURN_OUTPUT(bytes) ((uint32_t)((bytes) / TURN_OUTPUT_BYTES))

/* The simulator's turns are shorter, so that its small loads reach the queues, too. */
#ifdef CHITCHAT_FAULTS
#define TURN_SCALE 32u
#else
#define TURN_SCALE 1u
#endif

/* The share: what one connection or user may use before the next one in the queue. */
#define TURN_INPUT_SHARE (256u / TURN_SCALE)
#define TURN_INPUT_FIRST_SHARE 4u /* of a stash that has just begun: a few small requests */
#define TURN_READS_SHARE (1280u / TURN_SCALE)
#define TURN_PUSHES_SHARE (1024u / TURN_SCALE)

/* Per kind: the budget of a turn in units, the nanoseconds of one unit (by profile on the machine of
 * docs/PERFORMANCE.md), and the largest single step in units. A step may begin while any budget is left: a message of
 * 128 KiB with a token in it, a part of a page with the page itself, one connection's pushes (FANOUT_ROUND_MAX,
 * FANOUT_ROUND_BYTES and one more), a page of a replay, a record. */
struct turn_limit {
    uint32_t max;
    uint32_t ns;
    uint32_t step;
};
static const struct turn_limit turn_limits[TURN_KINDS] = {
    [TURN_INPUT] = {2048 / TURN_SCALE, 300,
                    1 + LIMIT_FRAME_BYTES / TURN_FRAME_BYTES + TURN_HEAD_FRAMES + TURN_TOKEN_FRAMES},
    [TURN_READS] = {8192 / TURN_SCALE, 80, TURN_PAGE_READS + LIMIT_PAGE_ENTRIES + TURN_OUTPUT(LIMIT_PAGE_BYTES)},
    [TURN_PUSHES] = {4096 / TURN_SCALE, 250,
                     TURN_CONN_PUSHES + 64
                         + TURN_OUTPUT(LIMIT_ESCAPED_BYTES(65536) + LIMIT_MSG_BYTES(LIMIT_TEXT_BYTES))},
    [TURN_REPLAYS] = {4096 / TURN_SCALE, 170,
                      256 + TURN_OUTPUT(LIMIT_ESCAPED_BYTES(65536) + LIMIT_MSG_BYTES(LIMIT_TEXT_BYTES))},
    [TURN_ARRIVALS] = {2048 / TURN_SCALE, 500, 1},
};

/* Handshakes of TLS: one in each turn, and more while those of the turn took less than this by the clock. One takes 0.1
 * ms (resumed, or with a P-256 key) to 1 ms (RSA-2048), by the certificate: so it is not counted in units. */
#define TURN_HANDSHAKES_US (100u / TURN_SCALE)

/* Past this counted work a turn ends as soon as each kind has had its minimum, an eighth of its budget. */
#define TURN_WORK_NS (2000000u / TURN_SCALE)
/* The length of a turn, with the kernel's work to send: at first, and what each message adds. */
#define TURN_SHORT_NS (100000u / TURN_SCALE)
#define TURN_STORED_NS 3000u     /* a message or a mark that gets its place in the WAL batch */
#define TURN_DELIVERED_NS 10000u /* one that has become durable: its answer and a push are two sends */
#define TURN_SEND_NS 4000u       /* a connection with output: the kernel's part, by profile */

struct turn {
    uint32_t left[TURN_KINDS]; /* of the budget */
    uint32_t had[TURN_KINDS];  /* used since the turn, or its end phase, began */
    uint64_t work_ns;          /* counted work of this turn */
    uint64_t sends_ns;         /* the kernel's work for this turn's output */
    uint64_t longer_ns;        /* what messages have added to the length of this turn */

    /* Since the start. */
    uint64_t count;
    uint64_t longest_work_ns;
    uint64_t longest_us; /* by the clock */
};

/* The upper limit of a turn's counted work: TURN_WORK_NS, the minimum of each kind, new and carried, one step more, and
 * handshakes. */
static inline uint64_t turn_work_ns_max(void)
{
    uint64_t sum_ns = TURN_WORK_NS + TURN_HANDSHAKES_US * 1000;
    for (int kind = 0; kind < TURN_KINDS; kind++)
        sum_ns += (uint64_t)(turn_limits[kind].max / 4 + turn_limits[kind].step) * turn_limits[kind].ns;
    return sum_ns;
}

/* Renews the budgets: before the first turn, and at the end of each turn, before the queues are served. */
static inline void turn_renew(struct turn *turn)
{
    for (int kind = 0; kind < TURN_KINDS; kind++) {
        turn->left[kind] = turn_limits[kind].max;
        turn->had[kind] = 0;
    }
}

/* The turn ends; by the clock it took `us`. */
static inline void turn_over(struct turn *turn, uint64_t us)
{
    turn->count++;
    if (turn->work_ns > turn->longest_work_ns)
        turn->longest_work_ns = turn->work_ns;
    if (us > turn->longest_us)
        turn->longest_us = us;
    turn->work_ns = turn->sends_ns = turn->longer_ns = 0;
    for (int kind = 0; kind < TURN_KINDS; kind++)
        turn->had[kind] = 0;
}

/* Uses `units` of `kind`. */
static inline void turn_spend(struct turn *turn, enum turn_kind kind, uint32_t units)
{
    ASSERT(kind < TURN_KINDS);
    turn->left[kind] -= units < turn->left[kind] ? units : turn->left[kind];
    turn->had[kind] += units;
    turn->work_ns += (uint64_t)units * turn_limits[kind].ns;
}

/* A message adds `ns` to the length of the turn. */
static inline void turn_lengthen(struct turn *turn, uint32_t ns)
{
    turn->longer_ns += ns;
}

/* A connection has output for the end of the turn. */
static inline void turn_note_output(struct turn *turn)
{
    turn->sends_ns += TURN_SEND_NS;
}

/* Handshakes took `us`. What they took beyond their part, one handshake at most, is not counted. */
static inline void turn_spend_handshakes(struct turn *turn, uint64_t us)
{
    turn->work_ns += (us < TURN_HANDSHAKES_US ? us : TURN_HANDSHAKES_US) * 1000;
}

/* Whether another handshake may be done, after those of this turn took `us`. */
static inline bool turn_may_shake_hands(uint64_t us)
{
    return us < TURN_HANDSHAKES_US;
}

/* Whether the minimum of `kind` is left. */
static inline bool turn_has_least(const struct turn *turn, enum turn_kind kind)
{
    ASSERT(kind < TURN_KINDS);
    return turn->had[kind] < turn_limits[kind].max / 8;
}

static inline bool turn_is_long(const struct turn *turn)
{
    return turn->work_ns >= TURN_WORK_NS || turn->work_ns + turn->sends_ns >= TURN_SHORT_NS + turn->longer_ns;
}

/* Whether time of the turn or the minimum of `kind` is left. */
static inline bool turn_has_time(const struct turn *turn, enum turn_kind kind)
{
    return turn_has_least(turn, kind) || !turn_is_long(turn);
}

/* Whether the turn has as much work as any may have, and of `kind` as much as a queue may have: what may be dropped is
 * dropped then. What is put off goes by turn_may and turn_may_carry. */
static inline bool turn_is_full(const struct turn *turn, enum turn_kind kind)
{
    return turn->left[kind] <= turn_limits[kind].max / 2
           || (turn->work_ns >= TURN_WORK_NS && !turn_has_least(turn, kind));
}

/* Whether new work of `kind` may be done at once. */
static inline bool turn_may(const struct turn *turn, enum turn_kind kind)
{
    return (turn->left[kind] > 0 && turn_has_time(turn, kind)) || FAULT(TURN_WITHOUT_END);
}

/* Whether the next work in the queue of `kind` may be done. */
static inline bool turn_may_carry(const struct turn *turn, enum turn_kind kind)
{
    return (turn->left[kind] > turn_limits[kind].max / 2 && turn_has_time(turn, kind)) || FAULT(TURN_WITHOUT_END);
}

#endif
