#include "load/scenario.h"

#include "base/assert.h"
#include "load/history.h"
#include "load/peers.h"
#include "load/random.h"
#include "load/run.h"
#include "load/send.h"
#include "load/session.h"
#include "load/worker.h"

#define SENDS_PER_TURN 8192u
#define SENDERS_TRIED 16u
#define BEHIND_WAIT_US 100u /* while the windows of all senders are full: an answer ends the wait earlier */
/* An open loop sends once in this time, and then all that is due together: a system call for each of 100,000 sends a
 * second would measure the generator. The latency of each send counts from when it was due. */
#define STEP_US 100u
#define OVERDUE_US UINT64_C(10000000) /* how long after the measured time a send that was due in it may still leave */

uint32_t load_scenario_user(const struct load_options *options, uint32_t session)
{
    if (options->scenario != LOAD_FANOUT || session < options->users)
        return session % options->users;
    return options->users + (session - options->users) % options->users;
}

bool load_scenario_sends(const struct load_options *options, uint32_t session)
{
    switch (options->scenario) {
    case LOAD_PAIRS:
    case LOAD_CHURN:
    case LOAD_TYPING:
    case LOAD_STORM: return true;
    case LOAD_FANOUT: return session < options->users;
    default: return false;
    }
}

static uint32_t target_of(struct load_worker *worker, const struct load_session *session)
{
    const struct load_options *options = &worker->run->options;
    uint32_t partner = (session->user ^ 1u) < options->recipients ? session->user ^ 1u : 0;
    if (options->scenario == LOAD_FANOUT)
        return options->users + session->index;
    if (options->recipients == 1)
        return 0;
    if (options->to == LOAD_TO_PARTNER)
        return partner;
    if (options->to == LOAD_TO_ZIPF) {
        uint32_t user = load_zipf_draw(&worker->run->zipf, &worker->random);
        return user != session->user ? user : partner;
    }
    uint32_t other = load_random_below(&worker->random, options->recipients - 1);
    return other >= session->user ? other + 1 : other;
}

static bool is_running(const struct load_worker *worker)
{
    return worker->phase == LOAD_WARMUP || worker->phase == LOAD_MEASURE;
}

static void send_one(struct load_worker *worker, struct load_session *session, uint64_t intended_us)
{
    load_send_new(worker, session, target_of(worker, session), intended_us);
}

static void fill_timeline(struct load_worker *worker, struct load_session *session)
{
    for (; session->unanswered < LOAD_FILL_WINDOW && session->filled < worker->run->options.fill; session->filled++) {
        send_one(worker, session, worker->now_us);
        worker->gauges.filled++;
    }
}

/* The next step of a live session, after an answer. */
static void go_on(struct load_worker *worker, struct load_session *session)
{
    const struct load_options *options = &worker->run->options;
    if (session->state != LOAD_SESSION_LIVE)
        return;
    if (worker->phase == LOAD_FILL)
        fill_timeline(worker, session);
    if (!is_running(worker))
        return;
    if (options->scenario == LOAD_HISTORY)
        load_history_go_on(worker, session);
    if (options->scenario == LOAD_PEERS)
        load_peers_go_on(worker, session);
    if (options->rate == 0 && load_scenario_sends(options, session->index))
        while (session->unanswered < options->window)
            send_one(worker, session, worker->now_us);
}

static bool is_leaving_when_live(const struct load_worker *worker)
{
    return worker->run->options.scenario == LOAD_LOGINS_AGAIN && is_running(worker);
}

static void replay_again(struct load_worker *worker, struct load_session *session)
{
    session->from_start = true;
    load_session_leave(worker, session, worker->now_us);
}

