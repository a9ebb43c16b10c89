/* What comes below the JSON: the upgrade, frames that no server sends, and connections that end. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "checker_fixture.h"

#define TEXT 0x81

/* Bytes of the server, as the socket gives them. */
static void give(struct fixture *fixture, uint32_t session, const void *data, size_t bytes)
{
    load_session_take(fixture->worker, &fixture->run.sessions[session], data, (uint32_t)bytes);
}

/* An honest message for session 1 in a frame with this first byte; returns its bytes. */
static size_t next_frame(struct fixture *fixture, uint8_t first, char *out, size_t room)
{
    char members[512];
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    fixture_answer(fixture, &sent);
    struct fixture_entry entry = fixture_entry_of(fixture, 1, &sent);
    int bytes =
        snprintf(out + 4, room - 4, "{\"op\":\"msg\",%s}", fixture_write_entry(members, sizeof members, &entry));
    out[0] = (char)first;
    out[1] = 126;
    out[2] = (char)(bytes >> 8);
    out[3] = (char)bytes;
    return (size_t)bytes + 4;
}

static void give_frame(struct fixture *fixture, uint8_t first)
{
    char frame[600];
    size_t bytes = next_frame(fixture, first, frame, sizeof frame);
    give(fixture, 1, frame, bytes);
}

static bool is_leaving(const struct fixture *fixture, uint32_t session)
{
    return fixture->run.sessions[session].state == LOAD_SESSION_LEAVING;
}

Test(load_checker_session, honest_frames_are_found_good_though_they_come_byte_by_byte)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    char frames[1200];
    size_t bytes = next_frame(fixture, TEXT, frames, 600);
    bytes += next_frame(fixture, TEXT, frames + bytes, 600);
    for (size_t i = 0; i < bytes; i++)
        give(fixture, 1, frames + i, 1);
    cr_expect_eq(fixture_broken_all(fixture), 0, "%s", fixture->worker->first_broken);
    cr_expect_eq(fixture_broken(fixture, LOAD_DELIVERED), 2);
    fixture_close(fixture);
}

Test(load_checker_session, a_masked_frame_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    give(fixture, 1, "\x89\x80\0\0\0", 6); /* a ping */
    cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_REPLY), 1);
    cr_expect(is_leaving(fixture, 1));
    fixture_close(fixture);
}

Test(load_checker_session, a_frame_with_a_reserved_bit_is_found)
{
    for (uint8_t bit = 0x10; bit <= 0x40; bit = (uint8_t)(bit << 1)) {
        struct fixture *fixture = fixture_open((struct load_options){0});
        give_frame(fixture, TEXT | bit);
        cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_REPLY), 1, "bit %x", bit);
        cr_expect(is_leaving(fixture, 1));
        fixture_close(fixture);
    }
}

Test(load_checker_session, a_part_of_a_message_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    give_frame(fixture, 0x01);
    cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_REPLY), 1);
    cr_expect(is_leaving(fixture, 1));
    fixture_close(fixture);
}

Test(load_checker_session, a_frame_of_a_mebibyte_and_more_is_found_before_it_is_whole)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    give(fixture, 1, "\x81\x7f\0\0\0\0\0\x10\0\x01", 10);
    cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_REPLY), 1);
    cr_expect(is_leaving(fixture, 1));
    fixture_close(fixture);
}

Test(load_checker_session, a_binary_frame_and_others_that_are_no_text_are_found)
{
    static const uint8_t firsts[] = {0x82, 0x80, 0x83, 0x8B};
    struct fixture *fixture = fixture_open((struct load_options){0});
    for (uint32_t i = 0; i < sizeof firsts; i++) {
        give_frame(fixture, firsts[i]);
        fixture_expect(fixture, LOAD_BROKEN_REPLY, i + 1);
    }
    fixture_close(fixture);
}

Test(load_checker_session, a_ping_is_answered_and_a_pong_is_let_pass)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    fixture_hear(fixture, 1);
    give(fixture, 1, "\x8A\x01x\x89\x02hi", 7);
    cr_expect_eq((uint8_t)fixture->run.sessions[1].out.data[0], 0x8A);
    cr_expect_str_eq(fixture_hear(fixture, 1), "hi\n");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 0);
    fixture_close(fixture);
}

/* -- the upgrade -- */

