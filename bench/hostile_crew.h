/*
 * hostile_crew.h: the attackers: all connections of one plan, in one thread with one epoll. The thread stands behind
 * the probe, with whom it shares a core: its nice value is HOSTILE_CREW_NICE above the program's. The crew never waits
 * for the server: what does not answer is left as it is when the crew is stopped.
 */
#ifndef CHITCHAT_BENCH_HOSTILE_CREW_H
#define CHITCHAT_BENCH_HOSTILE_CREW_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "hostile_plan.h"
#include "hostile_scan.h"
#include "load/address.h"

#define HOSTILE_CREW_NICE 5 /* more than the program's */
#define HOSTILE_RUN_BYTES 24u

/* HELD: was turned away, and keeps its end open. */
enum hostile_slot_state { HOSTILE_CLOSED, HOSTILE_OPENING, HOSTILE_LIVE, HOSTILE_HELD };

/* One connection; those that follow it in its place too. */
struct hostile_slot {
    enum hostile_slot_state state;
    int fd;
    uint32_t nth;
    uint32_t armed; /* what epoll waits for */
    bool has_begun; /* one of this place was live */
    uint64_t opened_us;
    struct hostile_bytes opening;
    size_t opening_at, block_at;
    uint64_t blocks;  /* written in whole */
    uint64_t replies; /* to all that was written */
    struct hostile_counts counts;
    struct hostile_scan scan;
};

/* What the attack came to. */
struct hostile_tally {
    double seconds;
    uint64_t connects, connects_failed;
    uint64_t sessions;        /* that came to their end */
    uint64_t ended_by_server; /* or by what it sent */
    uint64_t turned_away;     /* with 503 */
    uint64_t units;           /* of blocks, written */
    uint64_t bytes_out, bytes_in;
    uint32_t open_max;
    uint64_t rss_max;
    struct hostile_counts counts;
};

struct hostile_crew {
    /* Set by open, then only read. */
    const struct hostile_plan *plan;
    const struct load_address *address; /* borrowed */
    char run[HOSTILE_RUN_BYTES];
    int pid; /* of the server; 0: unknown */
    struct hostile_bytes block;
    uint32_t slot_count, opening_answers;

    /* Owned by the crew's thread, or by the caller while there is none. */
    struct hostile_slot *slots;
    uint32_t *closed; /* places without a connection, a stack */
    uint32_t closed_count, begun_count;
    int epoll;
    char *in;
    uint64_t started_us, full_us, sampled_us, extra_opened;
    struct hostile_tally tally;

    /* Shared. */
    pthread_t thread;
    atomic_bool is_in_place; /* each place has begun, or the server is full */
    atomic_bool should_stop;
};

/* Borrows all. `run` names this run in the names of users. 0 or -errno; a crew that could not open is closed. */
int hostile_crew_open(struct hostile_crew *crew_r, const struct hostile_plan *plan, const struct load_address *address,
                      const char *run, int pid);
void hostile_crew_close(struct hostile_crew *crew);

/* In the caller's thread: until so many sends are acknowledged; -ETIMEDOUT after a minute. */
int hostile_crew_fill(struct hostile_crew *crew, uint64_t entries);

/* Starts the thread; stop ends it and its connections, and *tally_r is what came of it. */
int hostile_crew_start(struct hostile_crew *crew);
bool hostile_crew_is_in_place(struct hostile_crew *crew);
void hostile_crew_stop(struct hostile_crew *crew, struct hostile_tally *tally_r);

/* hostile_slot.c: one connection. */
/* Opens one in a closed place: 0 or -errno. */
int hostile_slot_open(struct hostile_crew *crew, struct hostile_slot *slot);
void hostile_slot_close(struct hostile_crew *crew, struct hostile_slot *slot);
void hostile_slot_on_ready(struct hostile_crew *crew, struct hostile_slot *slot, uint32_t events);

uint64_t hostile_now_us(void);

#endif
