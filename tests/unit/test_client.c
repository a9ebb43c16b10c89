/* The client's states, cursor, outbox and times against PROTOCOL.md, on a transport that is the test. */
#include "client_fixture.h"

#include <unistd.h>

#define SECOND_US UINT64_C(1000000)
#define LOGIN_OK(last)                                                                                                 \
    "{\"op\":\"ok\",\"id\":%,\"user\":\"alice\",\"last\":" last ",\"first\":0,\"epoch\":\"e1\",\"ping\":25,"           \
    "\"auth\":\"none\",\"limits\":{\"text\":16384,\"frame\":131072},\"server\":\"chitchat/0\"}"
#define MSG(ts, prev, from, text)                                                                                      \
    "{\"op\":\"msg\",\"ts\":" ts ",\"prev\":" prev ",\"mid\":\"m" ts "\",\"from\":\"" from                             \
    "\",\"to\":\"alice\",\"text\":\"" text "\"}"

/* Logged in for the first time, with `last` 100. */
static struct fixture *fixture_live(void)
{
    struct fixture *fixture = fixture_open((struct client_options){0});
    fixture_connect(fixture);
    fixture_say(fixture, LOGIN_OK("100"));
    fixture_assert_called(fixture, "connecting logging-in live ");
    fixture_forget_sent(fixture);
    return fixture;
}

static void send_text(struct fixture *fixture, const char *to, const char *text)
{
    uint64_t number;
    cr_assert_null(client_send(fixture->client, to, text, NULL, &number));
    client_step(fixture->client, 0);
}

/* The key of the frame that was sent last. */
static const char *key_of_last(const struct fixture *fixture)
{
    return json_string_value(json_object_get(fixture->sent[fixture->sent_count - 1], "key"));
}

Test(client, the_first_login_has_no_cursor_and_takes_last)
{
    struct fixture *fixture = fixture_open((struct client_options){0});
    fixture_connect(fixture);
    fixture_assert_sent(fixture, 0, "{\"op\":\"login\",\"user\":\"alice\"}");
    fixture_say(fixture, LOGIN_OK("100"));
    cr_expect_eq(client_state(fixture->client), CLIENT_LIVE);
    cr_expect_eq(client_cursor(fixture->client), 100);
    fixture_close_all(fixture);
}

Test(client, the_transport_learns_of_logins_that_are_taken_and_of_no_others)
{
    struct fixture *fixture = fixture_open((struct client_options){0});
    fixture_connect(fixture);
    fixture_say(fixture, "{\"op\":\"error\",\"id\":%,\"code\":\"unavailable\",\"message\":\"m\"}");
    fixture_pass(fixture, SECOND_US);
    fixture_connect(fixture);
    cr_expect_eq(fixture->logins, 0);
    fixture_say(fixture, LOGIN_OK("100"));
    cr_expect_eq(fixture->logins, 1);
    fixture_close_all(fixture);
}

Test(client, a_later_login_gives_cursor_and_epoch_and_takes_the_replay)
{
    struct fixture *fixture = fixture_live();
    fixture_say(fixture, MSG("110", "100", "bob", "a"));
    fixture_drop(fixture, 1006);
    fixture_pass(fixture, SECOND_US);
    fixture_connect(fixture);
    fixture_assert_sent(fixture, 0, "{\"after\":110,\"epoch\":\"e1\",\"op\":\"login\",\"user\":\"alice\"}");
    fixture_say(fixture, LOGIN_OK("120"));
    fixture_say(fixture, MSG("120", "110", "bob", "b"));
    fixture_say(fixture, "{\"op\":\"live\"}");
    fixture_assert_called(fixture, "msg110:a waiting connecting logging-in replay msg120:b live ");
    fixture_close_all(fixture);
}

Test(client, a_kept_cursor_is_given_at_once)
{
    struct fixture *fixture = fixture_open((struct client_options){.epoch = "e1", .cursor = 70, .replay_max = 500});
    fixture_connect(fixture);
    fixture_assert_sent(fixture, 0, "{\"after\":70,\"epoch\":\"e1\",\"max\":500,\"op\":\"login\",\"user\":\"alice\"}");
    fixture_say(fixture,
                "{\"op\":\"ok\",\"id\":%,\"user\":\"alice\",\"last\":100,\"first\":0,\"epoch\":\"e1\",\"ping\":25,"
                "\"skipped_until\":90}");
    fixture_say(fixture, MSG("100", "90", "bob", "c"));
    fixture_assert_called(fixture, "connecting logging-in skipped:90 replay msg100:c ");
    fixture_close_all(fixture);
}

