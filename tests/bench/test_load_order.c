/* Two sends that change places are found even with many entries between them, and pairs are not mistaken for each
 * other. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "load/order.h"
#include "load/run.h"
#include "load/session.h"
#include "load/text.h"
#include "load/worker.h"

static struct load_run *open_run(uint32_t connections, uint32_t window)
{
    struct load_run *run = calloc(1, sizeof *run);
    run->options = (struct load_options){.threads = 1,
                                         .connections = connections,
                                         .users = connections,
                                         .recipients = connections,
                                         .window = window,
                                         .text_bytes = 64,
                                         .prefix = "load-"};
    cr_assert_eq(load_run_open(run), 0);
    return run;
}

static void close_run(struct load_run *run)
{
    load_run_close(run);
    free(run);
}

/* An entry of the timeline of `to`. */
static void take(struct load_run *run, uint32_t from, uint32_t to, uint32_t seq)
{
    struct load_text text = {.from = from, .to = to, .seq = seq};
    load_worker_check_order(&run->workers[0], &run->sessions[to], &text, (struct span){"", 0});
}

static uint64_t broken(struct load_run *run)
{
    load_worker_end_order_checks(&run->workers[0]);
    return run->workers[0].stats.counts[LOAD_BROKEN_ORDER];
}

Test(load_order, sends_that_change_places_are_seen_with_all_windows_full_between_them)
{
    struct load_run *run = open_run(1000, 16);
    uint64_t random = 1;
    uint32_t seq = 1000, swaps = 200;
    for (uint32_t i = 0; i < swaps; i++) {
        take(run, i, i + 1, 2);
        for (uint32_t k = 0; k < 2 * 1000 * 16; k++) /* an entry of the sender and one of the recipient each */
            take(run, 500 + load_random_below(&random, 500), load_random_below(&random, 1000), ++seq);
        take(run, i, i + 1, 1);
    }
    cr_expect_geq(broken(run), swaps * 99 / 100, "%llu of %u", (unsigned long long)broken(run), swaps);
    cr_expect_leq(broken(run), swaps);
    close_run(run);
}

Test(load_order, different_pairs_are_not_mistaken_for_one)
{
    /* Two pairs of recipient and sender whose hashes, of an earlier hash function, were equal in 46 bits. */
    static const uint32_t pairs[][4] = {
        {2289, 95, 4461, 2420},   {4386, 5435, 4519, 91},   {3484, 1976, 4138, 3589},
        {3541, 4960, 5889, 3063}, {2703, 1129, 5796, 4148}, {272, 4389, 4725, 5600},
    };
    struct load_run *run = open_run(6000, 1);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        take(run, pairs[i][1], pairs[i][0], 9);
        take(run, pairs[i][3], pairs[i][2], 5);
    }
    cr_expect_eq(broken(run), 0);
    close_run(run);
}

Test(load_order, the_count_before_is_given_until_the_pair_gives_way_to_newer_ones)
{
    struct load_order order;
    cr_assert_eq(load_order_open(&order, 1), 0);
    cr_expect_eq(load_order_swap(&order, 7, 1), 0);
    cr_expect_eq(load_order_swap(&order, 7, 5), 1);
    for (uint32_t i = 1; i < LOAD_ORDER_WAYS; i++) /* all below 2^32 are of one set */
        cr_expect_eq(load_order_swap(&order, 100 + i, i), 0);
    cr_expect_eq(load_order_swap(&order, 7, 6), 5, "as many as a set holds");
    cr_expect_eq(load_order_swap(&order, 200, 1), 0);
    cr_expect_eq(load_order_swap(&order, 101, 3), 0, "the oldest gave way");
    cr_expect_eq(load_order_swap(&order, 7, 8), 6, "not one that was seen since");
    load_order_close(&order);
}
