/* Pages of history: together they must be what the connection got, in order, in bounds, and as requested. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "checker_fixture.h"

#define FILLED 4u
#define ASKED_FIRST "{\"op\":\"history\",\"id\":2,\"limit\":50}\n"

/* A fixture whose session 1 has got FILLED messages and has asked for pages. */
struct book {
    struct fixture *fixture;
    struct fixture_entry entries[FILLED + 1]; /* room for one too many */
};

static struct book open_filled(uint32_t filled, uint32_t walks)
{
    struct book book = {.fixture = fixture_open((struct load_options){.scenario = LOAD_HISTORY, .window = walks})};
    for (uint32_t i = 0; i < filled; i++) {
        struct fixture_sent sent = fixture_send(book.fixture, 0, 1);
        fixture_answer(book.fixture, &sent);
        book.entries[i] = fixture_entry_of(book.fixture, 1, &sent);
        fixture_push_entry(book.fixture, 1, &book.entries[i]);
        book.entries[i].prev = FIXTURE_ABSENT; /* entries of a page have no `prev` */
    }
    fixture_set_phase(book.fixture, LOAD_FILLED);
    fixture_set_phase(book.fixture, LOAD_WARMUP);
    return book;
}

static struct book open_book(void)
{
    struct book book = open_filled(FILLED, 1);
    cr_assert_str_eq(fixture_hear(book.fixture, 1), ASKED_FIRST);
    return book;
}

/* Sends a page of `count` entries from `first` on; `more` is the rest of the object. */
static void say_page(const struct book *book, uint32_t id, uint32_t first, uint32_t count, const char *more)
{
    char page[FILLED * 300] = "", members[256];
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++)
        used += (size_t)snprintf(page + used, sizeof page - used, "%s{%s}", i > 0 ? "," : "",
                                 fixture_write_entry(members, sizeof members, &book->entries[first + i]));
    fixture_say(book->fixture, 1, "{\"op\":\"history\",\"id\":%u,\"messages\":[%s]%s}", id, page, more);
}

/* The same, with the bound of the next page. */
static void say_page_of_more(const struct book *book, uint32_t id, uint32_t first, uint32_t count)
{
    char more[80];
    snprintf(more, sizeof more, ",\"more\":true,\"next\":%llu", (unsigned long long)book->entries[first].ts);
    say_page(book, id, first, count, more);
}

/* Nothing is broken up to here. */
static void expect_good(const struct book *book)
{
    cr_expect_eq(fixture_broken_all(book->fixture), 0, "%s", book->fixture->worker->first_broken);
}

Test(load_checker_history, pages_that_are_the_timeline_are_found_good_and_asked_for_again)
{
    struct book book = open_book();
    char wanted[100];
    say_page_of_more(&book, 2, 2, 2);
    snprintf(wanted, sizeof wanted, "{\"op\":\"history\",\"id\":2,\"before\":%llu,\"limit\":50}\n",
             (unsigned long long)book.entries[2].ts);
    cr_expect_str_eq(fixture_hear(book.fixture, 1), wanted);
    say_page(&book, 2, 0, 2, ",\"more\":false");
    cr_expect_str_eq(fixture_hear(book.fixture, 1), ASKED_FIRST);
    expect_good(&book);
    cr_expect_eq(fixture_broken(book.fixture, LOAD_PAGES), 2);
    fixture_close(book.fixture);
}

Test(load_checker_history, entries_before_the_run_are_no_part_of_it)
{
    struct book book = open_book();
    book.entries[0].ts = FIXTURE_BASE;
    strcpy(book.entries[0].text, "of another run");
    struct load_session *session = &book.fixture->run.sessions[1];
    session->full_count = 0;
    session->full_sum = session->full_places = 0;
    say_page(&book, 2, 0, 1, ",\"more\":true,\"next\":7");
    expect_good(&book);
    cr_expect_str_eq(fixture_hear(book.fixture, 1), ASKED_FIRST, "there the walk ends");
    fixture_close(book.fixture);
}

Test(load_checker_history, a_page_without_an_entry_is_found)
{
    struct book book = open_book();
    say_page(&book, 2, 1, FILLED - 1, ",\"more\":false");
    fixture_expect(book.fixture, LOAD_BROKEN_HISTORY, 1);
    fixture_close(book.fixture);
}

