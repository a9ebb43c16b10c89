/* What is pushed: its place in the timeline, its text, names, mid and key. One lie a test, all else is true. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "judge_bed.h"

/* The next entry of seat 1's timeline: sent by seat 0, acknowledged, and not yet pushed. */
static struct bed_entry next_entry(struct bed *bed)
{
    struct bed_sent sent = bed_send(bed, 0, 1);
    bed_answer(bed, &sent);
    return bed_entry_of(bed, 1, &sent);
}

/* A text that a generator could have written, `bytes` long. */
static void write_text(const struct bed *bed, struct bed_entry *entry, uint32_t bytes, struct load_text text)
{
    memset(entry->text, 0, sizeof entry->text);
    load_text_write(entry->text, bytes, &text, &bed->run.filler);
}

static struct load_text text_of(const struct bed *bed)
{
    return (struct load_text){.run = bed->run.number, .from = 0, .to = 1, .seq = 1, .sent_us = 5};
}

Test(load_judge_frames, an_entry_at_the_ts_of_the_one_before_is_found)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_entry entry = next_entry(bed);
    entry.ts = entry.prev;
    bed_push_entry(bed, 1, &entry);
    bed_expect(bed, LOAD_BROKEN_CHAIN, 1);
    bed_close(bed);
}

Test(load_judge_frames, an_entry_whose_prev_is_not_the_cursor_is_found)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_entry entry = next_entry(bed);
    entry.prev--;
    bed_push_entry(bed, 1, &entry);
    bed_expect(bed, LOAD_BROKEN_CHAIN, 1);
    bed_close(bed);
}

Test(load_judge_frames, an_entry_without_ts_is_found)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_entry entry = next_entry(bed);
    entry.ts = BED_ABSENT;
    bed_push_entry(bed, 1, &entry);
    bed_expect(bed, LOAD_BROKEN_CHAIN, 1);
    bed_close(bed);
}

Test(load_judge_frames, an_entry_without_prev_is_found_though_it_is_the_first)
{
    struct bed *bed = bed_open((struct load_options){0});
    bed->run.seats[1].base = bed->run.seats[1].cursor = 0;
    struct bed_entry entry = next_entry(bed);
    entry.prev = BED_ABSENT;
    bed_push_entry(bed, 1, &entry);
    bed_expect(bed, LOAD_BROKEN_CHAIN, 1);
    bed_close(bed);
}

Test(load_judge_frames, an_entry_out_of_the_chain_is_found_at_an_ok_too)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent sent = bed_send(bed, 0, 1);
    bed->cursors[0]++;
    bed_answer(bed, &sent);
    bed_expect(bed, LOAD_BROKEN_CHAIN, 1);
    bed_close(bed);
}

Test(load_judge_frames, a_frame_that_goes_on_after_its_object_or_ends_before_it_is_found)
{
    static const char *const formats[] = {"{\"op\":\"msg\",%s}}", "{\"op\":\"msg\",%s", "[{\"op\":\"msg\",%s}]"};
    struct bed *bed = bed_open((struct load_options){0});
    char members[512], frame[600];
    for (uint32_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct bed_entry entry = next_entry(bed);
        snprintf(frame, sizeof frame, formats[i], bed_write_entry(members, sizeof members, &entry));
        bed->cursors[1] = entry.prev; /* not taken */
        bed_say(bed, 1, "%s", frame);
        bed_expect(bed, LOAD_BROKEN_REPLY, i + 1);
    }
    bed_close(bed);
}

Test(load_judge_frames, a_text_of_another_run_is_found)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_entry entry = next_entry(bed);
    struct load_text text = text_of(bed);
    write_text(bed, &entry, 64, text);
    bed_push_entry(bed, 1, &entry);
    bed_expect(bed, LOAD_BROKEN_CONTENT, 0);
    entry = next_entry(bed);
    text.run ^= 1;
    write_text(bed, &entry, 64, text);
    bed_push_entry(bed, 1, &entry);
    bed_expect(bed, LOAD_BROKEN_CONTENT, 1);
    bed_close(bed);
}

Test(load_judge_frames, a_text_of_a_connection_that_is_none_is_found)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_entry entry = next_entry(bed);
    struct load_text text = text_of(bed);
    text.from = 0xFFFFFF;
    write_text(bed, &entry, 64, text);
    bed_push_entry(bed, 1, &entry);
    bed_expect(bed, LOAD_BROKEN_CONTENT, 1);
    bed_close(bed);
}

Test(load_judge_frames, a_text_of_another_length_is_found)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_entry entry = next_entry(bed);
    write_text(bed, &entry, 65, text_of(bed));
    bed_push_entry(bed, 1, &entry);
    bed_expect(bed, LOAD_BROKEN_CONTENT, 1);
    bed_close(bed);
}

Test(load_judge_frames, a_message_that_was_sent_to_another_is_found_though_it_says_this_user)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_entry entry = next_entry(bed);
    struct load_text text = text_of(bed);
    text.to = 2;
    write_text(bed, &entry, 64, text);
    bed_push_entry(bed, 1, &entry);
    bed_expect(bed, LOAD_BROKEN_CONTENT, 1);
    bed_close(bed);
}

