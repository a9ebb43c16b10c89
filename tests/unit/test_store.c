/* store.h: runs, manifest, merges, reads; and what a crash or damage leaves. */
#include "storage/store.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/list.h"

#define ROWS_MAX 4000u

/* One row to be stored, as the test thinks of it. */
struct row {
    char user[16];
    uint64_t ts;
    char text[24];
    uint64_t key_hash; /* 0: sent without a key */
};

/* Rows in key order, as a run_source: first the key index, then the timelines. */
struct rows {
    struct run_source source;
    struct row rows[ROWS_MAX];
    uint32_t count;
    uint32_t at; /* over 2 * count */
    uint32_t fail_at; /* give -EIO there; 0: never */
    uint8_t key[ROW_KEY_BYTES_MAX];
    uint8_t value[ROW_VALUE_BYTES_MAX];
};

static int compare_rows(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int order = strcmp(x->user, y->user);
    return order != 0 ? order : x->ts < y->ts ? -1 : x->ts > y->ts;
}

static struct message message_of(const struct row *row)
{
    static const uint8_t mid[LIMIT_MID_BYTES] = {1, 2, 3};
    return (struct message){.ts = row->ts,
                            .other_ts = row->ts + 1,
                            .role = ROLE_SENT,
                            .mid = mid,
                            .from = span_of(row->user),
                            .to = SPAN_LITERAL("peer"),
                            .key = row->key_hash == 0 ? SPAN_LITERAL("") : SPAN_LITERAL("key"),
                            .text = span_of(row->text)};
}

static int rows_next(struct run_source *base, struct span *key_r, struct span *value_r)
{
    struct rows *rows = container_of(base, struct rows, source);
    if (rows->fail_at > 0 && rows->at >= rows->fail_at)
        return -EIO;
    for (; rows->at < 2 * rows->count; rows->at++) {
        const struct row *row = &rows->rows[rows->at % rows->count];
        bool is_index = rows->at < rows->count;
        if (is_index && row->key_hash == 0)
            continue;
        rows->at++;
        uint32_t bytes = is_index ? row_key_index(span_of(row->user), row->ts, rows->key)
                                  : row_key(span_of(row->user), row->ts, rows->key);
        *key_r = (struct span){(const char *)rows->key, bytes};
        struct message message = message_of(row);
        if (is_index)
            bytes_store_le64(rows->value, row->key_hash);
        *value_r = (struct span){(const char *)rows->value, is_index ? 8 : row_encode(&message, rows->value)};
        return 1;
    }
    return 0;
}

static void rows_close(struct run_source *base)
{
    free(container_of(base, struct rows, source));
}

static struct rows *rows_open(void)
{
    struct rows *rows = calloc(1, sizeof *rows);
    rows->source = (struct run_source){rows_next, rows_close};
    return rows;
}

static void rows_add(struct rows *rows, const char *user, uint64_t ts, uint64_t key_hash)
{
    struct row *row = &rows->rows[rows->count++];
    snprintf(row->user, sizeof row->user, "%s", user);
    snprintf(row->text, sizeof row->text, "%s-%llu", user, (unsigned long long)ts);
    row->ts = ts;
    row->key_hash = key_hash;
}

/* -- the bed -- */

struct bed {
    char dir[64];
    struct store_options options;
    struct store *store;
    struct store_reader *reader;
    struct store_page *page;
    uint64_t generation;
};

static void bed_start(struct bed *bed)
{
    struct store_error error;
    cr_assert_eq(store_open(&bed->store, bed->dir, &bed->options, &error), 0, "%s", error.text);
    cr_assert_eq(store_reader_open(&bed->reader, bed->store), 0);
}

static void bed_stop(struct bed *bed)
{
    store_reader_close(&bed->reader);
    store_close(&bed->store);
    cr_assert_null(bed->store);
}

