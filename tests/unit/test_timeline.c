#include <criterion/criterion.h>

#include <signal.h>
#include <stdlib.h>

#include "timeline/timeline.h"

#define ENTRIES_MAX 10000u

static struct timeline timeline;
static struct entry *entries;
static struct record *record; /* of 100 bytes of body, shared by all entries */

static void setup(void)
{
    timeline_init(&timeline);
    entries = calloc(ENTRIES_MAX, sizeof *entries);
    record = calloc(1, sizeof *record);
    record->refs = 1;
    record->from_bytes = 5;
    record->to_bytes = 3;
    record->key_bytes = 12;
    record->text_bytes = 80;
}

static void teardown(void)
{
    cr_assert_eq(record->refs, 1, "references are the owner's");
    free(entries);
    free(record);
}

TestSuite(timeline, .init = setup, .fini = teardown);

/* Entry `index` stands in the queue from now on, at `ts`. */
static struct entry *append(uint32_t index, uint64_t ts)
{
    struct entry *entry = &entries[index];
    *entry = (struct entry){.ts = ts, .record = record, .role = ROLE_SENT};
    list_init(&entry->link);
    timeline_append(&timeline, entry);
    return entry;
}

/* Entries 0 to count - 1 at ts 10, 20, 30 … */
static void append_many(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        append(i, 10 * (i + 1));
}

static void settle(uint32_t index)
{
    timeline_settle(&timeline, &entries[index]);
}

static void refuse(uint32_t index)
{
    timeline_refuse(&timeline, &entries[index]);
}

/* Entry `index` is the next to leave, with `prev`. */
static void assert_leaves(uint32_t index, uint64_t prev)
{
    struct entry *entry = timeline_release(&timeline);
    cr_assert_eq(entry, &entries[index]);
    cr_assert_eq(entry->state, ENTRY_LEFT);
    cr_assert_eq(entry->prev, prev);
    cr_assert_eq(timeline.last, entry->ts);
}

static void assert_none_leaves(void)
{
    cr_assert_null(timeline_release(&timeline));
}

/* -- the queue -- */

Test(timeline, an_empty_one_hides_nothing_and_gives_nothing)
{
    cr_assert_eq(timeline_mark(&timeline), TIMELINE_MARK_NONE);
    cr_assert_gt(timeline_mark(&timeline), LIMIT_TS_MAX);
    assert_none_leaves();
    cr_assert_null(timeline_find(&timeline, 10));
    cr_assert_not(timeline.last_is_known);
}

Test(timeline, entries_leave_in_order_of_ts_whatever_order_they_settle_in)
{
    append_many(3);
    settle(2);
    assert_none_leaves();
    settle(1);
    assert_none_leaves();
    settle(0);
    assert_leaves(0, 0);
    assert_leaves(1, 10);
    assert_leaves(2, 20);
    assert_none_leaves();
}

Test(timeline, an_entry_that_is_not_durable_never_leaves)
{
    append_many(2);
    assert_none_leaves();
    settle(1);
    assert_none_leaves();
    cr_assert_eq(entries[0].state, ENTRY_PENDING);
    cr_assert_eq(entries[1].state, ENTRY_SETTLED);
    cr_assert_eq(timeline.last, 0);
}

Test(timeline, the_settled_ones_before_a_pending_one_leave)
{
    append_many(3);
    settle(0);
    settle(2);
    assert_leaves(0, 0);
    assert_none_leaves();
    settle(1);
    assert_leaves(1, 10);
    assert_leaves(2, 20);
}

Test(timeline, new_entries_join_at_the_end_while_others_leave)
{
    append_many(1);
    settle(0);
    assert_leaves(0, 0);
    append(1, 11);
    append(2, 12);
    settle(2);
    assert_none_leaves();
    settle(1);
    assert_leaves(1, 10);
    append(3, 13);
    assert_leaves(2, 11);
    assert_none_leaves();
    settle(3);
    assert_leaves(3, 12);
}

/* -- refused entries -- */

Test(timeline, a_refused_entry_leaves_at_once_wherever_it_stands)
{
    append_many(3);
    refuse(1);
    cr_assert_eq(entries[1].state, ENTRY_LEFT);
    cr_assert_null(timeline_find(&timeline, 20));
    cr_assert_eq(timeline.pending_count, 2);
    refuse(2);
    refuse(0);
    cr_assert_eq(timeline.pending_count, 0);
    cr_assert_eq(timeline.pending_bytes, 0);
    assert_none_leaves();
}

Test(timeline, later_entries_skip_a_refused_one_in_their_prev)
{
    append_many(4);
    settle(0);
    refuse(1);
    refuse(2);
    settle(3);
    assert_leaves(0, 0);
    assert_leaves(3, 10);
}

