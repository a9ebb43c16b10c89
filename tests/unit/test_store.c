/* store.h: runs, manifest and merges; and what a crash or damage leaves. */
#include "storage/page_guard.h"
#include "storage/runs/manifest.h"
#include "store_fixture.h"

#include "storage/datadir/backup_lock.h"
#include "storage/offline/copy.h"
#include "storage/runs/run.h"

/* -- runs and their marks -- */

Test(store, a_new_one_is_empty_and_says_so_after_it_was_opened_again)
{
    struct fixture fixture = fixture_open();
    struct store_info info;
    uint64_t ts = 7;
    store_info(fixture.store, &info);
    cr_assert(info.run_count == 0 && info.row_count == 0 && info.last_ts == 0 && info.applied.generation == 0);
    cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 0)), "");
    cr_assert_eq(store_reader_newest(fixture.reader, SPAN_LITERAL("alice"), UINT64_MAX, &ts), 0);
    cr_assert_eq(ts, 0);
    fixture_stop(&fixture);
    fixture_start(&fixture);
    cr_assert_eq(run_count(&fixture), 0);
    fixture_close(&fixture);
}

Test(store, a_run_and_its_marks_are_there_after_it_was_opened_again)
{
    struct fixture fixture = fixture_open();
    add_user(&fixture, "alice", 10, 10, 5);
    for (int i = 0; i < 2; i++) {
        struct store_info info;
        store_info(fixture.store, &info);
        cr_assert_eq(info.run_count, 1);
        cr_assert_eq(info.row_count, 5);
        cr_assert_eq(info.ts_max, 50);
        cr_assert_eq(info.last_ts, 1000001);
        cr_assert_eq(info.applied.generation, 1);
        cr_assert_eq(info.applied.bytes, 4096);
        cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 0)), "10 20 30 40 50");
        fixture_stop(&fixture);
        fixture_start(&fixture);
    }
    fixture_close(&fixture);
}

Test(store, an_empty_source_commits_the_marks_alone)
{
    struct fixture fixture = fixture_open();
    cr_assert_eq(add(&fixture, rows_open()), 0);
    struct store_info info;
    fixture_stop(&fixture);
    fixture_start(&fixture);
    store_info(fixture.store, &info);
    cr_assert_eq(info.run_count, 0);
    cr_assert_eq(info.last_ts, 1000001);
    cr_assert_eq(count_files(fixture.dir, "run-"), 0);
    fixture_close(&fixture);
}

Test(store, a_source_that_fails_changes_nothing_and_may_be_tried_again)
{
    struct fixture fixture = fixture_open();
    struct rows *rows = rows_open();
    for (uint32_t i = 0; i < 100; i++)
        rows_add(rows, "alice", i + 1, 0);
    rows->fail_at = 150;
    cr_assert_eq(add(&fixture, rows), -EIO);
    cr_assert_eq(run_count(&fixture), 0);
    cr_assert_eq(count_files(fixture.dir, "run-"), 0);
    add_user(&fixture, "alice", 1, 1, 3);
    cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 0)), "1 2 3");
    fixture_close(&fixture);
}

Test(store, at_the_cap_a_run_is_refused_until_a_merge_has_made_room)
{
    struct fixture fixture = fixture_open();
    struct store_error error;
    for (uint32_t i = 0; i < fixture.options.runs_max; i++) {
        cr_assert_not(store_is_at_cap(fixture.store));
        add_user(&fixture, "alice", 100 * i + 1, 1, 2);
    }
    cr_assert(store_is_at_cap(fixture.store));
    struct rows *rows = rows_open();
    rows_add(rows, "alice", 5000, 0);
    cr_assert_eq(add(&fixture, rows), -EAGAIN);
    cr_assert(store_merge_is_due(fixture.store));
    cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), 0, "%s", error.text);
    cr_assert_not(store_is_at_cap(fixture.store));
    add_user(&fixture, "alice", 5000, 1, 1);
    fixture_close(&fixture);
}

