/* The judge before a nats-server that lies: it has no chain, but content, order, answers, loss and duplicates are
 * judged as ever. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "judge_bed.h"

static void give(struct bed *bed, uint32_t seat, const char *line, const char *payload)
{
    char data[1024];
    int bytes = snprintf(data, sizeof data, payload != NULL ? "%s %zu\r\n%s\r\n" : "%s\r\n", line,
                         payload != NULL ? strlen(payload) : 0, payload);
    cr_assert_lt(bytes, (int)sizeof data);
    load_seat_take(bed->worker, &bed->run.seats[seat], data, (uint32_t)bytes);
}

static struct bed *open_nats(void)
{
    struct bed *bed = bed_open((struct load_options){.protocol = LOAD_NATS});
    for (uint32_t i = 0; i < BED_SEATS; i++) {
        bed->run.seats[i].state = LOAD_SEAT_UPGRADING;
        bed->worker->connecting++;
        give(bed, i, "INFO {}", NULL);
        if (i == 0)
            give(bed, i, "MSG _INBOX.load.0.created 2", "{\"did_create\":true}");
        else
            give(bed, i, "PONG", NULL);
        cr_assert_eq(bed->run.seats[i].state, LOAD_SEAT_LIVE);
    }
    return bed;
}

/* Lets a seat publish, and reads it. */
static struct bed_sent publish(struct bed *bed, uint32_t from, uint32_t to)
{
    struct load_buffer *said = &bed->run.seats[from].out;
    struct bed_sent sent = {.from = from, .to = to};
    char head[40];
    int head_bytes = snprintf(head, sizeof head, "PUB load.%u _INBOX.load.%u.", to, from);
    said->bytes = 0;
    load_send_new(bed->worker, &bed->run.seats[from], to, 5);
    cr_assert_eq(memcmp(said->data, head, (size_t)head_bytes), 0);
    sent.id = strtoull(said->data + head_bytes, NULL, 10);
    memcpy(sent.text, said->data + said->bytes - 2 - 64, 64);
    return sent;
}

static void acknowledge(struct bed *bed, const struct bed_sent *sent, const char *payload)
{
    char line[80];
    snprintf(line, sizeof line, "MSG _INBOX.load.%u.%llu 2", sent->from, (unsigned long long)sent->id);
    give(bed, sent->from, line, payload);
}

static void answer(struct bed *bed, const struct bed_sent *sent)
{
    acknowledge(bed, sent, "{\"stream\":\"LOAD\",\"seq\":1}");
}

static void deliver(struct bed *bed, uint32_t seat, const char *text)
{
    char line[80];
    snprintf(line, sizeof line, "MSG load.%u 1", bed->run.seats[seat].user);
    give(bed, seat, line, text);
}

/* An acknowledged publish of seat 0 for seat 1, not yet delivered. */
static struct bed_sent next_publish(struct bed *bed)
{
    struct bed_sent sent = publish(bed, 0, 1);
    answer(bed, &sent);
    return sent;
}

/* Delivers to seat 1 what some generator could have written, and says how often content was found broken. */
static uint64_t deliver_text(struct bed *bed, struct load_text text, uint32_t bytes)
{
    char out[128] = "";
    load_text_write(out, bytes, &text, &bed->run.filler);
    deliver(bed, 1, out);
    return bed_broken(bed, LOAD_BROKEN_CONTENT);
}

Test(load_judge_nats, an_honest_server_is_found_good)
{
    struct bed *bed = open_nats();
    for (uint32_t i = 0; i < 20; i++) {
        struct bed_sent sent = publish(bed, i % BED_SEATS, (i + 1) % BED_SEATS);
        answer(bed, &sent);
        deliver(bed, sent.to, sent.text);
    }
    cr_expect_eq(bed_broken_all(bed), 0, "%s", bed->worker->first_broken);
    cr_expect_eq(bed_broken(bed, LOAD_DELIVERED), 20);
    cr_expect_eq(bed->worker->gauges.owed, bed->worker->gauges.got);
    cr_expect_eq(bed_judge(bed), 0);
    bed_close(bed);
}

Test(load_judge_nats, each_changed_character_of_a_text_is_found)
{
    struct bed *bed = open_nats();
    for (uint32_t i = 0; i < 64; i++) {
        struct bed_sent sent = next_publish(bed);
        sent.text[i] = sent.text[i] == 'A' ? 'B' : 'A';
        deliver(bed, 1, sent.text);
        bed_expect(bed, LOAD_BROKEN_CONTENT, i + 1);
    }
    bed_close(bed);
}

