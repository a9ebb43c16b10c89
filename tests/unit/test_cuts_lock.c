/* Logins and reads take the lock of a store: what is done in one hold of it does not grow with the number of cuts. */
#include <pthread.h>

#include "storage/runs/store_private.h"
#include "store_fixture.h"

#define CUTS 1000

static pthread_mutex_t *watched;
static bool is_held;
static uint32_t work; /* in this hold: allocations, look-ups, slices */
static uint32_t work_most;

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    int status = __real_pthread_mutex_lock(mutex);
    if (mutex == watched) {
        is_held = true;
        work = 0;
    }
    return status;
}

int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    if (mutex == watched) {
        is_held = false;
        work_most = work > work_most ? work : work_most;
    }
    return __real_pthread_mutex_unlock(mutex);
}

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes)
{
    work += is_held;
    return __real_calloc(count, bytes);
}

struct cut *__real_cuts_find(const struct cuts *cuts, struct span user);
struct cut *__wrap_cuts_find(const struct cuts *cuts, struct span user);
struct cut *__wrap_cuts_find(const struct cuts *cuts, struct span user)
{
    work += is_held;
    return __real_cuts_find(cuts, user);
}

Test(cuts_lock, a_checkpoint_a_merge_and_a_look_do_little_in_each_hold)
{
    struct fixture fixture = fixture_open();
    struct store_error error;
    char name[16];
    const uint64_t day = UINT64_C(86400000000);
    for (uint32_t i = 0; i < CUTS; i++) {
        snprintf(name, sizeof name, "u%u", i);
        cr_assert_eq(store_cut(fixture.store, span_of(name), 10 * day), 0);
    }
    watched = &fixture.store->lock;
    for (uint64_t i = 0; i < fixture.options.fan_out; i++) {
        struct rows *rows = rows_open();
        rows_add(rows, "u7", 9 * day + i, 7);
        rows_add(rows, "v", 9 * day + i, 7);
        store_set_cut_time(fixture.store, 9 * day, 9 * day, day);
        cr_assert_eq(add(&fixture, rows), 0);
    }
    cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(run_count(&fixture), 1, "they are merged");
    store_set_cut_time(fixture.store, 20 * day, 20 * day, day);
    cr_assert_eq(store_merge_run(fixture.store, NULL, NULL, &error), 0, "%s", error.text);
    cr_assert_str_eq(range(&fixture, "u7", (struct store_range){.oldest_first = true}), "", "it was rewritten");
    cr_assert_leq(work_most, 4);
    cr_assert_gt(work_most, 0);
    fixture_close(&fixture);
}
