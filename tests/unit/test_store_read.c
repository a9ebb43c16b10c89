/* store.h: reads over many runs. */
#include <pthread.h>

#include "storage/memtable/memtable.h"
#include "store_fixture.h"

Test(store, a_range_is_read_from_either_end_with_exclusive_bounds)
{
    struct fixture fixture = fixture_open();
    add_user(&fixture, "alice", 10, 10, 5);
    cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 10, .before = 50)), "20 30 40");
    cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 0, .rows_max = 2)), "10 20 …");
    cr_assert_str_eq(range(&fixture, "alice", NEWEST(.after = 0, .rows_max = 2)), "40 50 …");
    cr_assert_str_eq(range(&fixture, "alice", NEWEST(.after = 30, .rows_max = 2)), "40 50");
    cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 50)), "");
    cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 30, .before = 31)), "");
    cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 40, .before = 20)), "");
    fixture_close(&fixture);
}

Test(store, a_page_holds_at_least_one_row_and_no_more_bytes_than_it_may)
{
    struct fixture fixture = fixture_open();
    add_user(&fixture, "alice", 10, 10, 5);
    cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 0, .bytes_max = 1)), "10 …");
    cr_assert_str_eq(range(&fixture, "alice", NEWEST(.after = 0, .bytes_max = 1)), "50 …");
    fixture_close(&fixture);
}

Test(store, users_whose_names_begin_alike_do_not_see_each_others_rows)
{
    struct fixture fixture = fixture_open();
    struct rows *rows = rows_open();
    const char *users[] = {"al", "alice", "alice!", "alicf", "b"};
    for (uint32_t i = 0; i < 5; i++)
        rows_add(rows, users[i], 100 + i, 0);
    cr_assert_eq(add(&fixture, rows), 0);
    for (uint32_t i = 0; i < 5; i++) {
        char wanted[16];
        snprintf(wanted, sizeof wanted, "%u", 100 + i);
        cr_assert_str_eq(range(&fixture, users[i], OLDEST(.after = 0)), wanted);
        cr_assert_str_eq(range(&fixture, users[i], NEWEST(.after = 0)), wanted);
    }
    cr_assert_str_eq(range(&fixture, "a", OLDEST(.after = 0)), "");
    cr_assert_str_eq(range(&fixture, "zoe", OLDEST(.after = 0)), "");
    fixture_close(&fixture);
}

Test(store, rows_of_many_runs_are_merged_and_equal_ones_given_once)
{
    struct fixture fixture = fixture_open();
    add_user(&fixture, "alice", 10, 30, 3); /* 10 40 70 */
    add_user(&fixture, "alice", 20, 30, 3); /* 20 50 80 */
    add_user(&fixture, "alice", 10, 10, 4); /* 10 20 30 40: replayed after a crash */
    add_user(&fixture, "bob", 1, 1, 3);
    cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 0)), "10 20 30 40 50 70 80");
    cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 0, .rows_max = 3)), "10 20 30 …");
    cr_assert_str_eq(range(&fixture, "alice", NEWEST(.after = 0, .rows_max = 4)), "40 50 70 80 …");
    cr_assert_str_eq(range(&fixture, "alice", NEWEST(.after = 15, .before = 45)), "20 30 40");
    cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 70, .rows_max = 1)), "80");
    fixture_close(&fixture);
}

Test(store, the_newest_is_found_below_a_bound)
{
    struct fixture fixture = fixture_open();
    uint64_t ts;
    add_user(&fixture, "alice", 10, 30, 3);
    add_user(&fixture, "alice", 20, 30, 3);
    const uint64_t bounds[][2] = {{UINT64_MAX, 80}, {80, 70}, {70, 50}, {11, 10}, {10, 0}};
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(store_reader_newest(fixture.reader, SPAN_LITERAL("alice"), bounds[i][0], &ts), 0);
        cr_assert_eq(ts, bounds[i][1]);
    }
    fixture_close(&fixture);
}

Test(store, the_newest_some_are_given_once_and_newest_first)
{
    struct fixture fixture = fixture_open();
    uint64_t ts[8];
    uint32_t count;
    add_user(&fixture, "alice", 10, 30, 3); /* 10 40 70 */
    add_user(&fixture, "alice", 20, 30, 3); /* 20 50 80 */
    add_user(&fixture, "alice", 40, 10, 2); /* 40 50 */
    cr_assert_eq(store_reader_newest_some(fixture.reader, SPAN_LITERAL("alice"), 10, 80, ts, 8, &count), 0);
    cr_assert_eq(count, 4);
    cr_assert(ts[0] == 70 && ts[1] == 50 && ts[2] == 40 && ts[3] == 20);
    cr_assert_eq(store_reader_newest_some(fixture.reader, SPAN_LITERAL("alice"), 0, UINT64_MAX, ts, 2, &count), 0);
    cr_assert_eq(count, 2);
    cr_assert(ts[0] == 80 && ts[1] == 70);
    cr_assert_eq(store_reader_newest_some(fixture.reader, SPAN_LITERAL("bob"), 0, UINT64_MAX, ts, 2, &count), 0);
    cr_assert_eq(count, 0);
    fixture_close(&fixture);
}

