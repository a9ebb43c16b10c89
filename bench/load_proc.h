/*
 * load_proc.h: what processes and the kernel say of themselves of their CPU and memory. Zeros where it cannot be read.
 */
#ifndef CHITCHAT_BENCH_LOAD_PROC_H
#define CHITCHAT_BENCH_LOAD_PROC_H

#include <stdint.h>

struct load_proc {
    double cpu_s; /* user and system, all threads */
    uint64_t rss_bytes;
    uint64_t kernel_bytes; /* slab and TCP buffers of the whole system: both ends of our connections, and all else */
};

struct load_proc load_proc_read(int pid);

#endif
