/*
 * load_proc.h: what processes and the kernel say of themselves of their CPU and memory. Zeros where it cannot be read.
 */
#ifndef CHITCHAT_BENCH_LOAD_PROC_H
#define CHITCHAT_BENCH_LOAD_PROC_H

#include <stdbool.h>
#include <stdint.h>

struct load_proc {
    double cpu_s; /* user and system, all threads */
    uint64_t rss_bytes;
    uint64_t own_bytes; /* those of them that are no file's */
    uint32_t threads;
    /* Of the whole system: both ends of our connections, and all else. */
    uint64_t tcp_bytes;  /* buffers */
    uint64_t slab_bytes; /* sockets and all other objects */
};

/* pid 0: of the system only. */
struct load_proc load_proc_read(int pid);
/* Whether a chitchat that has just started would have less memory of its own. */
bool load_proc_was_used(const struct load_proc *proc);

/* A thread of ours: seconds that it ran, and that it could have run but waited for a core. */
struct load_proc_time {
    double run_s, waited_s;
};
struct load_proc_time load_proc_thread(int tid);
/* Seconds of CPU of all of our threads. */
double load_proc_own_cpu_s(void);

/* The process that listens at this TCP port; 0 if it is none that we may look into. */
int load_proc_listener(uint16_t port);

#endif
