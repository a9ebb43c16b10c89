#include "hostile_crew.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "load/proc.h"
#include "load/slice.h"
#include "times.h"

#define EVENTS 256u
#define OPENS_AT_ONCE 64u
#define WAIT_MS 5
#define FILL_US UINT64_C(60000000)
#define SAMPLE_US UINT64_C(100000)
#define SPARE_FILES 64u

static uint32_t slots_of(const struct hostile_plan *plan)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= plan->connections + SPARE_FILES)
        return plan->connections;
    return limit.rlim_cur > 2 * SPARE_FILES ? (uint32_t)limit.rlim_cur - SPARE_FILES : SPARE_FILES;
}

static int take_memory(struct hostile_crew *crew)
{
    crew->slots = calloc(crew->slot_count, sizeof *crew->slots);
    crew->closed = calloc(crew->slot_count, sizeof *crew->closed);
    crew->in = malloc(HOSTILE_IN_BYTES);
    if (crew->slots == NULL || crew->closed == NULL || crew->in == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < crew->slot_count; i++) {
        crew->slots[i] = (struct hostile_slot){.nth = i, .fd = -1};
        crew->closed[i] = crew->slot_count - 1 - i; /* the first on top */
    }
    crew->closed_count = crew->slot_count;
    return 0;
}

int hostile_crew_open(struct hostile_crew *crew_r, const struct hostile_plan *plan, const struct hostile_route *route,
                      const char *run, int pid)
{
    char user[HOSTILE_NAME_BYTES];
    *crew_r = (struct hostile_crew){.plan = plan,
                                    .route = *route,
                                    .pid = pid,
                                    .slot_count = slots_of(plan),
                                    .opening_answers = hostile_plan_opening_answers(plan)};
    snprintf(crew_r->run, sizeof crew_r->run, "%s", run);
    hostile_plan_user(plan, run, 0, user);
    crew_r->epoll = epoll_create1(EPOLL_CLOEXEC);
    int status = crew_r->epoll < 0 ? -errno : take_memory(crew_r);
    if (status == 0)
        status = hostile_plan_build_block(plan, route->to->text, user, &crew_r->block);
    if (status != 0)
        hostile_crew_close(crew_r);
    return status;
}

static void close_all(struct hostile_crew *crew)
{
    for (uint32_t i = 0; i < crew->slot_count; i++)
        if (crew->slots[i].state != HOSTILE_CLOSED)
            hostile_slot_close(crew, &crew->slots[i]);
}

void hostile_crew_close(struct hostile_crew *crew)
{
    for (uint32_t i = 0; crew->slots != NULL && i < crew->slot_count; i++)
        hostile_bytes_free(&crew->slots[i].opening);
    hostile_bytes_free(&crew->block);
    free(crew->slots);
    free(crew->closed);
    free(crew->in);
    if (crew->epoll >= 0)
        close(crew->epoll);
    *crew = (struct hostile_crew){.epoll = -1};
}

/* How many may be opened now. */
static uint64_t opens_due(const struct hostile_crew *crew)
{
    if (crew->plan->extra_per_s == 0 || crew->full_us == 0)
        return OPENS_AT_ONCE;
    uint64_t due = (times_now_us() - crew->full_us) * crew->plan->extra_per_s / 1000000;
    return due > crew->extra_opened ? due - crew->extra_opened : 0;
}

static void open_some(struct hostile_crew *crew)
{
    uint64_t due = opens_due(crew);
    for (uint64_t i = 0; i < due && crew->closed_count > 0; i++) {
        struct hostile_slot *slot = &crew->slots[crew->closed[crew->closed_count - 1]];
        crew->extra_opened += crew->full_us != 0;
        if (hostile_slot_open(crew, slot) != 0) {
            crew->tally.connects_failed++;
            return; /* the next turn tries again */
        }
        crew->closed_count--;
        crew->tally.connects++;
        (void)sched_yield();
    }
    uint32_t open = crew->slot_count - crew->closed_count;
    crew->tally.open_max = open > crew->tally.open_max ? open : crew->tally.open_max;
}

static bool is_old(const struct hostile_crew *crew, const struct hostile_slot *slot, uint64_t now)
{
    uint64_t limit_ms = slot->state == HOSTILE_HELD ? crew->plan->hold_ms : crew->plan->session_ms;
    return slot->state != HOSTILE_CLOSED && limit_ms > 0 && now > slot->opened_us + limit_ms * 1000;
}

static void give_up_old(struct hostile_crew *crew, uint64_t now)
{
    if (crew->plan->hold_ms == 0 && crew->plan->session_ms == 0)
        return;
    for (uint32_t i = 0; i < crew->slot_count; i++)
        if (is_old(crew, &crew->slots[i], now))
            hostile_slot_close(crew, &crew->slots[i]);
}

static void sample(struct hostile_crew *crew)
{
    uint64_t now = times_now_us();
    if (now - crew->sampled_us < SAMPLE_US)
        return;
    crew->sampled_us = now;
    give_up_old(crew, now);
    uint64_t rss = crew->pid != 0 ? load_proc_read(crew->pid).rss_bytes : 0;
    crew->tally.rss_max = rss > crew->tally.rss_max ? rss : crew->tally.rss_max;
}

static void take_turn(struct hostile_crew *crew)
{
    struct epoll_event events[EVENTS];
    open_some(crew);
    int count = epoll_wait(crew->epoll, events, EVENTS, WAIT_MS);
    for (int i = 0; i < count; i++) {
        hostile_slot_on_ready(crew, &crew->slots[events[i].data.u32], events[i].events);
        (void)sched_yield();
    }
    sample(crew);
    if (crew->begun_count == crew->slot_count || crew->full_us != 0)
        atomic_store(&crew->is_in_place, true);
}

int hostile_crew_fill(struct hostile_crew *crew, uint64_t entries)
{
    uint64_t begun = times_now_us(), wanted = entries + crew->slot_count;
    while (crew->tally.counts.oks < wanted && times_now_us() - begun < FILL_US)
        take_turn(crew);
    close_all(crew);
    return crew->tally.counts.oks >= wanted ? 0 : -ETIMEDOUT;
}

static void *crew_main(void *context)
{
    struct hostile_crew *crew = context;
    struct sched_param none = {0};
    load_slice_ask(); /* the class keeps it; alone it lets threads of the kernel wait for the next tick */
    (void)sched_setscheduler(0, SCHED_IDLE, &none);
    crew->started_us = times_now_us();
    while (!atomic_load_explicit(&crew->should_stop, memory_order_relaxed))
        take_turn(crew);
    crew->tally.seconds = (double)(times_now_us() - crew->started_us) / 1e6;
    close_all(crew);
    return NULL;
}

int hostile_crew_start(struct hostile_crew *crew)
{
    return -pthread_create(&crew->thread, NULL, crew_main, crew);
}

bool hostile_crew_is_in_place(struct hostile_crew *crew)
{
    return atomic_load(&crew->is_in_place);
}

void hostile_crew_stop(struct hostile_crew *crew, struct hostile_tally *tally_r)
{
    atomic_store(&crew->should_stop, true);
    pthread_join(crew->thread, NULL);
    *tally_r = crew->tally;
}
