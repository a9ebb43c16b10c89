#include "load/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "load/random.h"
#include "load/scenario.h"
#include "load/send.h"
#include "load/slice.h"
#include "shard/io.h"

#define TURN_US_MAX 10000u
#define PUBLISH_US 20000u
#define CONNECTS_PER_TURN 256u
#define CONNECTING_MAX 512u /* while there is no storm */
#define SECURING_MAX 128u   /* the same with TLS: a server bounds the handshakes that it has in progress */

uint32_t load_worker_mask(struct load_worker *worker)
{
    return (uint32_t)load_random_next(&worker->random);
}

void load_worker_broken(struct load_worker *worker, enum load_count what, const char *why, struct span frame)
{
    ASSERT(what >= LOAD_BROKEN_FIRST && what < LOAD_COUNTS);
    worker->stats.counts[what]++;
    if (worker->first_broken[0] != '\0')
        return;
    int bytes = frame.bytes < 200 ? (int)frame.bytes : 200;
    pthread_mutex_lock(&worker->lock);
    snprintf(worker->first_broken, sizeof worker->first_broken, "%s: %s%s%.*s", load_stats_count_text(what), why,
             bytes > 0 ? ": " : "", bytes, bytes > 0 ? frame.data : "");
    pthread_mutex_unlock(&worker->lock);
}

void load_worker_add_latency(struct load_worker *worker, enum load_latency what, uint64_t since_us)
{
    const struct load_run *run = worker->run;
    bool is_measured = since_us >= atomic_load_explicit(&run->measured_from_us, memory_order_relaxed)
                       && since_us < atomic_load_explicit(&run->measured_until_us, memory_order_relaxed);
    load_histogram_add(is_measured ? &worker->measured[what] : &worker->stats.latencies[what],
                       worker->now_us - since_us);
    worker->gauges.late[what] += is_measured && worker->phase > LOAD_MEASURE;
}

void load_worker_note_end(struct load_worker *worker, const char *why)
{
    pthread_mutex_lock(&worker->lock);
    snprintf(worker->last_end, sizeof worker->last_end, "%s", why);
    pthread_mutex_unlock(&worker->lock);
}

void load_worker_note_refusal(struct load_worker *worker, struct span frame)
{
    if (worker->first_refusal[0] != '\0')
        return;
    pthread_mutex_lock(&worker->lock);
    snprintf(worker->first_refusal, sizeof worker->first_refusal, "%.*s", frame.bytes < 200 ? (int)frame.bytes : 200,
             frame.data);
    pthread_mutex_unlock(&worker->lock);
}

static void end_oldest_check(struct load_worker *worker)
{
    const struct load_order_check *check = &worker->checks[worker->checks_ended++ % LOAD_ORDER_CHECKS];
    uint32_t before = load_order_swap(&worker->order, check->pair, check->seq);
    if (before >= check->seq && check->seq >= atomic_load(&worker->run->sessions[check->from].order_from))
        load_worker_broken(worker, LOAD_BROKEN_ORDER, "a later send of the same connection was first", check->frame);
}

void load_worker_check_order(struct load_worker *worker, const struct load_session *session,
                             const struct load_text *text, struct span frame)
{
    ASSERT(text->from < worker->run->options.connections);
    uint64_t place = ((uint64_t)session->rounds << 32 | session->index) * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t pair = load_random_mix(((uint64_t)text->from << 32 | text->to) + place);
    load_order_prefetch(&worker->order, pair);
    if (worker->checks_begun - worker->checks_ended == LOAD_ORDER_CHECKS)
        end_oldest_check(worker);
    worker->checks[worker->checks_begun++ % LOAD_ORDER_CHECKS] =
        (struct load_order_check){pair, text->from, text->seq, frame};
}

void load_worker_end_order_checks(struct load_worker *worker)
{
    while (worker->checks_ended != worker->checks_begun)
        end_oldest_check(worker);
}

void load_worker_give_up(struct load_worker *worker, uint32_t nth, enum load_socket_step step, int error)
{
    pthread_mutex_lock(&worker->lock);
    load_socket_explain(&worker->run->options, nth, step, error, worker->obstacle, sizeof worker->obstacle);
    pthread_mutex_unlock(&worker->lock);
    atomic_store(&worker->run->is_hopeless, true);
}

void load_worker_give_up_because(struct load_worker *worker, const char *why)
{
    pthread_mutex_lock(&worker->lock);
    snprintf(worker->obstacle, sizeof worker->obstacle, "%s", why);
    pthread_mutex_unlock(&worker->lock);
    atomic_store(&worker->run->is_hopeless, true);
}

static void publish(struct load_worker *worker)
{
    worker->gauges.full = worker->phase >= LOAD_FILLED;
    worker->gauges.draining = worker->phase > LOAD_MEASURE;
    worker->gauges.in_check = worker->phase >= LOAD_CHECK;
    pthread_mutex_lock(&worker->lock);
    load_stats_add_counts(&worker->published[worker->phase == LOAD_MEASURE], worker->stats.counts);
    load_stats_add_latencies(&worker->published[0], worker->stats.latencies);
    load_stats_add_latencies(&worker->published[1], worker->measured);
    worker->published_gauges = worker->gauges;
    pthread_mutex_unlock(&worker->lock);
    load_stats_clear(&worker->stats);
    for (uint32_t i = 0; i < LOAD_LATENCIES; i++)
        load_histogram_clear(&worker->measured[i]);
    worker->gauges.behind_us = 0;
    worker->published_us = worker->now_us;
}

static void flush_all(struct load_worker *worker)
{
    for (struct list *link; (link = list_shift(&worker->flush)) != NULL;)
        load_session_flush(worker, container_of(link, struct load_session, flush_link));
}