Test(client, a_gap_is_closed_and_filled_by_a_replay)
{
    struct fixture *fixture = fixture_live();
    fixture_say(fixture, MSG("120", "110", "bob", "b"));
    cr_expect_eq(fixture->end_code, 4000);
    fixture_assert_called(fixture, "waiting ");
    fixture_pass(fixture, SECOND_US);
    fixture_connect(fixture);
    fixture_assert_sent(fixture, 0, "{\"after\":100,\"epoch\":\"e1\",\"op\":\"login\",\"user\":\"alice\"}");
    fixture_close_all(fixture);
}

Test(client, an_entry_that_was_taken_is_not_taken_again)
{
    struct fixture *fixture = fixture_live();
    fixture_say(fixture, MSG("110", "100", "bob", "a"));
    fixture_say(fixture, MSG("110", "100", "bob", "a"));
    fixture_assert_called(fixture, "msg110:a waiting ");
    fixture_close_all(fixture);
}

Test(client, a_reset_voids_the_cursor_and_keeps_the_outbox)
{
    struct fixture *fixture = fixture_live();
    send_text(fixture, "bob", "one");
    fixture_drop(fixture, 1006);
    fixture_pass(fixture, SECOND_US);
    fixture_connect(fixture);
    fixture_say(fixture,
                "{\"op\":\"ok\",\"id\":%,\"user\":\"alice\",\"last\":40,\"first\":0,\"epoch\":\"e2\",\"ping\":25,"
                "\"reset\":true}");
    fixture_assert_called(fixture, "waiting connecting logging-in reset:40 live ");
    cr_expect_eq(client_cursor(fixture->client), 40);
    cr_expect_str_eq(client_epoch(fixture->client), "e2");
    client_step(fixture->client, 0);
    fixture_assert_sent(fixture, 1, "{\"op\":\"send\",\"text\":\"one\",\"to\":\"bob\"}");
    fixture_close_all(fixture);
}

Test(client, a_cursor_below_first_is_replaced_by_it)
{
    struct fixture *fixture = fixture_open((struct client_options){.epoch = "e1", .cursor = 70});
    fixture_connect(fixture);
    fixture_say(fixture,
                "{\"op\":\"ok\",\"id\":%,\"user\":\"alice\",\"last\":100,\"first\":90,\"epoch\":\"e1\",\"ping\":25}");
    fixture_say(fixture, MSG("100", "90", "bob", "c"));
    fixture_assert_called(fixture, "connecting logging-in cut:90 replay msg100:c ");
    fixture_close_all(fixture);
}

Test(client, the_ok_of_a_send_is_the_entry)
{
    struct fixture *fixture = fixture_live();
    send_text(fixture, "bob", "one");
    fixture_say(fixture, "{\"op\":\"ok\",\"id\":%,\"ts\":110,\"prev\":100,\"mid\":\"x\"}");
    fixture_assert_called(fixture, "own110:one ok:one ");
    cr_expect_eq(client_cursor(fixture->client), 110);
    cr_expect_eq(client_unsent(fixture->client), 0);
    fixture_close_all(fixture);
}

Test(client, an_ok_behind_a_gap_is_an_outcome_and_the_replay_brings_the_entry)
{
    struct fixture *fixture = fixture_live();
    send_text(fixture, "bob", "one");
    fixture_say(fixture, "{\"op\":\"ok\",\"id\":%,\"ts\":120,\"prev\":110,\"mid\":\"x\"}");
    fixture_assert_called(fixture, "ok:one waiting ");
    cr_expect_eq(client_cursor(fixture->client), 100);
    fixture_close_all(fixture);
}

Test(client, one_item_of_a_recipient_is_in_flight)
{
    struct fixture *fixture = fixture_live();
    send_text(fixture, "bob", "one");
    send_text(fixture, "bob", "two");
    send_text(fixture, "carol", "three");
    cr_expect_eq(fixture->sent_count, 2);
    fixture_assert_sent(fixture, 1, "{\"op\":\"send\",\"text\":\"three\",\"to\":\"carol\"}");
    fixture_close_all(fixture);
}

