/*
 * micro_history.c: `micro-history [RUNS [USERS [ROWS]]]`: what a page of 50 costs the reader of a store whose every
 * user has ROWS rows in each of RUNS runs (16, 100,000 and 4, so that a page takes rows from 13 runs). Pages of users
 * drawn at random are read at the newest end, then whole timelines forwards, as a replay does. Fills a directory under
 * TMPDIR, and removes it again. All is warm: the files have just been written and read.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/list.h"
#include "storage/store.h"

#define PAGE_ROWS 50u
#define REPLAY_ROWS 256u
#define PAGES 100000u
#define ROUNDS 3u
#define TEXT_BYTES 64u
#define FIRST_TS UINT64_C(1700000000000000)

struct fill {
    struct run_source source;
    uint32_t run;
    uint32_t users;
    uint32_t rows;
    uint64_t at; /* of users * rows */
    uint8_t key[ROW_KEY_BYTES_MAX];
    uint8_t value[256];
};

struct bench {
    char dir[128];
    uint32_t runs;
    uint32_t users;
    uint32_t rows;
    struct store *store;
    struct store_reader *reader;
    struct store_page *page;
    uint64_t random;
};

static struct span name_of(char name[16], uint32_t user)
{
    return (struct span){name, (size_t)snprintf(name, 16, "user-%07u", user)};
}

/* A run holds a part of the time, and in it the users in turn. */
static uint64_t ts_of(const struct fill *fill, uint32_t user, uint64_t row)
{
    return FIRST_TS + ((uint64_t)fill->run * fill->rows + row) * fill->users + user;
}

static int fill_next(struct run_source *source, struct span *key_r, struct span *value_r)
{
    static const uint8_t mid[LIMIT_MID_BYTES] = {1, 2, 3};
    static const char text[TEXT_BYTES + 1] = "sixty-four bytes of text, as a load generator and a person say..";
    struct fill *fill = container_of(source, struct fill, source);
    char name[16];
    if (fill->at == (uint64_t)fill->users * fill->rows)
        return 0;
    uint32_t user = (uint32_t)(fill->at / fill->rows);
    uint64_t ts = ts_of(fill, user, fill->at % fill->rows);
    struct span span = name_of(name, user);
    struct message message = {.ts = ts,
                              .other_ts = ts + 1,
                              .role = ROLE_RECEIVED,
                              .mid = mid,
                              .from = SPAN_LITERAL("user-peer"),
                              .to = span,
                              .key = {text, 0},
                              .text = {text, TEXT_BYTES}};
    *key_r = (struct span){(const char *)fill->key, row_key(span, ts, fill->key)};
    *value_r = (struct span){(const char *)fill->value, row_encode(&message, fill->value)};
    fill->at++;
    return 1;
}

static void fill_close(struct run_source *source)
{
    free(container_of(source, struct fill, source));
}

static void add_run(struct bench *bench, uint32_t run)
{
    struct store_error error = {""};
    struct fill *fill = calloc(1, sizeof *fill);
    ASSERT(fill != NULL);
    fill->source = (struct run_source){fill_next, fill_close};
    fill->run = run;
    fill->users = bench->users;
    fill->rows = bench->rows;
    struct run_source *source = &fill->source;
    if (store_add_run(bench->store, source, (struct store_position){1, run + 1}, FIRST_TS, &error) != 0) {
        fprintf(stderr, "micro-history: %s\n", error.text);
        exit(1);
    }
    run_source_close(&source);
}

static void bench_open(struct bench *bench)
{
    const struct store_options options = {.runs_max = 1000, .fan_out = 1000};
    struct store_error error = {""};
    const char *root = getenv("TMPDIR");
    snprintf(bench->dir, sizeof bench->dir, "%s/micro-history-XXXXXX", root != NULL ? root : "/tmp");
    if (mkdtemp(bench->dir) == NULL || store_open(&bench->store, bench->dir, &options, &error) != 0) {
        fprintf(stderr, "micro-history: %s: cannot be made; %s\n", bench->dir, error.text);
        exit(1);
    }
    for (uint32_t run = 0; run < bench->runs; run++)
        add_run(bench, run);
    ASSERT(store_reader_open(&bench->reader, bench->store) == 0 && store_page_open(&bench->page) == 0);
}

static void bench_close(struct bench *bench)
{
    store_page_close(&bench->page);
    store_reader_close(&bench->reader);
    store_close(&bench->store);
    DIR *dir = opendir(bench->dir);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        closedir(dir);
    rmdir(bench->dir);
}

static uint64_t cpu_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static uint32_t random_user(struct bench *bench)
{
    bench->random ^= bench->random << 13;
    bench->random ^= bench->random >> 7;
    bench->random ^= bench->random << 17;
    return (uint32_t)(bench->random % bench->users);
}

static uint32_t read_page(struct bench *bench, struct span user, const struct store_range *range, bool *more_r)
{
    ASSERT(store_reader_range(bench->reader, user, range, bench->page, more_r) == 0);
    return store_page_count(bench->page);
}

static double newest_us(struct bench *bench)
{
    const struct store_range range = {
        .after = 0, .before = LIMIT_TS_MAX, .rows_max = PAGE_ROWS, .bytes_max = 256u << 10};
    char name[16];
    bool more;
    uint64_t begin_ns = cpu_ns(), rows = 0;
    for (uint32_t i = 0; i < PAGES; i++)
        rows += read_page(bench, name_of(name, random_user(bench)), &range, &more);
    ASSERT(rows > 0);
    return (double)(cpu_ns() - begin_ns) / 1000 / PAGES;
}

static double replay_rows_per_s(struct bench *bench)
{
    char name[16];
    uint64_t begin_ns = cpu_ns(), rows = 0;
    while (rows < (uint64_t)PAGES * 20) {
        struct store_range range = {
            .after = 0, .before = LIMIT_TS_MAX, .oldest_first = true, .rows_max = REPLAY_ROWS, .bytes_max = 64u << 10};
        struct span user = name_of(name, random_user(bench));
        for (bool more = true; more;) {
            uint32_t count = read_page(bench, user, &range, &more);
            ASSERT(count > 0);
            range.after = store_page_message(bench->page, count - 1).ts;
            rows += count;
        }
    }
    return (double)rows * 1e9 / (double)(cpu_ns() - begin_ns);
}

int main(int argc, char **argv)
{
    struct bench bench = {.runs = 16, .users = 100000, .rows = 4, .random = 88172645463325252u};
    uint32_t *const numbers[] = {&bench.runs, &bench.users, &bench.rows};
    for (int i = 1; i < argc && i <= 3; i++)
        *numbers[i - 1] = (uint32_t)strtoul(argv[i], NULL, 10);
    if (argc > 4 || bench.runs == 0 || bench.runs > 1000 || bench.users == 0 || bench.rows == 0) {
        fprintf(stderr, "usage: micro-history [RUNS [USERS [ROWS]]]; each at least 1, RUNS at most 1000\n");
        return 2;
    }
    bench_open(&bench);
    printf("%u runs, %u users, %u rows of each user in each run\n", bench.runs, bench.users, bench.rows);
    for (uint32_t round = 0; round < ROUNDS; round++)
        printf("newest page of %u: %.2f us of CPU; replay: %.2f M rows/s\n", PAGE_ROWS, newest_us(&bench),
               replay_rows_per_s(&bench) / 1e6);
    bench_close(&bench);
    return 0;
}
