/* Conversations: marks (`seen`), receipts (`seen_by`), pages of `peers`, `typing`; and the comparison at the end. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "checker_fixture.h"

#define MARK_ID 17592186044416ull /* of a session's first conversation */

/* User 0 has sent two messages to user 1, who marks each. The first mark has been answered. */
struct book {
    struct fixture *fixture;
    struct fixture_sent sents[2];
    struct fixture_entry sent[2], received[2]; /* as the two users have them */
};

/* The entry of the `ok` that answers a send. */
static struct fixture_entry answer(struct fixture *fixture, const struct fixture_sent *sent)
{
    struct fixture_entry entry = fixture_entry_of(fixture, sent->from, sent);
    fixture_say(fixture, sent->from, "{\"op\":\"ok\",\"id\":%llu,\"ts\":%llu,\"prev\":%llu,\"mid\":\"%s\"}",
                (unsigned long long)sent->id, (unsigned long long)entry.ts, (unsigned long long)entry.prev, entry.mid);
    return entry;
}

static struct book book_open(void)
{
    struct book book = {.fixture = fixture_open((struct load_options){.seen_share = 1})};
    for (uint32_t i = 0; i < 2; i++) {
        book.sents[i] = fixture_send(book.fixture, 0, 1);
        book.sent[i] = answer(book.fixture, &book.sents[i]);
        fixture_hear(book.fixture, 1);
        book.received[i] = fixture_entry_of(book.fixture, 1, &book.sents[i]);
        fixture_push_entry(book.fixture, 1, &book.received[i]);
    }
    return book;
}

static void say_ok(struct book *book)
{
    fixture_say(book->fixture, 1, "{\"op\":\"ok\",\"id\":%llu}", MARK_ID);
}

static void say_seen_by(struct book *book, uint64_t ts, const char *mid)
{
    fixture_say(book->fixture, 0, "{\"op\":\"seen_by\",\"user\":\"load-1\",\"ts\":%llu,\"mid\":\"%s\"}",
                (unsigned long long)ts, mid);
}

static bool are_marks_balanced(const struct book *book)
{
    const struct load_gauges *gauges = &book->fixture->worker->gauges;
    return gauges->marks == 0 && gauges->marked == gauges->shown;
}

static uint64_t check(const struct book *book)
{
    char text[200];
    return load_talks_check(&book->fixture->run, text, sizeof text);
}

Test(load_checker_talks, a_mark_that_is_answered_and_pushed_is_found_good)
{
    struct book book = book_open();
    char wanted[100];
    fixture_hear(book.fixture, 1);
    cr_expect_eq(book.fixture->worker->gauges.marks, 1, "one in flight for a conversation");
    say_ok(&book);
    snprintf(wanted, sizeof wanted, "{\"op\":\"seen\",\"id\":%llu,\"with\":\"load-0\",\"ts\":%llu}\n", MARK_ID,
             (unsigned long long)book.received[1].ts);
    cr_expect_str_eq(fixture_hear(book.fixture, 1), wanted, "the newest follows");
    say_seen_by(&book, book.sent[0].ts, book.sent[0].mid);
    cr_expect_not(are_marks_balanced(&book));
    say_ok(&book);
    cr_expect_eq(check(&book), 1, "user 0 does not know of the second mark");
    say_seen_by(&book, book.sent[1].ts, book.sent[1].mid);
    cr_expect(are_marks_balanced(&book));
    cr_expect_eq(check(&book), 0);
    fixture_expect(book.fixture, LOAD_BROKEN_TALKS, 0);
    fixture_close(book.fixture);
}

Test(load_checker_talks, a_mark_that_is_refused_is_asked_for_again)
{
    struct book book = book_open();
    fixture_hear(book.fixture, 1);
    fixture_say(book.fixture, 1, "{\"op\":\"error\",\"id\":%llu,\"code\":\"busy\",\"message\":\"x\",\"retry_after\":3}",
                MARK_ID);
    cr_expect_str_eq(fixture_hear(book.fixture, 1), "");
    load_send_retry(book.fixture->worker, &book.fixture->run.sessions[1]);
    cr_expect_not_null(strstr(fixture_hear(book.fixture, 1), "{\"op\":\"seen\",\"id\":17592186044416,"));
    fixture_expect(book.fixture, LOAD_BROKEN_TALKS, 0);
    fixture_close(book.fixture);
}

