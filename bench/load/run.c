#include "load/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "cli/client_tls.h"
#include "load/put.h"
#include "load/scenario.h"
#include "load/session.h"
#include "load/stats.h"
#include "load/talk.h"
#include "load/worker.h"
#include "times.h"

#define TOKENS_LAST_S UINT64_C(2592000) /* 30 days: longer than any run */

uint64_t load_run_now_us(const struct load_run *run)
{
    return times_now_us() - run->origin_us;
}

void load_run_note_ok(struct load_run *run, uint32_t node, bool is_login, uint64_t now_us)
{
    uint64_t none = 0;
    if (is_login)
        atomic_store_explicit(&run->owner, node, memory_order_relaxed);
    if (is_login && !load_options_is_silent(&run->options))
        return; /* the `ok` of a send is what is waited for */
    if (atomic_load_explicit(&run->ok_us[node], memory_order_relaxed) == 0)
        atomic_compare_exchange_strong(&run->ok_us[node], &none, now_us);
}

uint32_t load_run_user_name(const struct load_run *run, uint32_t user, char *out)
{
    char *at = load_put(out, run->options.prefix, run->prefix_bytes);
    return (uint32_t)(load_put_number(at, user) - out);
}

bool load_run_user_number(const struct load_run *run, struct span name, uint32_t *user_r)
{
    uint32_t prefix_bytes = run->prefix_bytes, user = 0;
    if (name.bytes <= prefix_bytes || name.bytes > prefix_bytes + 8
        || memcmp(name.data, run->options.prefix, prefix_bytes) != 0)
        return false;
    if (name.data[prefix_bytes] == '0' && name.bytes > prefix_bytes + 1)
        return false; /* load_run_user_name writes no leading zeros */
    for (size_t i = prefix_bytes; i < name.bytes; i++) {
        if (name.data[i] < '0' || name.data[i] > '9')
            return false;
        user = user * 10 + (uint32_t)(name.data[i] - '0');
    }
    *user_r = user;
    return user < run->user_count;
}

static void init_session(struct load_run *run, uint32_t index)
{
    struct load_session *session = &run->sessions[index];
    session->index = index;
    session->user = load_scenario_user(&run->options, index);
    session->next_seq = 1;
    session->first_free = UINT16_MAX;
    list_init(&session->flush_link);
    list_init(&session->wait_link);
    if (run->tls != NULL)
        session->tls = client_tls_open(run->tls);
    run->sessions_of_user[session->user]++;
    run->sender_count += load_scenario_sends(&run->options, index);
}

/* At most; in an open loop those of one second. Each send is an entry of its sender and one of its recipient. */
static uint64_t entries_in_flight(const struct load_worker *worker)
{
    const struct load_options *options = &worker->run->options;
    uint32_t window = load_options_fills(options) ? LOAD_FILL_WINDOW : options->window;
    uint64_t entries = UINT64_C(2) * worker->session_count * window;
    uint64_t of_a_second = UINT64_C(2) * options->rate / options->threads;
    return options->rate > 0 && of_a_second < entries ? of_a_second : entries;
}

static int open_worker(struct load_run *run, uint32_t index)
{
    struct load_worker *worker = &run->workers[index];
    uint32_t count = run->options.connections, threads = run->options.threads;
    ASSERT(worker->run == NULL);
    worker->run = run;
    worker->index = index;
    worker->first_session = (uint32_t)((uint64_t)count * index / threads);
    worker->session_count = (uint32_t)((uint64_t)count * (index + 1) / threads) - worker->first_session;
    worker->random = load_random_mix(run->options.seed * LOAD_THREADS_MAX + index);
    for (uint32_t i = 0; i < worker->session_count; i++)
        worker->sender_count += load_scenario_sends(&run->options, worker->first_session + i);
    list_init(&worker->flush);
    list_init(&worker->waiting);
    list_init(&worker->refused);
    worker->truth = calloc(run->user_count, sizeof *worker->truth);
    worker->plain = run->tls != NULL ? malloc(LOAD_PLAIN_BYTES) : NULL;
    if (worker->truth == NULL || (run->tls != NULL && worker->plain == NULL))
        return -ENOMEM;
    int status = load_order_open(&worker->order, entries_in_flight(worker));
    return status == 0 ? -pthread_mutex_init(&worker->lock, NULL) : status;
}

bool load_run_read_files(struct load_run *run, char *why, size_t room)
{
    const struct load_options *options = &run->options;
    const struct client_tls_options tls = {.host = options->addresses[0].host,
                                           .ca_path = options->tls_ca_path,
                                           .is_insecure = options->is_tls_insecure,
                                           .keeps_tickets = options->has_tls_resume,
                                           .insecure_hint = ", or do not check it with --tls-insecure",
                                           .plain_hint = "leave out --tls, or give the port of --listen-tls"};
    return (!options->has_tls || client_tls_context_open(&run->tls, &tls, why, room))
           && (options->secret_path == NULL || load_token_read_secret(&run->secret, options->secret_path, why, room))
           && (options->tokens_path == NULL
               || load_tokens_read(&run->tokens, options->tokens_path, load_options_connected_users(options), why,
                                   room));
}

