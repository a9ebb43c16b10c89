/* hostile.c: runs one attack after the other, and measures a client alone, under the attack, and after it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hostile_crew.h"
#include "hostile_options.h"
#include "hostile_plan.h"
#include "hostile_probe.h"
#include "hostile_report.h"
#include "load/address.h"
#include "load/proc.h"
#include "times.h"

#define IN_PLACE_US UINT64_C(5000000)
#define IN_PLACE_POLL_US 10000u
#define REST_US 1000000u /* between an attack and the measurement after it */
#define AFTER_S 2u
#define LATER_S 10u

struct run {
    struct hostile_options options;
    struct hostile_result *results;
    uint32_t result_count;
    struct hostile_probe probe;
    struct hostile_crew crew;
};

static const struct sockaddr_in no_address = {.sin_family = AF_UNSPEC};

/* Writes the entries that the plan wants in its user's timeline. */
static int fill(struct run *run, const struct hostile_plan *plan, const char *name)
{
    struct hostile_crew crew;
    if (plan->fill == 0)
        return 0;
    struct hostile_route route = {&run->options.address, &no_address};
    int status = hostile_crew_open(&crew, hostile_plan_filler(), &route, name, 0);
    if (status != 0)
        return status;
    status = hostile_crew_fill(&crew, plan->fill);
    hostile_crew_close(&crew);
    return status;
}

static void probe(struct run *run, double seconds, struct hostile_figures *figures_r)
{
    struct hostile_rhythm rhythm = {.seconds = seconds, .rate = run->options.rate, .window = run->options.window};
    hostile_probe_run(&run->probe, &rhythm, figures_r);
}

static void wait_until_in_place(struct run *run)
{
    uint64_t begun = times_now_us();
    while (!hostile_crew_is_in_place(&run->crew) && times_now_us() - begun < IN_PLACE_US)
        times_sleep_us(IN_PLACE_POLL_US);
}

/* Measures under the attack, for the time of --seconds, or longer if the plan needs it. */
static int measure_under(struct run *run, struct hostile_result *result)
{
    double least_s = result->plan->least_s, seconds = run->options.seconds;
    int status = hostile_crew_start(&run->crew);
    if (status != 0)
        return status;
    wait_until_in_place(run);
    probe(run, seconds > least_s ? seconds : least_s, &result->under);
    hostile_crew_stop(&run->crew, &result->tally);
    result->ended = load_proc_read(run->options.pid);
    return 0;
}

/* Measures after the attack; a client whose connection was closed comes back first. */
static void measure_after(struct run *run, const char *name, struct hostile_result *result)
{
    times_sleep_us(REST_US);
    int status = 0;
    if (result->under.fate == HOSTILE_LOST || result->under.fate == HOSTILE_CUT) {
        hostile_probe_close(&run->probe);
        status = hostile_probe_open(&run->probe, &run->options.address, name);
    }
    probe(run, AFTER_S, &result->after);
    if (status == -ETIMEDOUT)
        result->after.fate = HOSTILE_HUNG;
    if (!result->plan->is_about_memory || run->options.pid == 0)
        return;
    times_sleep_us((LATER_S - AFTER_S) * UINT64_C(1000000));
    result->later = load_proc_read(run->options.pid);
}

static int measure(struct run *run, const char *name, struct hostile_result *result)
{
    probe(run, run->options.seconds, &result->alone);
    if (result->alone.fate != HOSTILE_SERVED)
        return -ETIMEDOUT;
    result->before = load_proc_read(run->options.pid);
    int status = measure_under(run, result);
    if (status == 0 && result->under.fate != HOSTILE_HUNG)
        measure_after(run, name, result);
    return status;
}

/* 0; or -errno, with a line on stderr, if nothing could be measured. */
static int run_attack(struct run *run, const struct hostile_plan *plan, struct hostile_result *result)
{
    char name[HOSTILE_RUN_BYTES];
    const char *what = "its client cannot log in";
    snprintf(name, sizeof name, "%x.%x", (unsigned)getpid(), (unsigned)times_now_us());
    memset(result, 0, sizeof *result);
    result->plan = plan;
    int status = hostile_probe_open(&run->probe, &run->options.address, name);
    if (status != 0)
        goto complain;
    what = "its user's timeline cannot be filled";
    status = fill(run, plan, name);
    if (status != 0)
        goto close_probe;
    what = "the attackers cannot be set up";
    struct hostile_route route = {plan->is_tls ? &run->options.tls_address : &run->options.address, &run->options.from};
    status = hostile_crew_open(&run->crew, plan, &route, name, run->options.pid);
    if (status != 0)
        goto close_probe;
    what = "its client is not served before it begins";
    status = measure(run, name, result);
    hostile_crew_close(&run->crew);
close_probe:
    hostile_probe_close(&run->probe);
complain:
    if (status != 0)
        fprintf(stderr, "hostile: %s: %s: %s\n", plan->name, what, strerror(-status));
    return status;
}

static void print_warnings(const struct hostile_result *result)
{
    if (result->plan->extra_per_s > 0 && result->tally.turned_away == 0)
        fprintf(stderr, "hostile: %s: %u connections did not fill the server: start it with a lower --connections\n",
                result->plan->name, result->tally.open_max);
    if (result->under.refused > 0)
        fprintf(stderr, "hostile: %s: the server refused sends of the client %llu times; they were sent again\n",
                result->plan->name, (unsigned long long)result->under.refused);
}

/* Runs all attacks, unless the server hangs. Returns the status of the program. */
static int run_all(struct run *run)
{
    int status = 0;
    hostile_report_print_head(stdout);
    for (uint32_t i = 0; i < run->options.attack_count; i++) {
        struct hostile_result *result = &run->results[run->result_count];
        if (run_attack(run, hostile_plan_at(run->options.attacks[i]), result) != 0)
            return 2;
        run->result_count++;
        hostile_report_print(result, stdout);
        print_warnings(result);
        enum hostile_verdict verdict = hostile_report_verdict(result);
        if (verdict != HOSTILE_KEPT && run->options.must_keep)
            status = 1;
        if (verdict != HOSTILE_IS_HUNG)
            continue;
        fprintf(stderr, "hostile: the server has answered nothing for %u s: %u attacks are left out\n", HOSTILE_HUNG_S,
                run->options.attack_count - i - 1);
        break;
    }
    return status;
}

static bool can_connect(struct load_address *address)
{
    int status = load_address_probe(address);
    if (status != 0)
        fprintf(stderr, "hostile: cannot connect to %s: %s; is the server running there?\n", address->text,
                strerror(-status));
    return status == 0;
}

static int run_on_server(struct run *run)
{
    struct hostile_options *options = &run->options;
    int status;
    if (!can_connect(&options->address) || (options->tls_address.count > 0 && !can_connect(&options->tls_address)))
        return 2;
    if (options->pid == 0)
        options->pid = load_proc_listener(options->address.port);
    status = run_all(run);
    if (options->json_path != NULL && !hostile_report_write_json(run->results, run->result_count, options->json_path))
        status = 2;
    return status;
}

int main(int argc, char **argv)
{
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    load_proc_raise_files();
    int parsed = hostile_options_parse(&run->options, argc, argv), status = parsed < 0 ? 2 : 0;
    run->results = calloc(HOSTILE_ATTACKS_MAX, sizeof *run->results);
    if (parsed == 0)
        status = run->results != NULL ? run_on_server(run) : 2;
    free(run->results);
    free(run);
    return status;
}