Test(load_checker_talks, receipts_that_go_backwards_or_come_twice_are_found)
{
    struct book book = book_open();
    say_seen_by(&book, book.sent[1].ts, book.sent[1].mid);
    say_seen_by(&book, book.sent[1].ts, book.sent[1].mid);
    fixture_expect(book.fixture, LOAD_BROKEN_TALKS, 1);
    say_seen_by(&book, book.sent[0].ts, book.sent[0].mid);
    fixture_expect(book.fixture, LOAD_BROKEN_TALKS, 2);
    fixture_close(book.fixture);
}

Test(load_checker_talks, receipts_of_no_message_or_of_another_are_found)
{
    struct book book = book_open();
    say_seen_by(&book, book.sent[0].ts, book.sent[1].mid);
    fixture_expect(book.fixture, LOAD_BROKEN_TALKS, 1);
    say_seen_by(&book, book.sent[1].ts - 1, book.sent[1].mid);
    fixture_expect(book.fixture, LOAD_BROKEN_TALKS, 2);
    fixture_say(book.fixture, 0, "{\"op\":\"seen_by\",\"user\":\"load-2\",\"ts\":5,\"mid\":\"m\"}");
    fixture_expect(book.fixture, LOAD_BROKEN_TALKS, 3);
    fixture_close(book.fixture);
}

Test(load_checker_talks, a_receipt_may_come_before_the_ok_of_its_message)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct book book = book_open();
        struct fixture_sent sent = fixture_send(book.fixture, 0, 1);
        char mid[40];
        snprintf(mid, sizeof mid, "m%llu-0", (unsigned long long)sent.id + i);
        say_seen_by(&book, book.fixture->ts + 1, mid);
        fixture_expect(book.fixture, LOAD_BROKEN_TALKS, 0);
        answer(book.fixture, &sent);
        fixture_expect(book.fixture, LOAD_BROKEN_TALKS, i);
        fixture_close(book.fixture);
    }
}

Test(load_checker_talks, that_may_be_the_first_of_a_conversation)
{
    struct fixture *fixture = fixture_open((struct load_options){.seen_share = 1});
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    fixture_say(fixture, 0, "{\"op\":\"seen_by\",\"user\":\"load-1\",\"ts\":%llu,\"mid\":\"m%llu-0\"}",
                (unsigned long long)fixture->ts + 1, (unsigned long long)sent.id);
    answer(fixture, &sent);
    fixture_expect(fixture, LOAD_BROKEN_TALKS, 0);
    cr_expect_gt(load_talk_find(&fixture->run.sessions[0], 1)->seen_by.ts, 0);
    fixture_close(fixture);
}

/* Two connections of user 0 and one of user 1: the mark of one connection is pushed to the other. */
Test(load_checker_talks, a_mark_of_another_connection_is_one_of_a_received_message_and_goes_forwards)
{
    struct book book = book_open();
    fixture_say(book.fixture, 1, "{\"op\":\"seen\",\"with\":\"load-0\",\"ts\":%llu}",
                (unsigned long long)book.received[1].ts);
    fixture_expect(book.fixture, LOAD_BROKEN_TALKS, 0);
    fixture_say(book.fixture, 1, "{\"op\":\"seen\",\"with\":\"load-0\",\"ts\":%llu}",
                (unsigned long long)book.received[0].ts);
    fixture_expect(book.fixture, LOAD_BROKEN_TALKS, 1);
    fixture_close(book.fixture);
    book = book_open();
    fixture_say(book.fixture, 1, "{\"op\":\"seen\",\"with\":\"load-0\",\"ts\":%llu}",
                (unsigned long long)book.received[1].ts - 1);
    fixture_expect(book.fixture, LOAD_BROKEN_TALKS, 1);
    fixture_close(book.fixture);
}

