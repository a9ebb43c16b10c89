#include "sim_program.h"

#include <stdio.h>

#include "protocol/reply.h"
#include "sim_client.h"

static void take_outcome(struct sim *sim, uint32_t send, const struct post *post)
{
    char mid[LIMIT_MID_CHARS + 1] = "";
    if (post->code == ERROR_NONE) {
        reply_write_mid(mid, post->mid);
        model_ok(&sim->model, send, post->ts, mid, post->is_dup);
        return;
    }
    const char *code = error_code_name(post->code).data;
    sim_check_refusal(sim, code);
    model_error(&sim->model, send, code);
    if (sim->model.sends[send].is_keyed && sim->model.sends[send].outcome == SIM_UNKNOWN)
        sim->unsure[sim->unsure_count++] = send;
}

static void on_done(struct core *core, struct post_group *group)
{
    struct sim_program *program = container_of(group, struct sim_program, group);
    (void)core;
    HARNESS_MUST(program->is_waiting);
    program->is_waiting = false;
    sim_note("a program has the outcome of %u posts", group->count);
    for (uint32_t i = 0; i < group->count; i++)
        take_outcome(program->sim, program->sends[i], &program->posts[i]);
    program->sim->tally.posts += group->count;
}

static void add_post(struct sim_program *program, uint32_t send)
{
    struct sim *sim = program->sim;
    uint32_t at = program->group.count++;
    HARNESS_MUST(at < SIM_GROUP_MAX);
    program->sends[at] = send;
    model_text(send, program->texts[at]);
    snprintf(program->keys[at], sizeof program->keys[at], "k%u", send);
    bool is_keyed = sim->model.sends[send].is_keyed;
    program->posts[at] = (struct post){.from = span_of(sim->names[sim->model.sends[send].from]),
                                       .send = {.to = span_of(sim->names[sim->model.sends[send].to]),
                                                .text = span_of(program->texts[at]),
                                                .key = is_keyed ? span_of(program->keys[at]) : (struct span){"", 0}}};
    if (at > 0)
        program->posts[at - 1].next = &program->posts[at];
    sim_note("a program sends s%u from %s to %s", send, sim->names[sim->model.sends[send].from],
             sim->names[sim->model.sends[send].to]);
}

static uint32_t shard_of(struct sim *sim, uint32_t user)
{
    return core_shard_of(harness_core(sim->harness, 0), span_of(sim->names[user]));
}

/* A send of `user`: now and then one whose outcome is unknown. */
static uint32_t choose_send(struct sim *sim, uint32_t user, uint32_t conn)
{
    uint32_t unsure = chaos_hits(&sim->chaos, 3) ? sim_take_unsure(sim, user) : SIM_SENDS_MAX;
    if (unsure == SIM_SENDS_MAX)
        return model_send(&sim->model, user, chaos_below(&sim->chaos, SIM_USERS), chaos_hits(&sim->chaos, 2), conn);
    sim->model.sends[unsure].was_resent = true;
    return unsure;
}

void program_act(struct sim *sim, uint32_t index)
{
    struct sim_program *program = &sim->programs[index];
    uint32_t first = chaos_below(&sim->chaos, SIM_USERS), count = 1 + chaos_below(&sim->chaos, SIM_GROUP_MAX);
    struct core *core = harness_core(sim->harness, shard_of(sim, first));
    bool has_started = core->reads.worker != NULL; /* else no letter is read */
    if (program->is_waiting || !has_started)
        return;
    program->sim = sim;
    program->group = (struct post_group){.first = program->posts, .on_done = on_done};
    program->is_waiting = true;
    uint32_t conn = ++sim->conn_count;
    while (count-- > 0) {
        uint32_t user = chaos_below(&sim->chaos, SIM_USERS);
        add_post(program, choose_send(sim, shard_of(sim, user) == shard_of(sim, first) ? user : first, conn));
    }
    posts_take(core, &program->group);
}

void program_lose(struct sim *sim, uint32_t index, bool in_order)
{
    struct sim_program *program = &sim->programs[index];
    if (!program->is_waiting)
        return;
    if (in_order)
        sim_fail("the posts of program %u were not given back", index);
    program->is_waiting = false;
    for (uint32_t i = 0; i < program->group.count; i++)
        if (sim->model.sends[program->sends[i]].is_keyed)
            sim->unsure[sim->unsure_count++] = program->sends[i];
}
