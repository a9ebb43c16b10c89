/*
 * sim_erase.h: the simulator erases timelines, and checks in the end that the files do not have the entries any more.
 */
#ifndef CHITCHAT_TESTS_SIM_SIM_ERASE_H
#define CHITCHAT_TESTS_SIM_SIM_ERASE_H

#include "sim_client.h"

/* Begins to erase the timeline of a user, drawn by chance. */
void erase_someone(struct sim *sim);
/* In the end, with nothing in flight: after a compaction no run has an entry that is gone, and each run is sound. */
void erase_check_files(struct sim *sim);

#endif
