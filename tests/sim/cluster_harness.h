/*
 * cluster_harness.h: one run of the cluster's simulator: nodes that follow, take and own logs (storage/log_ownership.h,
 * src/cluster/election.h) over a double of the engine (log_double.h), clients that send and log in, and what must hold.
 *
 * A node is a model of the server: what it has of a slot is a list of sends in the order of the log. Its calls of the
 * engine take time: others act between the moment at which a call is made, at which the engine does it, and at which
 * the node learns the result. A paused node may do each of these late. A crash keeps what the disk has of the list.
 *
 * A send is a number. A client that got no answer sends it again, to any node that serves: it must be in the log once.
 */
#ifndef CHITCHAT_TESTS_SIM_CLUSTER_HARNESS_H
#define CHITCHAT_TESTS_SIM_CLUSTER_HARNESS_H

#include <setjmp.h>

#include "cluster/election.h"
#include "log_double.h"

#define HARNESS_SLOTS 2u
#define HARNESS_META HARNESS_SLOTS /* the number of the meta log */
#define HARNESS_LOGS (HARNESS_SLOTS + 1)
#define HARNESS_NODES 3u
#define HARNESS_CLIENTS 4u
#define HARNESS_SENDS_MAX 4096u
#define HARNESS_BATCH_SENDS_MAX 16u
#define HARNESS_CALLS_MAX 64u
#define HARNESS_LOGINS_MAX 16u
#define HARNESS_BATCH_BYTES (LOG_BATCH_HEADER_BYTES + OWNERSHIP_ADDRESS_BYTES)
#define HARNESS_READ_MAX 64u /* batches of one read */

enum harness_promise {
    HARNESS_LOST,       /* an acknowledged send is not there */
    HARNESS_DOUBLED,    /* a send is there twice */
    HARNESS_REORDERED,  /* what a node had shown has changed its place */
    HARNESS_TWO_OWNERS, /* the chain of the log is broken by those who append to it */
    HARNESS_OLD_LAST,   /* a login or a read was answered with less than what was acknowledged before it */
    HARNESS_DAMAGE,     /* a log that lost a part was served by a node that had it, or a whole one was refused */
    HARNESS_HASTY,      /* a node takes over though the log has had news within the time of silence */
    HARNESS_STUCK,      /* without trouble, no node serves */
    HARNESS_PROMISES,
};

struct harness_tally {
    uint64_t crashes, take_overs, deposed, failovers, unknown, pauses, drops, refused;
    uint64_t acknowledged, again, logins, checked;
};

#define HARNESS_HAS 1      /* known by runs or log */
#define HARNESS_APPENDED 2 /* by this node, since it has opened its slots */

/* The sends that a batch has. */
struct harness_batch {
    uint32_t ids[HARNESS_BATCH_SENDS_MAX];
    uint32_t count;
    uint64_t number; /* once it is sealed */
    uint8_t data[HARNESS_BATCH_BYTES];
};