Test(store, a_manifest_that_cannot_be_looked_at_is_not_made_anew)
{
    struct fixture fixture = fixture_open();
    struct store_error error;
    char path[96];
    snprintf(path, sizeof path, "%s/manifest.mdb", fixture.dir);
    fixture_stop(&fixture);
    cr_assert(unlink(path) == 0 && symlink("manifest.mdb", path) == 0, "a link to itself");
    cr_assert_eq(store_open(&fixture.store, fixture.dir, &fixture.options, &error), -ELOOP);
    cr_assert_not_null(strstr(error.text, "manifest.mdb: cannot be accessed"));
    fixture.store = NULL;
    fixture_close(&fixture);
}

/* -- merges -- */

Test(store, a_merge_is_due_when_a_level_is_full_and_makes_one_run_of_it)
{
    struct fixture fixture = fixture_open();
    struct store_error error;
    add_user(&fixture, "alice", 10, 10, 3);
    add_user(&fixture, "bob", 10, 10, 3);
    cr_assert_not(store_merge_is_due(fixture.store));
    cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), 0, "nothing is due: nothing happens");
    cr_assert_eq(run_count(&fixture), 2);
    add_user(&fixture, "alice", 40, 10, 3);
    cr_assert(store_merge_is_due(fixture.store));
    cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), 0, "%s", error.text);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(run_count(&fixture), 1);
        cr_assert_eq(count_files(fixture.dir, "run-"), 1, "the old files are gone");
        cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 0)), "10 20 30 40 50 60");
        cr_assert_str_eq(range(&fixture, "bob", OLDEST(.after = 0)), "10 20 30");
        fixture_stop(&fixture);
        fixture_start(&fixture);
    }
    fixture_close(&fixture);
}

Test(store, merged_runs_are_merged_again_a_level_higher)
{
    struct fixture fixture = fixture_open();
    struct store_error error;
    for (uint32_t i = 0; i < 27; i++) {
        add_user(&fixture, "alice", 10 * i + 1, 1, 2);
        while (store_merge_is_due(fixture.store))
            cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), 0);
        cr_assert_leq(run_count(&fixture), 2 + 2 + 2);
    }
    cr_assert_eq(run_count(&fixture), 1, "3 x 3 x 3");
    struct store_info info;
    store_info(fixture.store, &info);
    cr_assert_eq(info.row_count, 54);
    fixture_close(&fixture);
}

/* Opens and locks a run, as a backup does. */
static int copy_of(struct fixture *fixture, uint64_t id)
{
    char path[RUN_PATH_BYTES];
    run_path(path, fixture->dir, id);
    return copy_open(path);
}

Test(store, a_run_that_is_being_copied_stays_whole_when_it_was_merged_away)
{
    struct fixture fixture = fixture_open();
    struct store_error error;
    for (uint32_t i = 0; i < 3; i++)
        add_user(&fixture, "alice", 10 * i + 1, 1, 2);
    int fd = copy_of(&fixture, 2);
    cr_assert_geq(fd, 0);
    cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), 0);
    cr_assert_eq(run_count(&fixture), 1);
    cr_assert_eq(count_files(fixture.dir, "run-"), 2, "the merged one, and the one that is being copied");
    cr_assert(store_merge_is_due(fixture.store));
    cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), -ECANCELED, "it is still being copied");
    close(fd);
    cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), 0);
    cr_assert_eq(count_files(fixture.dir, "run-"), 1);
    cr_assert_not(store_merge_is_due(fixture.store));
    fixture_close(&fixture);
}

Test(store, runs_that_a_backup_may_still_link_stay_until_it_lets_go)
{
    struct fixture fixture = fixture_open();
    struct store_error error;
    fixture_stop(&fixture);
    fixture.options.data_dir = fixture.dir;
    fixture_start(&fixture);
    for (uint32_t i = 0; i < 3; i++)
        add_user(&fixture, "alice", 10 * i + 1, 1, 2);
    int lock_fd = backup_lock_take(fixture.dir);
    cr_assert_geq(lock_fd, 0);
    cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), 0);
    cr_assert_eq(run_count(&fixture), 1);
    cr_assert_eq(count_files(fixture.dir, "run-"), 4, "the merged one, and those that went into it");
    cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), -ECANCELED, "it still holds");
    backup_lock_give(lock_fd);
    cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), 0);
    cr_assert_eq(count_files(fixture.dir, "run-"), 1);
    fixture_close(&fixture);
}