static void refuse_upgrade(const char *answer)
{
    struct fixture *fixture = fixture_open((struct load_options){.has_keys = true});
    fixture->worker->phase = LOAD_MEASURE;
    fixture_connect(fixture, 1);
    fixture_hear(fixture, 1);
    fixture->run.sessions[1].state = LOAD_SESSION_UPGRADING;
    give(fixture, 1, answer, strlen(answer));
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 1);
    cr_expect_eq(fixture_broken(fixture, LOAD_CONNECT_FAILED), 1);
    cr_expect_str_eq(fixture_hear(fixture, 1), "", "no login");
    cr_expect(is_leaving(fixture, 1));
    fixture_close(fixture);
}

Test(load_checker_session, a_status_that_is_no_upgrade_is_found)
{
    refuse_upgrade("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    refuse_upgrade("HTTP/1.1 200 OK\r\n\r\n");
}

Test(load_checker_session, an_answer_that_is_no_http_is_found)
{
    refuse_upgrade("\r\n\r\n");
    refuse_upgrade("SSH-2.0-OpenSSH_9.2\r\n\r\n");
}

/* While the first connections open: the reason why no run is possible, without a line feed. */
static const char *refuse_first(struct fixture *fixture, const char *answer)
{
    fixture_connect(fixture, 1);
    fixture->run.sessions[1].state = LOAD_SESSION_UPGRADING;
    give(fixture, 1, answer, strlen(answer));
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 0);
    cr_expect(is_leaving(fixture, 1));
    return fixture->worker->obstacle;
}

Test(load_checker_session, a_server_that_speaks_another_protocol_breaks_no_guarantee_but_ends_the_run)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    cr_expect_str_eq(refuse_first(fixture, "SSH-2.0-OpenSSH_9.2\r\n"),
                     "this is no chitchat server: it answers an upgrade with `SSH-2.0-OpenSSH_9.2`; does it speak TLS "
                     "(--tls)?");
    cr_expect(atomic_load(&fixture->run.is_hopeless));
    cr_expect_str_eq(refuse_first(fixture, "HTTP/1.1 404 Not Found\r\n\r\n"),
                     "this is no chitchat server: it answers an upgrade with `HTTP/1.1 404 Not Found`; does it speak "
                     "TLS (--tls)?");
    fixture_close(fixture);
}

Test(load_checker_session, a_server_that_is_full_for_now_is_tried_again)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    cr_expect_str_eq(refuse_first(fixture, "HTTP/1.1 503 Service Unavailable\r\n\r\n"), "");
    fixture_set_phase(fixture, LOAD_MEASURE);
    cr_expect_str_eq(refuse_first(fixture, "HTTP/1.1 503 Service Unavailable\r\n\r\n"), "");
    cr_expect_not(atomic_load(&fixture->run.is_hopeless));
    cr_expect_not_null(strstr(fixture->worker->last_end, "it answers `HTTP/1.1 503 Service Unavailable`"));
    fixture_close(fixture);
}

Test(load_checker_session, another_websocket_server_that_echoes_the_login_ends_the_run)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    fixture->run.sessions[1].was_in = false;
    fixture_connect(fixture, 1);
    fixture_say(fixture, 1, "{\"op\":\"login\",\"id\":1,\"user\":\"load-1\"}");
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 0);
    cr_expect_str_eq(fixture->worker->obstacle, "this is no chitchat server: it answers a login with "
                                                "{\"op\":\"login\",\"id\":1,\"user\":\"load-1\"}");
    fixture_close(fixture);
}

Test(load_checker_session, a_login_that_is_refused_for_good_ends_the_run_and_breaks_nothing)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    fixture->run.sessions[1].was_in = false;
    fixture_connect(fixture, 1);
    fixture_say(fixture, 1, "{\"op\":\"error\",\"id\":1,\"code\":\"bad_request\",\"message\":\"x\"}");
    cr_expect_eq(fixture_broken_all(fixture), 0);
    cr_expect_not_null(strstr(fixture->worker->obstacle, "the server refuses a login: {\"op\":\"error\""));
    give(fixture, 1, "\x88\x02\x10\x69", 4); /* 4201 */
    cr_expect_eq(fixture_broken_all(fixture), 0);
    cr_expect_not_null(strstr(fixture->worker->obstacle, "4201, too many connections of one user"));
    fixture_close(fixture);
}

/* -- what the users had before the run -- */

