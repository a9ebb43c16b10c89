/* Parts of chitchat-load: histogram, random numbers, text, options, the progress line and error texts. */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load/histogram.h"
#include "load/options.h"
#include "load/progress.h"
#include "load/random.h"
#include "load/run.h"
#include "load/socket.h"
#include "load/text.h"
#include "load/worker.h"
#include "said.h"

Test(load_histogram, every_value_lies_in_its_bucket_and_is_known_to_a_sixtieth)
{
    for (uint64_t us = 0; us < UINT64_C(1) << 37; us = us < 5000 ? us + 1 : us + us / 7) {
        uint32_t bucket = load_histogram_bucket(us);
        uint64_t end = load_histogram_bucket_end(bucket);
        cr_assert(us <= end && (double)(end - us) <= (double)us / 60, "%llu in a bucket to %llu",
                  (unsigned long long)us, (unsigned long long)end);
        cr_assert(bucket == 0 || us > load_histogram_bucket_end(bucket - 1));
    }
    cr_expect_eq(load_histogram_bucket(UINT64_MAX), LOAD_HISTOGRAM_BUCKETS - 1);
}

Test(load_histogram, quantiles_are_those_of_the_sorted_values)
{
    struct load_histogram *histogram = calloc(1, sizeof *histogram);
    cr_expect_eq(load_histogram_quantile(histogram, 0.5), 0);
    for (uint64_t us = 1; us <= 10000; us++)
        load_histogram_add(histogram, us);
    const double fractions[] = {0.5, 0.9, 0.99, 0.999, 0.9999};
    for (size_t i = 0; i < 5; i++) {
        double wanted = fractions[i] * 10000, got = (double)load_histogram_quantile(histogram, fractions[i]);
        cr_expect(got >= wanted && got <= wanted * 1.016, "%g: %g", fractions[i], got);
    }
    cr_expect_eq(load_histogram_quantile(histogram, 1), 10000);
    cr_expect_eq(histogram->max_us, 10000);
    free(histogram);
}

Test(load_histogram, what_threads_counted_apart_is_the_same_together)
{
    struct load_histogram *all = calloc(3, sizeof *all);
    for (uint64_t us = 0; us < 5000; us++) {
        load_histogram_add(&all[0], us * us);
        load_histogram_add(&all[1 + us % 2], us * us);
    }
    load_histogram_merge(&all[1], &all[2]);
    cr_expect_eq(memcmp(&all[0], &all[1], sizeof all[0]), 0);
    free(all);
}

Test(load_random, numbers_below_a_bound_are_all_drawn_about_equally)
{
    uint64_t state = 1;
    uint32_t counts[7] = {0};
    for (int i = 0; i < 70000; i++)
        counts[load_random_below(&state, 7)]++;
    for (int i = 0; i < 7; i++)
        cr_expect(counts[i] > 9500 && counts[i] < 10500, "%d: %u", i, counts[i]);
}

Test(load_random, zipf_draws_each_rank_as_often_as_its_law_says)
{
    const double exponents[] = {0, 0.8, 1, 1.5};
    for (size_t k = 0; k < 4; k++) {
        struct load_zipf zipf;
        uint64_t state = 3;
        double sum = 0;
        uint32_t counts[1000] = {0};
        cr_assert_eq(load_zipf_open(&zipf, 1000, exponents[k]), 0);
        for (uint32_t i = 0; i < 1000; i++)
            sum += pow(i + 1, -exponents[k]);
        for (uint32_t i = 0; i < 1000000; i++)
            counts[load_zipf_draw(&zipf, &state)]++;
        for (uint32_t i = 0; i < 1000; i++) {
            double wanted = 1e6 * pow(i + 1, -exponents[k]) / sum;
            cr_expect(fabs(counts[i] - wanted) <= 6 * sqrt(wanted) + 6, "%g: rank %u: %u for %g", exponents[k], i,
                      counts[i], wanted);
        }
        load_zipf_close(&zipf);
    }
}

Test(load_text, what_was_written_is_read_again_at_every_size)
{
    struct load_filler *filler = malloc(sizeof *filler);
    char *bytes = malloc(LOAD_TEXT_BYTES_MAX);
    struct load_text text = {0xABCDEF, 16777215, 3, UINT32_MAX, (UINT64_C(1) << 48) - 1}, read;
    load_filler_init(filler);
    for (uint32_t size = LOAD_TEXT_BYTES_MIN; size <= LOAD_TEXT_BYTES_MAX; size = size * 3 / 2) {
        load_text_write(bytes, size, &text, filler);
        cr_assert(load_text_read(bytes, size, filler, &read));
        cr_expect(read.run == text.run && read.from == text.from && read.to == text.to && read.seq == text.seq
                  && read.sent_us == text.sent_us);
        cr_expect_not(load_text_read(bytes, size - 1, filler, &read) && size == LOAD_TEXT_BYTES_MIN);
    }
    free(bytes);
    free(filler);
}