Test(store, past_its_limit_runs_that_are_being_copied_lose_their_names_and_stay_whole)
{
    struct fixture fixture = fixture_open();
    struct store_error error;
    struct stat file;
    uint64_t id = 1;
    uint32_t before;
    int fds[2 * STORE_KEPT_MAX], most = 0, count = 0;
    while (count < (int)(STORE_KEPT_MAX + fixture.options.runs_max)) {
        add_user(&fixture, "alice", 10 * id, 1, 2);
        fds[count] = copy_of(&fixture, id++);
        cr_assert_geq(fds[count++], 0);
        do {
            before = run_count(&fixture);
            int status = store_merge_run(fixture.store, NULL, NULL, &error);
            cr_assert(status == 0 || status == -ECANCELED);
            id += run_count(&fixture) < before;
        } while (run_count(&fixture) < before);
        most = count_files(fixture.dir, "run-") > most ? count_files(fixture.dir, "run-") : most;
    }
    cr_assert(most >= (int)STORE_KEPT_MAX && most <= (int)(STORE_KEPT_MAX + fixture.options.runs_max), "%d", most);
    cr_assert_lt(count_files(fixture.dir, "run-"), (int)STORE_KEPT_MAX, "they went");
    for (int i = 0; i < count; i++) {
        cr_assert(fstat(fds[i], &file) == 0 && file.st_size > 0 && file.st_size % 4096 == 0);
        close(fds[i]);
    }
    fixture_close(&fixture);
}

/* Each checkpoint is in exactly one run of the manifest, oldest first. */
static void expect_all_checkpoints(const struct fixture *fixture, uint64_t count)
{
    char path[128];
    struct manifest_state state;
    struct store_error error;
    snprintf(path, sizeof path, "%s/manifest.mdb", fixture->dir);
    cr_assert_eq(manifest_read(path, true, &state, &error), 0, "%s", error.text);
    uint64_t next = state.entries[0].seq_first;
    for (uint32_t i = 0; i < state.count; i++) {
        cr_assert_eq(state.entries[i].seq_first, next);
        cr_assert_geq(state.entries[i].seq_last, state.entries[i].seq_first);
        next = state.entries[i].seq_last + 1;
    }
    cr_assert_eq(next, state.entries[0].seq_first + count);
    free(state.entries);
}

Test(store, merged_runs_stand_for_the_checkpoints_that_went_into_them)
{
    struct fixture fixture = fixture_open();
    struct store_error error;
    for (uint64_t i = 1; i <= 13; i++) {
        add_user(&fixture, "alice", 10 * i, 1, 2);
        while (store_merge_is_due(fixture.store))
            cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), 0);
        expect_all_checkpoints(&fixture, i);
    }
    cr_assert_eq(run_count(&fixture), 3, "of nine, of three, of one");
    fixture_close(&fixture);
}

static bool stop_at_once(void *context)
{
    ++*(uint32_t *)context;
    return true;
}

Test(store, a_merge_that_is_stopped_leaves_all_as_it_was)
{
    struct fixture fixture = fixture_open();
    struct store_error error;
    uint32_t asked = 0;
    for (uint32_t i = 0; i < 3; i++)
        add_user(&fixture, "alice", 10 * i + 1, 1, 2);
    cr_assert_eq(store_merge_run(fixture.store, stop_at_once, &asked, &error), -ECANCELED);
    cr_assert_gt(asked, 0);
    cr_assert_eq(run_count(&fixture), 3);
    cr_assert_eq(count_files(fixture.dir, "run-"), 3);
    cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 0)), "1 2 11 12 21 22");
    cr_assert(store_merge_is_due(fixture.store), "and it can be done later");
    cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), 0);
    cr_assert_eq(run_count(&fixture), 1);
    fixture_close(&fixture);
}

Test(store, a_merge_keeps_the_key_index_and_drops_equal_rows)
{
    struct fixture fixture = fixture_open();
    struct store_error error;
    struct store_keyed keyed[8];
    uint32_t count;
    for (uint32_t i = 0; i < 3; i++) {
        struct rows *rows = rows_open();
        rows_add(rows, "alice", 10, 77);
        rows_add(rows, "alice", 20 + i, 80 + i);
        cr_assert_eq(add(&fixture, rows), 0);
    }
    cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), 0);
    struct store_info info;
    store_info(fixture.store, &info);
    cr_assert_eq(info.row_count, 4);
    cr_assert_eq(store_reader_keyed(fixture.reader, SPAN_LITERAL("alice"), 0, keyed, 8, &count), 0);
    cr_assert_eq(count, 4);
    cr_assert_eq(keyed[3].hash, 77);
    fixture_close(&fixture);
}