static struct bed bed_open(void)
{
    struct bed bed = {.options = {.runs_max = 8, .fan_out = 3}};
    strcpy(bed.dir, "/tmp/chitchat-store-XXXXXX");
    cr_assert_not_null(mkdtemp(bed.dir));
    cr_assert_eq(store_page_open(&bed.page), 0);
    bed_start(&bed);
    return bed;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status, (void)kind, (void)ftw;
    return remove(path);
}

static void bed_close(struct bed *bed)
{
    if (bed->store != NULL)
        bed_stop(bed);
    store_page_close(&bed->page);
    nftw(bed->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int add(struct bed *bed, struct rows *rows)
{
    struct store_error error = {""};
    qsort(rows->rows, rows->count, sizeof rows->rows[0], compare_rows);
    struct run_source *source = &rows->source;
    struct store_position applied = {++bed->generation, 4096};
    int status = store_add_run(bed->store, source, applied, 1000000 + bed->generation, &error);
    cr_assert(status == 0 || error.text[0] != 0, "an error says what it is");
    run_source_close(&source);
    return status;
}

/* A run of the rows first, first + step, … of one user. */
static void add_user(struct bed *bed, const char *user, uint64_t first, uint64_t step, uint32_t count)
{
    struct rows *rows = rows_open();
    for (uint32_t i = 0; i < count; i++)
        rows_add(rows, user, first + i * step, 0);
    cr_assert_eq(add(bed, rows), 0);
}

static uint32_t run_count(struct bed *bed)
{
    struct store_info info;
    store_info(bed->store, &info);
    return info.run_count;
}

/* The ts of a range, joined by blanks. */
static const char *range(struct bed *bed, const char *user, struct store_range range)
{
    static char text[65536];
    bool more;
    size_t at = 0;
    if (range.before == 0)
        range.before = UINT64_MAX;
    if (range.rows_max == 0)
        range.rows_max = 1000;
    if (range.bytes_max == 0)
        range.bytes_max = 1 << 20;
    cr_assert_eq(store_reader_range(bed->reader, span_of(user), &range, bed->page, &more), 0);
    text[0] = '\0';
    for (uint32_t i = 0; i < store_page_count(bed->page); i++) {
        struct message message = store_page_message(bed->page, i);
        char wanted[64];
        snprintf(wanted, sizeof wanted, "%s-%llu", user, (unsigned long long)message.ts);
        cr_assert(span_equal(message.text, span_of(wanted)));
        cr_assert(span_equal(message.from, span_of(user)));
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%llu", i > 0 ? " " : "", (unsigned long long)message.ts);
    }
    snprintf(text + at, sizeof text - at, "%s", more ? " …" : "");
    return text;
}

static int count_files(const char *dir, const char *prefix)
{
    DIR *stream = opendir(dir);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    closedir(stream);
    return count;
}

/* `before` 0, `rows_max` 0 and `bytes_max` 0 stand for none. */
#define OLDEST(...) ((struct store_range){.oldest_first = true, __VA_ARGS__})
#define NEWEST(...) ((struct store_range){.oldest_first = false, __VA_ARGS__})

/* -- runs and their marks -- */

Test(store, a_new_one_is_empty_and_says_so_after_it_was_opened_again)
{
    struct bed bed = bed_open();
    struct store_info info;
    uint64_t ts = 7;
    store_info(bed.store, &info);
    cr_assert(info.run_count == 0 && info.row_count == 0 && info.last_ts == 0 && info.applied.generation == 0);
    cr_assert_str_eq(range(&bed, "alice", OLDEST(.after = 0)), "");
    cr_assert_eq(store_reader_newest(bed.reader, SPAN_LITERAL("alice"), UINT64_MAX, &ts), 0);
    cr_assert_eq(ts, 0);
    bed_stop(&bed);
    bed_start(&bed);
    cr_assert_eq(run_count(&bed), 0);
    bed_close(&bed);
}

Test(store, a_run_and_its_marks_are_there_after_it_was_opened_again)
{
    struct bed bed = bed_open();
    add_user(&bed, "alice", 10, 10, 5);
    for (int i = 0; i < 2; i++) {
        struct store_info info;
        store_info(bed.store, &info);
        cr_assert_eq(info.run_count, 1);
        cr_assert_eq(info.row_count, 5);
        cr_assert_eq(info.ts_max, 50);
        cr_assert_eq(info.last_ts, 1000001);
        cr_assert_eq(info.applied.generation, 1);
        cr_assert_eq(info.applied.bytes, 4096);
        cr_assert_str_eq(range(&bed, "alice", OLDEST(.after = 0)), "10 20 30 40 50");
        bed_stop(&bed);
        bed_start(&bed);
    }
    bed_close(&bed);
}

Test(store, an_empty_source_commits_the_marks_alone)
{
    struct bed bed = bed_open();
    cr_assert_eq(add(&bed, rows_open()), 0);
    struct store_info info;
    bed_stop(&bed);
    bed_start(&bed);
    store_info(bed.store, &info);
    cr_assert_eq(info.run_count, 0);
    cr_assert_eq(info.last_ts, 1000001);
    cr_assert_eq(count_files(bed.dir, "run-"), 0);
    bed_close(&bed);
}

Test(store, a_source_that_fails_changes_nothing_and_may_be_tried_again)
{
    struct bed bed = bed_open();
    struct rows *rows = rows_open();
    for (uint32_t i = 0; i < 100; i++)
        rows_add(rows, "alice", i + 1, 0);
    rows->fail_at = 150;
    cr_assert_eq(add(&bed, rows), -EIO);
    cr_assert_eq(run_count(&bed), 0);
    cr_assert_eq(count_files(bed.dir, "run-"), 0);
    add_user(&bed, "alice", 1, 1, 3);
    cr_assert_str_eq(range(&bed, "alice", OLDEST(.after = 0)), "1 2 3");
    bed_close(&bed);
}

Test(store, at_the_cap_a_run_is_refused_until_a_merge_has_made_room)
{
    struct bed bed = bed_open();
    struct store_error error;
    for (uint32_t i = 0; i < bed.options.runs_max; i++) {
        cr_assert_not(store_is_at_cap(bed.store));
        add_user(&bed, "alice", 100 * i + 1, 1, 2);
    }
    cr_assert(store_is_at_cap(bed.store));
    struct rows *rows = rows_open();
    rows_add(rows, "alice", 5000, 0);
    cr_assert_eq(add(&bed, rows), -EAGAIN);
    cr_assert(store_merge_is_due(bed.store));
    cr_assert_eq(store_merge_run(bed.store, NULL, NULL, &error), 0, "%s", error.text);
    cr_assert_not(store_is_at_cap(bed.store));
    add_user(&bed, "alice", 5000, 1, 1);
    bed_close(&bed);
}

/* -- reads -- */

Test(store, a_range_is_read_from_either_end_with_exclusive_bounds)
{
    struct bed bed = bed_open();
    add_user(&bed, "alice", 10, 10, 5);
    cr_assert_str_eq(range(&bed, "alice", OLDEST(.after = 10, .before = 50)), "20 30 40");
    cr_assert_str_eq(range(&bed, "alice", OLDEST(.after = 0, .rows_max = 2)), "10 20 …");
    cr_assert_str_eq(range(&bed, "alice", NEWEST(.after = 0, .rows_max = 2)), "40 50 …");
    cr_assert_str_eq(range(&bed, "alice", NEWEST(.after = 30, .rows_max = 2)), "40 50");
    cr_assert_str_eq(range(&bed, "alice", OLDEST(.after = 50)), "");
    cr_assert_str_eq(range(&bed, "alice", OLDEST(.after = 30, .before = 31)), "");
    cr_assert_str_eq(range(&bed, "alice", OLDEST(.after = 40, .before = 20)), "");
    bed_close(&bed);
}

Test(store, a_page_holds_at_least_one_row_and_no_more_bytes_than_it_may)
{
    struct bed bed = bed_open();
    add_user(&bed, "alice", 10, 10, 5);
    cr_assert_str_eq(range(&bed, "alice", OLDEST(.after = 0, .bytes_max = 1)), "10 …");
    cr_assert_str_eq(range(&bed, "alice", NEWEST(.after = 0, .bytes_max = 1)), "50 …");
    bed_close(&bed);
}

Test(store, users_whose_names_begin_alike_do_not_see_each_others_rows)
{
    struct bed bed = bed_open();
    struct rows *rows = rows_open();
    const char *users[] = {"al", "alice", "alice!", "alicf", "b"};
    for (uint32_t i = 0; i < 5; i++)
        rows_add(rows, users[i], 100 + i, 0);
    cr_assert_eq(add(&bed, rows), 0);
    for (uint32_t i = 0; i < 5; i++) {
        char wanted[16];
        snprintf(wanted, sizeof wanted, "%u", 100 + i);
        cr_assert_str_eq(range(&bed, users[i], OLDEST(.after = 0)), wanted);
        cr_assert_str_eq(range(&bed, users[i], NEWEST(.after = 0)), wanted);
    }
    cr_assert_str_eq(range(&bed, "a", OLDEST(.after = 0)), "");
    cr_assert_str_eq(range(&bed, "zoe", OLDEST(.after = 0)), "");
    bed_close(&bed);
}

Test(store, rows_of_many_runs_are_merged_and_equal_ones_given_once)
{
    struct bed bed = bed_open();
    add_user(&bed, "alice", 10, 30, 3); /* 10 40 70 */
    add_user(&bed, "alice", 20, 30, 3); /* 20 50 80 */
    add_user(&bed, "alice", 10, 10, 4); /* 10 20 30 40: replayed after a crash */
    add_user(&bed, "bob", 1, 1, 3);
    cr_assert_str_eq(range(&bed, "alice", OLDEST(.after = 0)), "10 20 30 40 50 70 80");
    cr_assert_str_eq(range(&bed, "alice", OLDEST(.after = 0, .rows_max = 3)), "10 20 30 …");
    cr_assert_str_eq(range(&bed, "alice", NEWEST(.after = 0, .rows_max = 4)), "40 50 70 80 …");
    cr_assert_str_eq(range(&bed, "alice", NEWEST(.after = 15, .before = 45)), "20 30 40");
    cr_assert_str_eq(range(&bed, "alice", OLDEST(.after = 70, .rows_max = 1)), "80");
    bed_close(&bed);
}

Test(store, the_newest_is_found_below_a_bound)
{
    struct bed bed = bed_open();
    uint64_t ts;
    add_user(&bed, "alice", 10, 30, 3);
    add_user(&bed, "alice", 20, 30, 3);
    const uint64_t bounds[][2] = {{UINT64_MAX, 80}, {80, 70}, {70, 50}, {11, 10}, {10, 0}};
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(store_reader_newest(bed.reader, SPAN_LITERAL("alice"), bounds[i][0], &ts), 0);
        cr_assert_eq(ts, bounds[i][1]);
    }
    bed_close(&bed);
}

Test(store, the_key_index_gives_the_newest_keyed_sends_first)
{
    struct bed bed = bed_open();
    struct store_keyed keyed[8];
    uint32_t count;
    for (uint32_t run = 0; run < 2; run++) {
        struct rows *rows = rows_open();
        for (uint32_t i = 0; i < 6; i++)
            rows_add(rows, "alice", 10 * i + run + 1, i % 2 == 0 ? 500 + 10 * i + run : 0);
        rows_add(rows, "bob", 7, 9);
        cr_assert_eq(add(&bed, rows), 0);
    }
    cr_assert_eq(store_reader_keyed(bed.reader, SPAN_LITERAL("alice"), 21, keyed, 8, &count), 0);
    cr_assert_eq(count, 4);
    const uint64_t wanted[] = {42, 41, 22, 21};
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(keyed[i].ts, wanted[i]);
        cr_assert_eq(keyed[i].hash, 500 + wanted[i] - 1);
    }
    cr_assert_eq(store_reader_keyed(bed.reader, SPAN_LITERAL("alice"), 0, keyed, 3, &count), 0);
    cr_assert_eq(count, 3);
    cr_assert_eq(store_reader_keyed(bed.reader, SPAN_LITERAL("bob"), 0, keyed, 8, &count), 0);
    cr_assert_eq(count, 1, "the same row in two runs is one");
    cr_assert_eq(store_reader_keyed(bed.reader, SPAN_LITERAL("carol"), 0, keyed, 8, &count), 0);
    cr_assert_eq(count, 0);
    bed_close(&bed);
}

