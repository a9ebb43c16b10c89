#include "sim_erase.h"

#include <stdlib.h>

/* An erasure that was begun. One that a crash ends is never freed, as all that belonged to the life before it. */
struct erasing {
    struct erasure erasure;
    struct sim *sim;
    uint32_t user;
};

static void on_done(struct core *core, struct erasure *erasure)
{
    struct erasing *erasing = container_of(erasure, struct erasing, erasure);
    struct sim *sim = erasing->sim;
    (void)core;
    switch ((enum erasure_outcome)erasure->outcome) {
    case ERASURE_DONE:
        model_cut(&sim->model, erasing->user, erasure->ts);
        sim->tally.erasures++;
        sim->is_crash_due = sim->tally.erasures % 4 == 0; /* what was answered too early is lost by that */
        sim_note("%s is erased up to %llu", sim->names[erasing->user], (unsigned long long)erasure->ts);
        break;
    case ERASURE_REFUSED:
    case ERASURE_UNKNOWN:
        if (!sim->is_store_failing)
            sim_fail("an erasure is refused, and nothing has failed");
        break;
    case ERASURE_BUSY: break;
    case ERASURE_FULL: sim_fail("an erasure finds no room, and there are few"); break;
    }
    free(erasing);
}

void erase_someone(struct sim *sim)
{
    uint32_t user = chaos_below(&sim->chaos, SIM_USERS);
    struct span name = span_of(sim->names[user]);
    struct core *core = harness_core(sim->harness, 0);
    struct erasing *erasing = calloc(1, sizeof *erasing);
    HARNESS_MUST(erasing != NULL);
    *erasing = (struct erasing){.erasure = {.done = on_done}, .sim = sim, .user = user};
    core = harness_core(sim->harness, core_shard_of(core, name));
    sim_note("%s is to be erased", sim->names[user]);
    erasure_begin(core, name, &erasing->erasure);
    if (core->last_ts > sim->model.cut_maybe[user])
        sim->model.cut_maybe[user] = core->last_ts; /* its ts is that at most */
}

static int check_row(void *context, struct span user, const struct message *message)
{
    struct sim *sim = context;
    for (uint32_t i = 0; i < SIM_USERS; i++)
        if (span_equal(user, span_of(sim->names[i])) && message->ts <= sim->model.cut[i])
            sim_broken(SIM_ERASED, "%s: an entry at %llu is still in a run after a compaction, and erased up to %llu",
                       sim->names[i], (unsigned long long)message->ts, (unsigned long long)sim->model.cut[i]);
    return 0;
}

void erase_check_files(struct sim *sim)
{
    struct store_error error;
    for (uint32_t shard = 0; shard < sim->shards; shard++) {
        struct core *core = harness_core(sim->harness, shard);
        if (store_compact(core->runs.store, &error) != 0)
            sim_fail("shard %u: a compaction fails: %s", shard, error.text);
        HARNESS_MUST(store_reader_walk(core->reads.store_reader, check_row, sim) == 0);
    }
}
