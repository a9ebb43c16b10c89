/* What a send is answered with: `ok`, `dup`, an error; and what is known of it at the end if it is not. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "judge_bed.h"

static void say_ok(struct bed *bed, const struct bed_sent *sent, const char *more)
{
    bed_say(bed, sent->from, "{\"op\":\"ok\",\"id\":%llu%s}", (unsigned long long)sent->id, more);
}

static void say_error(struct bed *bed, const struct bed_sent *sent, const char *code)
{
    bed_say(bed, sent->from, "{\"op\":\"error\",\"id\":%llu,\"code\":\"%s\",\"message\":\"x\",\"retry_after\":3}",
            (unsigned long long)sent->id, code);
}

Test(load_judge_sends, an_ok_without_mid_is_found)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent sent = bed_send(bed, 0, 1);
    say_ok(bed, &sent, ",\"ts\":1001,\"prev\":7");
    bed_expect(bed, LOAD_BROKEN_REPLY, 1);
    bed_close(bed);
}

Test(load_judge_sends, a_mid_of_an_ok_has_20_characters_at_most)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent sent = bed_send(bed, 0, 1), next = bed_send(bed, 0, 1);
    say_ok(bed, &sent, ",\"ts\":1001,\"prev\":7,\"mid\":\"01234567890123456789\"");
    bed_expect(bed, LOAD_BROKEN_REPLY, 0);
    say_ok(bed, &next, ",\"ts\":1002,\"prev\":1001,\"mid\":\"012345678901234567890\"");
    bed_expect(bed, LOAD_BROKEN_REPLY, 1);
    bed_close(bed);
}

Test(load_judge_sends, an_ok_for_an_earlier_send_is_found_though_another_is_out_in_its_place)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent first = bed_send(bed, 0, 1);
    bed_answer(bed, &first);
    struct bed_sent second = bed_send(bed, 0, 1);
    cr_assert_eq(second.id % LOAD_WINDOW_MAX, first.id % LOAD_WINDOW_MAX);
    bed_answer(bed, &first);
    bed_expect(bed, LOAD_BROKEN_REPLY, 1);
    bed_close(bed);
}

Test(load_judge_sends, two_sends_to_one_user_that_are_acknowledged_in_another_order_are_found)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent first = bed_send(bed, 0, 1), second = bed_send(bed, 0, 1);
    bed_answer(bed, &second);
    bed_answer(bed, &first);
    bed_expect(bed, LOAD_BROKEN_ORDER, 1);
    bed_close(bed);
}

Test(load_judge_sends, sends_to_two_users_may_be_acknowledged_in_any_order)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent first = bed_send(bed, 0, 1), second = bed_send(bed, 0, 2);
    bed_answer(bed, &second);
    bed_answer(bed, &first);
    bed_expect(bed, LOAD_BROKEN_ORDER, 0);
    bed_close(bed);
}

Test(load_judge_sends, dup_for_what_was_sent_once_is_found)
{
    struct bed *bed = bed_open((struct load_options){.has_keys = true});
    struct bed_sent sent = bed_send(bed, 0, 1);
    say_ok(bed, &sent, ",\"ts\":1001,\"mid\":\"m\",\"dup\":true");
    bed_expect(bed, LOAD_BROKEN_REPLY, 1);
    bed_close(bed);
}

/* A send whose `ok` the connection did not live to see: it is stored, replayed, and sent again with the same key. */
static struct bed_sent resend(struct bed *bed)
{
    struct bed_sent sent = bed_send(bed, 0, 1);
    bed_push(bed, &sent);
    bed_connect(bed, 0);
    bed_hear(bed, 0);
    struct bed_entry entry = bed_entry_of(bed, 0, &sent);
    bed_say(bed, 0, "{\"op\":\"ok\",\"id\":1,\"user\":\"load-0\",\"last\":%llu,\"epoch\":\"e\"}",
            (unsigned long long)entry.ts);
    struct bed_sent again = bed_sent_of(bed_hear(bed, 0), 0, 1);
    cr_expect_str_eq(again.key, sent.key);
    cr_expect_str_eq(again.text, sent.text);
    bed_push_entry(bed, 0, &entry);
    bed_say(bed, 0, "{\"op\":\"live\"}");
    return again;
}

Test(load_judge_sends, a_send_that_its_key_made_safe_is_found_good)
{
    struct bed *bed = bed_open((struct load_options){.has_keys = true});
    struct bed_sent sent = resend(bed);
    char more[100];
    snprintf(more, sizeof more, ",\"ts\":%llu,\"mid\":\"m%llu-0\",\"dup\":true", (unsigned long long)bed->cursors[0],
             (unsigned long long)sent.id);
    say_ok(bed, &sent, more);
    cr_expect_eq(bed_broken_all(bed), 0, "%s", bed->worker->first_broken);
    cr_expect_eq(bed_broken(bed, LOAD_DUPLICATE_OKS), 1);
    cr_expect_eq(bed_judge(bed), 0);
    bed_close(bed);
}