/* Session 1 has logged in to a timeline with this as its newest message, and has looked at it. */
static uint64_t strangers_of(const char *text)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    fixture->run.sessions[1].was_in = false;
    fixture_log_in(fixture, 1, 900);
    cr_expect_eq(fixture->worker->gauges.looking, 1);
    cr_expect_not_null(strstr(fixture_hear(fixture, 1), "{\"op\":\"history\",\"id\":66,\"limit\":1}"));
    fixture_say(
        fixture, 1,
        "{\"op\":\"history\",\"id\":66,\"messages\":[{\"ts\":900,\"mid\":\"m\",\"from\":\"load-1\",\"to\":\"load-2\","
        "\"text\":\"%s\"}],\"more\":false}",
        text);
    cr_expect_eq(fixture->worker->gauges.looking, 0);
    fixture_expect(fixture, LOAD_BROKEN_REPLY, 0);
    uint64_t strangers = fixture->worker->gauges.strangers;
    fixture_close(fixture);
    return strangers;
}

Test(load_checker_session, a_message_that_another_program_has_written_shows_that_a_store_has_users_of_its_own)
{
    struct load_filler filler;
    char text[65] = "";
    load_filler_init(&filler);
    load_text_write(text, 64, &(struct load_text){.run = 12345, .from = 1, .to = 2, .seq = 3, .sent_us = 4}, &filler);
    cr_expect_eq(strangers_of(text), 0, "an earlier run");
    cr_expect_eq(strangers_of("are you there?"), 1);
}

/* -- connections that end -- */

Test(load_checker_session, a_close_without_cause_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    give(fixture, 1, "\x88\x02\x03\xe9", 4);
    fixture_expect(fixture, LOAD_BROKEN_CLOSE, 1);
    cr_expect_not_null(strstr(fixture->worker->first_broken, "closed the connection with 1001"), "%s",
                       fixture->worker->first_broken);
    load_session_lost(fixture->worker, &fixture->run.sessions[2], "the server ended the connection");
    fixture_expect(fixture, LOAD_BROKEN_CLOSE, 2);
    cr_expect_eq(fixture_broken(fixture, LOAD_CUT_OFF), 2);
    fixture_close(fixture);
}

Test(load_checker_session, a_server_that_is_killed_may_end_connections_and_so_may_any_at_the_end)
{
    struct fixture *fixture =
        fixture_open((struct load_options){.kill_commands = {"x"}, .kill_count = 1, .has_keys = true});
    give(fixture, 1, "\x88\x02\x03\xe9", 4);
    fixture_expect(fixture, LOAD_BROKEN_CLOSE, 0);
    cr_expect_eq(fixture_broken(fixture, LOAD_CUT_OFF), 1);
    fixture_close(fixture);
    fixture = fixture_open((struct load_options){0});
    fixture->worker->phase = LOAD_END;
    load_session_lost(fixture->worker, &fixture->run.sessions[1], "the server ended the connection");
    fixture_expect(fixture, LOAD_BROKEN_CLOSE, 0);
    fixture_close(fixture);
}

/* Where a session of a pair connects next, after this close on the node `node`. */
static uint32_t next_node(uint32_t node, const char *reason)
{
    struct load_options options = {.node_count = 2, .has_keys = true};
    char bytes[130];
    cr_assert_null(load_address_parse(&options.addresses[0], "127.0.0.1:81"));
    cr_assert_null(load_address_parse(&options.addresses[1], "127.0.0.1:8"));
    struct fixture *fixture = fixture_open(options);
    fixture->run.sessions[1].node = node;
    int used = snprintf(bytes, sizeof bytes, "\x88%c\x03\xe9%s", (int)(2 + strlen(reason)), reason);
    give(fixture, 1, bytes, (uint32_t)used);
    fixture_expect(fixture, LOAD_BROKEN_CLOSE, 0);
    node = fixture->run.sessions[1].node;
    fixture_close(fixture);
    return node;
}

Test(load_checker_session, of_a_pair_a_close_leads_to_the_node_that_it_names_or_to_the_other_one)
{
    cr_expect_eq(next_node(0, "ws://127.0.0.1:8/ws"), 1);
    cr_expect_eq(next_node(1, "ws://127.0.0.1:81/ws"), 0, "no part of an address is the address");
    cr_expect_eq(next_node(0, "wss://127.0.0.1:81"), 0);
    cr_expect_eq(next_node(1, "ws://127.0.0.1:8/ws"), 1);
    cr_expect_eq(next_node(0, ""), 1);
    cr_expect_eq(next_node(1, "the server goes down"), 0);
    cr_expect_eq(next_node(1, "//"), 0);
}
