/* Answers to a send: `ok`, `dup`, an error; and the check at the end of a send without an answer. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "checker_fixture.h"

static void say_ok(struct fixture *fixture, const struct fixture_sent *sent, const char *more)
{
    fixture_say(fixture, sent->from, "{\"op\":\"ok\",\"id\":%llu%s}", (unsigned long long)sent->id, more);
}

static void say_error(struct fixture *fixture, const struct fixture_sent *sent, const char *code)
{
    fixture_say(fixture, sent->from,
                "{\"op\":\"error\",\"id\":%llu,\"code\":\"%s\",\"message\":\"x\",\"retry_after\":3}",
                (unsigned long long)sent->id, code);
}

Test(load_checker_sends, an_ok_without_mid_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    say_ok(fixture, &sent, ",\"ts\":1001,\"prev\":7");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 1);
    fixture_close(fixture);
}

Test(load_checker_sends, a_mid_of_an_ok_has_20_characters_at_most)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent sent = fixture_send(fixture, 0, 1), next = fixture_send(fixture, 0, 1);
    say_ok(fixture, &sent, ",\"ts\":1001,\"prev\":7,\"mid\":\"01234567890123456789\"");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 0);
    say_ok(fixture, &next, ",\"ts\":1002,\"prev\":1001,\"mid\":\"012345678901234567890\"");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 1);
    fixture_close(fixture);
}

Test(load_checker_sends, an_ok_for_an_earlier_send_is_found_though_another_is_out_in_its_place)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent first = fixture_send(fixture, 0, 1);
    fixture_answer(fixture, &first);
    struct fixture_sent second = fixture_send(fixture, 0, 1);
    cr_assert_eq(second.id % LOAD_WINDOW_MAX, first.id % LOAD_WINDOW_MAX);
    fixture_answer(fixture, &first);
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 1);
    fixture_close(fixture);
}

Test(load_checker_sends, two_sends_to_one_user_that_are_acknowledged_in_another_order_are_found)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent first = fixture_send(fixture, 0, 1), second = fixture_send(fixture, 0, 1);
    fixture_answer(fixture, &second);
    fixture_answer(fixture, &first);
    fixture_expect(fixture, LOAD_BROKEN_ORDER, 1);
    fixture_close(fixture);
}

Test(load_checker_sends, sends_to_two_users_may_be_acknowledged_in_any_order)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent first = fixture_send(fixture, 0, 1), second = fixture_send(fixture, 0, 2);
    fixture_answer(fixture, &second);
    fixture_answer(fixture, &first);
    fixture_expect(fixture, LOAD_BROKEN_ORDER, 0);
    fixture_close(fixture);
}

Test(load_checker_sends, dup_for_what_was_sent_once_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){.has_keys = true});
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    say_ok(fixture, &sent, ",\"ts\":1001,\"mid\":\"m\",\"dup\":true");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 1);
    fixture_close(fixture);
}

/* A send whose connection ended before its `ok`: it is stored, replayed, and sent again with the same key. */
static struct fixture_sent resend(struct fixture *fixture)
{
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    fixture_push(fixture, &sent);
    fixture_connect(fixture, 0);
    fixture_hear(fixture, 0);
    struct fixture_entry entry = fixture_entry_of(fixture, 0, &sent);
    fixture_say(fixture, 0, "{\"op\":\"ok\",\"id\":1,\"user\":\"load-0\",\"last\":%llu,\"epoch\":\"e\"}",
                (unsigned long long)entry.ts);
    struct fixture_sent again = fixture_sent_of(fixture_hear(fixture, 0), 0, 1);
    cr_expect_str_eq(again.key, sent.key);
    cr_expect_str_eq(again.text, sent.text);
    fixture_push_entry(fixture, 0, &entry);
    fixture_say(fixture, 0, "{\"op\":\"live\"}");
    return again;
}

Test(load_checker_sends, a_send_that_its_key_made_safe_is_found_good)
{
    struct fixture *fixture = fixture_open((struct load_options){.has_keys = true});
    struct fixture_sent sent = resend(fixture);
    char more[100];
    snprintf(more, sizeof more, ",\"ts\":%llu,\"mid\":\"m%llu-0\",\"dup\":true",
             (unsigned long long)fixture->cursors[0], (unsigned long long)sent.id);
    say_ok(fixture, &sent, more);
    cr_expect_eq(fixture_broken_all(fixture), 0, "%s", fixture->worker->first_broken);
    cr_expect_eq(fixture_broken(fixture, LOAD_DUPLICATE_OKS), 1);
    cr_expect_eq(fixture_check(fixture), 0);
    fixture_close(fixture);
}

