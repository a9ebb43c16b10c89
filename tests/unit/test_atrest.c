#include "store_bed.h"

#include "storage/atrest.h"
#include "storage/datadir.h"
#include "storage/run_check.h"

/* A data directory of one shard whose runs are made by hand. */
static char root[] = "/tmp/chitchat-atrest-XXXXXX";
static struct bed bed;
static struct datadir *datadir;
static char told[8192];

static void tell(void *context, const char *text)
{
    (void)context;
    size_t used = strlen(told);
    (void)snprintf(told + used, sizeof told - used, "%s\n", text);
}

static struct problems problems = {.tell = tell};

static void setup(void)
{
    struct datadir_error error;
    cr_assert_not_null(mkdtemp(root));
    cr_assert_eq(datadir_open(&datadir, root, 1, 1, &error), 0, "%s", error.text);
    datadir_close(&datadir);
    bed.options = (struct store_options){.runs_max = 8, .fan_out = 3};
    (void)snprintf(bed.dir, sizeof bed.dir, "%s/shard-0000/runs", root);
    bed_start(&bed);
}

static void teardown(void)
{
    datadir_close(&datadir);
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(atrest, .init = setup, .fini = teardown);

static struct atrest *look(void)
{
    struct atrest *atrest;
    struct datadir_error error;
    bed_stop(&bed);
    cr_assert_eq(datadir_open_read(&datadir, root, false, &error), 0, "%s", error.text);
    cr_assert_eq(atrest_open(&atrest, datadir, &problems), 0);
    return atrest;
}

/* The entries as "user-ts user-ts …". */
static const char *entries(struct atrest *atrest, const char *user)
{
    static char text[4096];
    struct atrest_rows *rows;
    struct message message;
    struct span name;
    size_t at = 0;
    int more;
    cr_assert_eq(atrest_rows_open(&rows, atrest, 0, span_of(user)), 0);
    text[0] = '\0';
    while ((more = atrest_rows_next(rows, &name, &message)) == 1)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s-%llu", at > 0 ? " " : "", (int)name.bytes,
                               name.data, (unsigned long long)message.ts);
    cr_assert_eq(more, 0);
    atrest_rows_close(&rows);
    return text;
}

Test(atrest, a_manifest_that_cannot_be_looked_at_is_a_problem)
{
    char path[160];
    bed_stop(&bed);
    snprintf(path, sizeof path, "%s/manifest.mdb", bed.dir);
    cr_assert(unlink(path) == 0 && symlink("manifest.mdb", path) == 0, "a link to itself");
    bed.store = NULL;
    struct datadir_error error;
    struct atrest *atrest;
    cr_assert_eq(datadir_open_read(&datadir, root, false, &error), 0, "%s", error.text);
    cr_assert_eq(atrest_open(&atrest, datadir, &problems), 0);
    cr_assert_not_null(strstr(told, "manifest.mdb"), "%s", told);
    atrest_close(&atrest);
}

Test(atrest, runs_are_merged_by_user_and_ts_and_equal_rows_are_given_once)
{
    add_user(&bed, "bob", 10, 10, 3);
    add_user(&bed, "al", 5, 10, 2);
    add_user(&bed, "bob", 20, 10, 3);
    add_user(&bed, "alice", 1, 1, 2);
    struct atrest *atrest = look();
    cr_assert_str_eq(entries(atrest, ""), "al-5 al-15 alice-1 alice-2 bob-10 bob-20 bob-30 bob-40");
    cr_assert_str_eq(entries(atrest, "al"), "al-5 al-15");
    cr_assert_str_eq(entries(atrest, "bob"), "bob-10 bob-20 bob-30 bob-40");
    cr_assert_str_eq(entries(atrest, "carol"), "");
    cr_assert_eq(problems.count, 0, "%s", told);
    atrest_close(&atrest);
}

Test(atrest, two_messages_at_one_place_are_told)
{
    add_user(&bed, "bob", 10, 10, 3);
    struct rows *rows = rows_open();
    rows_add(rows, "bob", 20, 0);
    strcpy(rows->rows[0].text, "another");
    cr_assert_eq(add(&bed, rows), 0);
    struct atrest *atrest = look();
    cr_assert_str_eq(entries(atrest, ""), "bob-10 bob-20 bob-30");
    cr_assert_eq(problems.count, 1);
    cr_assert_not_null(strstr(told, "two messages stand at ts 20 in the timeline of bob"), "%s", told);
    atrest_close(&atrest);
}

static void check_first_run(struct atrest *atrest)
{
    const char *path;
    struct run *run = atrest_run(atrest, 0, 0, &path);
    cr_assert_not_null(run);
    struct run_check check = {datadir, 0, path, &problems, 0};
    run_check(run, &check);
}

Test(atrest, a_run_as_it_was_written_has_no_problem)
{
    add_user(&bed, "bob", 10, 10, 1000);
    struct atrest *atrest = look();
    check_first_run(atrest);
    cr_assert_eq(problems.count, 0, "%s", told);
    atrest_close(&atrest);
}

/* The bed's hashes are of no key. */
Test(atrest, a_key_index_that_does_not_agree_with_the_rows_is_told)
{
    struct rows *rows = rows_open();
    rows_add(rows, "bob", 10, 4711);
    cr_assert_eq(add(&bed, rows), 0);
    struct atrest *atrest = look();
    check_first_run(atrest);
    cr_assert_eq(problems.count, 1, "%s", told);
    cr_assert_not_null(strstr(told, "the key of bob at 10 is not the one of its key index"), "%s", told);
    atrest_close(&atrest);
}

Test(atrest, any_flipped_byte_of_a_row_is_told)
{
    add_user(&bed, "bob", 10, 10, 3);
    char path[256];
    (void)snprintf(path, sizeof path, "%s/run-%012d.mdb", bed.dir, 1);
    bed_stop(&bed);
    FILE *file = fopen(path, "r+");
    char bytes[65536];
    size_t count = fread(bytes, 1, sizeof bytes, file);
    char *text = memmem(bytes, count, "bob-20", 6);
    cr_assert_not_null(text);
    fseek(file, text - bytes, SEEK_SET);
    fputc('p', file);
    cr_assert_eq(fclose(file), 0);
    bed_start(&bed);
    struct atrest *atrest = look();
    check_first_run(atrest);
    cr_assert_eq(problems.count, 1, "%s", told);
    cr_assert_not_null(strstr(told, "checksum"), "%s", told);
    atrest_close(&atrest);
}

Test(atrest, runs_beside_an_empty_manifest_are_told)
{
    add_user(&bed, "bob", 10, 10, 3);
    bed_stop(&bed);
    char path[256];
    (void)snprintf(path, sizeof path, "%s/manifest.mdb", bed.dir);
    cr_assert_eq(unlink(path), 0);
    struct datadir_error error;
    struct atrest *atrest;
    cr_assert_eq(datadir_open_read(&datadir, root, false, &error), 0, "%s", error.text);
    cr_assert_eq(atrest_open(&atrest, datadir, &problems), 0);
    cr_assert_eq(problems.count, 1);
    cr_assert_not_null(strstr(told, "manifest.mdb is missing"), "%s", told);
    atrest_close(&atrest);
}