Test(load_judge_sends, dup_with_prev_is_found)
{
    struct bed *bed = bed_open((struct load_options){.has_keys = true});
    struct bed_sent sent = resend(bed);
    say_ok(bed, &sent, ",\"ts\":1003,\"prev\":1002,\"mid\":\"m\",\"dup\":true");
    bed_expect(bed, LOAD_BROKEN_REPLY, 1);
    bed_close(bed);
}

Test(load_judge_sends, a_send_that_is_stored_twice_is_found_at_the_end)
{
    struct bed *bed = bed_open((struct load_options){.has_keys = true});
    struct bed_sent sent = resend(bed);
    bed_answer(bed, &sent);
    cr_expect_eq(bed_broken_all(bed), 0, "a resend comes in any order: %s", bed->worker->first_broken);
    cr_expect_gt(bed_judge(bed), 0);
    bed_close(bed);
}

Test(load_judge_sends, a_refused_send_is_sent_anew_and_then_no_dup_either)
{
    struct bed *bed = bed_open((struct load_options){.has_keys = true});
    struct bed_sent sent = bed_send(bed, 0, 1);
    say_error(bed, &sent, "busy");
    bed_expect(bed, LOAD_BROKEN_REPLY, 0);
    load_send_retry(bed->worker, &bed->run.seats[0]);
    struct bed_sent anew = bed_sent_of(bed_hear(bed, 0), 0, 1);
    cr_expect_str_neq(anew.key, sent.key);
    say_ok(bed, &anew, ",\"ts\":1001,\"mid\":\"m\",\"dup\":true");
    bed_expect(bed, LOAD_BROKEN_REPLY, 1);
    bed_close(bed);
}

Test(load_judge_sends, a_refused_send_that_is_acknowledged_after_all_is_found)
{
    struct bed *bed = bed_open((struct load_options){.has_keys = true});
    struct bed_sent sent = bed_send(bed, 0, 1);
    say_error(bed, &sent, "busy");
    bed_answer(bed, &sent);
    bed_expect(bed, LOAD_BROKEN_REPLY, 1);
    bed_close(bed);
}

Test(load_judge_sends, an_error_that_nothing_gave_cause_for_is_found)
{
    static const char *const codes[] = {"bad_json",      "bad_request",  "unknown_op",
                                        "not_logged_in", "too_large",    "already_logged_in",
                                        "bad_token",     "key_conflict", ""};
    struct bed *bed = bed_open((struct load_options){.has_keys = true});
    for (uint32_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct bed_sent sent = bed_send(bed, 0, 1);
        say_error(bed, &sent, codes[i]);
        cr_expect_eq(bed_broken(bed, LOAD_BROKEN_REPLY), i + 1, "%s", codes[i]);
    }
    bed_close(bed);
}

/* -- without keys the outcome of a send may stay unknown; then there are bounds -- */

/* `stored` messages are acknowledged and pushed, one more has become `unavailable`; it is not pushed yet. */
static struct bed_sent leave_one_unsure(struct bed *bed, uint32_t stored)
{
    for (uint32_t i = 0; i < stored; i++) {
        struct bed_sent sent = bed_send(bed, 0, 1);
        bed_answer(bed, &sent);
        bed_push(bed, &sent);
    }
    struct bed_sent unsure = bed_send(bed, 0, 1);
    say_error(bed, &unsure, "unavailable");
    bed_expect(bed, LOAD_BROKEN_REPLY, 0);
    cr_expect_eq(bed->worker->gauges.unanswered, 0);
    return unsure;
}

Test(load_judge_sends, a_send_of_unknown_outcome_may_have_been_stored_or_not)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent unsure = leave_one_unsure(bed, 2);
    cr_expect_eq(bed_judge(bed), 0);
    bed_push(bed, &unsure);
    cr_expect_eq(bed_judge(bed), 0);
    bed_close(bed);
}

Test(load_judge_sends, more_entries_than_sends_of_unknown_outcome_are_found)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent unsure = leave_one_unsure(bed, 2);
    bed_push(bed, &unsure);
    bed_push(bed, &unsure);
    cr_expect_eq(bed_judge(bed), 1);
    bed_close(bed);
}

Test(load_judge_sends, a_send_of_unknown_outcome_does_not_hide_the_loss_of_two_others)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent first = bed_send(bed, 0, 1), second = bed_send(bed, 0, 1);
    bed_answer(bed, &first);
    bed_answer(bed, &second);
    struct bed_sent unsure = leave_one_unsure(bed, 0);
    bed_push(bed, &unsure);
    cr_expect_eq(bed_judge(bed), 1);
    bed_close(bed);
}

Test(load_judge_sends, without_keys_what_a_connection_left_unanswered_is_unknown_and_not_sent_again)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent sent = bed_send(bed, 0, 1);
    bed_log_in(bed, 0, BED_BASE);
    cr_expect_str_eq(bed_hear(bed, 0), "");
    bed_say(bed, 0, "{\"op\":\"live\"}");
    cr_expect_eq(bed_judge(bed), 0);
    bed_push(bed, &sent);
    cr_expect_eq(bed_broken_all(bed), 0, "%s", bed->worker->first_broken);
    cr_expect_eq(bed_judge(bed), 0);
    bed_close(bed);
}
