/* The checks against a nats-server that lies: there is no chain, but content, order, answers, loss and duplicates are
 * checked as ever. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checker_fixture.h"

static void give(struct fixture *fixture, uint32_t session, const char *line, const char *payload)
{
    char data[1024];
    int bytes = snprintf(data, sizeof data, payload != NULL ? "%s %zu\r\n%s\r\n" : "%s\r\n", line,
                         payload != NULL ? strlen(payload) : 0, payload);
    cr_assert_lt(bytes, (int)sizeof data);
    load_session_take(fixture->worker, &fixture->run.sessions[session], data, (uint32_t)bytes);
}

static struct fixture *open_nats(void)
{
    struct fixture *fixture = fixture_open((struct load_options){.protocol = LOAD_NATS});
    for (uint32_t i = 0; i < FIXTURE_SESSIONS; i++) {
        fixture->run.sessions[i].state = LOAD_SESSION_UPGRADING;
        fixture->worker->connecting++;
        give(fixture, i, "INFO {}", NULL);
        if (i == 0)
            give(fixture, i, "MSG _INBOX.load.0.created 2", "{\"did_create\":true}");
        else
            give(fixture, i, "PONG", NULL);
        cr_assert_eq(fixture->run.sessions[i].state, LOAD_SESSION_LIVE);
    }
    return fixture;
}

/* Lets a session publish, and reads it. */
static struct fixture_sent publish(struct fixture *fixture, uint32_t from, uint32_t to)
{
    struct buffer *said = &fixture->run.sessions[from].out;
    struct fixture_sent sent = {.from = from, .to = to};
    char head[40];
    int head_bytes = snprintf(head, sizeof head, "PUB load.%u _INBOX.load.%u.", to, from);
    said->bytes = 0;
    load_send_new(fixture->worker, &fixture->run.sessions[from], to, 5);
    cr_assert_eq(memcmp(said->data, head, (size_t)head_bytes), 0);
    sent.id = strtoull(said->data + head_bytes, NULL, 10);
    memcpy(sent.text, said->data + said->bytes - 2 - 64, 64);
    return sent;
}

static void acknowledge(struct fixture *fixture, const struct fixture_sent *sent, const char *payload)
{
    char line[80];
    snprintf(line, sizeof line, "MSG _INBOX.load.%u.%llu 2", sent->from, (unsigned long long)sent->id);
    give(fixture, sent->from, line, payload);
}

static void answer(struct fixture *fixture, const struct fixture_sent *sent)
{
    acknowledge(fixture, sent, "{\"stream\":\"LOAD\",\"seq\":1}");
}

static void deliver(struct fixture *fixture, uint32_t session, const char *text)
{
    char line[80];
    snprintf(line, sizeof line, "MSG load.%u 1", fixture->run.sessions[session].user);
    give(fixture, session, line, text);
}

/* An acknowledged publish of session 0 for session 1, not yet delivered. */
static struct fixture_sent next_publish(struct fixture *fixture)
{
    struct fixture_sent sent = publish(fixture, 0, 1);
    answer(fixture, &sent);
    return sent;
}

/* Delivers to session 1 a text that a generator could have written; returns how often content was found broken. */
static uint64_t deliver_text(struct fixture *fixture, struct load_text text, uint32_t bytes)
{
    char out[128] = "";
    load_text_write(out, bytes, &text, &fixture->run.filler);
    deliver(fixture, 1, out);
    return fixture_broken(fixture, LOAD_BROKEN_CONTENT);
}

Test(load_checker_nats, an_honest_server_is_found_good)
{
    struct fixture *fixture = open_nats();
    for (uint32_t i = 0; i < 20; i++) {
        struct fixture_sent sent = publish(fixture, i % FIXTURE_SESSIONS, (i + 1) % FIXTURE_SESSIONS);
        answer(fixture, &sent);
        deliver(fixture, sent.to, sent.text);
    }
    cr_expect_eq(fixture_broken_all(fixture), 0, "%s", fixture->worker->first_broken);
    cr_expect_eq(fixture_broken(fixture, LOAD_DELIVERED), 20);
    cr_expect_eq(fixture->worker->gauges.owed, fixture->worker->gauges.got);
    cr_expect_eq(fixture_check(fixture), 0);
    fixture_close(fixture);
}