Test(load_checker_history, a_page_with_an_entry_too_many_is_found)
{
    struct book book = open_book();
    book.entries[FILLED] = book.entries[FILLED - 1];
    book.entries[FILLED].ts++;
    say_page(&book, 2, 0, FILLED + 1, ",\"more\":false");
    fixture_expect(book.fixture, LOAD_BROKEN_HISTORY, 1);
    fixture_close(book.fixture);
}

Test(load_checker_history, other_entries_are_found_though_they_are_as_many)
{
    struct book book = open_book();
    strcpy(book.entries[1].mid, "another");
    say_page(&book, 2, 0, FILLED, ",\"more\":false");
    fixture_expect(book.fixture, LOAD_BROKEN_HISTORY, 1);
    fixture_close(book.fixture);
}

Test(load_checker_history, an_entry_at_another_ts_than_the_one_it_was_pushed_with_is_found)
{
    struct book book = open_book();
    book.entries[0].ts--;
    say_page(&book, 2, 0, FILLED, ",\"more\":false");
    fixture_expect(book.fixture, LOAD_BROKEN_HISTORY, 1);
    fixture_close(book.fixture);
}

Test(load_checker_history, a_changed_text_on_a_page_is_found)
{
    struct book book = open_book();
    book.entries[1].text[40] ^= 1;
    say_page(&book, 2, 0, FILLED, ",\"more\":false");
    cr_expect_eq(fixture_broken(book.fixture, LOAD_BROKEN_CONTENT), 1);
    fixture_close(book.fixture);
}

Test(load_checker_history, entries_that_change_places_on_a_page_are_found)
{
    struct book book = open_book();
    struct fixture_entry second = book.entries[1];
    book.entries[1] = book.entries[2];
    book.entries[2] = second;
    say_page(&book, 2, 0, FILLED, ",\"more\":false");
    fixture_expect(book.fixture, LOAD_BROKEN_HISTORY, 1);
    fixture_close(book.fixture);
}

/* Gives an entry and the next one the same ts; the sum of all stays what it was. */
static void put_at_one_ts(struct book *book, uint32_t number)
{
    book->entries[0].ts -= book->entries[number + 1].ts - book->entries[number].ts;
    book->entries[number].ts = book->entries[number + 1].ts;
}

Test(load_checker_history, two_entries_of_one_ts_are_found)
{
    struct book book = open_book();
    put_at_one_ts(&book, 1);
    say_page(&book, 2, 0, FILLED, ",\"more\":false");
    fixture_expect(book.fixture, LOAD_BROKEN_HISTORY, 1);
    fixture_close(book.fixture);
}

Test(load_checker_history, an_entry_at_the_bound_of_its_page_is_found)
{
    struct book book = open_book();
    say_page_of_more(&book, 2, 2, 2);
    expect_good(&book);
    put_at_one_ts(&book, 1);
    say_page(&book, 2, 0, 2, ",\"more\":false");
    fixture_expect(book.fixture, LOAD_BROKEN_HISTORY, 1);
    fixture_close(book.fixture);
}

Test(load_checker_history, a_page_of_more_entries_than_were_asked_for_is_found)
{
    struct book book = open_book();
    book.fixture->run.options.limit = FILLED;
    say_page(&book, 2, 0, FILLED, ",\"more\":false");
    expect_good(&book);
    book.fixture->run.options.limit = FILLED - 1;
    say_page(&book, 2, 0, FILLED, ",\"more\":false");
    fixture_expect(book.fixture, LOAD_BROKEN_HISTORY, 1);
    fixture_close(book.fixture);
}

Test(load_checker_history, a_page_that_was_not_asked_for_is_found)
{
    static const char *const ids[] = {"", ",\"id\":0", ",\"id\":1", ",\"id\":3", ",\"id\":1026"};
    struct book book = open_book();
    for (uint32_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        fixture_say(book.fixture, 1, "{\"op\":\"history\"%s,\"messages\":[],\"more\":false}", ids[i]);
        fixture_expect(book.fixture, LOAD_BROKEN_REPLY, i + 1);
    }
    fixture_close(book.fixture);
}

Test(load_checker_history, a_page_that_is_given_twice_is_found)
{
    struct book book = open_book();
    fixture_set_phase(book.fixture, LOAD_DRAIN); /* no further page is requested */
    say_page(&book, 2, 0, FILLED, ",\"more\":false");
    expect_good(&book);
    say_page(&book, 2, 0, FILLED, ",\"more\":false");
    fixture_expect(book.fixture, LOAD_BROKEN_REPLY, 1);
    fixture_close(book.fixture);
}