void load_scenario_on_live(struct load_worker *worker, struct load_session *session)
{
    if (is_leaving_when_live(worker)) {
        load_session_leave(worker, session, worker->now_us);
        return;
    }
    if (worker->run->options.scenario == LOAD_PAIRS && worker->run->options.seen_share > 0 && session->was_live)
        load_peers_refresh(worker, session);
    session->was_live = true;
    if (worker->run->options.scenario != LOAD_REPLAY || worker->phase < LOAD_WARMUP) {
        go_on(worker, session);
        return;
    }
    if (session->got_count != session->full_count || session->got_sum != session->full_sum
        || session->got_places != session->full_places)
        load_worker_broken(worker, LOAD_BROKEN_RESUME, "the replay is not the timeline", (struct span){"", 0});
    if (is_running(worker))
        replay_again(worker, session);
}

void load_scenario_on_answer(struct load_worker *worker, struct load_session *session)
{
    go_on(worker, session);
}

/* In a run that comes to its end no session is stuck. */
static void note_stuck(struct load_worker *worker, const struct load_session *session)
{
    struct load_stuck *stuck = &worker->stuck[session->state];
    if (session->state == LOAD_SESSION_LIVE && session->unanswered == 0 && !load_history_is_waiting(worker, session)
        && !session->is_checking)
        return;
    if (stuck->count++ == 0)
        stuck->first = session->index;
}

static void on_session_phase(struct load_worker *worker, struct load_session *session)
{
    if (worker->phase == LOAD_FILLED) {
        session->full_count = session->got_count;
        session->full_sum = session->got_sum;
        session->full_places = session->got_places;
    }
    if (worker->phase == LOAD_CHECK && load_options_marks(&worker->run->options))
        load_peers_check(worker, session);
    if (worker->phase == LOAD_END) {
        note_stuck(worker, session);
        list_remove(&session->wait_link);
        load_session_leave(worker, session, UINT64_MAX);
        return;
    }
    if (worker->phase == LOAD_WARMUP && worker->run->options.scenario == LOAD_REPLAY)
        replay_again(worker, session);
    if (session->state == LOAD_SESSION_LIVE && is_leaving_when_live(worker))
        load_session_leave(worker, session, worker->now_us);
    go_on(worker, session);
}

static uint64_t send_step_ns(const struct load_worker *worker)
{
    const struct load_run *run = worker->run;
    return UINT64_C(1000000000) * run->sender_count / ((uint64_t)run->options.rate * worker->sender_count);
}

/* Sends that were due in the measured time and have not left. */
static uint64_t due_sends(const struct load_worker *worker)
{
    if (worker->next_send_ns >= worker->due_until_ns)
        return 0;
    return (worker->due_until_ns - worker->next_send_ns - 1) / send_step_ns(worker) + 1;
}

/* Sends that were due still leave: else the slowest sends of a server that stalls over the end would be left out. */
static void begin_drain(struct load_worker *worker)
{
    if (worker->due_until_ns == 0)
        return;
    worker->due_until_ns = 1000 * atomic_load(&worker->run->measured_until_us);
    worker->drain_us = worker->now_us;
    worker->gauges.behind = worker->gauges.due = due_sends(worker);
}

static void follow_drain(struct load_worker *worker)
{
    worker->gauges.due = due_sends(worker);
    if (worker->gauges.due == 0 || worker->now_us - worker->drain_us < OVERDUE_US)
        return;
    worker->gauges.overdue = worker->gauges.due;
    worker->gauges.due = worker->due_until_ns = 0;
}

void load_scenario_on_phase(struct load_worker *worker)
{
    if (worker->phase == LOAD_DRAIN)
        begin_drain(worker);
    for (uint32_t i = 0; i < worker->session_count; i++)
        on_session_phase(worker, &worker->run->sessions[worker->first_session + i]);
    if (worker->phase == LOAD_WARMUP) {
        worker->next_send_ns = worker->now_us * 1000;
        worker->typing_us = worker->now_us;
        worker->due_until_ns = worker->run->options.rate > 0 && worker->sender_count > 0 ? UINT64_MAX : 0;
        worker->next_churn_us = worker->now_us;
    }
}

/* A live sender whose window has room, searched from a random place; NULL: there is none, and the send waits while its
 * latency counts. */