Test(timeline, the_refusal_of_the_oldest_lets_those_behind_it_leave)
{
    append_many(3);
    settle(1);
    settle(2);
    assert_none_leaves();
    refuse(0);
    assert_leaves(1, 0);
    assert_leaves(2, 20);
}

Test(timeline, a_refused_entry_is_no_last_and_its_ts_is_not_given_again)
{
    append_many(1);
    refuse(0);
    cr_assert_eq(timeline.last, 0);
    cr_assert_eq(timeline.newest, 10);
    append(1, 11);
    settle(1);
    assert_leaves(1, 0);
}

/* -- the mark -- */

Test(timeline, the_mark_is_the_oldest_pending_ts)
{
    append_many(3);
    cr_assert_eq(timeline_mark(&timeline), 10);
    settle(1);
    settle(2);
    cr_assert_eq(timeline_mark(&timeline), 10, "later ones stay hidden though they are durable");
    settle(0);
    assert_leaves(0, 0);
    assert_leaves(1, 10);
    cr_assert_eq(timeline_mark(&timeline), 30, "what has not left is not visible");
    assert_leaves(2, 20);
    cr_assert_eq(timeline_mark(&timeline), TIMELINE_MARK_NONE);
}

Test(timeline, a_refusal_moves_the_mark_only_if_it_is_the_oldest)
{
    append_many(3);
    refuse(1);
    cr_assert_eq(timeline_mark(&timeline), 10);
    refuse(0);
    cr_assert_eq(timeline_mark(&timeline), 30);
    refuse(2);
    cr_assert_eq(timeline_mark(&timeline), TIMELINE_MARK_NONE);
}

/* -- last, as a login learns it -- */

Test(timeline, last_is_what_was_read_when_nothing_left_since)
{
    timeline_learn_last(&timeline, 500);
    cr_assert(timeline.last_is_known);
    cr_assert_eq(timeline.last, 500);
    append(0, 501);
    settle(0);
    assert_leaves(0, 500);
}

Test(timeline, last_is_what_left_since_when_that_is_newer)
{
    append_many(2);
    settle(0);
    assert_leaves(0, 0);
    timeline_learn_last(&timeline, 5);
    cr_assert(timeline.last_is_known);
    cr_assert_eq(timeline.last, 10);
    settle(1);
    assert_leaves(1, 10);
}

Test(timeline, an_empty_timelines_last_is_known_to_be_zero)
{
    timeline_learn_last(&timeline, 0);
    cr_assert(timeline.last_is_known);
    cr_assert_eq(timeline.last, 0);
    append(0, 7);
    settle(0);
    assert_leaves(0, 0);
}

Test(timeline, what_was_read_lies_below_all_that_comes)
{
    timeline_learn_last(&timeline, 500);
    cr_assert_eq(timeline.newest, 500);
    cr_assert_eq(timeline_mark(&timeline), TIMELINE_MARK_NONE);
}

/* -- limits -- */

Test(timeline, there_is_room_up_to_the_limit_of_entries)
{
    for (uint32_t i = 0; i < TIMELINE_PENDING_MAX; i++) {
        cr_assert(timeline_has_room(&timeline, 0, 100), "%u", i);
        append(i, i + 1);
    }
    cr_assert_not(timeline_has_room(&timeline, 0, 0));
    settle(0);
    cr_assert_not(timeline_has_room(&timeline, 0, 0), "a settled entry takes its place until it leaves");
    assert_leaves(0, 0);
    cr_assert(timeline_has_room(&timeline, 0, 100));
    append(TIMELINE_PENDING_MAX, TIMELINE_PENDING_MAX + 1);
    cr_assert_not(timeline_has_room(&timeline, 0, 0));
    refuse(5);
    cr_assert(timeline_has_room(&timeline, 0, 100));
}

Test(timeline, there_is_room_up_to_the_limit_of_bytes)
{
    uint32_t bytes = 0;
    uint32_t count = 0;
    record->text_bytes = LIMIT_TEXT_BYTES;
    const uint32_t each = record_body_bytes(record);
    while (timeline_has_room(&timeline, 0, each)) {
        append(count, count + 1);
        count++;
        bytes += each;
    }
    cr_assert_lt(count, TIMELINE_PENDING_MAX);
    cr_assert_eq(count, TIMELINE_PENDING_BYTES_MAX / each);
    cr_assert_eq(timeline.pending_bytes, bytes);
    cr_assert(timeline_has_room(&timeline, 0, TIMELINE_PENDING_BYTES_MAX - bytes), "to the last byte");
    cr_assert_not(timeline_has_room(&timeline, 0, TIMELINE_PENDING_BYTES_MAX - bytes + 1));
    refuse(1);
    cr_assert(timeline_has_room(&timeline, 0, each));
    settle(0);
    assert_leaves(0, 0);
    cr_assert_eq(timeline.pending_bytes, bytes - 2 * each);
}

/* -- finding -- */

