#include "storage/runs/cuts.h"

#include "storage/runs/store_private.h"
#include "store_fixture.h"

#define USER(text) SPAN_LITERAL(text)

static const struct span all = {"", 0};

Test(cuts, each_is_one_users_alone_whatever_their_names_share)
{
    struct cuts cuts = {0};
    cr_assert_eq(cuts_ts(&cuts, USER("ann")), 0);
    cr_assert_eq(cuts_add(&cuts, USER("ann"), 50, 1), 0);
    cr_assert_eq(cuts_add(&cuts, USER("b"), 70, 1), 0);
    cr_assert_eq(cuts_ts(&cuts, USER("ann")), 50);
    cr_assert_eq(cuts_ts(&cuts, USER("b")), 70);
    static const char *const others[] = {"a", "an", "anna", "annb", "ao", "c", "A"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_assert_eq(cuts_ts(&cuts, span_of(others[i])), 0, "%s", others[i]);
    cuts_fini(&cuts);
}

Test(cuts, one_never_moves_back_and_one_for_all_is_everybodys_least)
{
    struct cuts cuts = {0};
    cr_assert_eq(cuts_add(&cuts, USER("ann"), 50, 3), 0);
    cr_assert_eq(cuts_add(&cuts, USER("ann"), 40, 9), 0);
    cr_assert_eq(cuts_find(&cuts, USER("ann"))->ts, 50);
    cr_assert_eq(cuts_find(&cuts, USER("ann"))->since_id, 3, "nothing changed");
    cr_assert_eq(cuts_add(&cuts, all, 45, 4), 0);
    cr_assert_eq(cuts_ts(&cuts, USER("ann")), 50);
    cr_assert_eq(cuts_ts(&cuts, USER("bob")), 45);
    cr_assert_eq(cuts_add(&cuts, all, 60, 5), 0);
    cr_assert_eq(cuts_ts(&cuts, USER("ann")), 60);
    cuts_fini(&cuts);
}

Test(cuts, slices_copy_each_once_and_one_that_comes_between_them_moves_none)
{
    struct cuts cuts = {0}, copy = {0};
    struct cut_value slice[CUTS_SLICE];
    char name[16];
    const uint32_t wanted = 2 * CUTS_SLICE;
    cr_assert_eq(cuts_add(&cuts, all, 5, 1), 0);
    for (uint32_t i = 1; i < wanted; i++) {
        snprintf(name, sizeof name, "m%03u", i);
        cr_assert_eq(cuts_add(&cuts, span_of(name), i, i), 0);
    }
    cuts_find(&cuts, USER("m001"))->is_saved = true;
    cuts_find(&cuts, USER("m001"))->keys_id = 9;
    cuts_find(&cuts, USER("m001"))->keeps_keys = true;
    uint32_t count = cuts_slice(&cuts, NULL, slice), copied = 0;
    while (count > 0) {
        cr_assert_leq(count, CUTS_SLICE);
        for (uint32_t i = 0; i < count; i++)
            cr_assert_eq(cuts_append(&copy, &slice[i]), 0);
        copied += count;
        snprintf(name, sizeof name, "a%03u", copied);
        cr_assert_eq(cuts_add(&cuts, span_of(name), 7, 7), 0);
        count = cuts_slice(&cuts, &slice[count - 1], slice);
    }
    cr_assert_eq(copied, wanted);
    cr_assert_eq(copy.count, wanted);
    cr_assert_eq(cuts_ts(&copy, USER("bob")), 5);
    for (uint32_t i = 1; i < wanted; i++) {
        snprintf(name, sizeof name, "m%03u", i);
        const struct cut *cut = cuts_find(&copy, span_of(name));
        cr_assert(cut != NULL && cut->ts == i && cut->since_id == i && !cut->keeps_keys);
        cr_assert_eq(cut->is_saved, i == 1);
        cr_assert_eq(cut->keys_id, i == 1 ? 9 : 0);
    }
    cuts_fini(&cuts);
    cuts_fini(&copy);
}

Test(cuts, one_that_is_removed_between_slices_hides_none)
{
    struct cuts cuts = {0};
    struct cut_value slice[CUTS_SLICE];
    char name[16];
    for (uint32_t i = 0; i < CUTS_SLICE + 2; i++) {
        snprintf(name, sizeof name, "m%03u", i);
        cr_assert_eq(cuts_add(&cuts, span_of(name), 5, 1), 0);
    }
    cr_assert_eq(cuts_slice(&cuts, NULL, slice), CUTS_SLICE);
    cuts_remove(&cuts, USER("m063")); /* the last one of the slice */
    cuts_remove(&cuts, USER("m06"));
    cr_assert_eq(cuts.count, CUTS_SLICE + 1);
    cr_assert_eq(cuts_slice(&cuts, &slice[CUTS_SLICE - 1], slice), 2);
    cr_assert_eq(memcmp(slice[0].user, "m064", 4), 0);
    cuts_fini(&cuts);
}

/* -- in a store -- */

static uint64_t rows_of(struct fixture *fixture)
{
    struct store_info info;
    store_info(fixture->store, &info);
    return info.row_count;
}

static void merge_all(struct fixture *fixture)
{
    struct store_error error;
    while (store_merge_is_due(fixture->store))
        cr_assert_eq(store_merge_run(fixture->store, NULL, NULL, &error), 0, "%s", error.text);
}

Test(store_cut, is_saved_by_the_next_checkpoint_and_found_again)
{
    struct fixture fixture = fixture_open();
    cr_assert_eq(store_cut(fixture.store, USER("ann"), 25), 0);
    cr_assert_eq(store_cut(fixture.store, all, 5), 0);
    fixture_stop(&fixture);
    fixture_start(&fixture);
    cr_assert_eq(store_cut_ts(fixture.store, USER("ann")), 0, "only the WAL had it");
    cr_assert_eq(store_cut(fixture.store, USER("ann"), 25), 0);
    cr_assert_eq(store_cut(fixture.store, all, 5), 0);
    cr_assert_eq(add(&fixture, rows_open()), 0);
    fixture_stop(&fixture);
    fixture_start(&fixture);
    cr_assert_eq(store_cut_ts(fixture.store, USER("ann")), 25);
    cr_assert_eq(store_cut_ts(fixture.store, USER("bob")), 5);
    struct store_info info;
    store_info(fixture.store, &info);
    cr_assert_geq(info.last_ts, 25);
    fixture_close(&fixture);
}

Test(store_cut, checkpoints_and_merges_leave_out_what_is_cut)
{
    struct fixture fixture = fixture_open();
    add_user(&fixture, "ann", 10, 10, 4);
    add_user(&fixture, "anna", 11, 10, 4);
    cr_assert_eq(store_cut(fixture.store, USER("ann"), 30), 0);
    cr_assert_eq(rows_of(&fixture), 8);
    struct rows *rows = rows_open();
    rows_add(rows, "ann", 25, 0);
    rows_add(rows, "ann", 50, 0);
    cr_assert_eq(add(&fixture, rows), 0);
    cr_assert_eq(rows_of(&fixture), 9, "the checkpoint has left one out");
    merge_all(&fixture);
    cr_assert_eq(run_count(&fixture), 1);
    cr_assert_str_eq(range(&fixture, "ann", (struct store_range){.oldest_first = true}), "40 50");
    cr_assert_str_eq(range(&fixture, "anna", (struct store_range){.oldest_first = true}), "11 21 31 41");
    fixture_close(&fixture);
}

Test(store_cut, a_run_that_no_merge_reaches_is_rewritten_alone_when_it_is_time_and_only_once)
{
    struct fixture fixture = fixture_open();
    const uint64_t day = UINT64_C(86400000000), now = 100 * day;
    add_user(&fixture, "ann", 10, 10, 4);
    add_user(&fixture, "bob", 10, 10, 4);
    cr_assert_eq(store_cut(fixture.store, USER("ann"), 30), 0);
    store_set_cut_time(fixture.store, 30 + 2 * day - 1, 30 + 2 * day - 1, 2 * day);
    merge_all(&fixture);
    cr_assert_eq(rows_of(&fixture), 8, "it is not time yet");
    store_set_cut_time(fixture.store, now, now, 2 * day);
    merge_all(&fixture);
    cr_assert_eq(rows_of(&fixture), 5);
    cr_assert_eq(run_count(&fixture), 2);
    struct store_info info;
    store_info(fixture.store, &info);
    uint64_t written = info.merge_bytes;
    store_set_cut_time(fixture.store, now + day, now + day, 2 * day);
    merge_all(&fixture);
    store_info(fixture.store, &info);
    cr_assert_eq(info.merge_bytes, written, "nothing is left to rewrite");
    fixture_close(&fixture);
}

/* A run keeps a keyed send of ann, who was erased within the day. */
static void keep_a_keyed_send(struct fixture *fixture, uint64_t within_us)
{
    const uint64_t day = UINT64_C(86400000000);
    struct rows *rows = rows_open();
    rows_add(rows, "ann", 10 * day, 7);
    rows_add(rows, "bob", 10 * day - 5, 0);
    cr_assert_eq(store_cut(fixture->store, USER("ann"), 10 * day + 10), 0);
    store_set_cut_time(fixture->store, 10 * day + 20, 10 * day + 20, within_us);
    cr_assert_eq(add(fixture, rows), 0);
}

/* The bytes that merges write from then on, of at most 20. */
static uint64_t bytes_merged(struct fixture *fixture)
{
    struct store_error error;
    struct store_info before, after;
    store_info(fixture->store, &before);
    for (int i = 0; i < 20 && store_merge_is_due(fixture->store); i++)
        cr_assert_eq(store_merge_run(fixture->store, NULL, NULL, &error), 0, "%s", error.text);
    store_info(fixture->store, &after);
    return after.merge_bytes - before.merge_bytes;
}

Test(store_cut, runs_after_one_that_keeps_a_keyed_send_are_not_rewritten_again_and_again)
{
    struct fixture fixture = fixture_open();
    const uint64_t day = UINT64_C(86400000000);
    keep_a_keyed_send(&fixture, 7 * day);
    struct rows *rows = rows_open();
    rows_add(rows, "ann", 11 * day, 0);
    rows_add(rows, "bob", 10 * day + 5, 0); /* older than the cut of ann, who is in the run too */
    cr_assert_eq(add(&fixture, rows), 0);
    cr_assert_eq(rows_of(&fixture), 4);
    store_set_cut_time(fixture.store, 30 * day, 30 * day, 7 * day);
    cr_assert_gt(bytes_merged(&fixture), 0);
    cr_assert_eq(rows_of(&fixture), 3, "the keyed send is gone");
    cr_assert_str_eq(range(&fixture, "bob", (struct store_range){.oldest_first = true}), "863999999995 864000000005");
    for (uint64_t i = 31; i < 35; i++) {
        store_set_cut_time(fixture.store, i * day, i * day, 7 * day);
        cr_assert_eq(bytes_merged(&fixture), 0, "nothing is left to rewrite");
    }
    fixture_close(&fixture);
}

Test(store_cut, a_kept_keyed_send_does_not_keep_the_user_s_other_entries_for_longer)
{
    struct fixture fixture = fixture_open();
    const uint64_t day = UINT64_C(86400000000), hour = day / 24;
    struct rows *rows = rows_open();
    rows_add(rows, "ann", 10 * day - 3, 0);
    rows_add(rows, "bob", 10 * day - 3, 0);
    cr_assert_eq(add(&fixture, rows), 0);
    keep_a_keyed_send(&fixture, hour);
    cr_assert_eq(rows_of(&fixture), 4);
    store_set_cut_time(fixture.store, 10 * day + 2 * hour, 10 * day + 2 * hour, hour);
    cr_assert_gt(bytes_merged(&fixture), 0);
    cr_assert_eq(rows_of(&fixture), 3);
    store_set_cut_time(fixture.store, 10 * day + 5 * hour, 10 * day + 5 * hour, hour);
    cr_assert_eq(bytes_merged(&fixture), 0, "a key may be needed for a day");
    fixture_close(&fixture);
}

Test(store_cut, a_keyed_send_that_a_merge_kept_goes_after_a_crash_too)
{
    struct fixture fixture = fixture_open();
    const uint64_t day = UINT64_C(86400000000);
    add_user(&fixture, "bob", 1, 1, 1);
    struct rows *rows = rows_open();
    rows_add(rows, "ann", 10 * day, 7);
    cr_assert_eq(add(&fixture, rows), 0);
    cr_assert_eq(store_cut(fixture.store, USER("ann"), 10 * day + 10), 0);
    store_set_cut_time(fixture.store, 10 * day + 20, 10 * day + 20, day);
    add_user(&fixture, "bob", 2, 1, 1); /* saves the cut */
    cr_assert_gt(bytes_merged(&fixture), 0);
    cr_assert_eq(run_count(&fixture), 1);
    fixture_stop(&fixture);
    fixture_start(&fixture);
    cr_assert_eq(store_cut(fixture.store, USER("ann"), 10 * day + 10), 0, "the WAL still has it");
    store_set_cut_time(fixture.store, 12 * day, 12 * day, day);
    cr_assert_gt(bytes_merged(&fixture), 0);
    cr_assert_str_eq(range(&fixture, "ann", (struct store_range){.oldest_first = true}), "");
    fixture_close(&fixture);
}

Test(store_cut, a_keyed_send_stays_until_its_key_has_aged_whatever_the_wall_clock_says)
{
    struct fixture fixture = fixture_open();
    const uint64_t day = UINT64_C(86400000000);
    keep_a_keyed_send(&fixture, day);
    store_set_cut_time(fixture.store, 60 * day, 10 * day + 30, day);
    cr_assert_eq(bytes_merged(&fixture), 0);
    store_set_cut_time(fixture.store, 61 * day, 11 * day, day);
    cr_assert_eq(bytes_merged(&fixture), 0);
    cr_assert_eq(rows_of(&fixture), 2);
    store_set_cut_time(fixture.store, 62 * day, 11 * day + 11, day);
    cr_assert_gt(bytes_merged(&fixture), 0);
    cr_assert_eq(rows_of(&fixture), 1);
    fixture_close(&fixture);
}

Test(store_cut, a_run_that_is_older_than_the_cut_of_all_goes_unread)
{
    struct fixture fixture = fixture_open();
    const uint64_t day = UINT64_C(86400000000);
    struct store_info info;
    add_user(&fixture, "ann", 10, 10, 4);
    add_user(&fixture, "bob", 50 * day, 10, 4);
    cr_assert_eq(store_cut(fixture.store, all, 40 * day), 0);
    store_set_cut_time(fixture.store, 60 * day, 60 * day, 7 * day);
    merge_all(&fixture);
    store_info(fixture.store, &info);
    cr_assert_eq(info.run_count, 1);
    cr_assert_eq(info.row_count, 4);
    cr_assert_eq(info.merge_bytes, 0, "nothing was written for it");
    fixture_close(&fixture);
}

Test(store_cut, keyed_sends_of_the_last_day_stay_until_a_compaction)
{
    struct fixture fixture = fixture_open();
    const uint64_t day = UINT64_C(86400000000);
    struct store_error error;
    struct rows *rows = rows_open();
    rows_add(rows, "ann", 10 * day, 7);
    rows_add(rows, "ann", 10 * day + 1, 0);
    cr_assert_eq(store_cut(fixture.store, USER("ann"), 11 * day), 0);
    store_set_cut_time(fixture.store, 10 * day + 5, 10 * day + 5, day);
    cr_assert_eq(add(&fixture, rows), 0);
    cr_assert_str_eq(range(&fixture, "ann", (struct store_range){.oldest_first = true}), "864000000000");
    store_set_cut_time(fixture.store, 12 * day + 2, 12 * day + 2, day);
    merge_all(&fixture);
    cr_assert_eq(rows_of(&fixture), 0, "its key has expired");
    rows = rows_open();
    rows_add(rows, "ann", 12 * day, 7);
    rows_add(rows, "bob", 12 * day, 8);
    cr_assert_eq(store_cut(fixture.store, USER("ann"), 12 * day + 1), 0);
    cr_assert_eq(add(&fixture, rows), 0);
    cr_assert_eq(rows_of(&fixture), 2);
    cr_assert_eq(store_compact(fixture.store, &error), 0, "%s", error.text);
    cr_assert_eq(rows_of(&fixture), 1);
    fixture_close(&fixture);
}

/* The cut of all users at day 40 and that of ann at day 20 are in the manifest; a run has what ann had. */
static void cut_ann_and_all(struct fixture *fixture, uint64_t day)
{
    add_user(fixture, "ann", 10 * day, 40 * day, 2);
    cr_assert_eq(store_cut(fixture->store, USER("ann"), 20 * day), 0);
    cr_assert_eq(store_cut(fixture->store, all, 40 * day), 0);
    cr_assert_eq(add(fixture, rows_open()), 0);
}

static uint32_t cuts_saved(struct fixture *fixture)
{
    fixture_stop(fixture);
    fixture_start(fixture);
    return store_cut_count(fixture->store);
}

Test(store_cut, that_of_a_user_is_dropped_when_the_one_for_all_says_the_same)
{
    struct fixture fixture = fixture_open();
    const uint64_t day = UINT64_C(86400000000);
    cut_ann_and_all(&fixture, day);
    cr_assert_eq(store_cut(fixture.store, USER("bob"), 45 * day), 0);
    add_user(&fixture, "carol", 60 * day, 1, 1);
    store_set_cut_time(fixture.store, 60 * day, 60 * day, 7 * day);
    merge_all(&fixture);
    cr_assert_eq(store_cut_count(fixture.store), 2, "that of ann is gone");
    cr_assert_eq(store_cut(fixture.store, USER("dave"), 30 * day), 0, "not in the manifest yet");
    store_set_cut_time(fixture.store, 61 * day, 61 * day, 7 * day);
    merge_all(&fixture);
    cr_assert_eq(store_cut_count(fixture.store), 3);
    cr_assert_eq(store_cut_ts(fixture.store, USER("ann")), 40 * day);
    cr_assert_eq(store_cut_ts(fixture.store, USER("bob")), 45 * day, "above the one for all");
    cr_assert_eq(cuts_saved(&fixture), 2, "the WAL has that of dave");
    cr_assert_eq(store_cut_ts(fixture.store, USER("bob")), 45 * day);
    cr_assert_eq(store_cut(fixture.store, USER("ann"), 55 * day), 0, "ann is erased again");
    add_user(&fixture, "carol", 61 * day, 1, 1);
    cr_assert_eq(cuts_saved(&fixture), 3);
    cr_assert_eq(store_cut_ts(fixture.store, USER("ann")), 55 * day);
    fixture_close(&fixture);
}

Test(store_cut, that_of_a_user_stays_while_a_run_is_to_be_rewritten_for_it_or_a_key_protects)
{
    struct fixture fixture = fixture_open();
    const uint64_t day = UINT64_C(86400000000);
    cut_ann_and_all(&fixture, day);
    store_set_cut_time(fixture.store, 60 * day, 60 * day, 50 * day);
    merge_all(&fixture);
    cr_assert_eq(store_cut_count(fixture.store), 2, "a run below it may have what ann had");
    store_set_cut_time(fixture.store, 61 * day, 20 * day + 5, 7 * day);
    merge_all(&fixture);
    cr_assert_eq(cuts_saved(&fixture), 2, "by the clock of keys ann was erased within the day");
    store_set_cut_time(fixture.store, 61 * day, 60 * day, 7 * day);
    merge_all(&fixture);
    cr_assert_eq(cuts_saved(&fixture), 1);
    fixture_close(&fixture);
}