Test(store, the_key_index_gives_the_newest_keyed_sends_first)
{
    struct fixture fixture = fixture_open();
    struct store_keyed keyed[8];
    uint32_t count;
    for (uint32_t run = 0; run < 2; run++) {
        struct rows *rows = rows_open();
        for (uint32_t i = 0; i < 6; i++)
            rows_add(rows, "alice", 10 * i + run + 1, i % 2 == 0 ? 500 + 10 * i + run : 0);
        rows_add(rows, "bob", 7, 9);
        cr_assert_eq(add(&fixture, rows), 0);
    }
    cr_assert_eq(store_reader_keyed(fixture.reader, SPAN_LITERAL("alice"), 21, keyed, 8, &count), 0);
    cr_assert_eq(count, 4);
    const uint64_t wanted[] = {42, 41, 22, 21};
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(keyed[i].ts, wanted[i]);
        cr_assert_eq(keyed[i].hash, 500 + wanted[i] - 1);
    }
    cr_assert_eq(store_reader_keyed(fixture.reader, SPAN_LITERAL("alice"), 0, keyed, 3, &count), 0);
    cr_assert_eq(count, 3);
    cr_assert_eq(store_reader_keyed(fixture.reader, SPAN_LITERAL("bob"), 0, keyed, 8, &count), 0);
    cr_assert_eq(count, 1, "the same row in two runs is one");
    cr_assert_eq(store_reader_keyed(fixture.reader, SPAN_LITERAL("carol"), 0, keyed, 8, &count), 0);
    cr_assert_eq(count, 0);
    fixture_close(&fixture);
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
    struct fixture fixture = fixture_open();
    char text[1024] = "";
    add_user(&fixture, "bob", 1, 1, 2);
    add_user(&fixture, "alice", 5, 5, 2);
    add_user(&fixture, "alice", 10, 5, 2);
    cr_assert_eq(store_reader_walk(fixture.reader, visit, text), 0);
    cr_assert_str_eq(text, "alice:5 alice:10 alice:15 bob:1 bob:2 ");
    add_user(&fixture, "aaron", 999, 1, 1);
    text[0] = '\0';
    cr_assert_eq(store_reader_walk(fixture.reader, visit, text), -ECANCELED);
    cr_assert_str_eq(text, "aaron:999 ");
    fixture_close(&fixture);
}

Test(store, a_walk_goes_over_more_runs_than_a_merge_does)
{
    struct fixture fixture = fixture_open();
    char text[4096] = "", wanted[4096] = "";
    fixture.options.runs_max = 64;
    fixture_stop(&fixture);
    fixture_start(&fixture);
    for (uint32_t i = 0; i < STORE_FAN_OUT_MAX + 8; i++) {
        add_user(&fixture, "alice", 100 + i, 1, 1);
        sprintf(wanted + strlen(wanted), "alice:%u ", 100 + i);
    }
    cr_assert_eq(store_reader_walk(fixture.reader, visit, text), 0);
    cr_assert_str_eq(text, wanted);
    fixture_close(&fixture);
}

/* A send with a key whose two values are no rows': as if a page of the run had been garbled. */
struct garbled {
    struct run_source source;
    uint32_t given;
    uint8_t key[ROW_KEY_BYTES_MAX];
};

static int garbled_next(struct run_source *base, struct span *key_r, struct span *value_r)
{
    struct garbled *garbled = container_of(base, struct garbled, source);
    if (garbled->given == 2)
        return 0;
    bool is_index = garbled->given++ == 0;
    uint32_t bytes = is_index ? row_key_index(SPAN_LITERAL("alice"), 5, garbled->key)
                              : row_key(SPAN_LITERAL("alice"), 5, garbled->key);
    *key_r = (struct span){(const char *)garbled->key, bytes};
    *value_r = SPAN_LITERAL("?");
    return 1;
}

static void garbled_close(struct run_source *base)
{
    (void)base;
}

Test(store, a_row_that_cannot_be_read_is_damage_and_not_an_empty_answer)
{
    struct fixture fixture = fixture_open();
    struct store_error error = {""};
    struct garbled garbled = {.source = {garbled_next, garbled_close}};
    struct store_range all = OLDEST(.after = 0, .before = UINT64_MAX, .rows_max = 10, .bytes_max = 1000);
    struct store_keyed keyed[4];
    char text[1024] = "";
    uint32_t count;
    bool more;
    add_user(&fixture, "bob", 1, 1, 2);
    cr_assert_eq(store_add_run(fixture.store, &garbled.source, (struct store_position){2, 4096}, 9, &error), 0);
    cr_assert_eq(store_reader_range(fixture.reader, SPAN_LITERAL("alice"), &all, fixture.page, &more), -EBADMSG);
    cr_assert_eq(store_reader_keyed(fixture.reader, SPAN_LITERAL("alice"), 0, keyed, 4, &count), -EBADMSG);
    cr_assert_eq(store_reader_walk(fixture.reader, visit, text), -EBADMSG);
    cr_assert_str_eq(range(&fixture, "bob", OLDEST(.after = 0)), "1 2", "who has none of it reads on");
    fixture_close(&fixture);
}

