/* The threads beside a shard at their store, all at once: one writes runs and commits them, one merges, two read
 * ranges, newest rows and keyed rows; every row is there as soon as its run is, and none goes. Then all end and the
 * store is closed. */
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/list.h"
#include "storage/runs/store.h"

enum { RUNS = 80, USERS = 6, ROWS = 60, READERS = 2 };

struct fixture {
    struct store *store;
    atomic_uint runs_added;
    atomic_bool is_done;
};

/* The rows of one run: of each user so many, in order of time; every one is keyed. */
struct rows {
    struct run_source source;
    unsigned run;
    unsigned at; /* over key index, then timelines */
    uint8_t key[ROW_KEY_BYTES_MAX];
    uint8_t value[ROW_VALUE_BYTES_MAX];
};

static uint64_t ts_of(unsigned run, unsigned row)
{
    return (uint64_t)run * ROWS + row + 1;
}

static int rows_next(struct run_source *source, struct span *key_r, struct span *value_r)
{
    static const uint8_t mid[LIMIT_MID_BYTES] = {7};
    struct rows *rows = container_of(source, struct rows, source);
    if (rows->at == 2 * USERS * ROWS)
        return 0;
    unsigned at = rows->at++ % (USERS * ROWS);
    char name[] = {(char)('a' + at / ROWS)};
    struct span user = {name, 1};
    uint64_t ts = ts_of(rows->run, at % ROWS);
    bool is_index = rows->at <= USERS * ROWS;
    uint32_t value_bytes = 8;
    if (is_index) {
        bytes_store_le64(rows->value, ts);
    } else {
        struct message message = {.ts = ts,
                                  .other_ts = ts,
                                  .role = ROLE_SENT,
                                  .mid = mid,
                                  .from = user,
                                  .to = SPAN_LITERAL("peer"),
                                  .key = SPAN_LITERAL("key"),
                                  .text = SPAN_LITERAL("text")};
        value_bytes = row_encode(&message, rows->value);
    }
    *key_r =
        (struct span){(char *)rows->key, is_index ? row_key_index(user, ts, rows->key) : row_key(user, ts, rows->key)};
    *value_r = (struct span){(char *)rows->value, value_bytes};
    return 1;
}

static void rows_close(struct run_source *source)
{
    free(container_of(source, struct rows, source));
}

/* The checkpoint thread. At the cap it waits for a merge. */
static void *add_runs(void *argument)
{
    struct fixture *fixture = argument;
    struct store_error error;
    for (unsigned run = 0; run < RUNS;) {
        if (store_is_at_cap(fixture->store)) {
            usleep(1000);
            continue;
        }
        struct rows *rows = calloc(1, sizeof *rows);
        struct run_source *source = &rows->source;
        *rows = (struct rows){.source = {rows_next, rows_close}, .run = run};
        ASSERT(store_add_run(fixture->store, source, (struct store_position){run + 1, 0}, ts_of(run, ROWS), &error)
               == 0);
        run_source_close(&source);
        atomic_store(&fixture->runs_added, ++run);
    }
    atomic_store(&fixture->is_done, true);
    return NULL;
}

static bool should_stop(void *context)
{
    struct fixture *fixture = context;
    return atomic_load(&fixture->is_done);
}

static void *merge_runs(void *argument)
{
    struct fixture *fixture = argument;
    struct store_error error;
    while (!atomic_load(&fixture->is_done)) {
        int status =
            store_merge_is_due(fixture->store) ? store_merge_run(fixture->store, should_stop, fixture, &error) : 0;
        ASSERT(status == 0 || status == -ECANCELED);
    }
    return NULL;
}

/* What had been added before the call is there whole, in order. */
static void check_range(struct store_reader *reader, struct store_page *page, struct span user, unsigned runs)
{
    struct store_range range = {
        .before = ts_of(runs, 0), .oldest_first = true, .rows_max = RUNS * ROWS, .bytes_max = 1u << 24};
    bool more;
    ASSERT(store_reader_range(reader, user, &range, page, &more) == 0);
    ASSERT(!more && store_page_count(page) == runs * ROWS);
    for (uint32_t i = 0; i < store_page_count(page); i++)
        ASSERT(store_page_message(page, i).ts == i + 1);
}

static void *read_rows(void *argument)
{
    static struct store_keyed keyed[READERS][RUNS * ROWS];
    static atomic_uint readers;
    struct fixture *fixture = argument;
    struct store_keyed *own = keyed[atomic_fetch_add(&readers, 1)];
    struct store_reader *reader;
    struct store_page *page;
    ASSERT(store_reader_open(&reader, fixture->store) == 0 && store_page_open(&page) == 0);
    for (unsigned turn = 0; !atomic_load(&fixture->is_done); turn++) {
        char name[] = {(char)('a' + turn % USERS)};
        unsigned runs = atomic_load(&fixture->runs_added);
        uint64_t ts;
        uint32_t count;
        check_range(reader, page, (struct span){name, 1}, runs);
        ASSERT(store_reader_newest(reader, (struct span){name, 1}, UINT64_MAX, &ts) == 0 && ts >= ts_of(runs, 0) - 1);
        ASSERT(store_reader_keyed(reader, (struct span){name, 1}, 0, own, RUNS * ROWS, &count) == 0);
        ASSERT(count >= runs * ROWS);
    }
    store_page_close(&page);
    store_reader_close(&reader);
    return NULL;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status, (void)kind, (void)ftw;
    return remove(path);
}

int main(void)
{
    static struct fixture fixture;
    char dir[] = "/tmp/chitchat-tsan-XXXXXX";
    struct store_options options = {.runs_max = 12, .fan_out = 3};
    struct store_error error;
    struct store_info info;
    pthread_t threads[2 + READERS];
    ASSERT(mkdtemp(dir) != NULL && store_open(&fixture.store, dir, &options, &error) == 0);
    ASSERT(pthread_create(&threads[0], NULL, add_runs, &fixture) == 0);
    ASSERT(pthread_create(&threads[1], NULL, merge_runs, &fixture) == 0);
    for (int i = 0; i < READERS; i++)
        ASSERT(pthread_create(&threads[2 + i], NULL, read_rows, &fixture) == 0);
    for (int i = 0; i < 2 + READERS; i++)
        pthread_join(threads[i], NULL);
    store_info(fixture.store, &info);
    ASSERT(info.row_count == RUNS * ROWS * USERS && info.run_count < RUNS);
    store_close(&fixture.store);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    printf("%d runs written beside merges and %d readers, %u are left\n", RUNS, READERS, info.run_count);
    return 0;
}