static int visit(void *context, struct span user, const struct message *message)
{
    char *text = context;
    size_t at = strlen(text);
    snprintf(text + at, 1024 - at, "%.*s:%llu ", (int)user.bytes, user.data, (unsigned long long)message->ts);
    return message->ts == 999 ? -ECANCELED : 0;
}

Test(store, a_walk_meets_every_row_once_in_key_order_until_the_visitor_says_no)
{
    struct bed bed = bed_open();
    char text[1024] = "";
    add_user(&bed, "bob", 1, 1, 2);
    add_user(&bed, "alice", 5, 5, 2);
    add_user(&bed, "alice", 10, 5, 2);
    cr_assert_eq(store_reader_walk(bed.reader, visit, text), 0);
    cr_assert_str_eq(text, "alice:5 alice:10 alice:15 bob:1 bob:2 ");
    add_user(&bed, "aaron", 999, 1, 1);
    text[0] = '\0';
    cr_assert_eq(store_reader_walk(bed.reader, visit, text), -ECANCELED);
    cr_assert_str_eq(text, "aaron:999 ");
    bed_close(&bed);
}

/* Against a plain sorted array: many runs, users and ranges at random. */
Test(store, reads_over_random_runs_agree_with_a_sorted_array)
{
    enum { USERS = 4, TS_MAX = 300 };
    struct bed bed = bed_open();
    struct store_error error;
    static bool stands[USERS][TS_MAX + 1];
    bed.options.runs_max = 24;
    bed_stop(&bed);
    bed_start(&bed);
    srand(11);
    for (uint32_t run = 0; run < 20; run++) {
        bool taken[USERS][TS_MAX + 1] = {{false}};
        struct rows *rows = rows_open();
        for (uint32_t i = 0; i < 60; i++) {
            uint32_t user = (uint32_t)rand() % USERS;
            uint32_t ts = 1 + (uint32_t)rand() % TS_MAX;
            char name[8];
            snprintf(name, sizeof name, "user%u", user);
            if (!taken[user][ts])
                rows_add(rows, name, ts, 0);
            taken[user][ts] = stands[user][ts] = true;
        }
        cr_assert_eq(add(&bed, rows), 0);
        if (run % 5 == 4)
            cr_assert_eq(store_merge_run(bed.store, NULL, NULL, &error), 0);
        for (uint32_t k = 0; k < 200; k++) {
            uint32_t user = (uint32_t)rand() % USERS;
            struct store_range asked = {.after = (uint64_t)(rand() % TS_MAX),
                                        .before = 1 + (uint64_t)(rand() % (TS_MAX + 2)),
                                        .oldest_first = rand() % 2 == 0,
                                        .rows_max = 1 + (uint32_t)rand() % 20};
            char name[8], wanted[4096] = "";
            uint64_t found[TS_MAX + 1];
            uint32_t count = 0;
            snprintf(name, sizeof name, "user%u", user);
            for (uint64_t ts = asked.after + 1; ts < asked.before && ts <= TS_MAX; ts++)
                if (stands[user][ts])
                    found[count++] = ts;
            uint32_t given = count < asked.rows_max ? count : asked.rows_max;
            uint32_t first = asked.oldest_first ? 0 : count - given;
            size_t at = 0;
            for (uint32_t i = 0; i < given; i++)
                at += (size_t)snprintf(wanted + at, sizeof wanted - at, "%s%llu", i > 0 ? " " : "",
                                       (unsigned long long)found[first + i]);
            strcat(wanted, count > given ? " …" : "");
            cr_assert_str_eq(range(&bed, name, asked), wanted);
        }
    }
    bed_close(&bed);
}