Test(load_checker_talks, a_server_that_does_not_know_marks_ends_the_run_and_breaks_nothing)
{
    struct book book = book_open();
    fixture_say(book.fixture, 1, "{\"op\":\"error\",\"id\":%llu,\"code\":\"unknown_op\",\"message\":\"x\"}", MARK_ID);
    cr_expect_eq(fixture_broken_all(book.fixture), 0);
    cr_expect_not_null(strstr(book.fixture->worker->obstacle, "the server refuses a request: {\"op\":\"error\""));
    fixture_close(book.fixture);
}

/* -- pages of peers -- */

/* Session 1 asks for its conversations in the phase LOAD_CHECK, after its first mark. The page has one, with these
 * figures; `newest` is its last message. */
static void give_page(struct book *book, const struct fixture_entry *newest, uint64_t unseen, uint64_t seen)
{
    char members[512];
    struct fixture_entry entry = *newest;
    entry.prev = FIXTURE_ABSENT;
    fixture_say(
        book->fixture, 1,
        "{\"op\":\"peers\",\"id\":100,\"peers\":[{\"user\":\"load-0\",\"last\":{%s},\"unseen\":%llu,\"seen\":%llu,"
        "\"seen_by\":0}],\"more\":false}",
        fixture_write_entry(members, sizeof members, &entry), (unsigned long long)unseen, (unsigned long long)seen);
}

static struct book book_at_check(void)
{
    struct book book = book_open();
    book.fixture->run.sessions[1].talks.list[0].wanted.ts = 0; /* the second message stays unseen */
    say_ok(&book);
    fixture_hear(book.fixture, 1);
    fixture_set_phase(book.fixture, LOAD_CHECK);
    cr_expect_str_eq(fixture_hear(book.fixture, 1), "{\"op\":\"peers\",\"id\":100,\"limit\":1000}\n");
    cr_expect_eq(book.fixture->worker->gauges.checking, 3, "each session");
    return book;
}

Test(load_checker_talks, a_page_that_is_what_the_connection_knows_is_found_good)
{
    struct book book = book_at_check();
    give_page(&book, &book.received[1], 1, book.received[0].ts);
    fixture_expect(book.fixture, LOAD_BROKEN_TALKS, 0);
    cr_expect_eq(book.fixture->worker->gauges.checking, 2);
    fixture_say(book.fixture, 2, "{\"op\":\"peers\",\"id\":100,\"peers\":[],\"more\":false}");
    fixture_expect(book.fixture, LOAD_BROKEN_TALKS, 0);
    cr_expect_eq(book.fixture->worker->gauges.checking, 1);
    fixture_close(book.fixture);
}

Test(load_checker_talks, another_count_of_unseen_messages_is_found)
{
    for (uint64_t unseen = 0; unseen < 3; unseen++) {
        struct book book = book_at_check();
        give_page(&book, &book.received[1], unseen, book.received[0].ts);
        fixture_expect(book.fixture, LOAD_BROKEN_TALKS, unseen != 1);
        fixture_close(book.fixture);
    }
}

Test(load_checker_talks, a_mark_that_a_page_does_not_know_any_more_is_found)
{
    struct book book = book_at_check();
    give_page(&book, &book.received[1], 2, 0);
    fixture_expect(book.fixture, LOAD_BROKEN_TALKS, 1);
    fixture_close(book.fixture);
}

Test(load_checker_talks, an_older_last_message_is_found)
{
    struct book book = book_at_check();
    give_page(&book, &book.received[0], 1, book.received[0].ts);
    fixture_expect(book.fixture, LOAD_BROKEN_TALKS, 1);
    fixture_close(book.fixture);
}

