/*
 * cluster_world.h: one run of the cluster's simulator: nodes that follow, take and own logs (storage/log_ownership.h,
 * src/cluster/election.h) over a double of the engine (log_double.h), clients that send and log in, and what must hold.
 *
 * A node is a model of the server: what it has of a slot is a list of sends in the order of the log. Its calls of the
 * engine take time: others act between the moment at which a call is made, at which the engine does it, and at which
 * the node learns the result. A paused node may do each of these late. A crash keeps what the disk has of the list.
 *
 * A send is a number. A client that got no answer sends it again, to any node that serves: it must be in the log once.
 */
#ifndef CHITCHAT_TESTS_SIM_CLUSTER_WORLD_H
#define CHITCHAT_TESTS_SIM_CLUSTER_WORLD_H

#include <setjmp.h>

#include "cluster/election.h"
#include "log_double.h"

#define WORLD_SLOTS 2u
#define WORLD_META WORLD_SLOTS /* the number of the meta log */
#define WORLD_LOGS (WORLD_SLOTS + 1)
#define WORLD_NODES 3u
#define WORLD_CLIENTS 4u
#define WORLD_SENDS_MAX 4096u
#define WORLD_BATCH_SENDS_MAX 16u
#define WORLD_CALLS_MAX 64u
#define WORLD_LOGINS_MAX 16u
#define WORLD_BATCH_BYTES (LOG_BATCH_HEADER_BYTES + OWNERSHIP_ADDRESS_BYTES)
#define WORLD_READ_MAX 64u /* batches of one read */

enum world_promise {
    WORLD_LOST,       /* an acknowledged send is not there */
    WORLD_DOUBLED,    /* a send is there twice */
    WORLD_REORDERED,  /* what a node had shown has changed its place */
    WORLD_TWO_OWNERS, /* the chain of the log is broken by those who append to it */
    WORLD_OLD_LAST,   /* a login or a read was answered with less than what was acknowledged before it */
    WORLD_DAMAGE,     /* a log that lost a part was served by a node that had it, or a whole one was refused */
    WORLD_HASTY,      /* a node takes over though the log has had news within the time of silence */
    WORLD_STUCK,      /* without trouble, no node serves */
    WORLD_PROMISES,
};

struct world_tally {
    uint64_t crashes, take_overs, deposed, failovers, unknown, pauses, drops, refused;
    uint64_t acknowledged, again, logins, checked;
};

/* The sends that a batch has. */
struct world_batch {
    uint32_t ids[WORLD_BATCH_SENDS_MAX];
    uint32_t count;
    uint64_t number; /* once it is sealed */
    uint8_t data[WORLD_BATCH_BYTES];
};

/* What a node has of a slot. */
struct world_slot {
    uint32_t list[WORLD_SENDS_MAX];
    uint32_t count;
    uint8_t has[WORLD_SENDS_MAX]; /* in the list */
    struct world_batch filling, sealed;
    bool is_sealed;
    uint64_t sealed_us; /* when the last batch was */
    bool is_owned;      /* reported to the election */

    /* On the disk. */
    struct ownership_mark disk_mark;
    uint32_t disk_count;
    struct ownership_mark disk_tail; /* storage/log_tail.h: written more often */

    uint64_t reported; /* on the log servers: what the runs of the node have */
};

/* A login, or a read of a program. */
struct world_login {
    uint32_t slot;
    uint32_t shown;   /* how much of the slot was acknowledged when it came */
    uint64_t barrier; /* 0: free */
};

struct world_node {
    char name[8];
    bool is_up, is_paused, is_serving, was_damaged;
    uint32_t life; /* counts the times at which its slots were opened */
    struct election election;
    struct ownership logs[WORLD_LOGS];
    struct log_session *session;
    struct world_slot slots[WORLD_SLOTS];
    struct world_login logins[WORLD_LOGINS_MAX];
};

struct world_read {
    uint64_t number;
    uint8_t *data; /* owned */
    uint32_t bytes;
};

