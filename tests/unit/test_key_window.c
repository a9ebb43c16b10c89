#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>

#include "timeline/key_window.h"

#define NO_LIMIT UINT64_MAX

static struct key_memory memory;
static struct key_window *window;
static uint32_t model_count; /* see below */

static void setup(void)
{
    memory = (struct key_memory){.bytes = 0, .bytes_max = NO_LIMIT};
    cr_assert_eq(key_window_open(&window, &memory), 0);
    model_count = 0;
}

static void teardown(void)
{
    key_window_close(&window);
    cr_assert_null(window);
    cr_assert_eq(memory.bytes, 0, "all bytes were given back");
}

TestSuite(key_window, .init = setup, .fini = teardown);

static void add(uint64_t ts, uint64_t hash)
{
    cr_assert_eq(key_window_add(window, ts, hash), 0);
}

/* The newest ts with `hash`, 0 if none. */
static uint64_t newest(uint64_t hash)
{
    uint64_t ts = KEY_WINDOW_NEWEST;
    return key_window_find(window, hash, &ts) ? ts : 0;
}

/* -- the model: a plain array in order of ts, looked through from its end -- */

#define MODEL_MAX (LIMIT_KEYS + 1)

static struct memtable_keyed model[MODEL_MAX];

static void model_remove_at(uint32_t index)
{
    memmove(&model[index], &model[index + 1], (model_count - index - 1) * sizeof model[0]);
    model_count--;
}

static void model_limit(void)
{
    while (model_count > LIMIT_KEYS)
        model_remove_at(0);
}

static void model_add(uint64_t ts, uint64_t hash)
{
    uint32_t at = model_count;
    while (at > 0 && model[at - 1].ts > ts)
        at--;
    if (at > 0 && model[at - 1].ts == ts)
        return;
    cr_assert_lt(model_count, MODEL_MAX);
    memmove(&model[at + 1], &model[at], (model_count - at) * sizeof model[0]);
    model[at] = (struct memtable_keyed){ts, hash};
    model_count++;
}

static void model_remove(uint64_t ts)
{
    for (uint32_t i = 0; i < model_count; i++)
        if (model[i].ts == ts) {
            model_remove_at(i);
            return;
        }
}

static void model_expire(uint64_t now_us)
{
    while (model_count > 0 && model[0].ts + LIMIT_KEYS_US <= now_us)
        model_remove_at(0);
}

/* Every send with `hash`, newest first, is the same in both. */
static void assert_same(uint64_t hash)
{
    uint64_t ts = KEY_WINDOW_NEWEST;
    for (uint32_t i = model_count; i-- > 0;) {
        if (model[i].hash != hash)
            continue;
        cr_assert(key_window_find(window, hash, &ts), "the window has no send at %lu", (unsigned long)model[i].ts);
        cr_assert_eq(ts, model[i].ts);
    }
    cr_assert_not(key_window_find(window, hash, &ts), "the window has one more at %lu", (unsigned long)ts);
}

/* -- the tests -- */

Test(key_window, an_empty_one_finds_nothing)
{
    cr_assert_eq(newest(1), 0);
    cr_assert_eq(key_window_count(window), 0);
    key_window_expire(window, UINT64_MAX);
    key_window_remove(window, 1);
}

Test(key_window, sends_with_one_hash_come_newest_first)
{
    add(10, 7);
    add(20, 8);
    add(30, 7);
    add(40, 7);
    uint64_t ts = KEY_WINDOW_NEWEST;
    cr_assert(key_window_find(window, 7, &ts) && ts == 40);
    cr_assert(key_window_find(window, 7, &ts) && ts == 30);
    cr_assert(key_window_find(window, 7, &ts) && ts == 10);
    cr_assert_not(key_window_find(window, 7, &ts));
    cr_assert_eq(newest(8), 20);
}

Test(key_window, hashes_of_one_bucket_are_distinguished)
{
    for (uint64_t i = 1; i <= 1000; i++)
        add(i, i << 32);
    for (uint64_t i = 1; i <= 1000; i++)
        cr_assert_eq(newest(i << 32), i);
    cr_assert_eq(newest(1001ull << 32), 0);
}

Test(key_window, the_newest_ten_thousand_stay)
{
    for (uint64_t i = 1; i <= 2 * LIMIT_KEYS + 5; i++)
        add(i, i * 3);
    cr_assert_eq(key_window_count(window), LIMIT_KEYS);
    cr_assert_eq(newest((LIMIT_KEYS + 5) * 3), 0);
    cr_assert_eq(newest((LIMIT_KEYS + 6) * 3), LIMIT_KEYS + 6);
    cr_assert_eq(newest((2 * LIMIT_KEYS + 5) * 3), 2 * LIMIT_KEYS + 5);
}

