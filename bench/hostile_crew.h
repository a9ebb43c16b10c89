/*
 * hostile_crew.h: the attackers: all connections of one plan, in one thread with one epoll. They stand for other
 * machines, but share a core with the probe (hostile_probe.h) and with the kernel's threads that carry the server's
 * writes to the disk. So the thread is of the class SCHED_IDLE. That class counts only within the thread's scheduling
 * group, and the kernel makes one group of each session (autogroup): the probe goes first, but beside the kernel's
 * threads the whole group is like any other, and makes them wait for up to a tick of 4 ms. So the thread also gives way
 * (sched_yield): after each connect, after each connection's turn, and after each write where a turn may have several.
 * When the crew is stopped, it closes its connections and does not wait for answers. All functions are for one thread,
 * the caller's, in which hostile_crew_fill does its work.
 */
#ifndef CHITCHAT_BENCH_HOSTILE_CREW_H
#define CHITCHAT_BENCH_HOSTILE_CREW_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "hostile_plan.h"
#include "hostile_scan.h"
#include "hostile_slot.h"
#include "load/address.h"

#define HOSTILE_RUN_BYTES 24u

/* The totals of an attack. */
struct hostile_tally {
    double seconds;
    uint64_t connects, connects_failed;
    uint64_t sessions;        /* that came to the end of their plan */
    uint64_t ended_by_server; /* or because of what it sent */
    uint64_t turned_away;     /* with 503 */
    uint64_t units;           /* of blocks, written completely */
    uint64_t bytes_out, bytes_in;
    uint32_t open_max;
    uint64_t rss_max;
    struct hostile_counts counts;
};

/* The ends of the connections; both are borrowed. */
struct hostile_route {
    const struct load_address *to;
    const struct sockaddr_in *from; /* AF_UNSPEC: the system chooses */
};

struct hostile_crew {
    /* Set by open, then only read. */
    const struct hostile_plan *plan; /* borrowed */
    struct hostile_route route;
    char run[HOSTILE_RUN_BYTES];
    int pid;                    /* of the server; 0: unknown */
    struct hostile_bytes block; /* owned */
    uint32_t slot_count, opening_answers;

    /* Owned by the crew's thread, or by the caller while there is none. */
    struct hostile_slot *slots; /* owned */
    uint32_t *closed;           /* owned; a stack of the places without a connection */
    uint32_t closed_count, begun_count;
    int epoll;
    char *in; /* owned; HOSTILE_IN_BYTES */
    uint64_t started_us, full_us, sampled_us, extra_opened;
    struct hostile_tally tally;

    /* Shared. */
    pthread_t thread;
    atomic_bool is_in_place; /* each place had a live connection, or the server is full */
    atomic_bool should_stop;
};

/* Borrows plan and route. `run` becomes part of the users' names. 0 or -errno; after an error nothing is to be
 * closed. */
int hostile_crew_open(struct hostile_crew *crew_r, const struct hostile_plan *plan, const struct hostile_route *route,
                      const char *run, int pid);
void hostile_crew_close(struct hostile_crew *crew);

/* Runs the plan in the caller's thread until `entries` sends are acknowledged; -ETIMEDOUT after a minute. */
int hostile_crew_fill(struct hostile_crew *crew, uint64_t entries);

/* Starts the thread: 0 or -errno. hostile_crew_stop ends it and its connections, and gives the totals. */
int hostile_crew_start(struct hostile_crew *crew);
bool hostile_crew_is_in_place(struct hostile_crew *crew);
void hostile_crew_stop(struct hostile_crew *crew, struct hostile_tally *tally_r);

#endif