/* -- what a crash or damage leaves -- */

static void copy_first_run(const struct fixture *fixture, const char *name)
{
    char command[256];
    snprintf(command, sizeof command, "cp %s/run-000000000001.mdb %s/%s", fixture->dir, fixture->dir, name);
    cr_assert_eq(system(command), 0);
}

Test(store, files_that_the_manifest_does_not_name_are_removed_at_open)
{
    struct fixture fixture = fixture_open();
    add_user(&fixture, "alice", 10, 10, 3);
    fixture_stop(&fixture);
    copy_first_run(&fixture, "run-000000000044.mdb");
    copy_first_run(&fixture, "notes.txt");
    fixture_start(&fixture);
    cr_assert_eq(count_files(fixture.dir, "run-"), 1);
    cr_assert_eq(count_files(fixture.dir, "notes"), 1, "what is not ours is left");
    cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 0)), "10 20 30");
    fixture_close(&fixture);
}

static void expect_refused(struct fixture *fixture, const char *word)
{
    struct store_error error;
    cr_assert_eq(store_open(&fixture->store, fixture->dir, &fixture->options, &error), -EBADMSG);
    cr_assert_not_null(strstr(error.text, word), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "backup"), "it says what to do: %s", error.text);
    fixture->store = NULL;
}

static struct fixture fixture_with_a_run_stopped(char path[128])
{
    struct fixture fixture = fixture_open();
    add_user(&fixture, "alice", 1, 1, 2000);
    fixture_stop(&fixture);
    snprintf(path, 128, "%s/run-000000000001.mdb", fixture.dir);
    return fixture;
}

Test(store, a_run_that_is_missing_is_refused)
{
    char path[128];
    struct fixture fixture = fixture_with_a_run_stopped(path);
    cr_assert_eq(unlink(path), 0);
    expect_refused(&fixture, "run-000000000001.mdb");
    fixture_close(&fixture);
}

Test(store, a_run_that_was_cut_short_is_refused)
{
    char path[128];
    struct fixture fixture = fixture_with_a_run_stopped(path);
    struct stat stat_now;
    cr_assert(stat(path, &stat_now) == 0 && truncate(path, stat_now.st_size - 4096) == 0);
    expect_refused(&fixture, "bytes instead of");
    fixture_close(&fixture);
}

/* As bad sectors do. */
Test(store, a_merge_of_a_run_whose_pages_cannot_be_read_fails_and_the_process_goes_on)
{
    char path[128];
    struct store_error error = {""};
    struct fixture fixture = fixture_open();
    for (uint64_t ts = 1; !store_merge_is_due(fixture.store); ts += 2000)
        add_user(&fixture, "alice", ts, 1, 2000);
    uint32_t count = run_count(&fixture);
    snprintf(path, sizeof path, "%s/run-000000000001.mdb", fixture.dir);
    cr_assert_eq(page_guard_install(), 0);
    cr_assert_eq(truncate(path, 8192), 0);
    cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), -EIO);
    cr_assert(strstr(error.text, fixture.dir) != NULL, "%s", error.text);
    cr_assert_eq(run_count(&fixture), count);
    fixture_close(&fixture);
}

Test(store, a_run_that_is_another_file_is_refused)
{
    char path[128];
    struct fixture fixture = fixture_with_a_run_stopped(path);
    int fd = open(path, O_WRONLY);
    static char nothing[8192];
    cr_assert_eq(write(fd, nothing, sizeof nothing), (ssize_t)sizeof nothing);
    close(fd);
    expect_refused(&fixture, "run-000000000001.mdb");
    fixture_close(&fixture);
}

Test(store, a_manifest_that_is_missing_beside_runs_is_refused_and_the_runs_are_left)
{
    char path[128];
    struct fixture fixture = fixture_with_a_run_stopped(path);
    snprintf(path, sizeof path, "%s/manifest.mdb", fixture.dir);
    cr_assert_eq(unlink(path), 0);
    expect_refused(&fixture, "manifest.mdb");
    cr_assert_eq(count_files(fixture.dir, "run-"), 1);
    fixture_close(&fixture);
}

