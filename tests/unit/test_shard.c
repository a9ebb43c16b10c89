/* shard.h: turns, letters, timers, workers and signals of a real group of threads. */
#include "shard/shard.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"

#define SHARDS 3u
#define JOIN_US 20000000

struct letter {
    uint32_t hops;
    uint32_t owner;
    uint32_t number;
    uint32_t announced; /* on_letter_soon: once for each hop */
};

struct member {
    struct shard *shard;
    struct letter letters[SHARDS][64];
    uint32_t letters_home;
    uint32_t letters_from[SHARDS];
    uint32_t letters_wanted;
    struct timer timer;
    bool has_timer_fired;
    struct worker *worker;
    struct worker_job job;
    bool is_job_done;
    atomic_bool has_started;
    bool has_finished;
    uint32_t turns;
};

static void post_all(struct member *member)
{
    uint32_t index = shard_index(member->shard);
    for (uint32_t to = 0; to < shard_count(member->shard); to++)
        for (uint32_t i = 0; i < 64; i++) {
            member->letters[to][i] = (struct letter){.owner = index, .number = i};
            shard_post(member->shard, to, &member->letters[to][i]);
            member->letters_wanted++;
        }
}

static void job_run(struct worker_job *job)
{
    (void)job;
}

static void job_done(struct worker_job *job)
{
    struct member *member = container_of(job, struct member, job);
    ASSERT_ON_SHARD(member->shard);
    member->is_job_done = true;
}

static void on_start(void *context)
{
    struct member *member = context;
    ASSERT_ON_SHARD(member->shard);
    atomic_store(&member->has_started, true);
    timer_init(&member->timer);
    timers_set(shard_timers(member->shard), &member->timer, shard_monotonic_us(member->shard) + 100000);
    ASSERT(shard_worker_open(member->shard, "worker", SHARD_WORKER_PROMPT, &member->worker) == 0);
    member->job = (struct worker_job){job_run, job_done};
    worker_post(member->worker, 0, &member->job);
    post_all(member);
}

static void on_letter_soon(void *context, void *pointer)
{
    struct letter *letter = pointer;
    (void)context;
    ASSERT(letter->announced == letter->hops);
    letter->announced++;
}

static void on_letter(void *context, uint32_t from, void *pointer)
{
    struct member *member = context;
    struct letter *letter = pointer;
    ASSERT(letter->announced == letter->hops + 1);
    if (letter->hops == 0) {
        ASSERT(letter->owner == from && letter->number == member->letters_from[from]++);
        letter->hops = 1;
        shard_post(member->shard, from, letter);
    } else {
        ASSERT(letter->owner == shard_index(member->shard));
        member->letters_home++;
    }
}

static void on_timer(void *context, struct timer *timer)
{
    struct member *member = context;
    ASSERT(timer == &member->timer);
    member->has_timer_fired = true;
}

static bool on_turn_end(void *context)
{
    struct member *member = context;
    member->turns++;
    if (shard_signals(member->shard) == 6 && member->letters_home == member->letters_wanted && member->has_timer_fired
        && member->is_job_done)
        shard_finish(member->shard);
    return member->turns < 3;
}

static void on_finish(void *context)
{
    struct member *member = context;
    shard_worker_close(member->shard, &member->worker);
    member->has_finished = true;
}

static const struct shard_handlers handlers = {.on_start = on_start,
                                               .on_letter = on_letter,
                                               .on_letter_soon = on_letter_soon,
                                               .on_timer = on_timer,
                                               .on_turn_end = on_turn_end,
                                               .on_finish = on_finish};

static struct shard_group *open_group(struct clock *clock, struct member *members, uint32_t count)
{
    struct shard_group *group;
    void *contexts[SHARDS];
    clock_init_system(clock);
    struct shard_options options = {
        .shard_count = count, .pin = true, .clock = clock, .io = {.recv_buffer_bytes = 256, .recv_buffer_count = 4}};
    for (uint32_t i = 0; i < count; i++)
        contexts[i] = &members[i];
    cr_assert_eq(shard_group_open(&group, &options, &handlers, contexts), 0);
    for (uint32_t i = 0; i < count; i++)
        members[i].shard = shard_group_shard(group, i);
    return group;
}