static struct load_session *free_sender(struct load_worker *worker)
{
    const struct load_options *options = &worker->run->options;
    uint32_t at = load_random_below(&worker->random, worker->sender_count);
    for (uint32_t i = 0; i < SENDERS_TRIED; i++) {
        struct load_session *session = &worker->run->sessions[worker->first_session + (at + i) % worker->sender_count];
        if (session->state == LOAD_SESSION_LIVE && session->unanswered < options->window)
            return session;
    }
    return NULL;
}

/* Sends what is due by the clock, whether the server keeps up or not. Senders come first among a worker's sessions. */
static void send_due(struct load_worker *worker)
{
    uint64_t step_ns = send_step_ns(worker);
    if (worker->now_us < worker->next_step_us)
        return;
    worker->next_step_us = worker->now_us + STEP_US;
    for (uint32_t i = 0; i < SENDS_PER_TURN && worker->next_send_ns <= worker->now_us * 1000
                         && worker->next_send_ns < worker->due_until_ns;
         i++) {
        struct load_session *session = free_sender(worker);
        if (worker->phase <= LOAD_MEASURE)
            worker->gauges.held = session == NULL;
        if (session == NULL)
            break;
        uint64_t due_us = worker->next_send_ns / 1000;
        if (worker->now_us - due_us > worker->gauges.behind_us)
            worker->gauges.behind_us = worker->now_us - due_us;
        send_one(worker, session, due_us);
        worker->next_send_ns += step_ns;
    }
}

static bool is_open_loop(const struct load_worker *worker)
{
    return worker->run->options.rate > 0 && worker->sender_count > 0
           && (is_running(worker) || (worker->phase == LOAD_DRAIN && worker->gauges.due > 0));
}

static void churn(struct load_worker *worker)
{
    const struct load_options *options = &worker->run->options;
    uint64_t step_us = UINT64_C(1000000) * options->connections / ((uint64_t)options->churn * worker->session_count);
    while (worker->next_churn_us <= worker->now_us) {
        struct load_session *session =
            &worker->run->sessions[worker->first_session + worker->next_leaver++ % worker->session_count];
        if (session->state == LOAD_SESSION_LIVE)
            load_session_leave(worker, session, worker->now_us);
        worker->next_churn_us += step_us > 0 ? step_us : 1;
    }
}

static void follow_storm(struct load_worker *worker)
{
    uint64_t storm = atomic_load_explicit(&worker->run->storm, memory_order_relaxed);
    if (storm == worker->storm)
        return;
    worker->storm = worker->gauges.storm = storm;
    worker->gauges.back_us = 0;
    for (uint32_t i = 0; i < worker->session_count; i++)
        load_session_leave(worker, &worker->run->sessions[worker->first_session + i], worker->now_us);
}

void load_scenario_on_turn(struct load_worker *worker)
{
    follow_storm(worker);
    if (worker->run->options.scenario == LOAD_CHURN && is_running(worker))
        churn(worker);
    if (is_open_loop(worker))
        send_due(worker);
    if (worker->phase == LOAD_DRAIN)
        follow_drain(worker);
}

uint64_t load_scenario_wait_us(const struct load_worker *worker)
{
    uint64_t wait_us = 10000;
    if (worker->run->options.scenario == LOAD_CHURN && is_running(worker)
        && worker->next_churn_us < worker->now_us + wait_us)
        wait_us = worker->next_churn_us > worker->now_us ? worker->next_churn_us - worker->now_us : 0;
    if (is_open_loop(worker)) {
        uint64_t due_us = worker->next_send_ns / 1000;
        uint64_t until_us = due_us > worker->now_us ? due_us - worker->now_us : BEHIND_WAIT_US;
        if (worker->next_step_us > worker->now_us + until_us)
            until_us = worker->next_step_us - worker->now_us;
        wait_us = until_us < wait_us ? until_us : wait_us;
    }
    return wait_us;
}