/* A call of the engine. */
struct world_call {
    enum { CALL_FREE, CALL_MADE, CALL_DONE } phase;
    bool is_stray; /* not of the machine: a second append in flight */
    uint32_t node, life, log;
    struct ownership_call call;
    struct log_hash previous, hash;
    uint8_t data[WORLD_BATCH_BYTES];
    int result; /* of the append or the read */
    struct world_read reads[WORLD_READ_MAX];
    uint32_t read_count;
};

struct world_client {
    uint32_t slot, id; /* of the send without an answer; 0: none */
    uint32_t node;     /* asked last, */
    uint32_t life;     /* in this life of it */
    bool is_waiting;
};

struct world {
    uint64_t seed;
    struct dice dice;
    struct log_double *log_double;
    uint64_t now_us;
    uint64_t news_us;          /* when a log has grown, if it has lost nothing since; else 0 */
    uint64_t last[WORLD_LOGS]; /* the last batch of each after the last event */
    bool is_hasty;             /* nodes do not look before they take over: the log must elect all the same */
    bool is_calm, may_drop, was_dropped, compares_positions;
    struct world_node nodes[WORLD_NODES];
    struct world_call calls[WORLD_CALLS_MAX];
    struct world_client clients[WORLD_CLIENTS];
    uint32_t next_id;
    struct {
        uint32_t list[WORLD_SENDS_MAX]; /* the order that a node has shown */
        uint32_t count;
        uint32_t acknowledged; /* the first so many of the list hold all that was acknowledged */
        uint8_t is_acknowledged[WORLD_SENDS_MAX];
    } slots[WORLD_SLOTS];
    struct world_tally tally;

    jmp_buf failed;
    enum world_promise broken;
    uint64_t event;
    char text[256];
};

/* The run has broken a promise: ends it. */
_Noreturn void world_fail(struct world *world, enum world_promise promise, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* cluster_node.c: opens the node's slots from its disk; crash: what is not on the disk is gone. */
void node_open(struct world *world, struct world_node *node, bool keeps_memory);
void node_crash(struct world *world, struct world_node *node);
/* The node does what it can: applies, seals, answers, and makes calls. */
void node_act(struct world *world, struct world_node *node);
/* Puts what is applied on its disk. */
void node_checkpoint(struct world *world, struct world_node *node, uint32_t slot);
/* A client sends or logs in, or a program reads (`is_read`). False: the node does not serve. */
bool node_send(struct world *world, struct world_node *node, uint32_t slot, uint32_t id);
bool node_login(struct world *world, struct world_node *node, uint32_t slot, bool is_read);

/* cluster_call.c: makes the machine's next call, does the calls, delivers results. */
void call_make(struct world *world, struct world_node *node, uint32_t log);
void call_stray(struct world *world, struct world_node *node, uint32_t log, const struct ownership_mark *behind,
                const struct world_batch *batch);
/* One step of a call: the engine does it, or the node learns its result. */
void call_step(struct world *world, struct world_call *call);
void call_drop(struct world_call *call);

/* cluster_check.c: an answer `ok` was given. */
void check_acknowledge(struct world *world, uint32_t slot, uint32_t id);
/* A node has applied a send as the `index`th of the slot. */
void check_applied(struct world *world, uint32_t slot, uint32_t index, uint32_t id);
/* An append of the node was acknowledged: what it has applied of the slot is the log's beginning. */
void check_owner(struct world *world, const struct world_node *node, uint32_t slot);
/* The node is about to take over: nothing was appended in the time of silence. */
void check_silence(struct world *world, const struct world_node *node);
/* At the end, when it serves: it has all that was acknowledged. */
void check_has(struct world *world, const struct world_node *node);
/* At the end: every log is one chain, and has every acknowledged send once. */
void check_logs(struct world *world);

/* cluster_world.c: a whole run of `events`. True: all promises were kept. *world is large: the caller has it for one
 * run after the other. */
bool world_run(struct world *world, uint64_t seed, uint64_t events);

#endif