Test(timeline, an_entry_is_found_by_its_ts_while_it_is_in_the_queue)
{
    append_many(5);
    settle(3);
    for (uint32_t i = 0; i < 5; i++)
        cr_assert_eq(timeline_find(&timeline, 10 * (i + 1)), &entries[i]);
    cr_assert_null(timeline_find(&timeline, 5));
    cr_assert_null(timeline_find(&timeline, 25));
    cr_assert_null(timeline_find(&timeline, 51));
    settle(0);
    assert_leaves(0, 0);
    cr_assert_null(timeline_find(&timeline, 10));
    refuse(2);
    cr_assert_null(timeline_find(&timeline, 30));
    cr_assert_eq(timeline_find(&timeline, 40), &entries[3]);
}

/* -- promises of the caller -- */

Test(timeline, a_ts_that_is_not_above_the_newest_ends_the_process, .signal = SIGABRT)
{
    append_many(2);
    append(2, 20);
}

Test(timeline, a_ts_at_or_below_what_was_read_ends_the_process, .signal = SIGABRT)
{
    timeline_learn_last(&timeline, 500);
    append(0, 500);
}

Test(timeline, settling_twice_ends_the_process, .signal = SIGABRT)
{
    append_many(1);
    settle(0);
    settle(0);
}

Test(timeline, refusing_what_is_durable_ends_the_process, .signal = SIGABRT)
{
    append_many(1);
    settle(0);
    refuse(0);
}

Test(timeline, refusing_what_has_left_ends_the_process, .signal = SIGABRT)
{
    append_many(1);
    settle(0);
    assert_leaves(0, 0);
    refuse(0);
}

/* -- many entries in any order: what a client sees is gapless, and what it once saw stays as it was -- */

static uint32_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

struct watch {
    uint64_t cursor;    /* of a client that gets each entry as it leaves */
    uint64_t seen_mark; /* the highest mark at which a reader looked while something was pending */
    uint32_t left_count;
};

/* All that can leave leaves: above every mark that was seen, each with the cursor as its prev. */
static void release_all(struct watch *watch)
{
    for (struct entry *entry; (entry = timeline_release(&timeline)) != NULL;) {
        cr_assert_geq(entry->ts, watch->seen_mark, "an entry below the mark came late");
        cr_assert_eq(entry->prev, watch->cursor, "a gap");
        cr_assert_gt(entry->ts, watch->cursor);
        watch->cursor = entry->ts;
        watch->left_count++;
    }
    uint64_t mark = timeline_mark(&timeline);
    cr_assert_gt(mark, timeline.last);
    cr_assert_geq(mark, watch->seen_mark);
    if (mark != TIMELINE_MARK_NONE)
        watch->seen_mark = mark;
}

/* A pending entry, often not the oldest; NULL if the queue is empty. After release_all the oldest is pending. */
static struct entry *pick_pending(uint64_t *state, uint32_t made)
{
    if (timeline.pending_count == 0)
        return NULL;
    uint32_t back = made < 50 ? made : 50;
    struct entry *entry = &entries[made - 1 - next_random(state) % back];
    return entry->state == ENTRY_PENDING ? entry : container_of(timeline.pending.next, struct entry, link);
}

static void run_random(uint64_t seed)
{
    uint64_t state = seed;
    struct watch watch = {.cursor = 1000};
    uint64_t ts = 1000;
    uint32_t made = 0;
    uint32_t refused = 0;
    timeline_learn_last(&timeline, ts);
    while (made < 2000 || timeline.pending_count > 0) {
        struct entry *entry = pick_pending(&state, made);
        if (made < 2000 && (entry == NULL || (timeline.pending_count < 40 && next_random(&state) % 2 == 0))) {
            ts += 1 + next_random(&state) % 3;
            append(made++, ts);
        } else if (next_random(&state) % 5 == 0) {
            timeline_refuse(&timeline, entry);
            refused++;
        } else {
            timeline_settle(&timeline, entry);
        }
        release_all(&watch);
    }
    cr_assert_gt(refused, 100);
    cr_assert_eq(watch.left_count + refused, made, "each entry left once");
    cr_assert_eq(timeline.pending_bytes, 0);
}

Test(timeline, in_any_order_of_settling_and_refusing_the_chain_has_no_gap)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        timeline_init(&timeline);
        run_random(seed);
    }
}

Test(timeline, all_counts_are_at_zero_again_when_all_have_left)
{
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 6; i++)
            append(i, 100 * (uint64_t)(round + 1) + i);
        for (uint32_t i = 0; i < 6; i++)
            if (i % 3 == 1)
                refuse(i);
            else
                settle(i);
        while (timeline_release(&timeline) != NULL)
            continue;
        cr_assert_eq(timeline.settled_count, 0);
        cr_assert_eq(timeline.pending_count, 0);
        cr_assert_eq(timeline.pending_bytes, 0);
    }
}
