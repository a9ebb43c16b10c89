/*
 * sim_program.h: simulated programs: they send as any user without a connection, in groups, and send again what they
 * are not sure of. The model judges their sends as it does those of connections.
 */
#ifndef CHITCHAT_TESTS_SIM_SIM_PROGRAM_H
#define CHITCHAT_TESTS_SIM_SIM_PROGRAM_H

#include "sim_model.h"
#include "timeline/posts.h"

#define SIM_PROGRAMS 3u
#define SIM_GROUP_MAX 12u

struct sim;

struct sim_program {
    struct sim *sim;
    struct post_group group;
    bool is_waiting; /* for the group */
    uint32_t sends[SIM_GROUP_MAX];
    struct post posts[SIM_GROUP_MAX];
    char keys[SIM_GROUP_MAX][16];
    char texts[SIM_GROUP_MAX][SIM_TEXT_BYTES];
};

/* Sends a group, unless the program waits for one. */
void program_act(struct sim *sim, uint32_t index);
/* The server has ended: what it has not answered is unknown. `in_order`: by a stop, which answers all. */
void program_lose(struct sim *sim, uint32_t index, bool in_order);

#endif
