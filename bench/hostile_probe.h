/*
 * hostile_probe.h: the well-behaved client: one connection whose user sends to another user on a second connection, at
 * a steady rate, with a `ping` for every tenth send. One thread, the caller's.
 *
 * This is an open loop: each send leaves when it is due, while fewer than `window` are unanswered. Its latency counts
 * from when it was due, so a server that stalls is charged with all that it delays. With a window of 1 a send waits for
 * the one before it, so the delays of a server that is slower than the rate add up.
 *
 * The probe shares its core with the attackers. It runs before them (SCHED_FIFO, or else a lower nice value, if that is
 * permitted), but waits for what the kernel does for them.
 */
#ifndef CHITCHAT_BENCH_HOSTILE_PROBE_H
#define CHITCHAT_BENCH_HOSTILE_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "hostile_scan.h"
#include "load/address.h"
#include "load/histogram.h"

/* A server that answers nothing for this time hangs. */
#define HOSTILE_HUNG_S 30u
/* The protocol allows a connection 1,024 requests unanswered; pings count too. */
#define HOSTILE_WINDOW_MAX 512u

enum hostile_fate {
    HOSTILE_SERVED,
    HOSTILE_CUT,  /* some, but not all was answered HOSTILE_HUNG_S after the measured time */
    HOSTILE_LOST, /* the connection was closed, or could not be opened */
    HOSTILE_HUNG  /* nothing was answered for HOSTILE_HUNG_S */
};

struct hostile_figures {
    enum hostile_fate fate;
    uint64_t refused; /* sends that were refused and sent again */
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

/* Opens both connections and logs them in, each step within HOSTILE_HUNG_S: 0 or -errno. Borrows address and run. */
int hostile_probe_open(struct hostile_probe *probe_r, const struct load_address *address, const char *run);
void hostile_probe_close(struct hostile_probe *probe);
/* Measures for rhythm->seconds, and then until all that was due in them has been answered, or HOSTILE_HUNG_S. */
void hostile_probe_run(struct hostile_probe *probe, const struct hostile_rhythm *rhythm,
                       struct hostile_figures *figures_r);

#endif
