/*
 * proc.h: CPU and memory of processes and of the kernel, as /proc shows them; 0 where it cannot be read. Any thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_PROC_H
#define CHITCHAT_BENCH_LOAD_PROC_H

#include <stdbool.h>
#include <stdint.h>

struct load_proc {
    double cpu_s; /* user and system, all threads */
    uint64_t rss_bytes;
    uint64_t own_bytes; /* the part of them that maps no file */
    uint32_t threads;
    /* Of the whole system: both ends of our connections, and everything else. */
    uint64_t tcp_bytes;  /* buffers */
    uint64_t slab_bytes; /* sockets and all other objects */
};

/* With pid 0, of the system only. */
struct load_proc load_proc_read(int pid);
/* Whether the server has more memory of its own than one that has just started. */
bool load_proc_was_used(const struct load_proc *proc);

/* Of a thread of this process: seconds that it ran, and seconds that it waited for a core. */
struct load_proc_time {
    double run_s, waited_s;
};
struct load_proc_time load_proc_thread(int tid);
/* Seconds of CPU of all threads of this process. */
double load_proc_own_cpu_s(void);

/* The process that listens at this TCP port; 0 if there is none, or none whose files we may read. */
int load_proc_listener(uint16_t port);
/* Raises the limit of open files of this process as far as it may; returns it, UINT64_MAX if it is not known. */
uint64_t load_proc_raise_files(void);

#endif
