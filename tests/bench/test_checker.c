/* The checks of chitchat-load against servers that lie: each lie must be found, and an honest server must pass. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "checker_fixture.h"
#include "load/report.h"

Test(load_checker, an_honest_server_is_found_good)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    for (uint32_t i = 0; i < 100; i++) {
        struct fixture_sent sent = fixture_send(fixture, i % FIXTURE_SESSIONS, (i + 1) % FIXTURE_SESSIONS);
        fixture_answer(fixture, &sent);
        fixture_push(fixture, &sent);
    }
    cr_expect_eq(fixture_broken_all(fixture), 0, "%s", fixture->worker->first_broken);
    cr_expect_eq(fixture_check(fixture), 0);
    cr_expect_eq(fixture_broken(fixture, LOAD_DELIVERED), 100);
    fixture_close(fixture);
}

Test(load_checker, a_message_that_never_comes_is_missed_at_the_end)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    fixture_answer(fixture, &sent);
    cr_expect_eq(fixture_broken_all(fixture), 0);
    cr_expect_eq(fixture->worker->gauges.owed - fixture->worker->gauges.got, 1);
    cr_expect_eq(fixture_check(fixture), 1);
    fixture_close(fixture);
}

Test(load_checker, a_gap_is_seen_with_the_next_message)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent sent = fixture_send(fixture, 0, 1), next = fixture_send(fixture, 0, 1);
    fixture_answer(fixture, &sent);
    fixture_answer(fixture, &next);
    fixture->cursors[1] = ++fixture->ts; /* of the first message, which is never pushed */
    fixture_push(fixture, &next);
    cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_CHAIN), 1);
    cr_expect_eq(fixture_check(fixture), 1);
    fixture_close(fixture);
}

Test(load_checker, a_message_that_comes_twice_is_found_though_its_chain_is_good)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    fixture_answer(fixture, &sent);
    fixture_push(fixture, &sent);
    fixture_push(fixture, &sent);
    cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_ORDER), 1);
    cr_expect_eq(fixture_check(fixture), 1);
    fixture_close(fixture);
}

Test(load_checker, one_message_in_the_place_of_another_is_found_though_the_count_is_good)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent first = fixture_send(fixture, 0, 1), second = fixture_send(fixture, 2, 1);
    fixture_answer(fixture, &first);
    fixture_answer(fixture, &second);
    fixture_push(fixture, &first);
    fixture_push(fixture, &first);
    cr_expect_eq(fixture_check(fixture), 1);
    fixture_close(fixture);
}

Test(load_checker, two_sends_to_one_user_that_change_places_are_out_of_order)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent first = fixture_send(fixture, 0, 1), second = fixture_send(fixture, 0, 1);
    fixture_answer(fixture, &first);
    fixture_answer(fixture, &second);
    fixture_push(fixture, &second);
    fixture_push(fixture, &first);
    cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_ORDER), 1);
    cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_CHAIN), 0);
    fixture_close(fixture);
}

Test(load_checker, each_changed_character_of_a_text_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    for (uint32_t i = 0; i < 64; i++) {
        struct fixture_sent sent = fixture_send(fixture, 0, 1);
        fixture_answer(fixture, &sent);
        sent.text[i] = sent.text[i] == 'A' ? 'B' : 'A';
        fixture_push(fixture, &sent);
        cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_CONTENT), i + 1, "character %u", i);
    }
    fixture_close(fixture);
}

Test(load_checker, a_message_of_others_or_under_a_wrong_name_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent sent = fixture_send(fixture, 0, 1), forged = sent;
    fixture_answer(fixture, &sent);
    forged.to = 2; /* to a connection of neither user */
    fixture_push(fixture, &forged);
    cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_CONTENT), 1);
    forged = sent;
    forged.from = 2;
    fixture_push(fixture, &forged);
    cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_CONTENT), 2);
    fixture_close(fixture);
}

Test(load_checker, a_key_shown_to_the_recipient_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){.has_keys = true});
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    cr_assert_eq(strlen(sent.key), LOAD_KEY_CHARS);
    fixture_answer(fixture, &sent);
    fixture_say(
        fixture, 1,
        "{\"op\":\"msg\",\"ts\":2000,\"prev\":7,\"mid\":\"m%llu-0\",\"from\":\"load-0\",\"to\":\"load-1\",\"key\":\"%"
        "s\",\"text\":\"%s\"}",
        (unsigned long long)sent.id, sent.key, sent.text);
    cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_CONTENT), 1);
    fixture_close(fixture);
}

Test(load_checker, an_answer_to_nothing_and_one_given_twice_are_found)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    fixture_answer(fixture, &sent);
    fixture_answer(fixture, &sent);
    cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_REPLY), 1);
    fixture_say(fixture, 0, "{\"op\":\"ok\",\"id\":999999,\"ts\":3000,\"prev\":1001,\"mid\":\"x\"}");
    fixture_say(fixture, 0, "{\"op\":\"error\",\"code\":\"bad_request\",\"message\":\"to\"}");
    fixture_say(fixture, 0, "{\"op\":\"nonsense\"}");
    fixture_say(fixture, 0, "[]");
    cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_REPLY), 5);
    fixture_close(fixture);
}

Test(load_checker, live_before_all_is_replayed_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){.has_keys = true});
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    fixture_answer(fixture, &sent);
    fixture_log_in(fixture, 1, ++fixture->ts); /* comes back; the entry has this ts */
    fixture_say(fixture, 1, "{\"op\":\"live\"}");
    cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_RESUME), 1);
    fixture_close(fixture);
}

Test(load_checker, a_login_that_knows_nothing_of_what_was_received_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){.has_keys = true});
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    fixture_answer(fixture, &sent);
    fixture_push(fixture, &sent);
    fixture_log_in(fixture, 1, 7);
    cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_RESUME), 1);
    fixture_close(fixture);
}

Test(load_checker, a_run_is_good_only_if_it_came_to_its_end_and_nothing_is_broken_unanswered_or_missing)
{
    struct load_report *report = calloc(1, sizeof *report);
    cr_expect_not(load_report_is_good(report));
    report->is_complete = true;
    cr_expect(load_report_is_good(report));
    for (uint32_t i = 0; i < LOAD_COUNTS; i++) {
        report->all.counts[i] = 1;
        cr_expect_eq(load_report_is_good(report), i < LOAD_BROKEN_FIRST, "%s",
                     load_stats_count_text((enum load_count)i));
        report->all.counts[i] = 0;
    }
    report->sends_unanswered = 1;
    cr_expect_not(load_report_is_good(report));
    report->sends_unanswered = 0;
    report->entries_missing = 1;
    cr_expect_not(load_report_is_good(report));
    free(report);
}
