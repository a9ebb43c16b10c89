#include "store_fixture.h"

#include "storage/datadir/datadir.h"
#include "storage/offline/offline.h"
#include "storage/offline/run_check.h"

/* A data directory of one shard whose runs are made by hand. */
static char root[32];
static struct fixture fixture;
static struct datadir *datadir;
static char reported[8192];

static void tell(void *context, const char *text)
{
    (void)context;
    size_t used = strlen(reported);
    (void)snprintf(reported + used, sizeof reported - used, "%s\n", text);
}

static struct problems problems;

static void setup(void)
{
    struct datadir_error error;
    problems = (struct problems){.report = tell};
    reported[0] = '\0';
    strcpy(root, "/tmp/chitchat-offline-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    cr_assert_eq(datadir_open(&datadir, root, 1, 1, &error), 0, "%s", error.text);
    datadir_close(&datadir);
    fixture.options = (struct store_options){.runs_max = 8, .fan_out = 3};
    (void)snprintf(fixture.dir, sizeof fixture.dir, "%s/shard-0000/runs", root);
    fixture_start(&fixture);
}

static void teardown(void)
{
    datadir_close(&datadir);
    remove_tree(root);
}

TestSuite(offline, .init = setup, .fini = teardown);

static struct offline *look(void)
{
    struct offline *offline;
    struct datadir_error error;
    fixture_stop(&fixture);
    cr_assert_eq(datadir_open_read(&datadir, root, false, &error), 0, "%s", error.text);
    cr_assert_eq(offline_open(&offline, datadir, &problems), 0);
    return offline;
}

/* The entries as "user-ts user-ts …". */
static const char *entries(struct offline *offline, const char *user)
{
    static char text[4096];
    struct offline_rows *rows;
    struct message message;
    struct span name;
    size_t at = 0;
    int more;
    cr_assert_eq(offline_rows_open(&rows, offline, 0, span_of(user)), 0);
    text[0] = '\0';
    while ((more = offline_rows_next(rows, &name, &message)) == 1)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s-%llu", at > 0 ? " " : "", (int)name.bytes,
                               name.data, (unsigned long long)message.ts);
    cr_assert_eq(more, 0);
    offline_rows_close(&rows);
    return text;
}

Test(offline, a_manifest_that_cannot_be_looked_at_is_a_problem)
{
    char path[160];
    fixture_stop(&fixture);
    snprintf(path, sizeof path, "%s/manifest.mdb", fixture.dir);
    cr_assert(unlink(path) == 0 && symlink("manifest.mdb", path) == 0, "a link to itself");
    fixture.store = NULL;
    struct datadir_error error;
    struct offline *offline;
    cr_assert_eq(datadir_open_read(&datadir, root, false, &error), 0, "%s", error.text);
    cr_assert_eq(offline_open(&offline, datadir, &problems), 0);
    cr_assert_not_null(strstr(reported, "manifest.mdb"), "%s", reported);
    offline_close(&offline);
}

Test(offline, runs_are_merged_by_user_and_ts_and_equal_rows_are_given_once)
{
    add_user(&fixture, "bob", 10, 10, 3);
    add_user(&fixture, "al", 5, 10, 2);
    add_user(&fixture, "bob", 20, 10, 3);
    add_user(&fixture, "alice", 1, 1, 2);
    struct offline *offline = look();
    cr_assert_str_eq(entries(offline, ""), "al-5 al-15 alice-1 alice-2 bob-10 bob-20 bob-30 bob-40");
    cr_assert_str_eq(entries(offline, "al"), "al-5 al-15");
    cr_assert_str_eq(entries(offline, "bob"), "bob-10 bob-20 bob-30 bob-40");
    cr_assert_str_eq(entries(offline, "carol"), "");
    cr_assert_eq(offline_has_entry(offline, span_of("bob"), 10), 1);
    cr_assert_eq(offline_has_entry(offline, span_of("bob"), 40), 1);
    cr_assert_eq(offline_has_entry(offline, span_of("bob"), 15), 0);
    cr_assert_eq(offline_has_entry(offline, span_of("al"), 1), 0);
    cr_assert_eq(offline_has_entry(offline, span_of("carol"), 10), 0);
    cr_assert_eq(problems.count, 0, "%s", reported);
    offline_close(&offline);
}

