/* load.c: the scenarios, and the loop that drives them. */
#include "load.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

#define CONNECTS_AT_ONCE 64u /* before the loop takes a turn */
#define DRAIN_US 10000000u
#define SETTLE_US 1000000u

uint64_t load_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint32_t load_below(struct load *load, uint32_t bound)
{
    uint64_t z = (load->random += 0x9e3779b97f4a7c15u); /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(((z ^ (z >> 31)) >> 32) * bound >> 32);
}

static void turn(struct load *load, uint64_t wait_us)
{
    peer_flush_all(load);
    ASSERT(io_wait(load->io, wait_us) == 0);
    load->now_us = load_now_us();
    ASSERT(io_gather(load->io, 0) >= 0);
}

/* -- sending -- */

static uint32_t target_of(struct load *load, const struct peer *peer)
{
    uint32_t count = load->options.connections;
    if (load->options.scenario == SCENARIO_FANOUT)
        return 1;
    if (load->options.to == TARGET_PARTNER)
        return (peer->index ^ 1u) < count ? peer->index ^ 1u : 0;
    uint32_t other = load_below(load, count - 1);
    return other >= peer->index ? other + 1 : other;
}

static void send_one(struct load *load, struct peer *peer, uint64_t intended_us)
{
    uint32_t to = target_of(load, peer);
    load->sent_to[to]++;
    peer_send(load, peer, to, intended_us);
}

static bool is_sender(const struct load *load, const struct peer *peer)
{
    return load->options.scenario == SCENARIO_PAIRS || (load->options.scenario == SCENARIO_FANOUT && peer->index == 0);
}

/* Fills the window of a closed loop. */
static void fill_window(struct load *load, struct peer *peer)
{
    while (!load->is_ending && load->options.rate == 0 && is_sender(load, peer) && peer->unanswered < load->options.window)
        send_one(load, peer, load->now_us);
}

void load_on_ready(struct load *load, struct peer *peer)
{
    (void)load, (void)peer;
}

void load_on_answer(struct load *load, struct peer *peer)
{
    fill_window(load, peer);
}

void load_on_page(struct load *load, struct peer *peer)
{
    if (!load->is_ending)
        peer_ask_page(load, peer);
}

/* Sends that are due by the clock of an open loop, whether the server keeps up or not. */
static void send_due(struct load *load)
{
    uint64_t step_x1000 = UINT64_C(1000000000) / load->options.rate;
    while (load->next_due_us_x1000 / 1000 <= load->now_us) {
        struct peer *peer = &load->peers[load->options.scenario == SCENARIO_FANOUT ? 0 : load_below(load, load->options.connections)];
        if (peer->unanswered <= peer->sent_mask)
            send_one(load, peer, load->next_due_us_x1000 / 1000);
        else
            load->all.errors++; /* its window of memory is full: the server is far behind */
        load->next_due_us_x1000 += step_x1000;
    }
}

/* -- phases -- */

static void connect_all(struct load *load)
{
    for (uint32_t i = 0; i < load->options.connections; i++) {
        int status = peer_connect(load, &load->peers[i]);
        if (status != 0) {
            fprintf(stderr, "chitchat-load: connection %u: %s\n", i, strerror(-status));
            exit(1);
        }
        if (i % CONNECTS_AT_ONCE == CONNECTS_AT_ONCE - 1)
            turn(load, 0);
    }
}

/* Turns until all connections are logged in, or `limit_us` has passed. */
static void wait_for_logins(struct load *load, uint64_t limit_us)
{
    uint64_t end = load_now_us() + limit_us;
    while (load->live_count < load->options.connections && load_now_us() < end)
        turn(load, 10000);
    if (load->live_count < load->options.connections) {
        fprintf(stderr, "chitchat-load: only %u of %u are logged in\n", load->live_count, load->options.connections);
        exit(1);
    }
}

static void run_until(struct load *load, uint64_t end_us)
{
    while (load->now_us < end_us) {
        uint64_t wait_us = end_us - load->now_us;
        if (load->options.rate > 0) {
            uint64_t due_us = load->next_due_us_x1000 / 1000;
            wait_us = due_us > load->now_us ? due_us - load->now_us : 0;
        }
        turn(load, wait_us < 100000 ? wait_us : 100000);
        if (load->options.rate > 0)
            send_due(load);
    }
}

static bool is_drained(const struct load *load)
{
    uint64_t unanswered = 0;
    for (uint32_t i = 0; i < load->options.connections; i++)
        unanswered += load->peers[i].unanswered;
    return unanswered == 0;
}

/* Acknowledged sends that their recipients did not get: in pairs each is one entry of one connection. */
static uint64_t missing(const struct load *load)
{
    uint64_t copies = load->options.scenario == SCENARIO_FANOUT ? load->options.connections - 1 : 1;
    uint64_t wanted = load->all.acknowledged * copies;
    if (load->options.scenario != SCENARIO_PAIRS && load->options.scenario != SCENARIO_FANOUT)
        return 0;
    return wanted > load->all.delivered ? wanted - load->all.delivered : 0;
}

static void drain(struct load *load)
{
    uint64_t end = load_now_us() + DRAIN_US;
    load->is_ending = true;
    while ((!is_drained(load) || missing(load) > 0) && load_now_us() < end)
        turn(load, 10000);
}