Test(client, a_refused_item_holds_back_those_behind_it_and_keeps_its_key)
{
    struct fixture *fixture = fixture_live();
    char key[65];
    send_text(fixture, "bob", "one");
    send_text(fixture, "bob", "two");
    (void)snprintf(key, sizeof key, "%s", key_of_last(fixture));
    fixture_say(fixture, "{\"op\":\"error\",\"id\":%,\"code\":\"rate_limited\",\"message\":\"\",\"retry_after\":400}");
    fixture_pass(fixture, 399999);
    cr_expect_eq(fixture->sent_count, 1);
    fixture_pass(fixture, 1);
    cr_assert_eq(fixture->sent_count, 2);
    fixture_assert_sent(fixture, 1, "{\"op\":\"send\",\"text\":\"one\",\"to\":\"bob\"}");
    cr_expect_str_eq(key_of_last(fixture), key);
    fixture_close_all(fixture);
}

Test(client, unavailable_waits_longer_each_time)
{
    struct fixture *fixture = fixture_live();
    send_text(fixture, "bob", "one");
    for (uint64_t wait_us = SECOND_US / 2; wait_us <= 2 * SECOND_US; wait_us *= 2) {
        uint32_t sent = fixture->sent_count;
        fixture_say(fixture, "{\"op\":\"error\",\"id\":%,\"code\":\"unavailable\",\"message\":\"\"}");
        fixture_pass(fixture, wait_us - 1);
        cr_expect_eq(fixture->sent_count, sent);
        fixture_pass(fixture, 1);
        cr_expect_eq(fixture->sent_count, sent + 1);
    }
    fixture_close_all(fixture);
}

Test(client, a_message_that_is_refused_for_good_lets_the_next_one_go)
{
    struct fixture *fixture = fixture_live();
    send_text(fixture, "bob", "one");
    send_text(fixture, "bob", "two");
    fixture_say(fixture, "{\"op\":\"error\",\"id\":%,\"code\":\"too_large\",\"message\":\"shorten it\"}");
    client_step(fixture->client, 0);
    fixture_assert_called(fixture, "too_large:one ");
    fixture_assert_sent(fixture, 1, "{\"op\":\"send\",\"text\":\"two\",\"to\":\"bob\"}");
    fixture_close_all(fixture);
}

Test(client, a_resend_that_was_stored_is_shown_once_whatever_comes_first)
{
    for (int dup_is_first = 0; dup_is_first < 2; dup_is_first++) {
        char msg[512];
        struct fixture *fixture = fixture_live();
        send_text(fixture, "bob", "one");
        fixture_drop(fixture, 1006);
        fixture_pass(fixture, SECOND_US);
        fixture_connect(fixture);
        fixture_say(fixture, LOGIN_OK("110"));
        client_step(fixture->client, 0);
        (void)snprintf(msg, sizeof msg,
                       "{\"op\":\"msg\",\"ts\":110,\"prev\":100,\"mid\":\"x\",\"from\":\"alice\","
                       "\"to\":\"bob\",\"key\":\"%s\",\"text\":\"one\"}",
                       key_of_last(fixture));
        if (dup_is_first)
            fixture_say(fixture, "{\"op\":\"ok\",\"id\":%,\"ts\":110,\"mid\":\"x\",\"dup\":true}");
        fixture_say(fixture, msg);
        if (!dup_is_first)
            fixture_say(fixture, "{\"op\":\"ok\",\"id\":%,\"ts\":110,\"mid\":\"x\",\"dup\":true}");
        fixture_assert_called(fixture, dup_is_first ? "waiting connecting logging-in replay ok:one:dup own110:one "
                                                    : "waiting connecting logging-in replay own110:one ok:one ");
        cr_expect_eq(client_cursor(fixture->client), 110);
        fixture_close_all(fixture);
    }
}

Test(client, a_key_that_has_grown_too_old_is_not_sent_again)
{
    struct fixture *fixture = fixture_live();
    send_text(fixture, "bob", "one");
    fixture_drop(fixture, 1006);
    fixture_pass(fixture, 24 * 3600 * SECOND_US);
    fixture_connect(fixture);
    fixture_say(fixture, LOGIN_OK("100"));
    client_step(fixture->client, 0);
    cr_expect_eq(fixture->sent_count, 1);
    fixture_assert_called(fixture, "waiting connecting logging-in replay expired:one ");
    fixture_close_all(fixture);
}