Test(load_checker_sends, dup_with_prev_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){.has_keys = true});
    struct fixture_sent sent = resend(fixture);
    say_ok(fixture, &sent, ",\"ts\":1003,\"prev\":1002,\"mid\":\"m\",\"dup\":true");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 1);
    fixture_close(fixture);
}

Test(load_checker_sends, a_send_that_is_stored_twice_is_found_at_the_end)
{
    struct fixture *fixture = fixture_open((struct load_options){.has_keys = true});
    struct fixture_sent sent = resend(fixture);
    fixture_answer(fixture, &sent);
    cr_expect_eq(fixture_broken_all(fixture), 0, "a resend comes in any order: %s", fixture->worker->first_broken);
    cr_expect_gt(fixture_check(fixture), 0);
    fixture_close(fixture);
}

Test(load_checker_sends, a_refused_send_is_sent_as_a_new_one_and_then_no_dup_either)
{
    struct fixture *fixture = fixture_open((struct load_options){.has_keys = true});
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    say_error(fixture, &sent, "busy");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 0);
    load_send_retry(fixture->worker, &fixture->run.sessions[0]);
    struct fixture_sent again = fixture_sent_of(fixture_hear(fixture, 0), 0, 1);
    cr_expect_str_neq(again.key, sent.key);
    say_ok(fixture, &again, ",\"ts\":1001,\"mid\":\"m\",\"dup\":true");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 1);
    fixture_close(fixture);
}

Test(load_checker_sends, a_refused_send_that_is_acknowledged_after_all_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){.has_keys = true});
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    say_error(fixture, &sent, "busy");
    fixture_answer(fixture, &sent);
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 1);
    fixture_close(fixture);
}

Test(load_checker_sends, an_error_without_cause_is_found)
{
    static const char *const codes[] = {"bad_json",      "bad_request",  "unknown_op",
                                        "not_logged_in", "too_large",    "already_logged_in",
                                        "bad_token",     "key_conflict", ""};
    struct fixture *fixture = fixture_open((struct load_options){.has_keys = true});
    for (uint32_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct fixture_sent sent = fixture_send(fixture, 0, 1);
        say_error(fixture, &sent, codes[i]);
        cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_REPLY), i + 1, "%s", codes[i]);
    }
    fixture_close(fixture);
}

/* -- without keys the outcome of a send may stay unknown; then there are bounds -- */

/* `stored` messages are acknowledged and pushed, one more has become `unavailable`; it is not pushed yet. */
static struct fixture_sent leave_one_unsure(struct fixture *fixture, uint32_t stored)
{
    for (uint32_t i = 0; i < stored; i++) {
        struct fixture_sent sent = fixture_send(fixture, 0, 1);
        fixture_answer(fixture, &sent);
        fixture_push(fixture, &sent);
    }
    struct fixture_sent unknown = fixture_send(fixture, 0, 1);
    say_error(fixture, &unknown, "unavailable");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 0);
    cr_expect_eq(fixture->worker->gauges.unanswered, 0);
    return unknown;
}

Test(load_checker_sends, a_send_of_unknown_outcome_may_have_been_stored_or_not)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent unknown = leave_one_unsure(fixture, 2);
    cr_expect_eq(fixture_check(fixture), 0);
    fixture_push(fixture, &unknown);
    cr_expect_eq(fixture_check(fixture), 0);
    fixture_close(fixture);
}

Test(load_checker_sends, more_entries_than_sends_of_unknown_outcome_are_found)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent unknown = leave_one_unsure(fixture, 2);
    fixture_push(fixture, &unknown);
    fixture_push(fixture, &unknown);
    cr_expect_eq(fixture_check(fixture), 1);
    fixture_close(fixture);
}

Test(load_checker_sends, a_send_of_unknown_outcome_does_not_hide_the_loss_of_two_others)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent first = fixture_send(fixture, 0, 1), second = fixture_send(fixture, 0, 1);
    fixture_answer(fixture, &first);
    fixture_answer(fixture, &second);
    struct fixture_sent unknown = leave_one_unsure(fixture, 0);
    fixture_push(fixture, &unknown);
    cr_expect_eq(fixture_check(fixture), 1);
    fixture_close(fixture);
}

Test(load_checker_sends, without_keys_what_a_connection_left_unanswered_is_unknown_and_not_sent_again)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    fixture_log_in(fixture, 0, FIXTURE_BASE);
    cr_expect_str_eq(fixture_hear(fixture, 0), "");
    fixture_say(fixture, 0, "{\"op\":\"live\"}");
    cr_expect_eq(fixture_check(fixture), 0);
    fixture_push(fixture, &sent);
    cr_expect_eq(fixture_broken_all(fixture), 0, "%s", fixture->worker->first_broken);
    cr_expect_eq(fixture_check(fixture), 0);
    fixture_close(fixture);
}
