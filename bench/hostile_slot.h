/*
 * hostile_slot.h: one connection of an attack, from its connect to its end. All functions are for the thread that runs
 * the crew (hostile_crew.h).
 */
#ifndef CHITCHAT_BENCH_HOSTILE_SLOT_H
#define CHITCHAT_BENCH_HOSTILE_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hostile_plan.h"
#include "hostile_scan.h"

struct hostile_crew;

/* Room of the crew's input buffer. */
#define HOSTILE_IN_BYTES 65536u

/* HOSTILE_HELD: the server refused the connection, which keeps its end open. */
enum hostile_slot_state { HOSTILE_CLOSED, HOSTILE_OPENING, HOSTILE_LIVE, HOSTILE_HELD };

/* A place for one connection at a time. */
struct hostile_slot {
    /* Of the place. */
    uint32_t nth;
    bool has_begun;               /* one of its connections was live */
    struct hostile_bytes opening; /* owned */
    /* Of its connection. */
    enum hostile_slot_state state;
    int fd;         /* -1: none */
    uint32_t armed; /* the events that epoll waits for */
    uint64_t opened_us;
    size_t opening_at, block_at;
    uint64_t blocks;  /* written completely */
    uint64_t replies; /* to all that was written */
    struct hostile_counts counts;
    struct hostile_scan scan;
};

/* Opens a connection in a closed place: 0 or -errno. */
int hostile_slot_open(struct hostile_crew *crew, struct hostile_slot *slot);
void hostile_slot_close(struct hostile_crew *crew, struct hostile_slot *slot);
/* Takes events of epoll. */
void hostile_slot_on_ready(struct hostile_crew *crew, struct hostile_slot *slot, uint32_t events);

#endif