Test(client, the_wait_doubles_up_to_30_s_and_begins_anew_when_live)
{
    struct fixture *fixture = fixture_live();
    static const uint64_t waits_ms[] = {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
    fixture_drop(fixture, 1006);
    for (size_t i = 0; i < sizeof waits_ms / sizeof waits_ms[0]; i++) {
        uint32_t begun = fixture->begun;
        fixture_pass(fixture, waits_ms[i] * 1000 - 1);
        cr_expect_eq(fixture->begun, begun, "attempt %zu came early", i);
        fixture_pass(fixture, 1);
        cr_assert_eq(fixture->begun, begun + 1, "attempt %zu did not come", i);
        fixture_drop(fixture, 1006);
    }
    fixture_pass(fixture, 30 * SECOND_US);
    fixture_connect(fixture);
    fixture_say(fixture, LOGIN_OK("100"));
    fixture_drop(fixture, 1001); /* not live yet */
    uint32_t begun = fixture->begun;
    fixture_pass(fixture, 29 * SECOND_US);
    cr_expect_eq(fixture->begun, begun);
    fixture_pass(fixture, SECOND_US);
    fixture_connect(fixture);
    fixture_say(fixture, LOGIN_OK("100"));
    fixture_say(fixture, "{\"op\":\"live\"}");
    fixture_drop(fixture, 1001);
    begun = fixture->begun;
    fixture_pass(fixture, SECOND_US / 2);
    cr_expect_eq(fixture->begun, begun + 1);
    fixture_close_all(fixture);
}

Test(client, a_silent_connection_is_asked_and_then_given_up)
{
    struct fixture *fixture = fixture_live();
    fixture_pass(fixture, 25 * SECOND_US);
    fixture_assert_sent(fixture, 0, "{\"op\":\"ping\"}");
    fixture_say(fixture, "{\"op\":\"ok\",\"id\":%}");
    fixture_pass(fixture, 25 * SECOND_US);
    cr_expect_eq(fixture->sent_count, 2);
    fixture_pass(fixture, 10 * SECOND_US - 1);
    cr_expect_eq(client_state(fixture->client), CLIENT_LIVE);
    fixture_pass(fixture, 1);
    cr_expect_eq(client_state(fixture->client), CLIENT_WAITING);
    cr_expect_eq(fixture->end_code, 4000);
    fixture_close_all(fixture);
}

Test(client, an_attempt_without_a_reply_is_given_up_after_20_s)
{
    struct fixture *fixture = fixture_open((struct client_options){0});
    fixture_connect(fixture);
    fixture_pass(fixture, 20 * SECOND_US - 1);
    cr_expect_eq(client_state(fixture->client), CLIENT_LOGGING_IN);
    fixture_pass(fixture, 1);
    cr_expect_eq(client_state(fixture->client), CLIENT_WAITING);
    fixture_close_all(fixture);
}

Test(client, codes_of_its_own_fault_and_4201_stop_it)
{
    static const uint16_t codes[] = {1002, 1003, 1007, 1009, 4201};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct fixture *fixture = fixture_live();
        fixture_drop(fixture, codes[i]);
        cr_expect_eq(client_state(fixture->client), CLIENT_STOPPED, "%u", codes[i]);
        fixture_pass(fixture, 100 * SECOND_US);
        cr_expect_eq(fixture->begun, 1);
        fixture_close_all(fixture);
    }
}

static void on_reply(void *context, const json_t *reply)
{
    const char **said = context;
    *said = reply == NULL ? "the end" : client_error_code(reply) != NULL ? "an error" : "a reply";
}

Test(client, requests_get_their_replies_or_the_end_of_the_connection)
{
    const char *said = "nothing";
    struct fixture *fixture = fixture_live();
    cr_assert(client_request(fixture->client, json_pack("{s:s}", "op", "peers"), on_reply, &said));
    fixture_say(fixture, "{\"op\":\"error\",\"id\":%,\"code\":\"unknown_op\",\"message\":\"\"}");
    cr_expect_str_eq(said, "an error");
    cr_assert(client_request(fixture->client, json_pack("{s:s}", "op", "history"), on_reply, &said));
    fixture_drop(fixture, 1006);
    cr_expect_str_eq(said, "the end");
    cr_expect_not(client_request(fixture->client, json_pack("{s:s}", "op", "history"), on_reply, &said));
    fixture_close_all(fixture);
}