/* -- merges -- */

Test(store, a_merge_is_due_when_a_level_is_full_and_makes_one_run_of_it)
{
    struct bed bed = bed_open();
    struct store_error error;
    add_user(&bed, "alice", 10, 10, 3);
    add_user(&bed, "bob", 10, 10, 3);
    cr_assert_not(store_merge_is_due(bed.store));
    cr_assert_eq(store_merge_run(bed.store, NULL, NULL, &error), 0, "nothing is due: nothing happens");
    cr_assert_eq(run_count(&bed), 2);
    add_user(&bed, "alice", 40, 10, 3);
    cr_assert(store_merge_is_due(bed.store));
    cr_assert_eq(store_merge_run(bed.store, NULL, NULL, &error), 0, "%s", error.text);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(run_count(&bed), 1);
        cr_assert_eq(count_files(bed.dir, "run-"), 1, "the old files are gone");
        cr_assert_str_eq(range(&bed, "alice", OLDEST(.after = 0)), "10 20 30 40 50 60");
        cr_assert_str_eq(range(&bed, "bob", OLDEST(.after = 0)), "10 20 30");
        bed_stop(&bed);
        bed_start(&bed);
    }
    bed_close(&bed);
}

Test(store, merged_runs_are_merged_again_a_level_higher)
{
    struct bed bed = bed_open();
    struct store_error error;
    for (uint32_t i = 0; i < 27; i++) {
        add_user(&bed, "alice", 10 * i + 1, 1, 2);
        while (store_merge_is_due(bed.store))
            cr_assert_eq(store_merge_run(bed.store, NULL, NULL, &error), 0);
        cr_assert_leq(run_count(&bed), 2 + 2 + 2);
    }
    cr_assert_eq(run_count(&bed), 1, "3 x 3 x 3");
    struct store_info info;
    store_info(bed.store, &info);
    cr_assert_eq(info.row_count, 54);
    bed_close(&bed);
}