Test(load_checker_history, a_page_before_any_was_asked_for_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){.scenario = LOAD_HISTORY, .window = 1});
    fixture_say(fixture, 1, "{\"op\":\"history\",\"id\":2,\"messages\":[],\"more\":false}");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 1);
    fixture_close(fixture);
}

Test(load_checker_history, more_without_next_is_found)
{
    struct book book = open_book();
    say_page(&book, 2, 2, 2, ",\"more\":true");
    fixture_expect(book.fixture, LOAD_BROKEN_HISTORY, 1);
    fixture_close(book.fixture);
}

Test(load_checker_history, more_on_a_page_without_messages_is_found)
{
    struct book book = open_book();
    say_page_of_more(&book, 2, 0, FILLED);
    expect_good(&book);
    say_page(&book, 2, 0, 0, ",\"more\":true,\"next\":8");
    fixture_expect(book.fixture, LOAD_BROKEN_HISTORY, 1);
    fixture_close(book.fixture);
}

Test(load_checker_history, messages_that_end_in_something_else_are_found_though_all_are_there)
{
    struct book book = open_book();
    char page[FILLED * 300] = "", members[256];
    for (uint32_t i = 0; i < FILLED; i++)
        sprintf(page + strlen(page), "{%s},", fixture_write_entry(members, sizeof members, &book.entries[i]));
    fixture_say(book.fixture, 1, "{\"op\":\"history\",\"id\":2,\"messages\":[%s7],\"more\":false}", page);
    fixture_expect(book.fixture, LOAD_BROKEN_HISTORY, 1);
    fixture_close(book.fixture);
}

Test(load_checker_history, a_page_that_has_no_messages_at_all_is_found_though_the_timeline_is_empty)
{
    struct book book = open_filled(0, 1);
    say_page(&book, 2, 0, 0, ",\"more\":false");
    expect_good(&book);
    fixture_say(book.fixture, 1, "{\"op\":\"history\",\"id\":2,\"more\":false}");
    fixture_expect(book.fixture, LOAD_BROKEN_HISTORY, 1);
    fixture_say(book.fixture, 1, "{\"op\":\"history\",\"id\":2,\"messages\":\"[]\",\"more\":false}");
    fixture_expect(book.fixture, LOAD_BROKEN_HISTORY, 2);
    fixture_close(book.fixture);
}

/* -- refused, and cut off -- */

static void refuse(const struct book *book, uint32_t id)
{
    fixture_say(book->fixture, 1,
                "{\"op\":\"error\",\"id\":%u,\"code\":\"busy\",\"message\":\"later\",\"retry_after\":3}", id);
}

Test(load_checker_history, a_refused_page_is_asked_for_again_when_its_time_has_come)
{
    struct book book = open_book();
    struct load_session *session = &book.fixture->run.sessions[1];
    say_page_of_more(&book, 2, 2, 2);
    char asked[100];
    snprintf(asked, sizeof asked, "%s", fixture_hear(book.fixture, 1));
    refuse(&book, 2);
    expect_good(&book);
    cr_expect_eq(fixture_broken(book.fixture, LOAD_BUSY), 1);
    cr_expect_eq(session->due_us, book.fixture->worker->now_us + 3000);
    cr_expect_not(list_is_empty(&book.fixture->worker->refused));
    cr_expect_str_eq(fixture_hear(book.fixture, 1), "", "not at once");
    load_send_retry(book.fixture->worker, session);
    cr_expect_str_eq(fixture_hear(book.fixture, 1), asked);
    say_page(&book, 2, 0, 2, ",\"more\":false");
    expect_good(&book);
    fixture_close(book.fixture);
}

Test(load_checker_history, a_refused_page_that_comes_after_all_is_found)
{
    struct book book = open_book();
    refuse(&book, 2);
    say_page(&book, 2, 0, FILLED, ",\"more\":false");
    fixture_expect(book.fixture, LOAD_BROKEN_REPLY, 1);
    fixture_close(book.fixture);
}

Test(load_checker_history, the_refusal_of_a_page_that_was_not_asked_for_is_found)
{
    struct book book = open_book();
    refuse(&book, 3);
    fixture_expect(book.fixture, LOAD_BROKEN_REPLY, 1);
    fixture_close(book.fixture);
}

