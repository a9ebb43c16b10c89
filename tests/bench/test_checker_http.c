/* The checks of a program's sends against a server that lies: each answer has a status, a mid and a `ts` that rises. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "checker_fixture.h"

static void give(struct fixture *fixture, uint32_t session, const char *status, const char *body)
{
    char data[1024];
    int bytes = snprintf(data, sizeof data,
                         "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nCache-Control: "
                         "no-store\r\n\r\n%s",
                         status, strlen(body), body);
    cr_assert_lt(bytes, (int)sizeof data);
    load_session_take(fixture->worker, &fixture->run.sessions[session], data, (uint32_t)bytes);
}

static void connect_session(struct fixture *fixture, uint32_t session)
{
    fixture->run.sessions[session].state = LOAD_SESSION_UPGRADING;
    fixture->worker->connecting++;
}

static struct fixture *open_http(bool has_keys)
{
    struct fixture *fixture = fixture_open((struct load_options){.protocol = LOAD_HTTP, .has_keys = has_keys});
    for (uint32_t i = 0; i < FIXTURE_SESSIONS; i++) {
        connect_session(fixture, i);
        give(fixture, i, "200 OK", "{\"status\":\"ready\"}");
        cr_assert_eq(fixture->run.sessions[i].state, LOAD_SESSION_LIVE);
    }
    return fixture;
}

/* Lets session 0 post; returns all that it wrote, with a 0 behind it. */
static const char *post(struct fixture *fixture)
{
    struct buffer *said = &fixture->run.sessions[0].out;
    said->bytes = 0;
    load_send_new(fixture->worker, &fixture->run.sessions[0], 1, 5);
    cr_assert_lt(said->bytes, sizeof fixture->heard);
    memcpy(fixture->heard, said->data, said->bytes);
    fixture->heard[said->bytes] = '\0';
    said->bytes = 0;
    return fixture->heard;
}

Test(load_checker_http, a_post_has_the_length_of_its_body)
{
    struct fixture *fixture = open_http(true);
    uint32_t bytes = 0;
    const char *said = post(fixture), *body = strstr(said, "\r\n\r\n");
    const char *length = strstr(said, "Content-Length: ");
    cr_assert(body != NULL && length != NULL, "%s", said);
    cr_assert_eq(sscanf(length, "Content-Length: %u", &bytes), 1);
    cr_expect_eq(strlen(body + 4), bytes);
    cr_expect_eq(strncmp(said, "POST /api/v1/messages HTTP/1.1\r\nHost: ", 38), 0, "%s", said);
    cr_expect_eq(strncmp(body + 4, "{\"from\":\"load-0\",\"to\":\"load-1\",\"key\":\"", 38), 0, "%s", body);
    cr_expect_str_eq(body + 4 + bytes - 2, "\"}");
    fixture_close(fixture);
}

Test(load_checker_http, an_honest_server_is_found_good)
{
    struct fixture *fixture = open_http(false);
    char body[80];
    for (uint32_t i = 1; i <= 20; i++) {
        post(fixture);
        snprintf(body, sizeof body, "{\"ts\":%u,\"mid\":\"m%u\"}", 10 * i, i);
        give(fixture, 0, "200 OK", body);
    }
    cr_expect_eq(fixture_broken_all(fixture), 0, "%s", fixture->worker->first_broken);
    cr_expect_eq(fixture_broken(fixture, LOAD_ACKNOWLEDGED), 20);
    cr_expect_eq(fixture->run.sessions[0].unanswered, 0);
    cr_expect_eq(fixture->worker->gauges.owed, fixture->worker->gauges.got);
    cr_expect_eq(fixture_check(fixture), 0);
    fixture_close(fixture);
}

Test(load_checker_http, an_answer_in_pieces_is_taken_when_it_is_whole)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"ts\":1,\"mid\":\"m\"}";
    struct fixture *fixture = open_http(false);
    post(fixture);
    for (size_t i = 0; i + 1 < sizeof answer - 1; i++)
        load_session_take(fixture->worker, &fixture->run.sessions[0], answer + i, 1);
    cr_expect_eq(fixture_broken(fixture, LOAD_ACKNOWLEDGED), 0);
    load_session_take(fixture->worker, &fixture->run.sessions[0], answer + sizeof answer - 2, 1);
    cr_expect_eq(fixture_broken(fixture, LOAD_ACKNOWLEDGED), 1);
    cr_expect_eq(fixture->run.sessions[0].in.bytes, 0);
    cr_expect_eq(fixture_broken_all(fixture), 0, "%s", fixture->worker->first_broken);
    fixture_close(fixture);
}

Test(load_checker_http, a_ts_that_does_not_rise_is_found)
{
    struct fixture *fixture = open_http(false);
    post(fixture);
    give(fixture, 0, "200 OK", "{\"ts\":9,\"mid\":\"a\"}");
    post(fixture);
    give(fixture, 0, "200 OK", "{\"ts\":9,\"mid\":\"b\"}");
    fixture_expect(fixture, LOAD_BROKEN_ORDER, 1);
    fixture_close(fixture);
}

Test(load_checker_http, answers_without_a_mid_to_nothing_or_of_another_kind_are_found)
{
    struct fixture *fixture = open_http(false);
    post(fixture);
    give(fixture, 0, "200 OK", "{\"ts\":9}");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 1);
    give(fixture, 0, "200 OK", "{\"ts\":10,\"mid\":\"b\"}");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 2);
    post(fixture);
    give(fixture, 0, "200 OK", "{\"ts\":11,\"mid\":\"c\",\"dup\":true}");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 3);
    post(fixture);
    give(fixture, 0, "200 OK", "<html>");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 4);
    fixture_close(fixture);
}

Test(load_checker_http, what_is_refused_for_now_is_posted_again_and_an_error_without_cause_is_found)
{
    struct fixture *fixture = open_http(false);
    post(fixture);
    give(fixture, 0, "200 OK", "{\"ts\":9,\"mid\":\"a\"}");
    post(fixture);
    give(fixture, 0, "503 Service Unavailable", "{\"error\":\"busy\",\"message\":\"wait\",\"retry_after\":250}");
    cr_expect_eq(fixture_broken(fixture, LOAD_BUSY), 1);
    cr_expect_eq(fixture->run.sessions[0].due_us, fixture->worker->now_us + 250000);
    load_send_retry(fixture->worker, &fixture->run.sessions[0]);
    cr_expect_gt(fixture->run.sessions[0].out.bytes, 0);
    cr_expect_eq(fixture_broken_all(fixture), 0, "%s", fixture->worker->first_broken);
    give(fixture, 0, "400 Bad Request", "{\"error\":\"bad_request\",\"message\":\"no\"}");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 1);
    fixture_close(fixture);
}

Test(load_checker_http, a_server_that_is_not_ready_is_tried_again_and_another_one_ends_the_run)
{
    struct fixture *fixture = open_http(false);
    fixture->worker->phase = LOAD_CONNECT;
    fixture->worker->gauges.live--;
    connect_session(fixture, 0);
    give(fixture, 0, "503 Service Unavailable", "{\"error\":\"busy\"}");
    cr_expect_eq(fixture->run.sessions[0].state, LOAD_SESSION_LEAVING);
    cr_expect_not(atomic_load(&fixture->run.is_hopeless));
    fixture->worker->gauges.live--;
    connect_session(fixture, 1);
    give(fixture, 1, "404 Not Found", "");
    cr_expect(atomic_load(&fixture->run.is_hopeless));
    cr_expect_not_null(strstr(fixture->worker->obstacle, "--admin"), "%s", fixture->worker->obstacle);
    fixture_close(fixture);
}