static bool stop_at_once(void *context)
{
    ++*(uint32_t *)context;
    return true;
}

Test(store, a_merge_that_is_told_to_stop_leaves_all_as_it_was)
{
    struct bed bed = bed_open();
    struct store_error error;
    uint32_t asked = 0;
    for (uint32_t i = 0; i < 3; i++)
        add_user(&bed, "alice", 10 * i + 1, 1, 2);
    cr_assert_eq(store_merge_run(bed.store, stop_at_once, &asked, &error), -ECANCELED);
    cr_assert_gt(asked, 0);
    cr_assert_eq(run_count(&bed), 3);
    cr_assert_eq(count_files(bed.dir, "run-"), 3);
    cr_assert_str_eq(range(&bed, "alice", OLDEST(.after = 0)), "1 2 11 12 21 22");
    bed_close(&bed);
}

Test(store, a_merge_keeps_the_key_index_and_drops_equal_rows)
{
    struct bed bed = bed_open();
    struct store_error error;
    struct store_keyed keyed[8];
    uint32_t count;
    for (uint32_t i = 0; i < 3; i++) {
        struct rows *rows = rows_open();
        rows_add(rows, "alice", 10, 77);
        rows_add(rows, "alice", 20 + i, 80 + i);
        cr_assert_eq(add(&bed, rows), 0);
    }
    cr_assert_eq(store_merge_run(bed.store, NULL, NULL, &error), 0);
    struct store_info info;
    store_info(bed.store, &info);
    cr_assert_eq(info.row_count, 4);
    cr_assert_eq(store_reader_keyed(bed.reader, SPAN_LITERAL("alice"), 0, keyed, 8, &count), 0);
    cr_assert_eq(count, 4);
    cr_assert_eq(keyed[3].hash, 77);
    bed_close(&bed);
}