static int parse(struct load_options *options, const char *words)
{
    char line[300], *argv[32] = {(char *)(uintptr_t) "chitchat-load"};
    int argc = 1;
    snprintf(line, sizeof line, "%s", words);
    for (char *word = strtok(line, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    return load_options_parse(options, argc, argv);
}

Test(load_options, each_default_is_what_the_help_says)
{
    struct load_options options;
    cr_assert_eq(parse(&options, "127.0.0.1:8080"), 0);
    cr_expect(options.scenario == LOAD_PAIRS && options.connections == 100 && options.users == 100
              && options.recipients == 100);
    cr_expect(options.window == 1 && options.rate == 0 && options.text_bytes == 64 && options.threads == 1
              && !options.has_keys);
    cr_assert_eq(parse(&options, "--rate 1000 --connections 10 127.0.0.1:8080"), 0);
    cr_expect_eq(options.window, LOAD_WINDOW_MAX, "a window does not hold back an open loop");
    cr_assert_eq(parse(&options, "--scenario storm 127.0.0.1:8080"), 0);
    cr_expect(options.has_keys, "a session that comes back sends again");
}

Test(load_options, what_makes_no_sense_is_refused)
{
    static const char *const wrong[] = {
        "",
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:",
        "127.0.0.1:8080x",
        "127.0.0.1:65536",
        "::1:8080",
        "[::1]",
        "[]:80",
        ":80",
        "127.0.0.1:80 more",
        "--window 0 127.0.0.1:80",
        "--window 1025 127.0.0.1:80",
        "--window 2.5 127.0.0.1:80",
        "--text 27 127.0.0.1:80",
        "--text 16385 127.0.0.1:80",
        "--text nan 127.0.0.1:80",
        "--scenario none 127.0.0.1:80",
        "--to zipf:-1 127.0.0.1:80",
        "--to everybody 127.0.0.1:80",
        "--users 101 127.0.0.1:80",
        "--recipients 99 127.0.0.1:80",
        "--recipients 200 --to partner 127.0.0.1:80",
        "--scenario idle --rate 5 127.0.0.1:80",
        "--scenario fanout --connections 1 127.0.0.1:80",
        "--storms 2 127.0.0.1:80",
        "--churn 2 127.0.0.1:80",
        "--kill-every 2 127.0.0.1:80",
        "127.0.0.1:80 127.0.0.1:81 127.0.0.1:82",
        "--kill-server a 127.0.0.1:80 127.0.0.1:81",
        "--kill-server a --kill-server b 127.0.0.1:80",
        "--protocol nats 127.0.0.1:80 127.0.0.1:81",
        "--tls 127.0.0.1:80 localhost:81",
        "--source-ips 2 127.0.0.1:80 [::1]:81",
        "--threads 5 --connections 4 127.0.0.1:80",
        "--source-ips 0 127.0.0.1:80",
        "--source-ips 2 [::1]:80",
        "--window 2 --scenario idle 127.0.0.1:80",
        "--window 2 --scenario replay 127.0.0.1:80",
        "--text 100 --scenario idle 127.0.0.1:80",
        "--keys --scenario idle 127.0.0.1:80",
        "--to partner --scenario idle 127.0.0.1:80",
        "--to partner --scenario fanout 127.0.0.1:80",
        "--recipients 200 --scenario idle 127.0.0.1:80",
        "--fill 5 127.0.0.1:80",
        "--limit 5 127.0.0.1:80",
        "--limit 5 --scenario replay 127.0.0.1:80",
        "--prefix a --protocol nats 127.0.0.1:80",
        "--protocol smtp 127.0.0.1:80",
        "--protocol http --window 2 127.0.0.1:80",
        "--protocol http --scenario fanout --connections 4 127.0.0.1:80",
        "--protocol http --seen 0.5 127.0.0.1:80",
        "--protocol http --tls 127.0.0.1:80",
        "--protocol http 127.0.0.1:80 127.0.0.1:81",
        "--seed 1.5 127.0.0.1:80",
        "--seed -1 127.0.0.1:80",
        "--json /nowhere/file 127.0.0.1:80",
        "--no-such-option 127.0.0.1:80",
    };
    struct load_options options;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_eq(parse(&options, wrong[i]), -1, "%s", wrong[i]);
}

Test(load_options, an_address_is_ipv4_ipv6_or_a_name)
{
    struct load_options options;
    cr_assert_eq(parse(&options, "127.0.0.1:8080"), 0);
    cr_expect_eq(load_address_family(&options.addresses[0]), AF_INET);
    cr_assert_eq(parse(&options, "[::1]:8080"), 0);
    cr_expect_eq(load_address_family(&options.addresses[0]), AF_INET6);
    cr_expect_str_eq(options.addresses[0].text, "[::1]:8080");
    cr_assert_eq(parse(&options, "localhost:8080"), 0);
    cr_expect_geq(options.addresses[0].count, 1);
    cr_expect_eq(options.addresses[0].port, 8080);
}

Test(load_options, two_addresses_are_a_pair_of_nodes_whose_connections_come_back)
{
    struct load_options options;
    cr_assert_eq(parse(&options, "--kill-server a --kill-server b 127.0.0.1:80 127.0.0.1:81"), 0);
    cr_expect(load_options_has_pair(&options) && load_options_kills(&options) && options.has_keys);
    cr_expect_str_eq(options.addresses[1].text, "127.0.0.1:81");
    cr_assert_eq(parse(&options, "127.0.0.1:80 127.0.0.1:81"), 0);
    cr_expect(load_options_comes_back(&options) && options.has_keys && !load_options_kills(&options));
    cr_assert_eq(parse(&options, "127.0.0.1:80"), 0);
    cr_expect(!load_options_has_pair(&options) && !options.has_keys);
}

/* What these options print on stderr. */
static const char *complaint_of(const char *words, char *out, size_t room)
{
    struct load_options options;
    struct said said = said_begin();
    cr_assert_eq(parse(&options, words), -1);
    return said_end(said, out, room);
}

Test(load_options, a_number_out_of_range_is_refused_with_its_range)
{
    char said[500];
    cr_expect_str_eq(complaint_of("--window 2.5 127.0.0.1:80", said, sizeof said),
                     "chitchat-load: --window must be a whole number from 1 to 1024; see --help\n");
    cr_expect_str_eq(complaint_of("--duration 0 127.0.0.1:80", said, sizeof said),
                     "chitchat-load: --duration must be a number from 0.1 to 864000; see --help\n");
}

Test(load_progress, what_is_not_known_is_a_dash_and_kinds_of_trouble_stand_apart)
{
    char line[200];
    struct load_progress progress = {.phase = "connect", .what = "logins", .per_s = -1, .done = 0.5, .live = 3};
    load_progress_format(&progress, line, sizeof line);
    cr_expect_str_eq(line, "connect [########........] 3 live  - logins/s  p99 -  0 broken");
    progress.per_s = 12;
    progress.has_p99 = true;
    progress.p99_us = 1500;
    progress.busy = 4;
    progress.refused = 5;
    progress.broken = 6;
    load_progress_format(&progress, line, sizeof line);
    cr_expect_str_eq(line, "connect [########........] 3 live  12 logins/s  p99 1.50 ms  6 broken  4 busy  5 refused");
    load_progress_format(&progress, line, 20);
    cr_expect_str_eq(line, "connect [########..");
}

Test(load_socket, what_the_machine_refuses_is_explained_with_what_to_do)
{
    struct load_options options;
    char said[LOAD_OBSTACLE_BYTES];
    cr_assert_eq(parse(&options, "--source-ips 10.1.2.3+4 127.0.0.1:80"), 0);
    load_socket_explain(&options, 5, LOAD_SOCKET_BIND, EADDRNOTAVAIL, said, sizeof said);
    cr_expect_str_eq(said, "cannot connect from 10.1.2.4, which is no address of this machine: correct --source-ips");
    load_socket_explain(&options, 4, LOAD_SOCKET_CONNECT, EADDRNOTAVAIL, said, sizeof said);
    cr_expect_str_eq(
        said, "no local port is left for one more connection to 127.0.0.1:80 from 10.1.2.3: give more addresses by "
              "--source-ips, or widen net.ipv4.ip_local_port_range");
    load_socket_explain(&options, 0, LOAD_SOCKET_OPEN, EMFILE, said, sizeof said);
    cr_expect_str_eq(said, "Too many open files: raise `ulimit -n`");
    cr_expect(load_socket_is_hopeless(EACCES) && !load_socket_is_hopeless(ECONNREFUSED));
}

/* Counts the latency of a send that was due at `since_us` and is answered at 500, in this phase. */
static void add_latency(struct load_run *run, enum load_phase phase, uint64_t since_us)
{
    run->workers[0].phase = phase;
    run->workers[0].now_us = 500;
    load_worker_add_latency(&run->workers[0], LOAD_SEND_TO_OK, since_us);
}

Test(load_latency, it_is_measured_by_when_its_send_was_due)
{
    struct load_run *run = calloc(1, sizeof *run);
    run->options = (struct load_options){.threads = 1, .connections = 1, .users = 1, .recipients = 2, .window = 1};
    cr_assert_eq(load_run_open(run), 0);
    struct load_worker *worker = &run->workers[0];
    add_latency(run, LOAD_WARMUP, 50);
    cr_expect_eq(worker->measured[LOAD_SEND_TO_OK].count, 0, "nothing is measured yet");
    atomic_store(&run->measured_from_us, 100);
    add_latency(run, LOAD_MEASURE, 99);
    cr_expect_eq(worker->measured[LOAD_SEND_TO_OK].count, 0, "due in the warm-up");
    add_latency(run, LOAD_WARMUP, 100);
    add_latency(run, LOAD_MEASURE, 100);
    cr_expect_eq(worker->measured[LOAD_SEND_TO_OK].count, 2);
    atomic_store(&run->measured_until_us, 200);
    add_latency(run, LOAD_DRAIN, 199);
    add_latency(run, LOAD_DRAIN, 200);
    cr_expect_eq(worker->measured[LOAD_SEND_TO_OK].count, 3);
    cr_expect_eq(worker->stats.latencies[LOAD_SEND_TO_OK].count, 3);
    cr_expect_eq(worker->gauges.late[LOAD_SEND_TO_OK], 1);
    load_run_close(run);
    free(run);
}
