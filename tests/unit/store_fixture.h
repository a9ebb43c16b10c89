/*
 * store_fixture.h: a store in a directory of its own, rows to fill it with, and ranges as text: for test_store*.c, one
 * thread.
 */
#ifndef CHITCHAT_TESTS_UNIT_STORE_FIXTURE_H
#define CHITCHAT_TESTS_UNIT_STORE_FIXTURE_H

#include "storage/runs/store.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/list.h"
#include "remove_tree.h"

#define ROWS_MAX 4000u

/* One row to be stored, in the terms of a test. */
struct row {
    char user[16];
    uint64_t ts;
    char text[24];
    uint64_t key_hash; /* 0: sent without a key */
    char to[16];       /* none: "peer" */
};

/* Rows in key order, as a run_source: first the key index, then the timelines. */
struct rows {
    struct run_source source;
    struct row rows[ROWS_MAX];
    uint32_t count;
    uint32_t at;      /* over 2 * count */
    uint32_t fail_at; /* give -EIO there; 0: never */
    uint8_t key[ROW_KEY_BYTES_MAX];
    uint8_t value[ROW_VALUE_BYTES_MAX];
};

static inline int compare_rows(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int order = strcmp(x->user, y->user);
    return order != 0 ? order : x->ts < y->ts ? -1 : x->ts > y->ts;
}

static inline struct message message_of(const struct row *row)
{
    static const uint8_t mid[LIMIT_MID_BYTES] = {1, 2, 3};
    return (struct message){.ts = row->ts,
                            .other_ts = row->ts + 1,
                            .role = ROLE_SENT,
                            .mid = mid,
                            .from = span_of(row->user),
                            .to = row->to[0] == '\0' ? SPAN_LITERAL("peer") : span_of(row->to),
                            .key = row->key_hash == 0 ? SPAN_LITERAL("") : SPAN_LITERAL("key"),
                            .text = span_of(row->text)};
}

static inline int rows_next(struct run_source *base, struct span *key_r, struct span *value_r)
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

static inline void rows_close(struct run_source *base)
{
    free(container_of(base, struct rows, source));
}

static inline struct rows *rows_open(void)
{
    struct rows *rows = calloc(1, sizeof *rows);
    rows->source = (struct run_source){rows_next, rows_close};
    return rows;
}

static inline void rows_add(struct rows *rows, const char *user, uint64_t ts, uint64_t key_hash)
{
    struct row *row = &rows->rows[rows->count++];
    snprintf(row->user, sizeof row->user, "%s", user);
    snprintf(row->text, sizeof row->text, "%s-%llu", user, (unsigned long long)ts);
    row->ts = ts;
    row->key_hash = key_hash;
}

/* -- the fixture -- */

struct fixture {
    char dir[64];
    struct store_options options;
    struct store *store;
    struct store_reader *reader;
    struct store_page *page;
    uint64_t generation;
};

static inline void fixture_start(struct fixture *fixture)
{
    struct store_error error;
    cr_assert_eq(store_open(&fixture->store, fixture->dir, &fixture->options, &error), 0, "%s", error.text);
    cr_assert_eq(store_reader_open(&fixture->reader, fixture->store), 0);
}

static inline void fixture_stop(struct fixture *fixture)
{
    store_reader_close(&fixture->reader);
    store_close(&fixture->store);
    cr_assert_null(fixture->store);
}

static inline struct fixture fixture_open(void)
{
    struct fixture fixture = {.options = {.runs_max = 8, .fan_out = 3}};
    strcpy(fixture.dir, "/tmp/chitchat-store-XXXXXX");
    cr_assert_not_null(mkdtemp(fixture.dir));
    cr_assert_eq(store_page_open(&fixture.page), 0);
    fixture_start(&fixture);
    return fixture;
}

static inline void fixture_close(struct fixture *fixture)
{
    if (fixture->store != NULL)
        fixture_stop(fixture);
    store_page_close(&fixture->page);
    remove_tree(fixture->dir);
}

static inline int add(struct fixture *fixture, struct rows *rows)
{
    struct store_error error = {""};
    qsort(rows->rows, rows->count, sizeof rows->rows[0], compare_rows);
    struct run_source *source = &rows->source;
    struct store_position applied = {++fixture->generation, 4096};
    int status = store_add_run(fixture->store, source, applied, 1000000 + fixture->generation, &error);
    cr_assert(status == 0 || error.text[0] != 0, "an error says what it is");
    run_source_close(&source);
    return status;
}

/* A run of the rows first, first + step, … of one user. */
static inline void add_user(struct fixture *fixture, const char *user, uint64_t first, uint64_t step, uint32_t count)
{
    struct rows *rows = rows_open();
    for (uint32_t i = 0; i < count; i++)
        rows_add(rows, user, first + i * step, 0);
    cr_assert_eq(add(fixture, rows), 0);
}

static inline uint32_t run_count(struct fixture *fixture)
{
    struct store_info info;
    store_info(fixture->store, &info);
    return info.run_count;
}

/* The ts of a range, joined by blanks. */
static inline const char *range(struct fixture *fixture, const char *user, struct store_range range)
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
    cr_assert_eq(store_reader_range(fixture->reader, span_of(user), &range, fixture->page, &more), 0);
    text[0] = '\0';
    for (uint32_t i = 0; i < store_page_count(fixture->page); i++) {
        struct message message = store_page_message(fixture->page, i);
        char wanted[64];
        snprintf(wanted, sizeof wanted, "%s-%llu", user, (unsigned long long)message.ts);
        cr_assert(span_equal(message.text, span_of(wanted)));
        cr_assert(span_equal(message.from, span_of(user)));
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%llu", i > 0 ? " " : "", (unsigned long long)message.ts);
    }
    snprintf(text + at, sizeof text - at, "%s", more ? " …" : "");
    return text;
}

static inline int count_files(const char *dir, const char *prefix)
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

#endif