/* -- what a crash or damage leaves -- */

static void copy_first_run(const struct bed *bed, const char *name)
{
    char command[256];
    snprintf(command, sizeof command, "cp %s/run-000000000001.mdb %s/%s", bed->dir, bed->dir, name);
    cr_assert_eq(system(command), 0);
}

Test(store, files_that_the_manifest_does_not_name_are_removed_at_open)
{
    struct bed bed = bed_open();
    add_user(&bed, "alice", 10, 10, 3);
    bed_stop(&bed);
    copy_first_run(&bed, "run-000000000044.mdb");
    copy_first_run(&bed, "notes.txt");
    bed_start(&bed);
    cr_assert_eq(count_files(bed.dir, "run-"), 1);
    cr_assert_eq(count_files(bed.dir, "notes"), 1, "what is not ours is left");
    cr_assert_str_eq(range(&bed, "alice", OLDEST(.after = 0)), "10 20 30");
    bed_close(&bed);
}

static void expect_refused(struct bed *bed, const char *word)
{
    struct store_error error;
    cr_assert_eq(store_open(&bed->store, bed->dir, &bed->options, &error), -EBADMSG);
    cr_assert_not_null(strstr(error.text, word), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "backup"), "it says what to do: %s", error.text);
    bed->store = NULL;
}

