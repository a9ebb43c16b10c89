/* exposition.h: samples, labels, sums and quantiles; and what is no exposition. */
#include "cli/exposition.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>

static struct exposition parsed;

static void parse(const char *text)
{
    exposition_close(&parsed);
    cr_assert_eq(exposition_parse(&parsed, span_of(text)), 0, "%s", text);
}

static void teardown(void)
{
    exposition_close(&parsed);
}

TestSuite(exposition, .fini = teardown);

static const char sends[] = "# HELP sends What was sent.\n"
                            "# TYPE sends counter\n"
                            "sends{shard=\"0\",outcome=\"stored\"} 10\n"
                            "sends{shard=\"0\",outcome=\"refused\"} 1\n"
                            "sends{shard=\"1\",outcome=\"stored\"} 5.5\n"
                            "sends{shard=\"10\",outcome=\"stored\"} 100\n"
                            "sends_more{shard=\"0\",outcome=\"stored\"} 7\n"
                            "up 1";

Test(exposition, samples_are_summed_by_name_shard_and_label)
{
    parse(sends);
    cr_assert_eq(parsed.count, 6);
    cr_assert_eq(exposition_sum(&parsed, "sends", EXPOSITION_ALL), 116.5);
    cr_assert_eq(exposition_sum(&parsed, "sends", (struct exposition_match){.shard = "1"}), 5.5);
    cr_assert_eq(exposition_sum(&parsed, "sends", (struct exposition_match){"0", "outcome", "stored"}), 10);
    cr_assert_eq(exposition_sum(&parsed, "sends", (struct exposition_match){NULL, "outcome", "stored"}), 115.5);
    cr_assert_eq(exposition_sum(&parsed, "sends", (struct exposition_match){NULL, "outcome", "store"}), 0);
    cr_assert_eq(exposition_sum(&parsed, "sends", (struct exposition_match){NULL, "come", "stored"}), 0);
    cr_assert_eq(exposition_sum(&parsed, "up", EXPOSITION_ALL), 1);
    cr_assert_eq(exposition_sum(&parsed, "none", EXPOSITION_ALL), 0);
}

Test(exposition, a_label_is_found_at_any_place)
{
    parse("m{a=\"1\",bb=\"\",c=\"x y\"} 0\n");
    cr_assert(span_equal(exposition_label(&parsed.samples[0], "a"), span_of("1")));
    cr_assert(span_equal(exposition_label(&parsed.samples[0], "c"), span_of("x y")));
    cr_assert_eq(exposition_label(&parsed.samples[0], "bb").bytes, 0);
    cr_assert_null(exposition_label(&parsed.samples[0], "b").data);
}

Test(exposition, numbers_may_be_large_small_or_infinite)
{
    parse("a 18446744073709551615\nb 1e-05\nc +Inf\nd -3\n");
    cr_assert_eq(parsed.samples[0].value, 18446744073709551615.0);
    cr_assert_eq(parsed.samples[1].value, 0.00001);
    cr_assert(isinf(parsed.samples[2].value));
    cr_assert_eq(parsed.samples[3].value, -3);
}

Test(exposition, what_is_no_sample_is_refused)
{
    static const char *const wrong[] = {
        "<html>", "a", "a ", " 1", "a b", "a{b=\"c\" 1", "a{b=\"c\"}1", "a 1 2x", "{\"error\":\"x\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct exposition exposition;
        cr_assert_eq(exposition_parse(&exposition, span_of(wrong[i])), -EBADMSG, "%s", wrong[i]);
        exposition_close(&exposition);
    }
}

static const char first[] = "h_bucket{shard=\"0\",le=\"0.001\"} 50\nh_bucket{shard=\"0\",le=\"0.002\"} 90\n"
                            "h_bucket{shard=\"0\",le=\"+Inf\"} 100\nh_bucket{shard=\"1\",le=\"0.001\"} 0\n"
                            "h_bucket{shard=\"1\",le=\"0.002\"} 0\nh_bucket{shard=\"1\",le=\"+Inf\"} 0\n";
static const char second[] = "h_bucket{shard=\"0\",le=\"0.001\"} 50\nh_bucket{shard=\"0\",le=\"0.002\"} 90\n"
                             "h_bucket{shard=\"0\",le=\"+Inf\"} 100\nh_bucket{shard=\"1\",le=\"0.001\"} 0\n"
                             "h_bucket{shard=\"1\",le=\"0.002\"} 10\nh_bucket{shard=\"1\",le=\"+Inf\"} 10\n";

Test(exposition, a_quantile_is_the_bound_of_its_bucket)
{
    const struct exposition nothing = {.samples = NULL};
    parse(first);
    cr_assert_eq(exposition_quantile(&nothing, &parsed, "h", EXPOSITION_ALL, 0.5), 0.001);
    cr_assert_eq(exposition_quantile(&nothing, &parsed, "h", EXPOSITION_ALL, 0.51), 0.002);
    cr_assert_eq(exposition_quantile(&nothing, &parsed, "h", EXPOSITION_ALL, 0.9), 0.002);
    cr_assert(isinf(exposition_quantile(&nothing, &parsed, "h", EXPOSITION_ALL, 0.99)));
    cr_assert_lt(exposition_quantile(&nothing, &parsed, "h", (struct exposition_match){.shard = "1"}, 0.5), 0);
    cr_assert_lt(exposition_quantile(&nothing, &parsed, "other", EXPOSITION_ALL, 0.5), 0);
}

Test(exposition, a_quantile_is_of_what_came_between)
{
    struct exposition before;
    parse(second);
    cr_assert_eq(exposition_parse(&before, span_of(first)), 0);
    cr_assert_eq(exposition_quantile(&before, &parsed, "h", EXPOSITION_ALL, 0.5), 0.002);
    cr_assert_lt(exposition_quantile(&before, &before, "h", EXPOSITION_ALL, 0.5), 0);
    exposition_close(&before);
}