Test(load_checker_talks, a_last_message_with_another_text_is_found)
{
    struct book book = book_at_check();
    struct fixture_entry entry = book.received[1];
    entry.text[40] ^= 1;
    give_page(&book, &entry, 1, book.received[0].ts);
    fixture_expect(book.fixture, LOAD_BROKEN_CONTENT, 1);
    fixture_close(book.fixture);
}

Test(load_checker_talks, a_conversation_that_is_left_out_is_found)
{
    struct book book = book_at_check();
    fixture_say(book.fixture, 1, "{\"op\":\"peers\",\"id\":100,\"peers\":[],\"more\":false}");
    fixture_expect(book.fixture, LOAD_BROKEN_TALKS, 1);
    fixture_close(book.fixture);
}

Test(load_checker_talks, a_page_that_was_not_asked_for_is_found)
{
    struct book book = book_open();
    fixture_say(book.fixture, 1, "{\"op\":\"peers\",\"id\":100,\"peers\":[],\"more\":false}");
    fixture_expect(book.fixture, LOAD_BROKEN_REPLY, 1);
    fixture_close(book.fixture);
}

/* -- typing -- */

Test(load_checker_talks, typing_is_answered_and_pushed_at_most_once_a_second)
{
    struct fixture *fixture = fixture_open((struct load_options){.scenario = LOAD_TYPING});
    fixture_set_phase(fixture, LOAD_WARMUP);
    const char *asked = fixture_hear(fixture, 0);
    cr_expect_not_null(strstr(asked, "{\"op\":\"typing\",\"id\":1024,\"to\":\"load-"), "%s", asked);
    fixture_say(fixture, 0, "{\"op\":\"ok\",\"id\":1024}");
    cr_expect_eq(fixture_broken(fixture, LOAD_TYPED), 1);
    for (uint32_t i = 0; i < 2; i++)
        fixture_say(fixture, 0, "{\"op\":\"typing\",\"from\":\"load-1\"}");
    fixture_expect(fixture, LOAD_BROKEN_TYPING, 0);
    fixture_say(fixture, 0, "{\"op\":\"typing\",\"from\":\"load-1\"}");
    fixture_expect(fixture, LOAD_BROKEN_TYPING, 1);
    fixture->worker->now_us += 2000000;
    fixture_say(fixture, 0, "{\"op\":\"typing\",\"from\":\"load-1\"}");
    fixture_expect(fixture, LOAD_BROKEN_TYPING, 1);
    fixture_close(fixture);
}

Test(load_checker_talks, typing_from_nobody_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){.scenario = LOAD_TYPING});
    fixture_set_phase(fixture, LOAD_WARMUP);
    fixture_say(fixture, 0, "{\"op\":\"typing\",\"from\":\"load-0\"}");
    fixture_expect(fixture, LOAD_BROKEN_TYPING, 1);
    fixture_say(fixture, 0, "{\"op\":\"typing\",\"from\":\"somebody\"}");
    fixture_expect(fixture, LOAD_BROKEN_TYPING, 2);
    fixture_close(fixture);
    fixture = fixture_open((struct load_options){0});
    fixture_say(fixture, 0, "{\"op\":\"typing\",\"from\":\"load-1\"}");
    fixture_expect(fixture, LOAD_BROKEN_TYPING, 1);
    fixture_close(fixture);
}

Test(load_checker_talks, more_typing_than_was_sent_is_found_at_the_end)
{
    struct fixture *fixture = fixture_open((struct load_options){.scenario = LOAD_TYPING, .to = LOAD_TO_PARTNER});
    char text[200];
    fixture_set_phase(fixture, LOAD_WARMUP);
    fixture_say(fixture, 0, "{\"op\":\"typing\",\"from\":\"load-1\"}");
    cr_expect_eq(load_talks_check(&fixture->run, text, sizeof text), 0);
    load_talk_find(&fixture->run.sessions[1], 0)->typed = 0;
    cr_expect_eq(load_talks_check(&fixture->run, text, sizeof text), 1);
    cr_expect_str_eq(text, "of the conversation of load-0 and load-1 each side knows another count of typing");
    fixture_close(fixture);
}
