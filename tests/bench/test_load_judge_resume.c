/* Connections that come back: what their login must know, what is replayed, and when it is over. */
#include <criterion/criterion.h>
#include <string.h>

#include "judge_bed.h"

/* A login that is answered with what an honest server would not say. */
static void come_back(struct bed *bed, uint64_t last, const char *epoch, const char *more)
{
    bed_connect(bed, 1);
    bed_say(bed, 1, "{\"op\":\"ok\",\"id\":1,\"user\":\"load-1\",\"last\":%llu,\"epoch\":\"%s\"%s}",
            (unsigned long long)last, epoch, more);
}

Test(load_judge_resume, a_connection_that_comes_back_says_its_cursor_and_the_epoch_and_is_found_good)
{
    struct bed *bed = bed_open((struct load_options){.has_keys = true});
    struct bed_sent sent = bed_send(bed, 0, 1), missed = bed_send(bed, 0, 1);
    bed_answer(bed, &sent);
    bed_push(bed, &sent);
    bed_connect(bed, 1);
    cr_expect_str_eq(bed_hear(bed, 1),
                     "{\"op\":\"login\",\"id\":1,\"user\":\"load-1\",\"after\":1002,\"epoch\":\"e\"}\n");
    bed_answer(bed, &missed);
    bed_log_in(bed, 1, bed->ts + 1);
    bed_push(bed, &missed);
    bed_say(bed, 1, "{\"op\":\"live\"}");
    cr_expect_eq(bed_broken_all(bed), 0, "%s", bed->worker->first_broken);
    cr_expect_eq(bed_broken(bed, LOAD_REPLAYED), 1);
    cr_expect_eq(bed_judge(bed), 0);
    bed_close(bed);
}

Test(load_judge_resume, another_data_set_is_found)
{
    struct bed *bed = bed_open((struct load_options){.has_keys = true});
    come_back(bed, BED_BASE, "f", "");
    bed_expect(bed, LOAD_BROKEN_RESUME, 1);
    bed_close(bed);
}

Test(load_judge_resume, another_data_set_is_found_at_a_first_login_too)
{
    struct bed *bed = bed_open((struct load_options){0});
    bed->run.seats[1].was_in = false;
    come_back(bed, BED_BASE, "f", "");
    bed_expect(bed, LOAD_BROKEN_RESUME, 1);
    bed_close(bed);
}

Test(load_judge_resume, a_login_that_does_not_tell_the_data_set_is_found)
{
    struct bed *bed = bed_open((struct load_options){.has_keys = true});
    come_back(bed, BED_BASE, "", "");
    bed_expect(bed, LOAD_BROKEN_RESUME, 1);
    bed_close(bed);
}

Test(load_judge_resume, a_reset_is_found)
{
    struct bed *bed = bed_open((struct load_options){.has_keys = true});
    come_back(bed, BED_BASE, "e", ",\"reset\":true");
    bed_expect(bed, LOAD_BROKEN_RESUME, 1);
    bed_close(bed);
}

Test(load_judge_resume, a_login_whose_last_is_below_what_was_received_is_found)
{
    struct bed *bed = bed_open((struct load_options){.has_keys = true});
    come_back(bed, BED_BASE - 1, "e", "");
    bed_expect(bed, LOAD_BROKEN_RESUME, 1);
    bed_close(bed);
}

Test(load_judge_resume, live_that_nobody_asked_for_is_found)
{
    struct bed *bed = bed_open((struct load_options){.has_keys = true});
    bed_say(bed, 1, "{\"op\":\"live\"}");
    bed_expect(bed, LOAD_BROKEN_RESUME, 1);
    cr_expect_eq(bed->worker->gauges.live, BED_SEATS);
    come_back(bed, BED_BASE, "e", "");
    bed_say(bed, 1, "{\"op\":\"live\"}");
    bed_expect(bed, LOAD_BROKEN_RESUME, 1);
    bed_say(bed, 1, "{\"op\":\"live\"}");
    bed_expect(bed, LOAD_BROKEN_RESUME, 2);
    bed_close(bed);
}

/* -- the scenario replay: the whole timeline again and again -- */

#define FILLED 3u

/* Seat 1 has got FILLED messages, which are its timeline, and has come back to be given them once more. */
static struct bed *open_replay(struct bed_entry *entries)
{
    struct bed *bed = bed_open((struct load_options){.scenario = LOAD_REPLAY});
    for (uint32_t i = 0; i < FILLED; i++) {
        struct bed_sent sent = bed_send(bed, 0, 1);
        bed_answer(bed, &sent);
        entries[i] = bed_entry_of(bed, 1, &sent);
        bed_push_entry(bed, 1, &entries[i]);
    }
    bed_set_phase(bed, LOAD_FILLED);
    bed_set_phase(bed, LOAD_WARMUP);
    bed_log_in(bed, 1, bed->cursors[1]);
    return bed;
}

Test(load_judge_resume, a_replay_of_the_whole_timeline_is_found_good_and_begins_anew)
{
    struct bed_entry entries[FILLED];
    struct bed *bed = open_replay(entries);
    for (uint32_t i = 0; i < FILLED; i++)
        bed_push_entry(bed, 1, &entries[i]);
    bed_say(bed, 1, "{\"op\":\"live\"}");
    cr_expect_eq(bed_broken_all(bed), 0, "%s", bed->worker->first_broken);
    cr_expect_eq(bed->run.seats[1].state, LOAD_SEAT_LEAVING);
    bed_connect(bed, 1);
    cr_expect_not_null(strstr(bed_hear(bed, 1), "\"after\":7,"));
    bed_close(bed);
}

Test(load_judge_resume, a_replay_without_an_entry_is_found_though_its_chain_is_mended)
{
    struct bed_entry entries[FILLED];
    struct bed *bed = open_replay(entries);
    entries[2].prev = entries[0].ts;
    bed_push_entry(bed, 1, &entries[0]);
    bed_push_entry(bed, 1, &entries[2]);
    bed_say(bed, 1, "{\"op\":\"live\"}");
    bed_expect(bed, LOAD_BROKEN_RESUME, 1);
    bed_close(bed);
}

Test(load_judge_resume, an_entry_that_is_replayed_at_another_ts_is_found_though_its_chain_is_mended)
{
    struct bed_entry entries[FILLED];
    struct bed *bed = open_replay(entries);
    entries[2].prev = --entries[1].ts;
    for (uint32_t i = 0; i < FILLED; i++)
        bed_push_entry(bed, 1, &entries[i]);
    bed_say(bed, 1, "{\"op\":\"live\"}");
    bed_expect(bed, LOAD_BROKEN_RESUME, 1);
    bed_close(bed);
}

Test(load_judge_resume, a_replay_of_as_many_but_other_entries_is_found)
{
    struct bed_entry entries[FILLED];
    struct bed *bed = open_replay(entries);
    strcpy(entries[1].mid, "another");
    for (uint32_t i = 0; i < FILLED; i++)
        bed_push_entry(bed, 1, &entries[i]);
    bed_say(bed, 1, "{\"op\":\"live\"}");
    bed_expect(bed, LOAD_BROKEN_RESUME, 1);
    bed_close(bed);
}