Test(client, other_pushes_go_to_the_program_and_move_no_cursor)
{
    struct fixture *fixture = fixture_live();
    fixture_say(fixture, "{\"op\":\"typing\",\"from\":\"bob\"}");
    fixture_say(fixture, "{\"op\":\"seen_by\",\"user\":\"bob\",\"ts\":900,\"mid\":\"x\"}");
    fixture_assert_called(fixture, "push:typing push:seen_by ");
    cr_expect_eq(client_cursor(fixture->client), 100);
    fixture_close_all(fixture);
}

Test(client, what_can_never_be_sent_is_refused_at_once)
{
    uint64_t number;
    struct fixture *fixture = fixture_live();
    char *text = calloc(1, 16386);
    memset(text, 'x', 16385);
    cr_expect_not_null(client_send(fixture->client, "bob", text, NULL, &number));
    text[16384] = '\0';
    cr_expect_null(client_send(fixture->client, "bob", text, NULL, &number));
    cr_expect_not_null(client_send(fixture->client, "b b", "x", NULL, &number));
    cr_expect_not_null(client_send(fixture->client, "bob", "", NULL, &number));
    cr_expect_not_null(client_send(fixture->client, "bob", "\xff", NULL, &number));
    cr_expect_not_null(client_send(fixture->client, "bob", "x", "", &number));
    cr_expect_eq(client_unsent(fixture->client), 1);
    free(text);
    fixture_close_all(fixture);
}

/* -- tokens -- */

static void write_token(const char *path, const char *token)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_gt(fprintf(file, "# a comment\n%s\n", token), 0);
    cr_assert_eq(fclose(file), 0);
}

static char token_path[32];

static struct fixture *fixture_with_token(const char *token)
{
    strcpy(token_path, "/tmp/chitchat-token-XXXXXX");
    int fd = mkstemp(token_path);
    cr_assert_geq(fd, 0);
    close(fd);
    write_token(token_path, token);
    return fixture_open((struct client_options){.token_file = token_path});
}

static void close_with_token(struct fixture *fixture)
{
    unlink(token_path);
    fixture_close_all(fixture);
}

Test(client, a_token_that_was_never_good_stops_it)
{
    struct fixture *fixture = fixture_with_token("T1");
    fixture_connect(fixture);
    fixture_assert_sent(fixture, 0, "{\"op\":\"login\",\"token\":\"T1\"}");
    fixture_say(fixture, "{\"op\":\"error\",\"id\":%,\"code\":\"bad_token\",\"message\":\"no\"}");
    cr_expect_eq(client_state(fixture->client), CLIENT_STOPPED);
    close_with_token(fixture);
}

Test(client, a_newer_token_in_the_file_extends_the_login)
{
    struct fixture *fixture = fixture_with_token("T1");
    fixture_connect(fixture);
    fixture_say(fixture, LOGIN_OK("100"));
    fixture_forget_sent(fixture);
    fixture_pass(fixture, 10 * SECOND_US);
    cr_expect_eq(fixture->sent_count, 0);
    write_token(token_path, "T2");
    fixture_pass(fixture, 10 * SECOND_US);
    fixture_assert_sent(fixture, 0, "{\"op\":\"login\",\"token\":\"T2\"}");
    fixture_say(fixture, LOGIN_OK("999"));
    cr_expect_eq(client_cursor(fixture->client), 100);
    fixture_assert_called(fixture, "connecting logging-in live ");
    close_with_token(fixture);
}

Test(client, after_an_expiry_it_waits_for_another_token_and_resumes)
{
    struct fixture *fixture = fixture_with_token("T1");
    fixture_connect(fixture);
    fixture_say(fixture, LOGIN_OK("100"));
    fixture_drop(fixture, 4101);
    fixture_pass(fixture, 100 * SECOND_US);
    cr_expect_eq(fixture->begun, 1);
    write_token(token_path, "T2");
    fixture_pass(fixture, 30 * SECOND_US);
    cr_expect_eq(fixture->begun, 2);
    fixture_connect(fixture);
    fixture_assert_sent(fixture, 0, "{\"after\":100,\"epoch\":\"e1\",\"op\":\"login\",\"token\":\"T2\"}");
    close_with_token(fixture);
}