Test(load_checker_nats, each_changed_character_of_a_text_is_found)
{
    struct fixture *fixture = open_nats();
    for (uint32_t i = 0; i < 64; i++) {
        struct fixture_sent sent = next_publish(fixture);
        sent.text[i] = sent.text[i] == 'A' ? 'B' : 'A';
        deliver(fixture, 1, sent.text);
        fixture_expect(fixture, LOAD_BROKEN_CONTENT, i + 1);
    }
    fixture_close(fixture);
}

Test(load_checker_nats, a_text_to_another_user_is_found)
{
    struct fixture *fixture = open_nats();
    struct fixture_sent sent = next_publish(fixture);
    deliver(fixture, 2, sent.text);
    fixture_expect(fixture, LOAD_BROKEN_CONTENT, 1);
    fixture_close(fixture);
}

Test(load_checker_nats, a_text_of_another_run_is_found)
{
    struct fixture *fixture = open_nats();
    struct load_text text = {.run = fixture->run.number, .from = 0, .to = 1, .seq = 1, .sent_us = 5};
    cr_expect_eq(deliver_text(fixture, text, 64), 0);
    text.run ^= 1;
    text.seq++;
    cr_expect_eq(deliver_text(fixture, text, 64), 1);
    fixture_close(fixture);
}

Test(load_checker_nats, a_text_of_a_connection_that_is_none_is_found)
{
    struct fixture *fixture = open_nats();
    struct load_text text = {.run = fixture->run.number, .from = 0xFFFFFF, .to = 1, .seq = 1, .sent_us = 5};
    cr_expect_eq(deliver_text(fixture, text, 64), 1);
    fixture_close(fixture);
}

Test(load_checker_nats, a_text_of_another_length_is_found)
{
    struct fixture *fixture = open_nats();
    struct load_text text = {.run = fixture->run.number, .from = 0, .to = 1, .seq = 1, .sent_us = 5};
    cr_expect_eq(deliver_text(fixture, text, 65), 1);
    fixture_close(fixture);
}

Test(load_checker_nats, an_answer_to_nothing_and_one_given_twice_are_found)
{
    struct fixture *fixture = open_nats();
    struct fixture_sent sent = next_publish(fixture), never = sent;
    answer(fixture, &sent);
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 1);
    never.id += LOAD_WINDOW_MAX;
    answer(fixture, &never);
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 2);
    fixture_close(fixture);
}

Test(load_checker_nats, an_answer_that_no_stream_has_stored_is_found)
{
    struct fixture *fixture = open_nats();
    struct fixture_sent sent = publish(fixture, 0, 1);
    acknowledge(fixture, &sent, "{\"stream\":\"LOAD\"}");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 1);
    cr_expect_eq(fixture_broken(fixture, LOAD_ACKNOWLEDGED), 0);
    fixture_close(fixture);
}

Test(load_checker_nats, a_refusal_is_found_of_the_stream_and_of_the_server)
{
    struct fixture *fixture = open_nats();
    struct fixture_sent sent = publish(fixture, 0, 1);
    acknowledge(fixture, &sent, "{\"error\":{\"code\":503},\"seq\":0}");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 1);
    cr_expect_eq(fixture_broken(fixture, LOAD_ACKNOWLEDGED), 0);
    give(fixture, 1, "-ERR 'Slow Consumer'", NULL);
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 2);
    fixture_close(fixture);
}

Test(load_checker_nats, deliveries_that_change_places_are_found)
{
    struct fixture *fixture = open_nats();
    struct fixture_sent first = next_publish(fixture), second = next_publish(fixture);
    deliver(fixture, 1, second.text);
    deliver(fixture, 1, first.text);
    fixture_expect(fixture, LOAD_BROKEN_ORDER, 1);
    fixture_close(fixture);
}

Test(load_checker_nats, a_delivery_that_never_comes_is_missed_at_the_end)
{
    struct fixture *fixture = open_nats();
    next_publish(fixture);
    cr_expect_eq(fixture->worker->gauges.owed - fixture->worker->gauges.got, 1);
    cr_expect_eq(fixture_check(fixture), 1);
    fixture_close(fixture);
}

Test(load_checker_nats, one_delivery_in_the_place_of_another_is_found_though_the_count_is_good)
{
    struct fixture *fixture = open_nats();
    struct fixture_sent first = next_publish(fixture), second = publish(fixture, 2, 1);
    answer(fixture, &second);
    deliver(fixture, 1, first.text);
    deliver(fixture, 1, first.text);
    cr_expect_eq(fixture->worker->gauges.owed, fixture->worker->gauges.got);
    cr_expect_eq(fixture_check(fixture), 1);
    fixture_close(fixture);
}
