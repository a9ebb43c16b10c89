/*
 * slice.h: keeps the generator from slowing the server's disk writes. The generator stands for other machines, but may
 * share a core with the kernel's threads that carry the server's writes to the disk: those of the core that takes the
 * disk's interrupts. A busy thread on that core makes each of them wait for the next tick, 4 ms, for work of some
 * microseconds. If the busy thread asks for a longer slice than theirs, they get the core at once.
 */
#ifndef CHITCHAT_BENCH_LOAD_SLICE_H
#define CHITCHAT_BENCH_LOAD_SLICE_H

/* For the calling thread: sets sched_runtime by sched_setattr(2). Changes nothing before Linux 6.12. */
void load_slice_ask(void);

#endif
