/* Connections that come back: the answer to their login, what is replayed, and when the replay ends. */
#include <criterion/criterion.h>
#include <string.h>

#include "checker_fixture.h"

/* Comes back; the login gets this answer. */
static void come_back(struct fixture *fixture, uint64_t last, const char *epoch, const char *more)
{
    fixture_connect(fixture, 1);
    fixture_say(fixture, 1, "{\"op\":\"ok\",\"id\":1,\"user\":\"load-1\",\"last\":%llu,\"epoch\":\"%s\"%s}",
                (unsigned long long)last, epoch, more);
}

Test(load_checker_resume, a_connection_that_comes_back_says_its_cursor_and_the_epoch_and_is_found_good)
{
    struct fixture *fixture = fixture_open((struct load_options){.has_keys = true});
    struct fixture_sent sent = fixture_send(fixture, 0, 1), missed = fixture_send(fixture, 0, 1);
    fixture_answer(fixture, &sent);
    fixture_push(fixture, &sent);
    fixture_connect(fixture, 1);
    cr_expect_str_eq(fixture_hear(fixture, 1),
                     "{\"op\":\"login\",\"id\":1,\"user\":\"load-1\",\"after\":1002,\"epoch\":\"e\"}\n");
    fixture_answer(fixture, &missed);
    fixture_log_in(fixture, 1, fixture->ts + 1);
    fixture_push(fixture, &missed);
    fixture_say(fixture, 1, "{\"op\":\"live\"}");
    cr_expect_eq(fixture_broken_all(fixture), 0, "%s", fixture->worker->first_broken);
    cr_expect_eq(fixture_broken(fixture, LOAD_REPLAYED), 1);
    cr_expect_eq(fixture_check(fixture), 0);
    fixture_close(fixture);
}

Test(load_checker_resume, another_epoch_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){.has_keys = true});
    come_back(fixture, FIXTURE_BASE, "f", "");
    fixture_expect(fixture, LOAD_BROKEN_RESUME, 1);
    fixture_close(fixture);
}

Test(load_checker_resume, another_epoch_is_found_at_a_first_login_too)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    fixture->run.sessions[1].was_in = false;
    come_back(fixture, FIXTURE_BASE, "f", "");
    fixture_expect(fixture, LOAD_BROKEN_RESUME, 1);
    fixture_close(fixture);
}

Test(load_checker_resume, an_answer_to_login_without_epoch_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){.has_keys = true});
    come_back(fixture, FIXTURE_BASE, "", "");
    fixture_expect(fixture, LOAD_BROKEN_RESUME, 1);
    fixture_close(fixture);
}

Test(load_checker_resume, a_reset_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){.has_keys = true});
    come_back(fixture, FIXTURE_BASE, "e", ",\"reset\":true");
    fixture_expect(fixture, LOAD_BROKEN_RESUME, 1);
    fixture_close(fixture);
}

Test(load_checker_resume, a_login_whose_last_is_below_what_was_received_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){.has_keys = true});
    come_back(fixture, FIXTURE_BASE - 1, "e", "");
    fixture_expect(fixture, LOAD_BROKEN_RESUME, 1);
    fixture_close(fixture);
}

Test(load_checker_resume, live_without_a_replay_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){.has_keys = true});
    fixture_say(fixture, 1, "{\"op\":\"live\"}");
    fixture_expect(fixture, LOAD_BROKEN_RESUME, 1);
    cr_expect_eq(fixture->worker->gauges.live, FIXTURE_SESSIONS);
    come_back(fixture, FIXTURE_BASE, "e", "");
    fixture_say(fixture, 1, "{\"op\":\"live\"}");
    fixture_expect(fixture, LOAD_BROKEN_RESUME, 1);
    fixture_say(fixture, 1, "{\"op\":\"live\"}");
    fixture_expect(fixture, LOAD_BROKEN_RESUME, 2);
    fixture_close(fixture);
}

/* -- the scenario replay: the whole timeline again and again -- */

#define FILLED 3u

/* Session 1 has got FILLED messages, which are its timeline, and has come back to get them again. */
static struct fixture *open_replay(struct fixture_entry *entries)
{
    struct fixture *fixture = fixture_open((struct load_options){.scenario = LOAD_REPLAY});
    for (uint32_t i = 0; i < FILLED; i++) {
        struct fixture_sent sent = fixture_send(fixture, 0, 1);
        fixture_answer(fixture, &sent);
        entries[i] = fixture_entry_of(fixture, 1, &sent);
        fixture_push_entry(fixture, 1, &entries[i]);
    }
    fixture_set_phase(fixture, LOAD_FILLED);
    fixture_set_phase(fixture, LOAD_WARMUP);
    fixture_log_in(fixture, 1, fixture->cursors[1]);
    return fixture;
}

Test(load_checker_resume, a_replay_of_the_whole_timeline_is_found_good_and_begins_anew)
{
    struct fixture_entry entries[FILLED];
    struct fixture *fixture = open_replay(entries);
    for (uint32_t i = 0; i < FILLED; i++)
        fixture_push_entry(fixture, 1, &entries[i]);
    fixture_say(fixture, 1, "{\"op\":\"live\"}");
    cr_expect_eq(fixture_broken_all(fixture), 0, "%s", fixture->worker->first_broken);
    cr_expect_eq(fixture->run.sessions[1].state, LOAD_SESSION_LEAVING);
    fixture_connect(fixture, 1);
    cr_expect_not_null(strstr(fixture_hear(fixture, 1), "\"after\":7,"));
    fixture_close(fixture);
}

Test(load_checker_resume, a_replay_without_an_entry_is_found_though_its_chain_is_mended)
{
    struct fixture_entry entries[FILLED];
    struct fixture *fixture = open_replay(entries);
    entries[2].prev = entries[0].ts;
    fixture_push_entry(fixture, 1, &entries[0]);
    fixture_push_entry(fixture, 1, &entries[2]);
    fixture_say(fixture, 1, "{\"op\":\"live\"}");
    fixture_expect(fixture, LOAD_BROKEN_RESUME, 1);
    fixture_close(fixture);
}

Test(load_checker_resume, an_entry_that_is_replayed_at_another_ts_is_found_though_its_chain_is_mended)
{
    struct fixture_entry entries[FILLED];
    struct fixture *fixture = open_replay(entries);
    entries[2].prev = --entries[1].ts;
    for (uint32_t i = 0; i < FILLED; i++)
        fixture_push_entry(fixture, 1, &entries[i]);
    fixture_say(fixture, 1, "{\"op\":\"live\"}");
    fixture_expect(fixture, LOAD_BROKEN_RESUME, 1);
    fixture_close(fixture);
}

Test(load_checker_resume, a_replay_of_as_many_but_other_entries_is_found)
{
    struct fixture_entry entries[FILLED];
    struct fixture *fixture = open_replay(entries);
    strcpy(entries[1].mid, "another");
    for (uint32_t i = 0; i < FILLED; i++)
        fixture_push_entry(fixture, 1, &entries[i]);
    fixture_say(fixture, 1, "{\"op\":\"live\"}");
    fixture_expect(fixture, LOAD_BROKEN_RESUME, 1);
    fixture_close(fixture);
}