Test(offline, two_messages_at_one_place_are_reported)
{
    add_user(&fixture, "bob", 10, 10, 3);
    struct rows *rows = rows_open();
    rows_add(rows, "bob", 20, 0);
    strcpy(rows->rows[0].text, "another");
    cr_assert_eq(add(&fixture, rows), 0);
    struct offline *offline = look();
    cr_assert_str_eq(entries(offline, ""), "bob-10 bob-20 bob-30");
    cr_assert_eq(problems.count, 1);
    cr_assert_not_null(strstr(reported, "two messages stand at ts 20 in the timeline of bob"), "%s", reported);
    offline_close(&offline);
}

static void check_first_run(struct offline *offline)
{
    const char *path;
    struct run *run = offline_run(offline, 0, 0, &path);
    cr_assert_not_null(run);
    struct run_check check = {datadir, 0, path, &problems, 0};
    run_check(run, &check);
}

Test(offline, a_run_as_it_was_written_has_no_problem)
{
    add_user(&fixture, "bob", 10, 10, 1000);
    struct offline *offline = look();
    check_first_run(offline);
    cr_assert_eq(problems.count, 0, "%s", reported);
    offline_close(&offline);
}

/* The hashes in the fixture belong to no key. */
Test(offline, a_key_index_that_does_not_agree_with_the_rows_is_reported)
{
    struct rows *rows = rows_open();
    rows_add(rows, "bob", 10, 4711);
    cr_assert_eq(add(&fixture, rows), 0);
    struct offline *offline = look();
    check_first_run(offline);
    cr_assert_eq(problems.count, 1, "%s", reported);
    cr_assert_not_null(strstr(reported, "the key of bob at 10 is not the one of its key index"), "%s", reported);
    offline_close(&offline);
}

/* Adds 1 to the byte `at` behind where the first run has `part`, as a disk might; and looks at the run. */
static struct offline *damage(struct span part, size_t at)
{
    char path[256], bytes[65536];
    (void)snprintf(path, sizeof path, "%s/run-%012d.mdb", fixture.dir, 1);
    fixture_stop(&fixture);
    FILE *file = fopen(path, "r+");
    size_t count = fread(bytes, 1, sizeof bytes, file);
    const char *found = memmem(bytes, count, part.data, part.bytes);
    cr_assert_not_null(found);
    fseek(file, found - bytes + (long)at, SEEK_SET);
    fputc(found[at] + 1, file);
    cr_assert_eq(fclose(file), 0);
    fixture_start(&fixture);
    struct offline *offline = look();
    check_first_run(offline);
    return offline;
}

Test(offline, any_flipped_byte_of_a_row_is_reported)
{
    add_user(&fixture, "bob", 10, 10, 3);
    struct offline *offline = damage(SPAN_LITERAL("bob-20"), 0);
    cr_assert_eq(problems.count, 1, "%s", reported);
    cr_assert_not_null(strstr(reported, "checksum"), "%s", reported);
    offline_close(&offline);
}

/* A piece of the index by peer: name, bytes, then of each entry 2 * time, and places, from the newest on. */
Test(offline, a_wrong_place_in_the_index_by_peer_is_reported)
{
    add_user(&fixture, "bob", 10, 10, 20);
    struct offline *offline = damage(SPAN_LITERAL("\4peer\50\0\0\24\1"), 9);
    cr_assert_eq(problems.count, 2, "%s", reported);
    cr_assert_not_null(strstr(reported, "its index by peer does not have the entries of bob"), "%s", reported);
    cr_assert_not_null(strstr(reported, "checksum"), "%s", reported);
    offline_close(&offline);
}

Test(offline, runs_beside_an_empty_manifest_are_reported)
{
    add_user(&fixture, "bob", 10, 10, 3);
    fixture_stop(&fixture);
    char path[256];
    (void)snprintf(path, sizeof path, "%s/manifest.mdb", fixture.dir);
    cr_assert_eq(unlink(path), 0);
    struct datadir_error error;
    struct offline *offline;
    cr_assert_eq(datadir_open_read(&datadir, root, false, &error), 0, "%s", error.text);
    cr_assert_eq(offline_open(&offline, datadir, &problems), 0);
    cr_assert_eq(problems.count, 1);
    cr_assert_not_null(strstr(reported, "manifest.mdb is missing"), "%s", reported);
    offline_close(&offline);
}