Test(key_window, a_removed_send_takes_no_place_of_the_ten_thousand)
{
    for (uint64_t i = 1; i <= LIMIT_KEYS; i++)
        add(i, i);
    for (uint64_t i = 2; i <= 101; i++)
        key_window_remove(window, i * 7);
    cr_assert_eq(key_window_count(window), LIMIT_KEYS - 100);
    for (uint64_t i = 1; i <= 100; i++)
        add(LIMIT_KEYS + i, LIMIT_KEYS + i);
    cr_assert_eq(newest(1), 1);
    add(LIMIT_KEYS + 101, LIMIT_KEYS + 101);
    cr_assert_eq(newest(1), 0);
    cr_assert_eq(newest(2), 2);
}

Test(key_window, what_is_a_day_old_is_dropped_to_the_microsecond)
{
    const uint64_t now_us = UINT64_C(1763900000000000);
    add(now_us - LIMIT_KEYS_US, 1);
    add(now_us - LIMIT_KEYS_US + 1, 2);
    add(now_us, 3);
    key_window_expire(window, now_us);
    cr_assert_eq(newest(1), 0);
    cr_assert_eq(newest(2), now_us - LIMIT_KEYS_US + 1);
    cr_assert_eq(newest(3), now_us);
    key_window_expire(window, 5);
    cr_assert_eq(key_window_count(window), 2, "a clock that steps back drops nothing");
}

Test(key_window, what_is_loaded_joins_what_was_added)
{
    const struct memtable_keyed memtable[] = {{60, 6}, {50, 5}, {40, 4}};
    const struct memtable_keyed run[] = {{50, 5}, {30, 3}, {20, 4}};
    add(60, 6);
    add(70, 4);
    cr_assert_eq(key_window_load(window, memtable, 3), 0);
    cr_assert_eq(key_window_load(window, run, 3), 0);
    cr_assert_eq(key_window_load(window, NULL, 0), 0);
    cr_assert_eq(key_window_count(window), 6);
    uint64_t ts = KEY_WINDOW_NEWEST;
    cr_assert(key_window_find(window, 4, &ts) && ts == 70);
    cr_assert(key_window_find(window, 4, &ts) && ts == 40);
    cr_assert(key_window_find(window, 4, &ts) && ts == 20);
    cr_assert_not(key_window_find(window, 4, &ts));
    cr_assert_eq(newest(5), 50);
    add(80, 9);
    cr_assert_eq(newest(9), 80);
}

Test(key_window, a_load_keeps_the_newest_ten_thousand_of_all)
{
    struct memtable_keyed *keyed = malloc(12000 * sizeof *keyed);
    for (uint32_t i = 0; i < 12000; i++)
        keyed[i] = (struct memtable_keyed){12000 - i, 12000 - i};
    add(20000, 1000000);
    cr_assert_eq(key_window_load(window, keyed, 12000), 0);
    cr_assert_eq(key_window_count(window), LIMIT_KEYS);
    cr_assert_eq(newest(1000000), 20000);
    cr_assert_eq(newest(12000), 12000);
    cr_assert_eq(newest(12000 - (LIMIT_KEYS - 2)), 12000 - (LIMIT_KEYS - 2));
    cr_assert_eq(newest(12000 - (LIMIT_KEYS - 1)), 0);
    free(keyed);
}

Test(key_window, rows_out_of_order_or_without_a_ts_are_refused_and_change_nothing)
{
    const struct memtable_keyed rising[] = {{40, 4}, {50, 5}};
    const struct memtable_keyed twice[] = {{50, 5}, {50, 6}};
    const struct memtable_keyed beyond[] = {{LIMIT_TS_MAX + 1, 5}};
    uint64_t bytes = memory.bytes;
    add(10, 1);
    cr_assert_eq(key_window_load(window, rising, 2), -EBADMSG);
    cr_assert_eq(key_window_load(window, twice, 2), -EBADMSG);
    cr_assert_eq(key_window_load(window, beyond, 1), -EBADMSG);
    cr_assert_eq(key_window_count(window), 1);
    cr_assert_eq(newest(5), 0);
    cr_assert_eq(memory.bytes, bytes);
}

Test(key_window, few_keys_take_little_and_ten_thousand_stay_below_256_kib)
{
    for (uint64_t i = 1; i <= 3; i++)
        add(i, i);
    cr_assert_lt(memory.bytes, 512);
    for (uint64_t i = 4; i <= 3 * LIMIT_KEYS; i++)
        add(i, i);
    cr_assert_lt(memory.bytes, 256u << 10);
}

