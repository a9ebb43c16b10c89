/*
 * run_hints.h: where the rows of users are in runs: what one read has searched, the next ones need not search. A page
 * of conversations asks every run for the same few places, and so does the page after it. A table of fixed size without
 * chains: a new hint takes the place of an older one.
 *
 * A run never changes and its number is never used again, so a hint stays right. Whoever uses it still compares the
 * user in the row that it finds. One thread at a time: each reader has its own hints.
 */
#ifndef CHITCHAT_STORAGE_RUNS_RUN_HINTS_H
#define CHITCHAT_STORAGE_RUNS_RUN_HINTS_H

#include <stdbool.h>
#include <stdint.h>

/* Places are those of run_place.h; 0: not known. */
struct run_hint {
    uint64_t run_id;
    uint64_t user_hash; /* filter_hash */
    uint64_t last;      /* the last row of the timeline and its index */
    uint64_t first;     /* the first row of the index, if it has one block */
    uint64_t marks;     /* the first marks of conversations; RUN_HINT_NONE: there are none */
};
#define RUN_HINT_NONE UINT64_MAX

struct run_hints {
    struct run_hint *table; /* owned; NULL: no hint was put yet, or there was no memory */
};

void run_hints_fini(struct run_hints *hints);
/* False: there is none. */
bool run_hints_get(const struct run_hints *hints, uint64_t run_id, uint64_t user_hash, struct run_hint *hint_r);
/* Copies `hint`, which knows `last`. Without memory for the table it is forgotten. */
void run_hints_put(struct run_hints *hints, const struct run_hint *hint);

#endif
