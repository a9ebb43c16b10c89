/*
 * election.h: which of the nodes of a cluster owns its slots. Pure: no I/O, no clock. The logs elect; the times here
 * decide only when a node tries.
 *
 * One node owns all slots. The `meta` log (storage/log_ownership.h, slot number = number of slots) says which: the node
 * of its newest TAKE. When nothing else is appended, the owner appends an empty batch to the log of slot 0 each
 * ELECTION_HEARTBEAT_US: the meta log stays short. A node that has seen no new batch in any log for
 * ELECTION_SILENCE_US, and a second more for each node that is preferred to it, takes the meta log. Time in which the
 * node did not look, since it wrote runs or did not run, is no silence of the logs: so it looks once more before.
 * Whoever succeeds takes each slot's log with the same generation, which shuts the owner before out, and serves once
 * all are its own and all that they hold is applied.
 *
 *     STANDBY -> ELECTS -> TAKES -> ACTIVE        ELECTS -> STANDBY        any -> STANDBY by election_reset
 *
 * A node that is deposed in one log has lost all: it steps down, opens its slots anew and follows.
 *
 * One thread at a time.
 */
#ifndef CHITCHAT_CLUSTER_ELECTION_H
#define CHITCHAT_CLUSTER_ELECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/log_ownership.h"

#define ELECTION_SILENCE_US UINT64_C(2000000)
#define ELECTION_RANK_US UINT64_C(1000000)
#define ELECTION_HEARTBEAT_US UINT64_C(500000)
_Static_assert(2 * ELECTION_HEARTBEAT_US < ELECTION_SILENCE_US, "a late heartbeat is no silence");

enum election_state {
    ELECTION_STANDBY,
    ELECTION_ELECTS, /* its TAKE in the meta log is not settled */
    ELECTION_TAKES,  /* takes the logs of the slots */
    ELECTION_ACTIVE,
};

/* What the caller does now. */
enum election_action {
    ELECTION_NOTHING,
    ELECTION_LOOK,       /* look for news in all logs; if there is none: election_on_look, and a step at once */
    ELECTION_TAKE_META,  /* ownership_take of the meta log, with election.generation */
    ELECTION_TAKE_SLOTS, /* ownership_take of each slot's log, with election.generation, as soon as ownership_may_take;
                            again if it comes back to FOLLOWS; then election_on_slot */
    ELECTION_SERVE,      /* all slots are its own: take clients */
    ELECTION_STEP_DOWN,  /* close clients, drop what is not committed, open all anew, then election_reset */
};

/* What became of one slot's log after ELECTION_TAKE_SLOTS. */
enum election_slot {
    ELECTION_SLOT_OWNED, /* and all before its TAKE is applied */
    ELECTION_SLOT_LOST,  /* deposed, or ownership_take has returned false */
};

struct election {
    /* Set by init, then only read. */
    uint32_t slots;
    uint32_t rank;

    /* Changed by the functions below alone. */
    enum election_state state;
    uint64_t generation; /* of the TAKE; 0: none yet */
    uint64_t news_us;    /* when a batch was read last */
    uint64_t looked_us;  /* when a look found that no log has one that is not read; 0: never */
    uint32_t owned;
    bool is_lost;
    bool is_damaged;
};

/* A standby, before which `rank` nodes are preferred. `at_once`: the node was the owner when it ended, so nobody's
 * silence has to be waited for. Times are monotonic. */
void election_init(struct election *election, uint32_t slots, uint32_t rank, bool at_once, uint64_t now_us);
/* Has stepped down: a standby again. */
void election_reset(struct election *election, uint64_t now_us);
/* A batch was read in any log. */
void election_on_news(struct election *election, uint64_t now_us);
/* After ELECTION_LOOK: no log has a batch that is not read. Counts for ELECTION_HEARTBEAT_US. */
void election_on_look(struct election *election, uint64_t now_us);
/* For tests, whose nodes live on where the server ends: a log of the node is damaged. It does not take over, and an
 * owner steps down. Until election_reset. */
void election_on_damage(struct election *election);
/* Something became of one slot's log. After a LOST the rest does not matter. */
void election_on_slot(struct election *election, enum election_slot slot);
/* What to do now. `meta` is the node's view of the meta log; borrowed. */
enum election_action election_step(struct election *election, const struct ownership *meta, uint64_t now_us);

#endif