Test(key_window, past_the_budget_nothing_changes_and_it_works_when_there_is_room)
{
    struct key_window *other = NULL;
    memory.bytes_max = memory.bytes;
    cr_assert_eq(key_window_open(&other, &memory), -ENOMEM);
    uint64_t ts = 0;
    int error = 0;
    while (error == 0) {
        ts++;
        error = key_window_add(window, ts, ts);
    }
    cr_assert_eq(error, -ENOMEM);
    cr_assert_eq(key_window_count(window), ts - 1);
    cr_assert_eq(memory.bytes, memory.bytes_max);
    const struct memtable_keyed keyed[] = {{1000, 1}};
    cr_assert_eq(key_window_load(window, keyed, 1), -ENOMEM);
    for (uint64_t i = 1; i < ts; i++)
        cr_assert_eq(newest(i), i);
    memory.bytes_max = NO_LIMIT;
    add(ts, ts);
    cr_assert_eq(newest(ts), ts);
}

Test(key_window, removals_in_large_numbers_need_no_more_memory)
{
    for (uint64_t i = 1; i <= LIMIT_KEYS; i++)
        add(i, i);
    memory.bytes_max = memory.bytes;
    for (uint64_t ts = LIMIT_KEYS + 1; ts <= 10 * LIMIT_KEYS; ts++) {
        add(ts, ts);
        if (ts % 3 == 0)
            key_window_remove(window, ts - 5000);
        cr_assert_leq(key_window_count(window), LIMIT_KEYS);
    }
    cr_assert_eq(newest(10 * LIMIT_KEYS), 10 * LIMIT_KEYS);
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return *state >> 33;
}

static void load_some(uint64_t *state, uint64_t ts_max)
{
    struct memtable_keyed keyed[64];
    uint32_t count = 0;
    for (uint64_t ts = ts_max; count < 64 && ts > 1; ts -= 1 + next_random(state) % 3) {
        uint64_t hash = ts % 61;
        keyed[count++] = (struct memtable_keyed){ts, hash};
    }
    cr_assert_eq(key_window_load(window, keyed, count), 0);
    /* Newest first, as the window takes them: past the limit, older ones find no place. */
    for (uint32_t i = 0; i < count; i++)
        model_add(keyed[i].ts, keyed[i].hash);
    model_limit();
}

/* The hash is a function of the ts, so that a load repeats what was added; removed ones may come back by a load in
 * both. */
static void run_model(uint64_t seed, int steps, unsigned removes_of_16)
{
    uint64_t state = seed;
    uint64_t ts = 1000;
    for (int step = 0; step < steps; step++) {
        uint64_t choice = next_random(&state) % 16;
        if (choice < removes_of_16 && model_count > 0) {
            uint64_t gone = model[next_random(&state) % model_count].ts;
            key_window_remove(window, gone);
            model_remove(gone);
        } else {
            ts += 1 + next_random(&state) % 5;
            add(ts, ts % 61);
            model_add(ts, ts % 61);
            model_limit();
        }
        if (next_random(&state) % 256 == 0)
            load_some(&state, ts - next_random(&state) % 900);
        if (next_random(&state) % 512 == 0) {
            uint64_t now_us = ts - 900 + LIMIT_KEYS_US - next_random(&state) % 1000;
            key_window_expire(window, now_us);
            model_expire(now_us);
        }
        cr_assert_eq(key_window_count(window), model_count, "step %d", step);
        if (step % 64 == 0)
            assert_same(next_random(&state) % 61);
    }
    for (uint64_t hash = 0; hash < 61; hash++)
        assert_same(hash);
}

Test(key_window, it_is_as_the_model_with_few_removals)
{
    run_model(1, 20000, 1);
}

Test(key_window, it_is_as_the_model_with_many_removals)
{
    run_model(2, 20000, 7);
}

Test(key_window, it_is_as_the_model_at_the_limit)
{
    for (uint64_t ts = 1; ts <= 900; ts++) {
        add(ts, ts % 61);
        model_add(ts, ts % 61);
    }
    uint64_t state = 3;
    for (uint64_t ts = 1000; ts < 36000; ts++) {
        add(ts, ts % 61);
        model_add(ts, ts % 61);
        model_limit();
        if (next_random(&state) % 4 == 0) {
            uint64_t gone = model[next_random(&state) % model_count].ts;
            key_window_remove(window, gone);
            model_remove(gone);
        }
        cr_assert_eq(key_window_count(window), model_count);
    }
    for (uint64_t hash = 0; hash < 61; hash++)
        assert_same(hash);
}