Test(load_judge_frames, a_message_between_two_others_is_found)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_sent sent = bed_send(bed, 0, 1);
    bed_answer(bed, &sent);
    struct bed_entry entry = bed_entry_of(bed, 2, &sent);
    bed_push_entry(bed, 2, &entry);
    bed_expect(bed, LOAD_BROKEN_CONTENT, 1);
    bed_close(bed);
}

Test(load_judge_frames, a_name_that_nobody_has_is_found_as_sender_and_as_recipient)
{
    static const char *const senders[] = {"load-3",  "load-",           "load-0x", "loaf-0",
                                          "load-/:", "load-4294967296", "load-00", ""};
    static const char *const recipients[] = {"load-3",  "load-",           "load-1x", "loaf-1",
                                             "load-/;", "load-4294967297", "load-01", ""};
    struct bed *bed = bed_open((struct load_options){0});
    uint64_t lies = 0;
    for (uint32_t i = 0; i < sizeof senders / sizeof senders[0]; i++) {
        struct bed_entry entry = next_entry(bed);
        snprintf(entry.from, sizeof entry.from, "%s", senders[i]);
        bed_push_entry(bed, 1, &entry);
        cr_expect_eq(bed_broken(bed, LOAD_BROKEN_CONTENT), ++lies, "from %s", senders[i]);
        entry = next_entry(bed);
        snprintf(entry.to, sizeof entry.to, "%s", recipients[i]);
        bed_push_entry(bed, 1, &entry);
        cr_expect_eq(bed_broken(bed, LOAD_BROKEN_CONTENT), ++lies, "to %s", recipients[i]);
    }
    bed_close(bed);
}

Test(load_judge_frames, a_message_without_mid_is_found)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_entry entry = next_entry(bed);
    entry.mid[0] = '\0';
    bed_push_entry(bed, 1, &entry);
    bed_expect(bed, LOAD_BROKEN_CONTENT, 1);
    bed_close(bed);
}

Test(load_judge_frames, a_mid_of_a_message_has_20_characters_at_most)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_entry entry = next_entry(bed);
    strcpy(entry.mid, "01234567890123456789");
    bed_push_entry(bed, 1, &entry);
    bed_expect(bed, LOAD_BROKEN_CONTENT, 0);
    entry = next_entry(bed);
    strcpy(entry.mid, "012345678901234567890");
    bed_push_entry(bed, 1, &entry);
    bed_expect(bed, LOAD_BROKEN_CONTENT, 1);
    bed_close(bed);
}

Test(load_judge_frames, one_mid_at_the_ok_and_another_at_the_message_is_found_at_the_end)
{
    struct bed *bed = bed_open((struct load_options){0});
    struct bed_entry entry = next_entry(bed);
    strcpy(entry.mid, "another");
    bed_push_entry(bed, 1, &entry);
    cr_expect_eq(bed_broken_all(bed), 0, "%s", bed->worker->first_broken);
    cr_expect_eq(bed_judge(bed), 1);
    bed_close(bed);
}

/* Seats 0 and 2 are of user 0, so what seat 0 sends comes to seat 2 with its key. */
static struct bed *open_with_two_connections(bool has_keys)
{
    return bed_open((struct load_options){.users = 2, .has_keys = has_keys});
}

static struct bed_entry next_own_entry(struct bed *bed)
{
    struct bed_sent sent = bed_send(bed, 0, 1);
    bed_answer(bed, &sent);
    return bed_entry_of(bed, 2, &sent);
}

Test(load_judge_frames, the_senders_other_connection_is_shown_the_key)
{
    struct bed *bed = open_with_two_connections(true);
    struct bed_entry entry = next_own_entry(bed);
    cr_expect_eq(strlen(entry.key), LOAD_KEY_CHARS);
    bed_push_entry(bed, 2, &entry);
    bed_expect(bed, LOAD_BROKEN_CONTENT, 0);
    bed_close(bed);
}

Test(load_judge_frames, a_key_that_the_senders_other_connection_is_not_shown_is_found)
{
    struct bed *bed = open_with_two_connections(true);
    struct bed_entry entry = next_own_entry(bed);
    entry.key[0] = '\0';
    bed_push_entry(bed, 2, &entry);
    bed_expect(bed, LOAD_BROKEN_CONTENT, 1);
    bed_close(bed);
}

Test(load_judge_frames, a_wrong_key_at_the_senders_other_connection_is_found)
{
    struct bed *bed = open_with_two_connections(true);
    struct bed_entry entry = next_own_entry(bed);
    entry.key[LOAD_KEY_CHARS - 1] ^= 1;
    bed_push_entry(bed, 2, &entry);
    bed_expect(bed, LOAD_BROKEN_CONTENT, 1);
    entry = next_own_entry(bed);
    strcat(entry.key, "A");
    bed_push_entry(bed, 2, &entry);
    bed_expect(bed, LOAD_BROKEN_CONTENT, 2);
    bed_close(bed);
}

Test(load_judge_frames, a_key_that_was_never_given_is_found)
{
    struct bed *bed = open_with_two_connections(false);
    struct bed_entry entry = next_own_entry(bed);
    load_text_write_key(entry.key, &(struct load_text){.run = bed->run.number, .from = 0, .seq = 1});
    bed_push_entry(bed, 2, &entry);
    bed_expect(bed, LOAD_BROKEN_CONTENT, 1);
    bed_close(bed);
}
