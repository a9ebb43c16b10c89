#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "cli/cross_check.h"

static char reported[4096];

static void tell(void *context, const char *text)
{
    (void)context;
    size_t used = strlen(reported);
    (void)snprintf(reported + used, sizeof reported - used, "%s\n", text);
}

static struct problems problems;
static struct cross_check *check;

static void setup(void)
{
    problems = (struct problems){.report = tell};
    reported[0] = '\0';
    cr_assert_eq(cross_check_open(&check), 0);
}

static void teardown(void)
{
    cross_check_close(&check);
    cr_assert_null(check);
}

TestSuite(check, .init = setup, .fini = teardown);

/* The copy of message `number` from alice to bob, or back for odd ones, that `role` has. */
static struct message copy(uint32_t number, enum role role, const char *text)
{
    static uint8_t mid[LIMIT_MID_BYTES];
    memcpy(mid, &number, sizeof number);
    uint64_t sent = 1000 + 2 * number;
    return (struct message){.ts = role == ROLE_SENT ? sent : sent + 1,
                            .other_ts = role == ROLE_SENT ? sent + 1 : sent,
                            .role = role,
                            .mid = mid,
                            .from = span_of(number % 2 ? "bob" : "alice"),
                            .to = span_of(number % 2 ? "alice" : "bob"),
                            .text = span_of(text)};
}

static void take(uint32_t number, enum role role, const char *text,
                 int (*more)(struct cross_check *, const struct message *))
{
    struct message message = copy(number, role, text);
    if (more != NULL)
        cr_assert_eq(more(check, &message), 0);
    else
        cross_check_add(check, &message, false);
}

Test(check, copies_in_any_order_agree)
{
    for (uint32_t i = 0; i < 1000; i++)
        take(i, ROLE_SENT, "same", NULL);
    for (uint32_t i = 1000; i-- > 0;)
        take(i, ROLE_RECEIVED, "same", NULL);
    cr_assert_eq(cross_check_bad_parts(check), 0);
    cr_assert_eq(cross_check_messages(check), 1000);
}

Test(check, a_message_to_oneself_counts_and_needs_no_other_copy)
{
    struct message message = copy(1, ROLE_SELF, "note");
    cross_check_add(check, &message, false);
    cr_assert_eq(cross_check_bad_parts(check), 0);
    cr_assert_eq(cross_check_messages(check), 1);
}

/* Both walks over 100 messages, in which `bend` is left out, doubled or changed. */
static void walk_twice(void (*bend)(uint32_t number, int (*more)(struct cross_check *, const struct message *)))
{
    int (*const walks[])(struct cross_check *, const struct message *) = {NULL, cross_check_gather};
    for (int walk = 0; walk < 2; walk++)
        for (uint32_t i = 0; i < 100; i++) {
            if (i == 42) {
                bend(i, walks[walk]);
                continue;
            }
            take(i, ROLE_SENT, "same", walks[walk]);
            take(i, ROLE_RECEIVED, "same", walks[walk]);
        }
    cr_assert_eq(cross_check_bad_parts(check), 1);
    cross_check_report(check, &problems);
    cr_assert_eq(problems.count, 1, "%s", reported);
}

static void only_sent(uint32_t number, int (*more)(struct cross_check *, const struct message *))
{
    take(number, ROLE_SENT, "same", more);
}

static void only_received(uint32_t number, int (*more)(struct cross_check *, const struct message *))
{
    take(number, ROLE_RECEIVED, "same", more);
}

static void changed(uint32_t number, int (*more)(struct cross_check *, const struct message *))
{
    take(number, ROLE_SENT, "same", more);
    take(number, ROLE_RECEIVED, "sane", more);
}

static void twice(uint32_t number, int (*more)(struct cross_check *, const struct message *))
{
    take(number, ROLE_SENT, "same", more);
    take(number, ROLE_SENT, "same", more);
    take(number, ROLE_RECEIVED, "same", more);
}

Test(check, what_only_the_sender_has_is_named)
{
    walk_twice(only_sent);
    cr_assert_not_null(strstr(reported, "in the timeline of alice at ts 1084, but not in that of bob"), "%s", reported);
}

Test(check, what_only_the_recipient_has_is_named)
{
    walk_twice(only_received);
    cr_assert_not_null(strstr(reported, "in the timeline of bob at ts 1085, but not in that of alice"), "%s", reported);
}

Test(check, what_differs_is_named)
{
    walk_twice(changed);
    cr_assert_not_null(strstr(reported, "differs between the timelines of alice (ts 1084) and bob (ts 1085)"), "%s",
                       reported);
}

Test(check, what_stands_twice_is_named)
{
    walk_twice(twice);
    cr_assert_not_null(strstr(reported, "3 times"), "%s", reported);
}

Test(check, a_copy_without_the_other_one_is_bad_until_that_is_added)
{
    struct message sent = copy(1, ROLE_SENT, "hello"), received = copy(1, ROLE_RECEIVED, "hello");
    cross_check_add(check, &received, false);
    cr_assert(cross_check_is_bad(check, &received));
    cr_assert(cross_check_is_bad(check, &sent));
    cross_check_add(check, &sent, false);
    cr_assert_not(cross_check_is_bad(check, &received));
}
