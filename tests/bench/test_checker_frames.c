/* What the server pushes: its place in the timeline, its text, names, mid and key. Each test has one lie. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "checker_fixture.h"

/* The next entry of session 1's timeline: sent by session 0, acknowledged, and not yet pushed. */
static struct fixture_entry next_entry(struct fixture *fixture)
{
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    fixture_answer(fixture, &sent);
    return fixture_entry_of(fixture, 1, &sent);
}

/* A text that a generator could have written, `bytes` long. */
static void write_text(const struct fixture *fixture, struct fixture_entry *entry, uint32_t bytes,
                       struct load_text text)
{
    memset(entry->text, 0, sizeof entry->text);
    load_text_write(entry->text, bytes, &text, &fixture->run.filler);
}

static struct load_text text_of(const struct fixture *fixture)
{
    return (struct load_text){.run = fixture->run.number, .from = 0, .to = 1, .seq = 1, .sent_us = 5};
}

Test(load_checker_frames, an_entry_at_the_ts_of_the_one_before_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_entry entry = next_entry(fixture);
    entry.ts = entry.prev;
    fixture_push_entry(fixture, 1, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CHAIN, 1);
    fixture_close(fixture);
}

Test(load_checker_frames, an_entry_whose_prev_is_not_the_cursor_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_entry entry = next_entry(fixture);
    entry.prev--;
    fixture_push_entry(fixture, 1, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CHAIN, 1);
    fixture_close(fixture);
}

Test(load_checker_frames, an_entry_without_ts_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_entry entry = next_entry(fixture);
    entry.ts = FIXTURE_ABSENT;
    fixture_push_entry(fixture, 1, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CHAIN, 1);
    fixture_close(fixture);
}

Test(load_checker_frames, an_entry_without_prev_is_found_though_it_is_the_first)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    fixture->run.sessions[1].base = fixture->run.sessions[1].cursor = 0;
    struct fixture_entry entry = next_entry(fixture);
    entry.prev = FIXTURE_ABSENT;
    fixture_push_entry(fixture, 1, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CHAIN, 1);
    fixture_close(fixture);
}

Test(load_checker_frames, an_entry_out_of_the_chain_is_found_at_an_ok_too)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    fixture->cursors[0]++;
    fixture_answer(fixture, &sent);
    fixture_expect(fixture, LOAD_BROKEN_CHAIN, 1);
    fixture_close(fixture);
}

Test(load_checker_frames, a_frame_that_goes_on_after_its_object_or_ends_before_it_is_found)
{
    static const char *const formats[] = {"{\"op\":\"msg\",%s}}", "{\"op\":\"msg\",%s", "[{\"op\":\"msg\",%s}]"};
    struct fixture *fixture = fixture_open((struct load_options){0});
    char members[512], frame[600];
    for (uint32_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct fixture_entry entry = next_entry(fixture);
        snprintf(frame, sizeof frame, formats[i], fixture_write_entry(members, sizeof members, &entry));
        fixture->cursors[1] = entry.prev; /* the entry is not counted */
        fixture_say(fixture, 1, "%s", frame);
        fixture_expect(fixture, LOAD_BROKEN_REPLY, i + 1);
    }
    fixture_close(fixture);
}

Test(load_checker_frames, a_text_of_another_run_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_entry entry = next_entry(fixture);
    struct load_text text = text_of(fixture);
    write_text(fixture, &entry, 64, text);
    fixture_push_entry(fixture, 1, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CONTENT, 0);
    entry = next_entry(fixture);
    text.run ^= 1;
    write_text(fixture, &entry, 64, text);
    fixture_push_entry(fixture, 1, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CONTENT, 1);
    fixture_close(fixture);
}

Test(load_checker_frames, a_text_of_a_connection_that_is_none_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_entry entry = next_entry(fixture);
    struct load_text text = text_of(fixture);
    text.from = 0xFFFFFF;
    write_text(fixture, &entry, 64, text);
    fixture_push_entry(fixture, 1, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CONTENT, 1);
    fixture_close(fixture);
}

Test(load_checker_frames, a_text_of_another_length_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_entry entry = next_entry(fixture);
    write_text(fixture, &entry, 65, text_of(fixture));
    fixture_push_entry(fixture, 1, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CONTENT, 1);
    fixture_close(fixture);
}

Test(load_checker_frames, a_message_that_was_sent_to_another_is_found_though_it_says_this_user)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_entry entry = next_entry(fixture);
    struct load_text text = text_of(fixture);
    text.to = 2;
    write_text(fixture, &entry, 64, text);
    fixture_push_entry(fixture, 1, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CONTENT, 1);
    fixture_close(fixture);
}

Test(load_checker_frames, a_message_between_two_others_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    fixture_answer(fixture, &sent);
    struct fixture_entry entry = fixture_entry_of(fixture, 2, &sent);
    fixture_push_entry(fixture, 2, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CONTENT, 1);
    fixture_close(fixture);
}