Test(shard, letters_timers_jobs_and_signals_reach_every_shard, .timeout = 60)
{
    struct clock clock;
    struct member *members = calloc(SHARDS, sizeof *members);
    struct shard_group *group = open_group(&clock, members, SHARDS);
    cr_assert_eq(shard_group_start(group), 0);
    shard_group_signal(group, 2);
    cr_assert_not(shard_group_join(group, 300000), "both signals are needed");
    shard_group_signal(group, 4);
    cr_assert(shard_group_join(group, JOIN_US));
    for (uint32_t i = 0; i < SHARDS; i++) {
        cr_assert(members[i].has_finished);
        cr_assert_eq(members[i].letters_home, SHARDS * 64);
    }
    shard_group_close(&group);
    cr_assert_null(group);
    free(members);
}

Test(shard, a_single_one_posts_to_itself, .timeout = 60)
{
    struct clock clock;
    struct member *member = calloc(1, sizeof *member);
    struct shard_group *group = open_group(&clock, member, 1);
    cr_assert_eq(shard_group_start(group), 0);
    shard_group_signal(group, 6);
    cr_assert(shard_group_join(group, JOIN_US));
    cr_assert_eq(member->letters_home, 64);
    shard_group_close(&group);
    free(member);
}

Test(shard, a_group_that_was_never_started_can_be_closed)
{
    struct clock clock;
    struct member *members = calloc(SHARDS, sizeof *members);
    struct shard_group *group = open_group(&clock, members, SHARDS);
    shard_group_close(&group);
    cr_assert_null(group);
    cr_assert_not(atomic_load(&members[0].has_started));
    free(members);
}

/* -- more letters than a turn takes -- */

#define MANY (3 * SHARD_LETTERS_TURN_MAX)

struct receiver {
    struct shard *shard;
    struct letter letters[MANY];
    uint32_t taken;
    uint32_t taken_in_turn;
    uint32_t most_in_turn;
};

static void post_many(void *context)
{
    struct receiver *receiver = context;
    for (uint32_t i = 0; i < MANY; i++) {
        receiver->letters[i].number = i;
        shard_post(receiver->shard, 0, &receiver->letters[i]);
    }
}

static void take_one_of_many(void *context, uint32_t from, void *pointer)
{
    struct receiver *receiver = context;
    const struct letter *letter = pointer;
    ASSERT(from == 0 && letter->number == receiver->taken);
    receiver->taken++;
    receiver->taken_in_turn++;
}

static bool count_turn(void *context)
{
    struct receiver *receiver = context;
    if (receiver->taken_in_turn > receiver->most_in_turn)
        receiver->most_in_turn = receiver->taken_in_turn;
    receiver->taken_in_turn = 0;
    if (receiver->taken == MANY)
        shard_finish(receiver->shard);
    return false;
}

static void finish_nothing(void *context)
{
    (void)context;
}

/* Nothing but the letters that are left wakes the shard. */
Test(shard, a_turn_takes_so_many_letters_and_the_next_ones_the_rest_in_order, .timeout = 60)
{
    static const struct shard_handlers many = {
        .on_start = post_many, .on_letter = take_one_of_many, .on_turn_end = count_turn, .on_finish = finish_nothing};
    struct clock clock;
    struct shard_group *group;
    struct receiver *receiver = calloc(1, sizeof *receiver);
    void *contexts[] = {receiver};
    clock_init_system(&clock);
    struct shard_options options = {
        .shard_count = 1, .clock = &clock, .io = {.recv_buffer_bytes = 256, .recv_buffer_count = 4}};
    cr_assert_eq(shard_group_open(&group, &options, &many, contexts), 0);
    receiver->shard = shard_group_shard(group, 0);
    cr_assert_eq(shard_group_start(group), 0);
    cr_assert(shard_group_join(group, JOIN_US));
    cr_assert_eq(receiver->taken, MANY);
    cr_assert_eq(receiver->most_in_turn, SHARD_LETTERS_TURN_MAX);
    shard_group_close(&group);
    free(receiver);
}
