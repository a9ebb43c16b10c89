/*
 * hostile_probe.h: the well-behaved client: one user on one connection, who sends to another on a second one, at a
 * steady rate, with a `ping` for every tenth send. An open loop: each leaves when it is due, while fewer than `window`
 * are unanswered, and its latency counts from then, so that a server that stalls is charged with all that it held up.
 * With a window of 1 a send waits for the one before it, and a server that needs longer for each than the time between
 * two is charged with the sum. The probe shares its core with the attackers, as the issue that asked for this measured:
 * it runs before them (SCHED_FIFO, or else a lower nice value, where that is permitted), but what the kernel does for
 * them it waits for. One thread, the caller's.
 */
#ifndef CHITCHAT_BENCH_HOSTILE_PROBE_H
#define CHITCHAT_BENCH_HOSTILE_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "hostile_scan.h"
#include "load/address.h"
#include "load/histogram.h"

/* A server that answers nothing for so long is hung. */
#define HOSTILE_HUNG_S 30u
/* The protocol lets a connection have 1,024 requests unanswered, pings too. */
#define HOSTILE_WINDOW_MAX 512u

enum hostile_fate {
    HOSTILE_SERVED,
    HOSTILE_CUT,  /* not all was answered HOSTILE_HUNG_S after the measured time, though some was */
    HOSTILE_LOST, /* the connection was closed, or nothing could be connected */
    HOSTILE_HUNG
};

struct hostile_figures {
    enum hostile_fate fate;
    uint64_t refused; /* sends that got `busy` and were sent again */
    uint64_t unanswered;
    struct load_histogram send, ping;
};

struct hostile_rhythm {
    double seconds;
    uint32_t rate;   /* sends a second */
    uint32_t window; /* unanswered sends, 1 to HOSTILE_WINDOW_MAX */
};

struct hostile_probe {
    const struct load_address *address; /* borrowed */
    const char *run;                    /* borrowed */
    int fd, partner_fd;                 /* -1: closed */
    uint32_t in_bytes;
    struct hostile_scan partner_scan;
    char in[65536];
};

/* Connects both and logs them in, within HOSTILE_HUNG_S: 0 or -errno. */
int hostile_probe_open(struct hostile_probe *probe_r, const struct load_address *address, const char *run);
void hostile_probe_close(struct hostile_probe *probe);
/* Measures for so many seconds, and then until all that was due in them has been answered. */
void hostile_probe_run(struct hostile_probe *probe, const struct hostile_rhythm *rhythm,
                       struct hostile_figures *figures_r);

#endif