/* The other half of the proof is tests/power: manifest.mdb is never there before it is whole. */
Test(store, what_a_power_cut_left_of_a_new_manifest_is_made_anew)
{
    char path[128];
    static const char half[4096] = "half a manifest";
    struct fixture fixture = fixture_open();
    fixture_stop(&fixture);
    snprintf(path, sizeof path, "%s/manifest.mdb", fixture.dir);
    cr_assert_eq(unlink(path), 0);
    snprintf(path, sizeof path, "%s/manifest.new", fixture.dir);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    cr_assert_eq(write(fd, half, sizeof half), (ssize_t)sizeof half);
    close(fd);
    fixture_start(&fixture);
    cr_assert_eq(access(path, F_OK), -1);
    fixture_close(&fixture);
}

Test(store, a_manifest_without_marks_is_refused)
{
    char path[128];
    struct fixture fixture = fixture_open();
    fixture_stop(&fixture);
    snprintf(path, sizeof path, "%s/manifest.mdb", fixture.dir);
    cr_assert_eq(truncate(path, 0), 0);
    expect_refused(&fixture, "manifest.mdb is damaged");
    fixture_close(&fixture);
}

Test(store, a_manifest_that_was_cut_short_is_refused)
{
    char path[128];
    struct fixture fixture = fixture_with_a_run_stopped(path);
    snprintf(path, sizeof path, "%s/manifest.mdb", fixture.dir);
    cr_assert_eq(truncate(path, 8192), 0);
    expect_refused(&fixture, "manifest.mdb");
    fixture_close(&fixture);
}

Test(store, a_directory_that_cannot_be_made_is_an_error_with_its_name)
{
    struct store *store;
    struct store_error error;
    struct store_options options = {.runs_max = 8, .fan_out = 3};
    cr_assert_lt(store_open(&store, "/proc/nowhere/runs", &options, &error), 0);
    cr_assert_not_null(strstr(error.text, "/proc/nowhere/runs"));
}

/* -- throttling -- */

struct throttle_fixture {
    struct fixture *fixture;
    uint32_t slices;
    uint64_t rows;
    uint32_t levels;
    uint32_t runs_max;
    uint32_t added;
};

/* While the long merge waits, three more checkpoints come. */
static void on_merge_slice(void *context, const struct store_slice *slice)
{
    struct throttle_fixture *throttle = context;
    throttle->slices++;
    throttle->rows += slice->rows;
    throttle->levels = slice->levels > throttle->levels ? slice->levels : throttle->levels;
    throttle->runs_max = slice->runs_max;
    for (; throttle->added < 3; throttle->added++)
        add_user(throttle->fixture, "carol", 10 + throttle->added, 1, 1);
}

Test(store, a_long_merge_reports_its_slices_and_lets_shorter_ones_go_between_them)
{
    struct fixture fixture = fixture_open();
    struct store_error error;
    struct throttle_fixture throttle = {.fixture = &fixture};
    for (uint32_t i = 0; i < 9; i++) {
        add_user(&fixture, i % 2 == 0 ? "alice" : "bob", 1 + i * 1000, 1, 1000);
        if (i % 3 == 2)
            cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), 0, "%s", error.text);
    }
    cr_assert_eq(run_count(&fixture), 3, "three of level 1");
    store_set_throttle(fixture.store, &(struct store_throttle){.on_merge_slice = on_merge_slice, .context = &throttle});
    cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), 0, "%s", error.text);
    struct store_info info;
    store_info(fixture.store, &info);
    cr_assert_eq(info.run_count, 2, "the long one, and the three that came meanwhile as one");
    cr_assert_eq(info.row_count, 9003);
    cr_assert(throttle.slices >= 2 && throttle.rows >= 9003, "both merges reported what they wrote");
    cr_assert_eq(throttle.levels, 2);
    cr_assert_eq(throttle.runs_max, 8);
    cr_assert(info.run_count_most == 6 && info.merge_bytes > 0 && info.run_bytes > 0);
    cr_assert_str_eq(range(&fixture, "carol", OLDEST(.after = 0)), "10 11 12");
    cr_assert_eq(count_files(fixture.dir, "run-"), 2);
    fixture_close(&fixture);
}