Test(load_checker_frames, a_name_of_no_user_is_found_as_sender_and_as_recipient)
{
    static const char *const senders[] = {"load-3",  "load-",           "load-0x", "loaf-0",
                                          "load-/:", "load-4294967296", "load-00", ""};
    static const char *const recipients[] = {"load-3",  "load-",           "load-1x", "loaf-1",
                                             "load-/;", "load-4294967297", "load-01", ""};
    struct fixture *fixture = fixture_open((struct load_options){0});
    uint64_t lies = 0;
    for (uint32_t i = 0; i < sizeof senders / sizeof senders[0]; i++) {
        struct fixture_entry entry = next_entry(fixture);
        snprintf(entry.from, sizeof entry.from, "%s", senders[i]);
        fixture_push_entry(fixture, 1, &entry);
        cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_CONTENT), ++lies, "from %s", senders[i]);
        entry = next_entry(fixture);
        snprintf(entry.to, sizeof entry.to, "%s", recipients[i]);
        fixture_push_entry(fixture, 1, &entry);
        cr_expect_eq(fixture_broken(fixture, LOAD_BROKEN_CONTENT), ++lies, "to %s", recipients[i]);
    }
    fixture_close(fixture);
}

Test(load_checker_frames, a_message_without_mid_is_found)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_entry entry = next_entry(fixture);
    entry.mid[0] = '\0';
    fixture_push_entry(fixture, 1, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CONTENT, 1);
    fixture_close(fixture);
}

Test(load_checker_frames, a_mid_of_a_message_has_20_characters_at_most)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_entry entry = next_entry(fixture);
    strcpy(entry.mid, "01234567890123456789");
    fixture_push_entry(fixture, 1, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CONTENT, 0);
    entry = next_entry(fixture);
    strcpy(entry.mid, "012345678901234567890");
    fixture_push_entry(fixture, 1, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CONTENT, 1);
    fixture_close(fixture);
}

Test(load_checker_frames, one_mid_at_the_ok_and_another_at_the_message_is_found_at_the_end)
{
    struct fixture *fixture = fixture_open((struct load_options){0});
    struct fixture_entry entry = next_entry(fixture);
    strcpy(entry.mid, "another");
    fixture_push_entry(fixture, 1, &entry);
    cr_expect_eq(fixture_broken_all(fixture), 0, "%s", fixture->worker->first_broken);
    cr_expect_eq(fixture_check(fixture), 1);
    fixture_close(fixture);
}

/* Sessions 0 and 2 belong to user 0, so what session 0 sends comes to session 2 with its key. */
static struct fixture *open_with_two_connections(bool has_keys)
{
    return fixture_open((struct load_options){.users = 2, .has_keys = has_keys});
}

static struct fixture_entry next_own_entry(struct fixture *fixture)
{
    struct fixture_sent sent = fixture_send(fixture, 0, 1);
    fixture_answer(fixture, &sent);
    return fixture_entry_of(fixture, 2, &sent);
}

Test(load_checker_frames, the_senders_other_connection_is_shown_the_key)
{
    struct fixture *fixture = open_with_two_connections(true);
    struct fixture_entry entry = next_own_entry(fixture);
    cr_expect_eq(strlen(entry.key), LOAD_KEY_CHARS);
    fixture_push_entry(fixture, 2, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CONTENT, 0);
    fixture_close(fixture);
}

Test(load_checker_frames, a_key_that_the_senders_other_connection_is_not_shown_is_found)
{
    struct fixture *fixture = open_with_two_connections(true);
    struct fixture_entry entry = next_own_entry(fixture);
    entry.key[0] = '\0';
    fixture_push_entry(fixture, 2, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CONTENT, 1);
    fixture_close(fixture);
}

Test(load_checker_frames, a_wrong_key_at_the_senders_other_connection_is_found)
{
    struct fixture *fixture = open_with_two_connections(true);
    struct fixture_entry entry = next_own_entry(fixture);
    entry.key[LOAD_KEY_CHARS - 1] ^= 1;
    fixture_push_entry(fixture, 2, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CONTENT, 1);
    entry = next_own_entry(fixture);
    strcat(entry.key, "A");
    fixture_push_entry(fixture, 2, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CONTENT, 2);
    fixture_close(fixture);
}

Test(load_checker_frames, a_key_that_was_never_given_is_found)
{
    struct fixture *fixture = open_with_two_connections(false);
    struct fixture_entry entry = next_own_entry(fixture);
    load_text_write_key(entry.key, &(struct load_text){.run = fixture->run.number, .from = 0, .seq = 1});
    fixture_push_entry(fixture, 2, &entry);
    fixture_expect(fixture, LOAD_BROKEN_CONTENT, 1);
    fixture_close(fixture);
}