/* What a node has of a slot. */
struct harness_slot {
    uint32_t list[HARNESS_SENDS_MAX];
    uint32_t count;
    uint8_t has[HARNESS_SENDS_MAX]; /* in the list: HARNESS_HAS, or HARNESS_APPENDED */
    struct harness_batch filling, sealed;
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
struct harness_login {
    uint32_t slot;
    uint32_t shown;   /* how much of the slot was acknowledged when it came */
    uint64_t barrier; /* 0: free */
};

struct harness_node {
    char name[8];
    bool is_up, is_paused, is_serving, was_damaged;
    uint32_t life; /* counts the times at which its slots were opened */
    struct election election;
    struct ownership logs[HARNESS_LOGS];
    struct log_session *session;
    struct harness_slot slots[HARNESS_SLOTS];
    struct harness_login logins[HARNESS_LOGINS_MAX];
};

struct harness_read {
    uint64_t number;
    uint8_t *data; /* owned */
    uint32_t bytes;
};

/* A call of the engine. */
struct harness_call {
    enum { CALL_FREE, CALL_MADE, CALL_DONE } phase;
    bool is_stray; /* not of the machine: a second append in flight */
    uint32_t node, life, log;
    struct ownership_call call;
    struct log_hash previous, hash;
    uint8_t data[HARNESS_BATCH_BYTES];
    int result; /* of the append or the read */
    struct harness_read reads[HARNESS_READ_MAX];
    uint32_t read_count;
};

struct harness_client {
    uint32_t slot, id; /* of the send without an answer; 0: none */
    uint32_t node;     /* asked last, */
    uint32_t life;     /* in this life of it */
    bool is_waiting;
};

struct harness {
    uint64_t seed;
    struct dice dice;
    struct log_double *log_double;
    uint64_t now_us;
    uint64_t news_us;            /* when a log has grown, if it has lost nothing since; else 0 */
    uint64_t last[HARNESS_LOGS]; /* the last batch of each after the last event */
    bool is_hasty;               /* nodes do not look before they take over: the log must elect all the same */
    bool is_calm, may_drop, was_dropped, compares_positions;
    struct harness_node nodes[HARNESS_NODES];
    struct harness_call calls[HARNESS_CALLS_MAX];
    struct harness_client clients[HARNESS_CLIENTS];
    uint32_t next_id;
    struct {
        uint32_t list[HARNESS_SENDS_MAX]; /* the order that a node has shown */
        uint32_t count;
        uint32_t acknowledged; /* the first so many of the list hold all that was acknowledged */
        uint8_t is_acknowledged[HARNESS_SENDS_MAX];
    } slots[HARNESS_SLOTS];
    struct harness_tally tally;

    jmp_buf failed;
    enum harness_promise broken;
    uint64_t event;
    char text[256];
};

/* The run has broken a promise: ends it. */
_Noreturn void harness_fail(struct harness *harness, enum harness_promise promise, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* cluster_node.c: opens the node's slots from its disk; crash: what is not on the disk is gone. */
void node_open(struct harness *harness, struct harness_node *node, bool keeps_memory);
void node_crash(struct harness *harness, struct harness_node *node);
/* The node does what it can: applies, seals, answers, and makes calls. */
void node_act(struct harness *harness, struct harness_node *node);
/* Puts what is applied on its disk. */
void node_checkpoint(struct harness *harness, struct harness_node *node, uint32_t slot);
/* A client sends or logs in, or a program reads (`is_read`). False: the node does not serve. */
bool node_send(struct harness *harness, struct harness_node *node, uint32_t slot, uint32_t id);
bool node_login(struct harness *harness, struct harness_node *node, uint32_t slot, bool is_read);

/* cluster_call.c: makes the machine's next call, does the calls, delivers results. */
void call_make(struct harness *harness, struct harness_node *node, uint32_t log);
void call_stray(struct harness *harness, struct harness_node *node, uint32_t log, const struct ownership_mark *behind,
                const struct harness_batch *batch);
/* One step of a call: the engine does it, or the node learns its result. */
void call_step(struct harness *harness, struct harness_call *call);
void call_drop(struct harness_call *call);

/* cluster_check.c: an answer `ok` was given. */
void check_acknowledge(struct harness *harness, uint32_t slot, uint32_t id);
/* A node has applied a send as the `index`th of the slot. */
void check_applied(struct harness *harness, uint32_t slot, uint32_t index, uint32_t id);
/* An append of the node was acknowledged: what it has applied of the slot is the log's beginning. */
void check_owner(struct harness *harness, const struct harness_node *node, uint32_t slot);
/* The node is about to take over: nothing was appended in the time of silence. */
void check_silence(struct harness *harness, const struct harness_node *node);
/* At the end, when it serves: it has all that was acknowledged. */
void check_has(struct harness *harness, const struct harness_node *node);
/* At the end: every log is one chain, and has every acknowledged send once. */
void check_logs(struct harness *harness);

/* cluster_harness.c: a whole run of `events`. True: all promises were kept. *harness is large: the caller has it for
 * one run after the other. */
bool harness_run(struct harness *harness, uint64_t seed, uint64_t events);

#endif
