/* The judge of chitchat-load before servers that lie: each lie must be found, and an honest server must be found good.
 */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load_run.h"

#define SEATS 3u
#define FRAME_BYTES_MAX 1024u

/* A server of three users, a connection each; what it says is up to the test. */
struct bed {
    struct load_run run;
    struct load_worker *worker;
    uint64_t ts, cursors[SEATS];
};

/* A send, as the server has read it. */
struct sent {
    uint64_t id;
    uint32_t from, to;
    char text[65];
    char key[65];
};

static void say(struct bed *bed, uint32_t seat, const char *format, ...)
{
    char frame[FRAME_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(frame, sizeof frame, format, arguments);
    va_end(arguments);
    load_frame_take(bed->worker, &bed->run.seats[seat], (struct span){frame, (size_t)bytes});
}

static void log_in(struct bed *bed, uint32_t seat, uint64_t last)
{
    bed->run.seats[seat].state = LOAD_SEAT_LOGGING_IN;
    bed->worker->connecting++;
    say(bed, seat, "{\"op\":\"ok\",\"id\":1,\"user\":\"load-%u\",\"last\":%llu,\"epoch\":\"e\"}", seat,
        (unsigned long long)last);
}

static struct bed *open_bed(bool has_keys)
{
    struct bed *bed = calloc(1, sizeof *bed);
    bed->run.options = (struct load_options){.threads = 1,
                                             .connections = SEATS,
                                             .users = SEATS,
                                             .recipients = SEATS,
                                             .window = 8,
                                             .text_bytes = 64,
                                             .has_keys = has_keys,
                                             .prefix = "load-",
                                             .limit = 50};
    cr_assert_eq(load_run_open(&bed->run), 0);
    bed->worker = &bed->run.workers[0];
    bed->worker->now_us = 10;
    bed->ts = 1000;
    for (uint32_t i = 0; i < SEATS; i++)
        log_in(bed, i, bed->cursors[i] = 7);
    return bed;
}

static uint64_t broken(const struct bed *bed, enum load_count what)
{
    return bed->worker->stats.counts[what];
}

static uint64_t judge(const struct bed *bed)
{
    char text[200];
    return load_run_judge(&bed->run, text, sizeof text);
}

static void close_bed(struct bed *bed)
{
    load_run_close(&bed->run);
    free(bed);
}

static void copy_field(const char *frame, const char *name, char *out)
{
    const char *at = strstr(frame, name);
    out[0] = '\0';
    if (at != NULL)
        snprintf(out, 65, "%.*s", (int)strcspn(at + strlen(name), "\""), at + strlen(name));
}

/* Lets `from` send, and reads what it wrote: a masked frame. */
static struct sent take_send(struct bed *bed, uint32_t from, uint32_t to)
{
    struct load_seat *seat = &bed->run.seats[from];
    struct sent sent = {.from = from, .to = to};
    char frame[FRAME_BYTES_MAX];
    seat->out.bytes = 0;
    load_send_new(bed->worker, seat, to, 5);
    const char *data = seat->out.data;
    uint32_t header_bytes = ((uint8_t)data[1] & 127) == 126 ? 8 : 6, bytes = seat->out.bytes - header_bytes;
    for (uint32_t i = 0; i < bytes; i++)
        frame[i] = (char)(data[header_bytes + i] ^ data[header_bytes - 4 + i % 4]);
    frame[bytes] = '\0';
    sent.id = strtoull(strstr(frame, "\"id\":") + 5, NULL, 10);
    copy_field(frame, "\"text\":\"", sent.text);
    copy_field(frame, "\"key\":\"", sent.key);
    return sent;
}

static void answer(struct bed *bed, const struct sent *sent)
{
    uint64_t ts = ++bed->ts;
    say(bed, sent->from, "{\"op\":\"ok\",\"id\":%llu,\"ts\":%llu,\"prev\":%llu,\"mid\":\"m%llu-%u\"}",
        (unsigned long long)sent->id, (unsigned long long)ts, (unsigned long long)bed->cursors[sent->from],
        (unsigned long long)sent->id, sent->from);
    bed->cursors[sent->from] = ts;
}

static void push(struct bed *bed, const struct sent *sent)
{
    uint64_t ts = ++bed->ts;
    say(bed, sent->to,
        "{\"op\":\"msg\",\"ts\":%llu,\"prev\":%llu,\"mid\":\"m%llu-%u\",\"from\":\"load-%u\",\"to\":\"load-%u\","
        "\"text\":\"%s\"}",
        (unsigned long long)ts, (unsigned long long)bed->cursors[sent->to], (unsigned long long)sent->id, sent->from,
        sent->from, sent->to, sent->text);
    bed->cursors[sent->to] = ts;
}

Test(load_judge, an_honest_server_is_found_good)
{
    struct bed *bed = open_bed(false);
    for (uint32_t i = 0; i < 100; i++) {
        struct sent sent = take_send(bed, i % SEATS, (i + 1) % SEATS);
        answer(bed, &sent);
        push(bed, &sent);
    }
    cr_expect_eq(load_stats_broken(&bed->worker->stats), 0, "%s", bed->worker->first_broken);
    cr_expect_eq(judge(bed), 0);
    cr_expect_eq(broken(bed, LOAD_DELIVERED), 100);
    close_bed(bed);
}

Test(load_judge, a_message_that_never_comes_is_missed_at_the_end)
{
    struct bed *bed = open_bed(false);
    struct sent sent = take_send(bed, 0, 1);
    answer(bed, &sent);
    cr_expect_eq(load_stats_broken(&bed->worker->stats), 0);
    cr_expect_eq(bed->worker->gauges.owed - bed->worker->gauges.got, 1);
    cr_expect_eq(judge(bed), 1);
    close_bed(bed);
}

Test(load_judge, a_gap_is_seen_with_the_next_message)
{
    struct bed *bed = open_bed(false);
    struct sent sent = take_send(bed, 0, 1), next = take_send(bed, 0, 1);
    answer(bed, &sent);
    answer(bed, &next);
    bed->cursors[1] = ++bed->ts; /* the first one's place, never told */
    push(bed, &next);
    cr_expect_eq(broken(bed, LOAD_BROKEN_CHAIN), 1);
    cr_expect_eq(judge(bed), 1);
    close_bed(bed);
}

Test(load_judge, a_message_that_comes_twice_is_found_though_its_chain_is_good)
{
    struct bed *bed = open_bed(false);
    struct sent sent = take_send(bed, 0, 1);
    answer(bed, &sent);
    push(bed, &sent);
    push(bed, &sent);
    cr_expect_eq(broken(bed, LOAD_BROKEN_ORDER), 1);
    cr_expect_eq(judge(bed), 1);
    close_bed(bed);
}

Test(load_judge, one_message_in_the_place_of_another_is_found_though_the_count_is_good)
{
    struct bed *bed = open_bed(false);
    struct sent first = take_send(bed, 0, 1), second = take_send(bed, 2, 1);
    answer(bed, &first);
    answer(bed, &second);
    push(bed, &first);
    push(bed, &first);
    cr_expect_eq(judge(bed), 1);
    close_bed(bed);
}

Test(load_judge, two_sends_to_one_user_that_change_places_are_out_of_order)
{
    struct bed *bed = open_bed(false);
    struct sent first = take_send(bed, 0, 1), second = take_send(bed, 0, 1);
    answer(bed, &first);
    answer(bed, &second);
    push(bed, &second);
    push(bed, &first);
    cr_expect_eq(broken(bed, LOAD_BROKEN_ORDER), 1);
    cr_expect_eq(broken(bed, LOAD_BROKEN_CHAIN), 0);
    close_bed(bed);
}

Test(load_judge, each_changed_character_of_a_text_is_found)
{
    struct bed *bed = open_bed(false);
    for (uint32_t i = 0; i < 64; i++) {
        struct sent sent = take_send(bed, 0, 1);
        answer(bed, &sent);
        sent.text[i] = sent.text[i] == 'A' ? 'B' : 'A';
        push(bed, &sent);
        cr_expect_eq(broken(bed, LOAD_BROKEN_CONTENT), i + 1, "character %u", i);
    }
    close_bed(bed);
}

Test(load_judge, a_message_of_others_or_under_a_wrong_name_is_found)
{
    struct bed *bed = open_bed(false);
    struct sent sent = take_send(bed, 0, 1), forged = sent;
    answer(bed, &sent);
    forged.to = 2; /* to a connection that is neither's */
    push(bed, &forged);
    cr_expect_eq(broken(bed, LOAD_BROKEN_CONTENT), 1);
    forged = sent;
    forged.from = 2;
    push(bed, &forged);
    cr_expect_eq(broken(bed, LOAD_BROKEN_CONTENT), 2);
    close_bed(bed);
}

Test(load_judge, a_key_shown_to_the_recipient_is_found)
{
    struct bed *bed = open_bed(true);
    struct sent sent = take_send(bed, 0, 1);
    cr_assert_eq(strlen(sent.key), LOAD_KEY_CHARS);
    answer(bed, &sent);
    say(bed, 1,
        "{\"op\":\"msg\",\"ts\":2000,\"prev\":7,\"mid\":\"m%llu-0\",\"from\":\"load-0\",\"to\":\"load-1\",\"key\":\"%"
        "s\",\"text\":\"%s\"}",
        (unsigned long long)sent.id, sent.key, sent.text);
    cr_expect_eq(broken(bed, LOAD_BROKEN_CONTENT), 1);
    close_bed(bed);
}

Test(load_judge, an_answer_to_nothing_and_one_given_twice_are_found)
{
    struct bed *bed = open_bed(false);
    struct sent sent = take_send(bed, 0, 1);
    answer(bed, &sent);
    answer(bed, &sent);
    cr_expect_eq(broken(bed, LOAD_BROKEN_REPLY), 1);
    say(bed, 0, "{\"op\":\"ok\",\"id\":999999,\"ts\":3000,\"prev\":1001,\"mid\":\"x\"}");
    say(bed, 0, "{\"op\":\"error\",\"code\":\"bad_request\",\"message\":\"to\"}");
    say(bed, 0, "{\"op\":\"nonsense\"}");
    say(bed, 0, "[]");
    cr_expect_eq(broken(bed, LOAD_BROKEN_REPLY), 5);
    close_bed(bed);
}

Test(load_judge, live_before_all_is_replayed_is_found)
{
    struct bed *bed = open_bed(true);
    struct sent sent = take_send(bed, 0, 1);
    answer(bed, &sent);
    log_in(bed, 1, ++bed->ts); /* comes back; the entry stands at this ts */
    say(bed, 1, "{\"op\":\"live\"}");
    cr_expect_eq(broken(bed, LOAD_BROKEN_RESUME), 1);
    close_bed(bed);
}

Test(load_judge, a_login_that_knows_nothing_of_what_was_received_is_found)
{
    struct bed *bed = open_bed(true);
    struct sent sent = take_send(bed, 0, 1);
    answer(bed, &sent);
    push(bed, &sent);
    log_in(bed, 1, 7);
    cr_expect_eq(broken(bed, LOAD_BROKEN_RESUME), 1);
    close_bed(bed);
}

Test(load_judge, a_page_of_history_without_an_entry_is_found)
{
    struct bed *bed = open_bed(false);
    struct sent sent = take_send(bed, 0, 1);
    answer(bed, &sent);
    push(bed, &sent);
    struct load_seat *seat = &bed->run.seats[1];
    seat->full_count = seat->got_count;
    seat->full_sum = seat->got_sum;
    load_history_go_on(bed->worker, seat);
    say(bed, 1,
        "{\"op\":\"history\",\"id\":2,\"messages\":[{\"ts\":%llu,\"mid\":\"m%llu-0\",\"from\":\"load-0\",\"to\":\"load-"
        "1\",\"text\":\"%s\"}],"
        "\"more\":false}",
        (unsigned long long)bed->cursors[1], (unsigned long long)sent.id, sent.text);
    cr_expect_eq(load_stats_broken(&bed->worker->stats), 0, "%s", bed->worker->first_broken);
    load_history_go_on(bed->worker, seat);
    say(bed, 1, "{\"op\":\"history\",\"id\":2,\"messages\":[],\"more\":false}");
    cr_expect_eq(broken(bed, LOAD_BROKEN_HISTORY), 1);
    close_bed(bed);
}