static double own_cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
           + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void measure(struct load *load, struct report *report)
{
    load->now_us = load_now_us();
    load->next_due_us_x1000 = load->now_us * 1000;
    run_until(load, load->now_us + (uint64_t)load->options.warmup_s * 1000000);
    load->is_measuring = true;
    uint64_t begun_us = load->now_us;
    double own_s = own_cpu_s();
    struct usage before = usage_of(load->options.server_pid);
    run_until(load, begun_us + (uint64_t)load->options.seconds * 1000000);
    load->is_measuring = false;
    struct usage after = usage_of(load->options.server_pid);
    report->seconds = (double)(load->now_us - begun_us) / 1e6;
    report->own_cpu_s = own_cpu_s() - own_s;
    report->server_cpu_s = after.cpu_s - before.cpu_s;
    report->server_rss_bytes = after.rss_bytes;
    report->socket_bytes = socket_memory_bytes();
}

/* Every user is sent --fill messages by its neighbour. */
static void fill_timelines(struct load *load)
{
    load->options.scenario = SCENARIO_PAIRS;
    load->options.to = TARGET_PARTNER;
    load->options.window = 64;
    load->is_ending = true; /* only what is sent here */
    for (uint32_t round = 0; round < load->options.fill; round += 64) {
        load->now_us = load_now_us();
        for (uint32_t i = 0; i < load->options.connections; i++)
            for (uint32_t k = round; k < load->options.fill && k < round + 64; k++)
                send_one(load, &load->peers[i], load->now_us);
        while (!is_drained(load))
            turn(load, 10000);
    }
    load->is_ending = false;
}

/* All connections end at once, and come back with `cursor`: as it is, or 0. */
static void come_back(struct load *load, bool from_zero, struct report *report)
{
    load->is_ending = true;
    for (uint32_t i = 0; i < load->options.connections; i++)
        if (!load->peers[i].is_gone) {
            load->peers[i].is_gone = true;
            io_close(load->io, &load->peers[i].socket);
        }
    while (load->open_count > 0)
        turn(load, 10000);
    load->is_ending = false;
    load->live_count = 0;
    load->login = (struct histogram){0};
    for (uint32_t i = 0; from_zero && i < load->options.connections; i++)
        load->peers[i].cursor = 0;
    uint64_t delivered = load->all.delivered, begun_us = load_now_us();
    double own_s = own_cpu_s();
    struct usage before = usage_of(load->options.server_pid);
    connect_all(load);
    for (uint32_t live = 0; live < load->options.connections;) {
        turn(load, 10000);
        live = 0;
        for (uint32_t i = 0; i < load->options.connections; i++)
            live += load->peers[i].is_live;
    }
    struct usage after = usage_of(load->options.server_pid);
    report->seconds = (double)(load_now_us() - begun_us) / 1e6;
    report->own_cpu_s = own_cpu_s() - own_s;
    report->server_cpu_s = after.cpu_s - before.cpu_s;
    report->server_rss_bytes = after.rss_bytes;
    report->socket_bytes = socket_memory_bytes();
    load->measured.delivered = load->all.delivered - delivered;
    printf("all %u live again after %.3f s, %.1f us of server CPU each\n", load->options.connections, report->seconds,
           report->server_cpu_s * 1e6 / load->options.connections);
}

static void run_scenario(struct load *load, struct report *report)
{
    enum scenario scenario = load->options.scenario;
    connect_all(load);
    if (scenario == SCENARIO_STORM || scenario == SCENARIO_REPLAY) {
        wait_for_logins(load, 60000000);
        if (scenario == SCENARIO_REPLAY)
            fill_timelines(load);
        load->options.scenario = scenario;
        come_back(load, scenario == SCENARIO_REPLAY, report);
        return;
    }
    wait_for_logins(load, 60000000);
    if (scenario == SCENARIO_HISTORY) {
        fill_timelines(load);
        load->options.scenario = scenario;
        for (uint32_t i = 0; i < load->options.connections; i++)
            peer_ask_page(load, &load->peers[i]);
    }
    load->now_us = load_now_us();
    for (uint32_t i = 0; i < load->options.connections; i++)
        fill_window(load, &load->peers[i]);
    measure(load, report);
    drain(load);
    report->missing = missing(load);
}

static void make_peers(struct load *load)
{
    uint32_t count = load->options.connections, slots = 64;
    while (slots < load->options.window || (load->options.rate > 0 && slots < SENDS_MAX))
        slots *= 2;
    load->peers = calloc(count, sizeof *load->peers);
    load->sent_to = calloc(count, sizeof *load->sent_to);
    load->got_by = calloc(count, sizeof *load->got_by);
    ASSERT(load->peers != NULL && load->sent_to != NULL && load->got_by != NULL);
    for (uint32_t i = 0; i < count; i++) {
        struct peer *peer = &load->peers[i];
        peer->index = i;
        peer->user = load->options.scenario == SCENARIO_FANOUT && i > 0 ? 1 : i;
        peer->sent_mask = slots - 1;
        list_init(&peer->flush_link);
        if (load->options.scenario != SCENARIO_IDLE)
            peer->sent_at_us = calloc(slots, sizeof *peer->sent_at_us);
    }
}

int main(int argc, char **argv)
{
    static struct load load;
    struct report report = {0};
    static const struct io_options io_options = {.recv_buffer_bytes = 16384, .recv_buffer_count = 1024};
    struct rlimit limit;
    bool is_help;
    if (!options_parse(argc, argv, &load.options, &is_help))
        return 2;
    if (is_help)
        return 0;
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    load.random = load.options.seed;
    list_init(&load.flush);
    make_peers(&load);
    ASSERT(io_open(&load.io, &io_options, peer_handlers(), &load) == 0);
    report.server_rss_idle_bytes = usage_of(load.options.server_pid).rss_bytes;
    run_scenario(&load, &report);
    report_print(&load, &report);
    bool is_written = load.options.json_path == NULL || report_write_json(&load, &report);
    return load.all.broken == 0 && report.missing == 0 && is_written ? 0 : 1;
}