Test(store, a_frozen_memtable_is_a_run_and_a_merge_of_runs_reads_the_same)
{
    struct fixture fixture = fixture_open();
    struct store_error error = {""};
    struct store_keyed keyed[4];
    const struct hash_key seed = {1, 2}, key_seed = {3, 4};
    struct record_heap *heap;
    uint32_t count;
    cr_assert_eq(record_heap_open(&heap, 8u << 20), 0);
    for (uint64_t run = 0; run < 3; run++) {
        struct memtable *table;
        struct run_source *source;
        char text[32];
        cr_assert_eq(memtable_open(&table, heap, seed, key_seed), 0);
        snprintf(text, sizeof text, "alice-%llu", (unsigned long long)(run + 1));
        struct record *record =
            record_heap_take(heap, SPAN_LITERAL("alice"), SPAN_LITERAL("bob"), SPAN_LITERAL("k"), span_of(text));
        record->ts_from = run + 1;
        record->ts_to = run + 101;
        cr_assert_eq(memtable_insert(table, record, ROLE_SENT), 0);
        cr_assert_eq(memtable_insert(table, record, ROLE_RECEIVED), 0);
        record_heap_unref(heap, &record);
        memtable_freeze(table);
        cr_assert_eq(memtable_source_open(&source, table), 0);
        cr_assert_eq(store_add_run(fixture.store, source, (struct store_position){run + 1, 4096}, run + 101, &error),
                     0);
        run_source_close(&source);
        memtable_close(&table);
    }
    record_heap_close(&heap);
    for (int i = 0; i < 2; i++) {
        uint64_t ts;
        cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 0)), "1 2 3");
        cr_assert_eq(store_reader_newest(fixture.reader, SPAN_LITERAL("bob"), UINT64_MAX, &ts), 0);
        cr_assert_eq(ts, 103);
        cr_assert_eq(store_reader_keyed(fixture.reader, SPAN_LITERAL("alice"), 0, keyed, 4, &count), 0);
        cr_assert(count == 3 && keyed[0].ts == 3 && keyed[0].hash == memtable_key_hash(key_seed, SPAN_LITERAL("k")));
        cr_assert_eq(store_reader_keyed(fixture.reader, SPAN_LITERAL("bob"), 0, keyed, 4, &count), 0);
        cr_assert_eq(count, 0, "only the sender has keys");
        cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), 0, "%s", error.text);
    }
    cr_assert_eq(run_count(&fixture), 1);
    fixture_close(&fixture);
}

struct merger {
    struct store *store;
    int status;
};

static void *merge_all(void *context)
{
    struct merger *merger = context;
    struct store_error error;
    while (merger->status == 0 && store_merge_is_due(merger->store))
        merger->status = store_merge_run(merger->store, NULL, NULL, &error);
    return NULL;
}

/* Readers hold references to runs: a merge replaces the runs during a read, and no read returns more or less. */
Test(store, what_is_read_while_runs_are_merged_and_added_is_whole)
{
    struct fixture fixture = fixture_open();
    char wanted[4096] = "";
    size_t at = 0;
    for (uint32_t round = 0; round < 6; round++) {
        for (uint32_t i = 0; i < 3; i++) {
            uint32_t first = 100 * round + 10 * i + 1;
            add_user(&fixture, "alice", first, 1, 2);
            at += (size_t)snprintf(wanted + at, sizeof wanted - at, "%s%u %u", at > 0 ? " " : "", first, first + 1);
        }
        struct merger merger = {.store = fixture.store};
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, merge_all, &merger), 0);
        for (uint32_t i = 0; i < 100; i++)
            cr_assert_str_eq(range(&fixture, "alice", i % 2 == 0 ? OLDEST(.after = 0) : NEWEST(.after = 0)), wanted);
        pthread_join(thread, NULL);
        merge_all(&merger); /* the files of runs that were being read when the merge ended */
        cr_assert_eq(merger.status, 0);
        cr_assert_str_eq(range(&fixture, "alice", OLDEST(.after = 0)), wanted);
    }
    cr_assert_leq(run_count(&fixture), 4);
    cr_assert_eq((uint32_t)count_files(fixture.dir, "run-"), run_count(&fixture));
    fixture_close(&fixture);
}

/* Against a plain sorted array: many runs, users and ranges at random. */
Test(store, reads_over_random_runs_agree_with_a_sorted_array)
{
    enum { USERS = 4, TS_MAX = 300 };
    struct fixture fixture = fixture_open();
    struct store_error error;
    static bool stands[USERS][TS_MAX + 1];
    fixture.options.runs_max = 24;
    fixture_stop(&fixture);
    fixture_start(&fixture);
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
        cr_assert_eq(add(&fixture, rows), 0);
        if (run % 5 == 4)
            cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), 0);
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
            cr_assert_str_eq(range(&fixture, name, asked), wanted);
        }
    }
    fixture_close(&fixture);
}