Test(load_checker_history, a_page_under_way_when_a_connection_ends_is_asked_for_again_on_the_next)
{
    struct book book = open_book();
    say_page_of_more(&book, 2, 2, 2);
    char asked[100];
    snprintf(asked, sizeof asked, "%s", fixture_hear(book.fixture, 1));
    fixture_log_in(book.fixture, 1, book.fixture->cursors[1]);
    cr_expect_str_eq(fixture_hear(book.fixture, 1), asked);
    fixture_say(book.fixture, 1, "{\"op\":\"live\"}");
    cr_expect_str_eq(fixture_hear(book.fixture, 1), "", "once");
    say_page(&book, 2, 0, 2, ",\"more\":false");
    expect_good(&book);
    fixture_close(book.fixture);
}

Test(load_checker_history, a_refused_page_is_asked_for_once_if_the_connection_has_ended_since)
{
    struct book book = open_book();
    refuse(&book, 2);
    fixture_log_in(book.fixture, 1, book.fixture->cursors[1]);
    cr_expect_str_eq(fixture_hear(book.fixture, 1), ASKED_FIRST);
    load_send_retry(book.fixture->worker, &book.fixture->run.sessions[1]);
    cr_expect_str_eq(fixture_hear(book.fixture, 1), "");
    fixture_close(book.fixture);
}

/* -- several walks of one session -- */

#define ASKED_SECOND "{\"op\":\"history\",\"id\":3,\"limit\":50}\n"

/* Two walks; the first has got half of the timeline, so that the second has begun. */
static struct book open_two_walks(void)
{
    struct book book = open_filled(FILLED, 2);
    say_page_of_more(&book, 2, 2, 2);
    cr_assert_not_null(strstr(fixture_hear(book.fixture, 1), ASKED_SECOND));
    return book;
}

Test(load_checker_history, the_second_walk_begins_when_the_first_is_half_a_timeline_ahead)
{
    struct book book = open_filled(FILLED, 2);
    cr_expect_str_eq(fixture_hear(book.fixture, 1), ASKED_FIRST);
    say_page_of_more(&book, 2, 3, 1);
    cr_expect_null(strstr(fixture_hear(book.fixture, 1), ASKED_SECOND), "a quarter is not enough");
    say_page_of_more(&book, 2, 2, 1);
    cr_expect_not_null(strstr(fixture_hear(book.fixture, 1), ASKED_SECOND));
    fixture_close(book.fixture);
}

Test(load_checker_history, walks_do_not_mix_though_their_pages_come_in_turns)
{
    struct book book = open_two_walks();
    say_page_of_more(&book, 3, 2, 2);
    say_page(&book, 2, 0, 2, ",\"more\":false");
    say_page_of_more(&book, 2, 1, 3);
    say_page(&book, 3, 0, 2, ",\"more\":false");
    say_page(&book, 2, 0, 1, ",\"more\":false");
    expect_good(&book);
    fixture_close(book.fixture);
}

Test(load_checker_history, what_is_missing_in_the_second_walk_is_found_though_the_first_has_it)
{
    struct book book = open_two_walks();
    say_page(&book, 3, 1, 3, ",\"more\":false");
    fixture_expect(book.fixture, LOAD_BROKEN_HISTORY, 1);
    say_page(&book, 2, 0, 2, ",\"more\":false");
    fixture_expect(book.fixture, LOAD_BROKEN_HISTORY, 1);
    fixture_close(book.fixture);
}

Test(load_checker_history, of_two_walks_only_the_refused_one_is_asked_for_again)
{
    struct book book = open_two_walks();
    refuse(&book, 3);
    load_send_retry(book.fixture->worker, &book.fixture->run.sessions[1]);
    cr_expect_str_eq(fixture_hear(book.fixture, 1), ASKED_SECOND);
    fixture_close(book.fixture);
}

Test(load_checker_history, both_walks_are_asked_for_again_on_a_new_connection)
{
    struct book book = open_two_walks();
    fixture_log_in(book.fixture, 1, book.fixture->cursors[1]);
    const char *said = fixture_hear(book.fixture, 1);
    cr_expect_not_null(strstr(said, "\"id\":2,\"before\":"));
    cr_expect_not_null(strstr(said, ASKED_SECOND));
    fixture_close(book.fixture);
}