static struct bed bed_with_a_run_stopped(char path[128])
{
    struct bed bed = bed_open();
    add_user(&bed, "alice", 1, 1, 2000);
    bed_stop(&bed);
    snprintf(path, 128, "%s/run-000000000001.mdb", bed.dir);
    return bed;
}

Test(store, a_run_that_is_missing_is_refused)
{
    char path[128];
    struct bed bed = bed_with_a_run_stopped(path);
    cr_assert_eq(unlink(path), 0);
    expect_refused(&bed, "run-000000000001.mdb");
    bed_close(&bed);
}

Test(store, a_run_that_was_cut_short_is_refused)
{
    char path[128];
    struct bed bed = bed_with_a_run_stopped(path);
    struct stat stat_now;
    cr_assert(stat(path, &stat_now) == 0 && truncate(path, stat_now.st_size - 4096) == 0);
    expect_refused(&bed, "bytes instead of");
    bed_close(&bed);
}

Test(store, a_run_that_is_another_file_is_refused)
{
    char path[128];
    struct bed bed = bed_with_a_run_stopped(path);
    int fd = open(path, O_WRONLY);
    static char nothing[8192];
    cr_assert_eq(write(fd, nothing, sizeof nothing), (ssize_t)sizeof nothing);
    close(fd);
    expect_refused(&bed, "run-000000000001.mdb");
    bed_close(&bed);
}

Test(store, a_manifest_that_is_missing_beside_runs_is_refused_and_the_runs_are_left)
{
    char path[128];
    struct bed bed = bed_with_a_run_stopped(path);
    snprintf(path, sizeof path, "%s/manifest.mdb", bed.dir);
    cr_assert_eq(unlink(path), 0);
    expect_refused(&bed, "manifest.mdb");
    cr_assert_eq(count_files(bed.dir, "run-"), 1);
    bed_close(&bed);
}

Test(store, a_manifest_that_was_cut_short_is_refused)
{
    char path[128];
    struct bed bed = bed_with_a_run_stopped(path);
    snprintf(path, sizeof path, "%s/manifest.mdb", bed.dir);
    cr_assert_eq(truncate(path, 8192), 0);
    expect_refused(&bed, "manifest.mdb");
    bed_close(&bed);
}

Test(store, a_directory_that_cannot_be_made_is_an_error_with_its_name)
{
    struct store *store;
    struct store_error error;
    struct store_options options = {.runs_max = 8, .fan_out = 3};
    cr_assert_lt(store_open(&store, "/proc/nowhere/runs", &options, &error), 0);
    cr_assert_not_null(strstr(error.text, "/proc/nowhere/runs"));
}