Test(load_judge_nats, a_text_to_another_user_is_found)
{
    struct bed *bed = open_nats();
    struct bed_sent sent = next_publish(bed);
    deliver(bed, 2, sent.text);
    bed_expect(bed, LOAD_BROKEN_CONTENT, 1);
    bed_close(bed);
}

Test(load_judge_nats, a_text_of_another_run_is_found)
{
    struct bed *bed = open_nats();
    struct load_text text = {.run = bed->run.number, .from = 0, .to = 1, .seq = 1, .sent_us = 5};
    cr_expect_eq(deliver_text(bed, text, 64), 0);
    text.run ^= 1;
    text.seq++;
    cr_expect_eq(deliver_text(bed, text, 64), 1);
    bed_close(bed);
}

Test(load_judge_nats, a_text_of_a_connection_that_is_none_is_found)
{
    struct bed *bed = open_nats();
    struct load_text text = {.run = bed->run.number, .from = 0xFFFFFF, .to = 1, .seq = 1, .sent_us = 5};
    cr_expect_eq(deliver_text(bed, text, 64), 1);
    bed_close(bed);
}

Test(load_judge_nats, a_text_of_another_length_is_found)
{
    struct bed *bed = open_nats();
    struct load_text text = {.run = bed->run.number, .from = 0, .to = 1, .seq = 1, .sent_us = 5};
    cr_expect_eq(deliver_text(bed, text, 65), 1);
    bed_close(bed);
}

Test(load_judge_nats, an_answer_to_nothing_and_one_given_twice_are_found)
{
    struct bed *bed = open_nats();
    struct bed_sent sent = next_publish(bed), never = sent;
    answer(bed, &sent);
    bed_expect(bed, LOAD_BROKEN_REPLY, 1);
    never.id += LOAD_WINDOW_MAX;
    answer(bed, &never);
    bed_expect(bed, LOAD_BROKEN_REPLY, 2);
    bed_close(bed);
}

Test(load_judge_nats, an_answer_that_no_stream_has_stored_is_found)
{
    struct bed *bed = open_nats();
    struct bed_sent sent = publish(bed, 0, 1);
    acknowledge(bed, &sent, "{\"stream\":\"LOAD\"}");
    bed_expect(bed, LOAD_BROKEN_REPLY, 1);
    cr_expect_eq(bed_broken(bed, LOAD_ACKNOWLEDGED), 0);
    bed_close(bed);
}

Test(load_judge_nats, a_refusal_is_found_of_the_stream_and_of_the_server)
{
    struct bed *bed = open_nats();
    struct bed_sent sent = publish(bed, 0, 1);
    acknowledge(bed, &sent, "{\"error\":{\"code\":503},\"seq\":0}");
    bed_expect(bed, LOAD_BROKEN_REPLY, 1);
    cr_expect_eq(bed_broken(bed, LOAD_ACKNOWLEDGED), 0);
    give(bed, 1, "-ERR 'Slow Consumer'", NULL);
    bed_expect(bed, LOAD_BROKEN_REPLY, 2);
    bed_close(bed);
}

Test(load_judge_nats, deliveries_that_change_places_are_found)
{
    struct bed *bed = open_nats();
    struct bed_sent first = next_publish(bed), second = next_publish(bed);
    deliver(bed, 1, second.text);
    deliver(bed, 1, first.text);
    bed_expect(bed, LOAD_BROKEN_ORDER, 1);
    bed_close(bed);
}

Test(load_judge_nats, a_delivery_that_never_comes_is_missed_at_the_end)
{
    struct bed *bed = open_nats();
    next_publish(bed);
    cr_expect_eq(bed->worker->gauges.owed - bed->worker->gauges.got, 1);
    cr_expect_eq(bed_judge(bed), 1);
    bed_close(bed);
}

Test(load_judge_nats, one_delivery_in_the_place_of_another_is_found_though_the_count_is_good)
{
    struct bed *bed = open_nats();
    struct bed_sent first = next_publish(bed), second = publish(bed, 2, 1);
    answer(bed, &second);
    deliver(bed, 1, first.text);
    deliver(bed, 1, first.text);
    cr_expect_eq(bed->worker->gauges.owed, bed->worker->gauges.got);
    cr_expect_eq(bed_judge(bed), 1);
    bed_close(bed);
}