int load_run_open(struct load_run *run)
{
    const struct load_options *options = &run->options;
    struct timespec wall;
    ASSERT(options->threads > 0 && options->threads <= LOAD_THREADS_MAX);
    ASSERT(options->connections >= options->threads && options->connections < LOAD_SESSIONS_MAX);
    ASSERT(options->users > 0 && options->users <= options->connections);
    clock_gettime(CLOCK_REALTIME, &wall);
    run->origin_us = load_run_now_us(run);
    run->number = (uint32_t)load_random_mix((uint64_t)wall.tv_sec * 1000000000 + (uint64_t)wall.tv_nsec) & 0xFFFFFF;
    run->tokens_expire_s = (uint64_t)wall.tv_sec + TOKENS_LAST_S;
    if (load_options_marks(options) && (options->given & LOAD_GIVEN_PREFIX) == 0)
        snprintf(run->options.prefix, sizeof run->options.prefix, "load-%06x-", run->number);
    run->prefix_bytes = (uint32_t)strlen(options->prefix);
    atomic_store(&run->measured_from_us, UINT64_MAX);
    atomic_store(&run->measured_until_us, UINT64_MAX);
    load_filler_init(&run->filler);
    run->sessions = calloc(options->connections, sizeof *run->sessions);
    run->user_count = options->scenario == LOAD_FANOUT ? 2 * options->users : options->recipients;
    run->sessions_of_user = calloc(run->user_count, sizeof *run->sessions_of_user);
    run->workers = calloc(options->threads, sizeof *run->workers);
    if (run->sessions == NULL || run->sessions_of_user == NULL || run->workers == NULL)
        return -ENOMEM;
    int status = options->to == LOAD_TO_ZIPF ? load_zipf_open(&run->zipf, options->recipients, options->zipf) : 0;
    pthread_mutex_init(&run->epoch_lock, NULL);
    for (uint32_t i = 0; i < options->connections; i++)
        init_session(run, i);
    for (uint32_t i = 0; i < options->threads && status == 0; i++)
        status = open_worker(run, i);
    return status;
}

int load_run_start(struct load_run *run)
{
    int status = 0;
    for (uint32_t i = 0; i < run->options.threads && status == 0; i++)
        status = -pthread_create(&run->workers[i].thread, NULL, load_worker_main, &run->workers[i]);
    return status;
}

void load_run_join(struct load_run *run)
{
    ASSERT(atomic_load(&run->phase) == LOAD_END);
    for (uint32_t i = 0; i < run->options.threads; i++)
        pthread_join(run->workers[i].thread, NULL);
}

void load_run_close(struct load_run *run)
{
    for (uint32_t i = 0; i < run->options.threads; i++) {
        free(run->workers[i].truth);
        free(run->workers[i].plain);
        load_order_close(&run->workers[i].order);
        pthread_mutex_destroy(&run->workers[i].lock);
    }
    for (uint32_t i = 0; i < run->options.connections; i++) {
        struct load_session *session = &run->sessions[i];
        free(session->in.data);
        free(session->out.data);
        free(session->in_flight.data);
        client_tls_close(&session->tls);
        free(session->sends);
        free(session->walks);
        free(session->peers_walks);
        load_talks_close(&session->talks);
    }
    load_zipf_close(&run->zipf);
    client_tls_context_close(&run->tls);
    load_tokens_free(&run->tokens);
    free(run->workers);
    free(run->sessions_of_user);
    free(run->sessions);
    pthread_mutex_destroy(&run->epoch_lock);
}

static void add_gauges(struct load_gauges *into, const struct load_gauges *from)
{
    into->live += from->live;
    into->unanswered += from->unanswered;
    into->filled += from->filled;
    into->full += from->full;
    into->pages += from->pages;
    into->owed += from->owed;
    into->got += from->got;
    into->behind += from->behind;
    into->held += from->held;
    into->due += from->due;
    into->overdue += from->overdue;
    into->marks += from->marks;
    into->marked += from->marked;
    into->shown += from->shown;
    into->checking += from->checking;
    into->in_check += from->in_check;
    into->looking += from->looking;
    into->strangers += from->strangers;
    into->stranger = from->strangers > 0 ? from->stranger : into->stranger;
    into->draining += from->draining;
    for (uint32_t i = 0; i < LOAD_LATENCIES; i++)
        into->late[i] += from->late[i];
    if (from->behind_us > into->behind_us)
        into->behind_us = from->behind_us;
}

/* All sessions are back when those of the last worker are. */
static void add_storm(struct load_gauges *into, const struct load_gauges *from, bool is_first)
{
    bool is_back = from->back_us > 0 && (is_first || into->back_us > 0);
    into->storm = is_first || from->storm < into->storm ? from->storm : into->storm;
    into->back_us = !is_back ? 0 : from->back_us > into->back_us ? from->back_us : into->back_us;
}

