/*
 * memory.h: what the simulated server maps and allocates stays mapped and is used again, also by the next life: to map,
 * touch and unmap memory would cost more than all that a life does with it. Segments of the WAL are read into memory of
 * this kind, as far as they have data, instead of being mapped.
 *
 * The program is linked with --wrap for the calls (listed in CMakeLists.txt), so that storage and the pools are the
 * same as in the server. LMDB, jansson and the C library call their own. The state is static, because the calls have no
 * argument that could carry it. Memory that is used again is not cleared, but for calloc. What its owner may expect to
 * be zeros (addresses.h) is mapped anew.
 */
#ifndef CHITCHAT_TESTS_SIM_MEMORY_H
#define CHITCHAT_TESTS_SIM_MEMORY_H

/* From now on, once in a run. What was allocated before outlives all lives. */
void memory_begin(void);
/* The process has died: all that was mapped and allocated for it belongs to the next life. */
void memory_crash(void);

/* The same for malloc and its like alone, called by the former (heap.c). */
void heap_begin(void);
void heap_crash(void);

#endif