static void on_accept(void *context, uint32_t listener, int fd)
{
    (void)context, (void)listener, (void)fd;
}

static void on_recv(void *context, struct io_socket *socket, char *data, int result)
{
    struct load_worker *worker = context;
    struct load_session *session = container_of(socket, struct load_session, socket);
    worker->now_us = load_run_now_us(worker->run);
    if (result > 0)
        load_session_on_recv(worker, session, data, (uint32_t)result);
    else
        load_session_lost(worker, session, result == 0 ? "the server ended the connection" : strerror(-result));
}

static void on_sent(void *context, struct io_socket *socket, int result)
{
    struct load_worker *worker = context;
    struct load_session *session = container_of(socket, struct load_session, socket);
    if (result != 0)
        load_session_lost(worker, session, strerror(-result));
    else if (load_session_has_output(session) && list_is_empty(&session->flush_link))
        list_append(&worker->flush, &session->flush_link);
}

static void on_closed(void *context, struct io_socket *socket)
{
    load_session_on_closed(context, container_of(socket, struct load_session, socket));
}

static void on_released(void *context, struct io_socket *socket, int fd)
{
    (void)context, (void)socket, (void)fd;
}

static void on_written(void *context, struct io_write *write, int result)
{
    (void)context, (void)write, (void)result;
}

static const struct io_handlers handlers = {on_accept, on_recv, on_sent, on_closed, on_released, on_written};

static void connect_due(struct load_worker *worker)
{
    uint32_t usual_max = worker->run->tls != NULL ? SECURING_MAX : CONNECTING_MAX;
    uint32_t connecting_max = worker->storm > 0 ? UINT32_MAX : usual_max;
    if (worker->phase == LOAD_END || atomic_load_explicit(&worker->run->is_down, memory_order_relaxed))
        return;
    for (uint32_t i = 0; i < CONNECTS_PER_TURN && !list_is_empty(&worker->waiting); i++) {
        struct load_session *session = container_of(worker->waiting.next, struct load_session, wait_link);
        if (session->due_us > worker->now_us || worker->connecting >= connecting_max)
            return;
        list_remove(&session->wait_link);
        load_session_connect(worker, session);
    }
}

static void retry_due(struct load_worker *worker)
{
    while (!list_is_empty(&worker->refused)) {
        struct load_session *session = container_of(worker->refused.next, struct load_session, wait_link);
        if (session->due_us > worker->now_us)
            return;
        list_remove(&session->wait_link);
        load_send_retry(worker, session);
    }
}

static void enter_phase(struct load_worker *worker, enum load_phase phase)
{
    publish(worker);
    worker->phase = phase;
    load_scenario_on_phase(worker);
}

/* A warm-up of 0 s is over before it is seen; what begins with it begins all the same. */
static void follow_phase(struct load_worker *worker)
{
    enum load_phase phase = (enum load_phase)atomic_load_explicit(&worker->run->phase, memory_order_acquire);
    if (worker->phase < LOAD_WARMUP && phase == LOAD_MEASURE)
        enter_phase(worker, LOAD_WARMUP);
    if (phase != worker->phase)
        enter_phase(worker, phase);
}

static uint64_t wait_us(const struct load_worker *worker)
{
    uint64_t wait = load_scenario_wait_us(worker);
    if (!list_is_empty(&worker->waiting)) {
        const struct load_session *session = container_of(worker->waiting.next, struct load_session, wait_link);
        uint64_t until = session->due_us > worker->now_us ? session->due_us - worker->now_us : 1000;
        wait = until < wait ? until : wait;
    }
    return wait < TURN_US_MAX ? wait : TURN_US_MAX;
}

static void turn(struct load_worker *worker)
{
    int status = io_wait(worker->io, wait_us(worker));
    worker->now_us = load_run_now_us(worker->run);
    if (status == 0)
        status = io_gather(worker->io, 0);
    ASSERT(status >= 0);
    worker->now_us = load_run_now_us(worker->run);
    follow_phase(worker);
    connect_due(worker);
    retry_due(worker);
    load_scenario_on_turn(worker);
    flush_all(worker);
    if (worker->now_us - worker->published_us >= PUBLISH_US)
        publish(worker);
}

static void queue_all(struct load_worker *worker)
{
    struct load_run *run = worker->run;
    for (uint32_t i = 0; i < worker->session_count; i++) {
        struct load_session *session = &run->sessions[worker->first_session + i];
        if (run->options.ramp > 0)
            session->due_us = (uint64_t)session->index * 1000000 / run->options.ramp;
        if (run->options.threads > 1 && run->options.ramp > 0)
            session->due_us = (uint64_t)i * run->options.threads * 1000000 / run->options.ramp;
        list_append(&worker->waiting, &session->wait_link);
    }
}

static bool are_all_away(const struct load_worker *worker)
{
    for (uint32_t i = 0; i < worker->session_count; i++)
        if (worker->run->sessions[worker->first_session + i].state != LOAD_SESSION_AWAY)
            return false;
    return true;
}

void *load_worker_main(void *argument)
{
    static const struct io_options options = {.recv_buffer_bytes = 65536, .recv_buffer_count = 256};
    struct load_worker *worker = argument;
    load_slice_ask();
    atomic_store(&worker->tid, gettid());
    int status = io_open(&worker->io, &options, &handlers, worker);
    if (status != 0) {
        fprintf(stderr, "chitchat-load: cannot open an io_uring: %s\n", strerror(-status));
        _Exit(2);
    }
    queue_all(worker);
    while (worker->phase != LOAD_END || !are_all_away(worker))
        turn(worker);
    publish(worker);
    io_close_loop(&worker->io);
    return NULL;
}