void load_run_take(struct load_run *run, struct load_stats *stats, struct load_gauges *gauges_r)
{
    *gauges_r = (struct load_gauges){0};
    for (uint32_t i = 0; i < run->options.threads; i++) {
        struct load_worker *worker = &run->workers[i];
        pthread_mutex_lock(&worker->lock);
        for (uint32_t k = 0; k < 2; k++) {
            load_stats_merge(&stats[k], &worker->published[k]);
            load_stats_clear(&worker->published[k]);
        }
        add_gauges(gauges_r, &worker->published_gauges);
        add_storm(gauges_r, &worker->published_gauges, i == 0);
        pthread_mutex_unlock(&worker->lock);
    }
}

void load_run_last_end(struct load_run *run, char *out, size_t room)
{
    snprintf(out, room, "no answer");
    for (uint32_t i = 0; i < run->options.threads; i++) {
        struct load_worker *worker = &run->workers[i];
        pthread_mutex_lock(&worker->lock);
        if (worker->last_end[0] != '\0')
            snprintf(out, room, "%s", worker->last_end);
        pthread_mutex_unlock(&worker->lock);
    }
}

void load_run_obstacle(struct load_run *run, char *out, size_t room)
{
    out[0] = '\0';
    for (uint32_t i = 0; i < run->options.threads && out[0] == '\0'; i++) {
        struct load_worker *worker = &run->workers[i];
        pthread_mutex_lock(&worker->lock);
        snprintf(out, room, "%s", worker->obstacle);
        pthread_mutex_unlock(&worker->lock);
    }
}

void load_run_first_refusal(struct load_run *run, char *out, size_t room)
{
    out[0] = '\0';
    for (uint32_t i = 0; i < run->options.threads && out[0] == '\0'; i++) {
        struct load_worker *worker = &run->workers[i];
        pthread_mutex_lock(&worker->lock);
        snprintf(out, room, "%s", worker->first_refusal);
        pthread_mutex_unlock(&worker->lock);
    }
}

static struct load_stuck stuck_of(const struct load_run *run, uint32_t state)
{
    struct load_stuck all = {0};
    for (uint32_t i = 0; i < run->options.threads; i++) {
        const struct load_stuck *stuck = &run->workers[i].stuck[state];
        if (all.count == 0)
            all.first = stuck->first;
        all.count += stuck->count;
    }
    return all;
}

void load_run_stuck(const struct load_run *run, char *out, size_t room)
{
    static const char *const texts[LOAD_SESSION_STATES][2] = {
        [LOAD_SESSION_AWAY] = {"connection was closed", "connections were closed"},
        [LOAD_SESSION_SECURING] = {"connection waited for the TLS handshake",
                                   "connections waited for the TLS handshake"},
        [LOAD_SESSION_UPGRADING] = {"connection waited for the upgrade", "connections waited for the upgrade"},
        [LOAD_SESSION_LOGGING_IN] = {"connection waited for the answer to `login`",
                                     "connections waited for the answer to `login`"},
        [LOAD_SESSION_REPLAYING] = {"connection waited for `live`", "connections waited for `live`"},
        [LOAD_SESSION_LIVE] = {"connection waited for an answer", "connections waited for answers"},
        [LOAD_SESSION_LEAVING] = {"connection was being closed", "connections were being closed"},
    };
    char name[LOAD_USER_BYTES_MAX];
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t state = 0; state < LOAD_SESSION_STATES && used < room; state++) {
        struct load_stuck stuck = stuck_of(run, state);
        if (stuck.count == 0)
            continue;
        uint32_t bytes = load_run_user_name(run, run->sessions[stuck.first].user, name);
        used += (size_t)snprintf(out + used, room - used, "%s%u %s: %.*s%s", used > 0 ? "; " : "", stuck.count,
                                 texts[state][stuck.count > 1], (int)bytes, name, stuck.count > 1 ? ", ..." : "");
    }
}

static struct load_truth truth_of(const struct load_run *run, uint32_t user)
{
    struct load_truth truth = {0};
    for (uint32_t i = 0; i < run->options.threads; i++) {
        truth.count += run->workers[i].truth[user].count;
        truth.sum += run->workers[i].truth[user].sum;
        truth.unknown += run->workers[i].truth[user].unknown;
    }
    return truth;
}

uint64_t load_run_check(const struct load_run *run, char *text, uint32_t text_bytes)
{
    uint64_t wrong = 0;
    for (uint32_t i = 0; i < run->options.connections; i++) {
        const struct load_session *session = &run->sessions[i];
        struct load_truth truth = truth_of(run, session->user);
        bool is_right = truth.unknown == 0
                            ? session->got_count == truth.count && session->got_sum == truth.sum
                            : session->got_count >= truth.count && session->got_count <= truth.count + truth.unknown;
        if (is_right || !session->was_in)
            continue;
        if (wrong++ == 0)
            snprintf(text, text_bytes,
                     "a connection of %s%u got %llu entries%s of the %llu that were acknowledged (+ %llu unknown)",
                     run->options.prefix, session->user, (unsigned long long)session->got_count,
                     session->got_count == truth.count ? ", but other ones," : "", (unsigned long long)truth.count,
                     (unsigned long long)truth.unknown);
    }
    return wrong;
}
