/* The conversations that a terminal shows. */
#include <criterion/criterion.h>

#include "cli/chat_talks.h"

static struct chat_talks talks;

static void setup(void)
{
    chat_talks_init(&talks);
}

static void teardown(void)
{
    chat_talks_fini(&talks);
}

TestSuite(chat_talks, .init = setup, .fini = teardown);

static void note(const char *user, uint64_t ts, bool is_sent, bool is_shown)
{
    chat_talks_note(&talks, chat_talks_take(&talks, user), &(struct client_message){.ts = ts}, is_sent, is_shown);
}

Test(chat_talks, messages_that_nobody_sees_are_counted_and_bring_their_talk_to_the_front)
{
    note("bob", 1, false, false);
    note("bob", 2, false, false);
    note("carol", 3, false, true);
    note("bob", 4, true, false);
    const struct chat_talk *first = chat_talks_next(&talks, NULL);
    cr_expect_str_eq(first->user, "bob");
    cr_expect_eq(first->unseen, 2);
    cr_expect_eq(chat_talks_next(&talks, first)->unseen, 0);
    cr_expect_null(chat_talks_next(&talks, chat_talks_next(&talks, first)));
}

Test(chat_talks, a_mark_of_another_device_counts_only_if_it_covers_the_newest)
{
    note("bob", 5, false, false);
    note("bob", 9, false, false);
    struct chat_talk *bob = chat_talks_take(&talks, "bob");
    chat_talk_seen(bob, 8);
    cr_expect_eq(bob->unseen, 2);
    chat_talk_seen(bob, 9);
    cr_expect_eq(bob->unseen, 0);
}

Test(chat_talks, seen_by_is_said_once_and_for_the_newest_message_only)
{
    struct chat_talk *bob = chat_talks_take(&talks, "bob");
    cr_expect_not(chat_talk_seen_by(bob, 3));
    note("bob", 5, true, false);
    note("bob", 7, true, false);
    cr_expect_not(chat_talk_seen_by(bob, 5));
    cr_expect(chat_talk_seen_by(bob, 7));
    cr_expect_not(chat_talk_seen_by(bob, 7));
    note("bob", 9, true, false);
    cr_expect(chat_talk_seen_by(bob, 9));
}

Test(chat_talks, the_counts_of_the_server_are_right)
{
    note("dave", 1, false, false);
    json_t *peers = json_pack("[{s:s,s:i,s:i},{s:s,s:i}]", "user", "bob", "unseen", 3, "seen_by", 8, "user", "carol",
                              "unseen", 1000);
    chat_talks_take_page(&talks, peers);
    json_decref(peers);
    const struct chat_talk *bob = chat_talks_next(&talks, NULL), *carol = chat_talks_next(&talks, bob);
    cr_expect_str_eq(bob->user, "bob");
    cr_expect_eq(bob->unseen, 3);
    cr_expect_eq(bob->seen_by_ts, 8);
    cr_expect_str_eq(carol->user, "carol");
    cr_expect_eq(carol->unseen, CHAT_UNSEEN_MAX);
    cr_expect_str_eq(chat_talks_next(&talks, carol)->user, "dave");
}
