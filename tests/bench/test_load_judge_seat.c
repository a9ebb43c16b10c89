/* What comes before any JSON: the upgrade, frames that no server sends, and connections that end. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "judge_bed.h"

#define TEXT 0x81

/* Bytes of the server, as they come out of the socket. */
static void give(struct bed *bed, uint32_t seat, const void *data, size_t bytes)
{
    load_seat_take(bed->worker, &bed->run.seats[seat], data, (uint32_t)bytes);
}

/* An honest message for seat 1 in a frame with this first byte; returns its bytes. */
static size_t next_frame(struct bed *bed, uint8_t first, char *out, size_t room)
{
    char members[512];
    struct bed_sent sent = bed_send(bed, 0, 1);
    bed_answer(bed, &sent);
    struct bed_entry entry = bed_entry_of(bed, 1, &sent);
    int bytes = snprintf(out + 4, room - 4, "{\"op\":\"msg\",%s}", bed_write_entry(members, sizeof members, &entry));
    out[0] = (char)first;
    out[1] = 126;
    out[2] = (char)(bytes >> 8);
    out[3] = (char)bytes;
    return (size_t)bytes + 4;
}

static void give_frame(struct bed *bed, uint8_t first)
{
    char frame[600];
    size_t bytes = next_frame(bed, first, frame, sizeof frame);
    give(bed, 1, frame, bytes);
}

static bool is_leaving(const struct bed *bed, uint32_t seat)
{
    return bed->run.seats[seat].state == LOAD_SEAT_LEAVING;
}

Test(load_judge_seat, honest_frames_are_found_good_though_they_come_byte_by_byte)
{
    struct bed *bed = bed_open((struct load_options){0});
    char frames[1200];
    size_t bytes = next_frame(bed, TEXT, frames, 600);
    bytes += next_frame(bed, TEXT, frames + bytes, 600);
    for (size_t i = 0; i < bytes; i++)
        give(bed, 1, frames + i, 1);
    cr_expect_eq(bed_broken_all(bed), 0, "%s", bed->worker->first_broken);
    cr_expect_eq(bed_broken(bed, LOAD_DELIVERED), 2);
    bed_close(bed);
}

Test(load_judge_seat, a_masked_frame_is_found)
{
    struct bed *bed = bed_open((struct load_options){0});
    give(bed, 1, "\x89\x80\0\0\0", 6); /* a ping */
    cr_expect_eq(bed_broken(bed, LOAD_BROKEN_REPLY), 1);
    cr_expect(is_leaving(bed, 1));
    bed_close(bed);
}

Test(load_judge_seat, a_frame_with_a_reserved_bit_is_found)
{
    for (uint8_t bit = 0x10; bit <= 0x40; bit = (uint8_t)(bit << 1)) {
        struct bed *bed = bed_open((struct load_options){0});
        give_frame(bed, TEXT | bit);
        cr_expect_eq(bed_broken(bed, LOAD_BROKEN_REPLY), 1, "bit %x", bit);
        cr_expect(is_leaving(bed, 1));
        bed_close(bed);
    }
}

Test(load_judge_seat, a_part_of_a_message_is_found)
{
    struct bed *bed = bed_open((struct load_options){0});
    give_frame(bed, 0x01);
    cr_expect_eq(bed_broken(bed, LOAD_BROKEN_REPLY), 1);
    cr_expect(is_leaving(bed, 1));
    bed_close(bed);
}

Test(load_judge_seat, a_frame_of_a_mebibyte_and_more_is_found_before_it_is_whole)
{
    struct bed *bed = bed_open((struct load_options){0});
    give(bed, 1, "\x81\x7f\0\0\0\0\0\x10\0\x01", 10);
    cr_expect_eq(bed_broken(bed, LOAD_BROKEN_REPLY), 1);
    cr_expect(is_leaving(bed, 1));
    bed_close(bed);
}

Test(load_judge_seat, a_binary_frame_and_others_that_are_no_text_are_found)
{
    static const uint8_t firsts[] = {0x82, 0x80, 0x83, 0x8B};
    struct bed *bed = bed_open((struct load_options){0});
    for (uint32_t i = 0; i < sizeof firsts; i++) {
        give_frame(bed, firsts[i]);
        bed_expect(bed, LOAD_BROKEN_REPLY, i + 1);
    }
    bed_close(bed);
}

Test(load_judge_seat, a_ping_is_answered_and_a_pong_is_let_pass)
{
    struct bed *bed = bed_open((struct load_options){0});
    bed_hear(bed, 1);
    give(bed, 1, "\x8A\x01x\x89\x02hi", 7);
    cr_expect_eq((uint8_t)bed->run.seats[1].out.data[0], 0x8A);
    cr_expect_str_eq(bed_hear(bed, 1), "hi\n");
    bed_expect(bed, LOAD_BROKEN_REPLY, 0);
    bed_close(bed);
}

/* -- the upgrade -- */

static void refuse_upgrade(const char *answer)
{
    struct bed *bed = bed_open((struct load_options){.has_keys = true});
    bed_connect(bed, 1);
    bed_hear(bed, 1);
    bed->run.seats[1].state = LOAD_SEAT_UPGRADING;
    give(bed, 1, answer, strlen(answer));
    bed_expect(bed, LOAD_BROKEN_REPLY, 1);
    cr_expect_eq(bed_broken(bed, LOAD_CONNECT_FAILED), 1);
    cr_expect_str_eq(bed_hear(bed, 1), "", "no login");
    cr_expect(is_leaving(bed, 1));
    bed_close(bed);
}

Test(load_judge_seat, a_status_that_is_no_upgrade_is_found)
{
    refuse_upgrade("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    refuse_upgrade("HTTP/1.1 200 OK\r\n\r\n");
}

Test(load_judge_seat, an_answer_that_is_no_http_is_found)
{
    refuse_upgrade("\r\n\r\n");
    refuse_upgrade("SSH-2.0-OpenSSH_9.2\r\n\r\n");
}

/* -- connections that end -- */

Test(load_judge_seat, a_close_without_cause_is_found)
{
    struct bed *bed = bed_open((struct load_options){0});
    give(bed, 1, "\x88\x02\x03\xe9", 4);
    bed_expect(bed, LOAD_BROKEN_CLOSE, 1);
    cr_expect_not_null(strstr(bed->worker->first_broken, "closed it with 1001"), "%s", bed->worker->first_broken);
    load_seat_lost(bed->worker, &bed->run.seats[2], "the server ended it");
    bed_expect(bed, LOAD_BROKEN_CLOSE, 2);
    cr_expect_eq(bed_broken(bed, LOAD_CUT_OFF), 2);
    bed_close(bed);
}

Test(load_judge_seat, a_server_that_is_killed_may_end_connections_and_so_may_any_at_the_end)
{
    struct bed *bed = bed_open((struct load_options){.kill_command = "x", .has_keys = true});
    give(bed, 1, "\x88\x02\x03\xe9", 4);
    bed_expect(bed, LOAD_BROKEN_CLOSE, 0);
    cr_expect_eq(bed_broken(bed, LOAD_CUT_OFF), 1);
    bed_close(bed);
    bed = bed_open((struct load_options){0});
    bed->worker->phase = LOAD_END;
    load_seat_lost(bed->worker, &bed->run.seats[1], "the server ended it");
    bed_expect(bed, LOAD_BROKEN_CLOSE, 0);
    bed_close(bed);
}
