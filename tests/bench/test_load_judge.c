/* The judge of chitchat-load before servers that lie: each lie must be found, and an honest server must be found good.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "judge_bed.h"
#include "load_report.h"

Test(load_judge, an_honest_server_is_found_good)
{
    struct bed *bed = bed_open((struct load_options){0});
    for (uint32_t i = 0; i < 100; i++) {
        struct bed_sent sent = bed_send(bed, i % BED_SEATS, (i + 1) % BED_SEATS);
        bed_answer(bed, &sent);
        bed_push(bed, &sent);
    }
    cr_expect_eq(bed_broken_all(bed), 0, "%s", bed->worker->first_broken);
    cr_expect_eq(bed_judge(bed), 0);
    cr_expect_eq(bed_broken(bed, LOAD_DELIVERED), 100);
    bed_close(bed);
}

Test(load_judge, a_message_that_never_comes_is_missed_at_the_end)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent sent = bed_send(bed, 0, 1);
    bed_answer(bed, &sent);
    cr_expect_eq(bed_broken_all(bed), 0);
    cr_expect_eq(bed->worker->gauges.owed - bed->worker->gauges.got, 1);
    cr_expect_eq(bed_judge(bed), 1);
    bed_close(bed);
}

Test(load_judge, a_gap_is_seen_with_the_next_message)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent sent = bed_send(bed, 0, 1), next = bed_send(bed, 0, 1);
    bed_answer(bed, &sent);
    bed_answer(bed, &next);
    bed->cursors[1] = ++bed->ts; /* the first one's place, never told */
    bed_push(bed, &next);
    cr_expect_eq(bed_broken(bed, LOAD_BROKEN_CHAIN), 1);
    cr_expect_eq(bed_judge(bed), 1);
    bed_close(bed);
}

Test(load_judge, a_message_that_comes_twice_is_found_though_its_chain_is_good)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent sent = bed_send(bed, 0, 1);
    bed_answer(bed, &sent);
    bed_push(bed, &sent);
    bed_push(bed, &sent);
    cr_expect_eq(bed_broken(bed, LOAD_BROKEN_ORDER), 1);
    cr_expect_eq(bed_judge(bed), 1);
    bed_close(bed);
}

Test(load_judge, one_message_in_the_place_of_another_is_found_though_the_count_is_good)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent first = bed_send(bed, 0, 1), second = bed_send(bed, 2, 1);
    bed_answer(bed, &first);
    bed_answer(bed, &second);
    bed_push(bed, &first);
    bed_push(bed, &first);
    cr_expect_eq(bed_judge(bed), 1);
    bed_close(bed);
}

Test(load_judge, two_sends_to_one_user_that_change_places_are_out_of_order)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent first = bed_send(bed, 0, 1), second = bed_send(bed, 0, 1);
    bed_answer(bed, &first);
    bed_answer(bed, &second);
    bed_push(bed, &second);
    bed_push(bed, &first);
    cr_expect_eq(bed_broken(bed, LOAD_BROKEN_ORDER), 1);
    cr_expect_eq(bed_broken(bed, LOAD_BROKEN_CHAIN), 0);
    bed_close(bed);
}

Test(load_judge, each_changed_character_of_a_text_is_found)
{
    struct bed *bed = bed_open((struct load_options){0});
    for (uint32_t i = 0; i < 64; i++) {
        struct bed_sent sent = bed_send(bed, 0, 1);
        bed_answer(bed, &sent);
        sent.text[i] = sent.text[i] == 'A' ? 'B' : 'A';
        bed_push(bed, &sent);
        cr_expect_eq(bed_broken(bed, LOAD_BROKEN_CONTENT), i + 1, "character %u", i);
    }
    bed_close(bed);
}

Test(load_judge, a_message_of_others_or_under_a_wrong_name_is_found)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent sent = bed_send(bed, 0, 1), forged = sent;
    bed_answer(bed, &sent);
    forged.to = 2; /* to a connection that is neither's */
    bed_push(bed, &forged);
    cr_expect_eq(bed_broken(bed, LOAD_BROKEN_CONTENT), 1);
    forged = sent;
    forged.from = 2;
    bed_push(bed, &forged);
    cr_expect_eq(bed_broken(bed, LOAD_BROKEN_CONTENT), 2);
    bed_close(bed);
}

Test(load_judge, a_key_shown_to_the_recipient_is_found)
{
    struct bed *bed = bed_open((struct load_options){.has_keys = true});
    struct bed_sent sent = bed_send(bed, 0, 1);
    cr_assert_eq(strlen(sent.key), LOAD_KEY_CHARS);
    bed_answer(bed, &sent);
    bed_say(
        bed, 1,
        "{\"op\":\"msg\",\"ts\":2000,\"prev\":7,\"mid\":\"m%llu-0\",\"from\":\"load-0\",\"to\":\"load-1\",\"key\":\"%"
        "s\",\"text\":\"%s\"}",
        (unsigned long long)sent.id, sent.key, sent.text);
    cr_expect_eq(bed_broken(bed, LOAD_BROKEN_CONTENT), 1);
    bed_close(bed);
}

Test(load_judge, an_answer_to_nothing_and_one_given_twice_are_found)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent sent = bed_send(bed, 0, 1);
    bed_answer(bed, &sent);
    bed_answer(bed, &sent);
    cr_expect_eq(bed_broken(bed, LOAD_BROKEN_REPLY), 1);
    bed_say(bed, 0, "{\"op\":\"ok\",\"id\":999999,\"ts\":3000,\"prev\":1001,\"mid\":\"x\"}");
    bed_say(bed, 0, "{\"op\":\"error\",\"code\":\"bad_request\",\"message\":\"to\"}");
    bed_say(bed, 0, "{\"op\":\"nonsense\"}");
    bed_say(bed, 0, "[]");
    cr_expect_eq(bed_broken(bed, LOAD_BROKEN_REPLY), 5);
    bed_close(bed);
}

Test(load_judge, live_before_all_is_replayed_is_found)
{
    struct bed *bed = bed_open((struct load_options){.has_keys = true});
    struct bed_sent sent = bed_send(bed, 0, 1);
    bed_answer(bed, &sent);
    bed_log_in(bed, 1, ++bed->ts); /* comes back; the entry stands at this ts */
    bed_say(bed, 1, "{\"op\":\"live\"}");
    cr_expect_eq(bed_broken(bed, LOAD_BROKEN_RESUME), 1);
    bed_close(bed);
}

Test(load_judge, a_login_that_knows_nothing_of_what_was_received_is_found)
{
    struct bed *bed = bed_open((struct load_options){.has_keys = true});
    struct bed_sent sent = bed_send(bed, 0, 1);
    bed_answer(bed, &sent);
    bed_push(bed, &sent);
    bed_log_in(bed, 1, 7);
    cr_expect_eq(bed_broken(bed, LOAD_BROKEN_RESUME), 1);
    bed_close(bed);
}

Test(load_judge, a_run_is_good_only_if_it_came_to_its_end_and_nothing_is_broken_unanswered_or_missing)
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
