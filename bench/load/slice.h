/*
 * load_slice.h: the generator as a good neighbour. It stands for machines elsewhere, but may share a core with the
 * kernel's threads that carry the server's log writes to the disk: those of the core that takes the disk's interrupts.
 * A thread that is busy there makes each of them wait for the next tick, 4 ms, for work of some microseconds. Where it
 * asks for a longer slice than theirs, they take the core at once.
 */
#ifndef CHITCHAT_BENCH_LOAD_SLICE_H
#define CHITCHAT_BENCH_LOAD_SLICE_H

/* For the calling thread: sched_setattr(2), sched_runtime, which Linux knows for such threads since 6.12. Before, it
 * changes nothing. */
void load_slice_ask(void);

#endif
