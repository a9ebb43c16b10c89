/* A manifest whose rows are any: what is read is what this target reads by itself from the rows; one bad row, or none
 * of marks, is -EBADMSG. What was read, committed to another manifest, is read again. (The pages are LMDB's own: LMDB
 * trusts them.) */
#include <errno.h>
#include <inttypes.h>
#include <lmdb.h>
#include <stdio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "fuzz.h"
#include "storage/runs/manifest.h"

#define ROWS_MAX 12u
#define KEY_BYTES_MAX 20u
#define VALUE_BYTES_MAX 80u
#define PATH_BYTES 256u

struct row {
    uint8_t key[KEY_BYTES_MAX];
    size_t key_bytes;
    uint8_t value[VALUE_BYTES_MAX];
    size_t value_bytes;
};

struct rows {
    struct row rows[ROWS_MAX];
    uint32_t count;
};

static void put_value(struct row *row, struct fuzz_input *input, uint32_t count)
{
    bytes_store_le32(row->value + 4, (uint32_t)fuzz_number(input, 1));
    for (uint32_t i = 0; i < count; i++)
        bytes_store_le64(row->value + 8 + 8 * i, fuzz_number(input, 2));
    row->value_bytes = 8 + 8 * count;
    bytes_store_le32(row->value, hash_crc32c(0, row->value + 4, row->value_bytes - 4));
}

static void put_key(struct row *row, struct span key)
{
    memcpy(row->key, key.data, key.bytes);
    row->key_bytes = key.bytes;
}

static void take_row(struct row *row, struct fuzz_input *input)
{
    char name[32];
    uint8_t kind = (uint8_t)fuzz_number(input, 1);
    *row = (struct row){.key = {0}};
    switch (kind & 3) {
    case 0:
        put_key(row, SPAN_LITERAL("marks"));
        put_value(row, input, 5);
        break;
    case 1:
        snprintf(name, sizeof name, "run-%012" PRIu64, fuzz_number(input, 2));
        put_key(row, span_of(name));
        put_value(row, input, 7);
        break;
    case 2:
        put_key(row, fuzz_span(input, 1 + fuzz_number(input, 1) % KEY_BYTES_MAX));
        put_value(row, input, (uint32_t)fuzz_number(input, 1) % 9);
        break;
    default:
        memcpy(row->key, "run-", 4);
        struct span rest = fuzz_span(input, 12);
        if (rest.bytes > 0)
            memcpy(row->key + 4, rest.data, rest.bytes);
        row->key_bytes = 16;
        put_value(row, input, 7);
    }
    if (row->key_bytes == 0)
        put_key(row, SPAN_LITERAL("\xff"));
    if ((kind & 4) != 0)
        row->value[fuzz_number(input, 1) % row->value_bytes] ^= (uint8_t)fuzz_number(input, 1);
    if ((kind & 8) != 0)
        row->value_bytes--;
}

/* A row of the same key is replaced, as by LMDB. */
static void take_rows(struct rows *rows, struct fuzz_input *input)
{
    rows->count = 0;
    while (input->bytes > 0 && rows->count < ROWS_MAX) {
        struct row *row = &rows->rows[rows->count];
        uint32_t same = 0;
        take_row(row, input);
        while (same < rows->count
               && (row->key_bytes != rows->rows[same].key_bytes
                   || memcmp(row->key, rows->rows[same].key, row->key_bytes) != 0))
            same++;
        if (same == rows->count)
            rows->count++;
        else
            rows->rows[same] = *row;
    }
}

static void write_rows(const char *path, const struct rows *rows)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    ASSERT(mdb_env_create(&env) == 0);
    ASSERT(mdb_env_set_mapsize(env, 1 << 20) == 0);
    ASSERT(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0600) == 0);
    ASSERT(mdb_txn_begin(env, NULL, 0, &txn) == 0);
    ASSERT(mdb_dbi_open(txn, NULL, 0, &dbi) == 0);
    for (uint32_t i = 0; i < rows->count; i++) {
        const struct row *row = &rows->rows[i];
        MDB_val key = {row->key_bytes, (void *)(uintptr_t)row->key};
        MDB_val value = {row->value_bytes, (void *)(uintptr_t)row->value};
        ASSERT(mdb_put(txn, dbi, &key, &value, 0) == 0);
    }
    ASSERT(mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
}

/* -- what the rows say, by the comments of manifest_rows.c -- */

static bool value_is_good(const struct row *row, uint32_t count)
{
    return row->value_bytes == 8 + 8 * count
           && bytes_load_le32(row->value) == hash_crc32c(0, row->value + 4, row->value_bytes - 4);
}

static bool is_marks(const struct row *row)
{
    return row->key_bytes == 5 && memcmp(row->key, "marks", 5) == 0;
}

static bool is_run(const struct row *row)
{
    if (row->key_bytes != 16 || memcmp(row->key, "run-", 4) != 0)
        return false;
    for (uint32_t i = 4; i < 16; i++)
        if (row->key[i] < '0' || row->key[i] > '9')
            return false;
    return true;
}

static uint64_t run_id(const struct row *row)
{
    uint64_t id = 0;
    for (uint32_t i = 4; i < 16; i++)
        id = 10 * id + (uint64_t)(row->key[i] - '0');
    return id;
}

static bool are_good(const struct rows *rows)
{
    bool has_marks = false;
    for (uint32_t i = 0; i < rows->count; i++) {
        const struct row *row = &rows->rows[i];
        if (is_marks(row)) {
            has_marks = true;
            if (!value_is_good(row, 5) || bytes_load_le32(row->value + 4) != 1)
                return false;
        } else if (!is_run(row) || !value_is_good(row, 7)) {
            return false;
        }
    }
    return has_marks;
}

static void check_marks(const struct row *row, const struct manifest_marks *marks)
{
    uint64_t numbers[] = {marks->last_ts, marks->applied.generation, marks->applied.bytes, marks->next_id,
                          marks->next_seq};
    for (uint32_t i = 0; i < 5; i++)
        ASSERT(numbers[i] == bytes_load_le64(row->value + 8 + 8 * i));
}

static void check_run(const struct row *row, const struct manifest_state *state)
{
    uint32_t i = 0;
    while (i < state->count && state->entries[i].id != run_id(row))
        i++;
    ASSERT(i < state->count);
    const struct run_entry *entry = &state->entries[i];
    uint64_t numbers[] = {entry->seq_first, entry->seq_last, entry->rows,      entry->entries,
                          entry->ts_min,    entry->ts_max,   entry->file_bytes};
    ASSERT(entry->level == bytes_load_le32(row->value + 4));
    for (uint32_t k = 0; k < 7; k++)
        ASSERT(numbers[k] == bytes_load_le64(row->value + 8 + 8 * k));
}

static void check_state(const struct rows *rows, const struct manifest_state *state)
{
    ASSERT(state->count == rows->count - 1);
    for (uint32_t i = 1; i < state->count; i++)
        ASSERT(state->entries[i - 1].seq_first <= state->entries[i].seq_first);
    for (uint32_t i = 0; i < rows->count; i++) {
        if (is_marks(&rows->rows[i]))
            check_marks(&rows->rows[i], &state->marks);
        else
            check_run(&rows->rows[i], state);
    }
}

/* Commits the state to a new manifest at `path`, run by run. */
static void write_again(const char *path, const struct manifest_state *state)
{
    struct manifest *manifest;
    struct manifest_state empty;
    struct store_error error;
    struct manifest_marks first = {.next_id = 1, .next_seq = 1};
    ASSERT(manifest_make(path, &first) == 0);
    ASSERT(manifest_open(&manifest, path, &empty, &error) == 0);
    ASSERT(empty.count == 0 && empty.marks.next_id == 1);
    free(empty.entries);
    ASSERT(manifest_commit(manifest, &state->marks, NULL, NULL, 0) == 0);
    for (uint32_t i = 0; i < state->count; i++)
        ASSERT(manifest_commit(manifest, &state->marks, &state->entries[i], NULL, 0) == 0);
    manifest_close(&manifest);
}

static void read_and_check(const char *path, const struct rows *rows, struct manifest_state *state_r)
{
    struct store_error error = {""};
    int status = manifest_read(path, false, state_r, &error);
    ASSERT(status == (are_good(rows) ? 0 : -EBADMSG));
    ASSERT((status == 0) == (error.text[0] == 0));
    if (status == 0)
        check_state(rows, state_r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input input = {data, bytes};
    struct manifest_state state, again;
    struct rows rows;
    char first[PATH_BYTES], second[PATH_BYTES], lock[PATH_BYTES];
    const char *dir = getenv("TMPDIR");
    if (dir == NULL)
        dir = "/tmp";
    snprintf(first, sizeof first, "%s/fuzz-%d-1.mdb", dir, (int)getpid());
    snprintf(second, sizeof second, "%s/fuzz-%d-2.mdb", dir, (int)getpid());
    snprintf(lock, sizeof lock, "%s/fuzz-%d-2.mdb-lock", dir, (int)getpid());
    take_rows(&rows, &input);
    write_rows(first, &rows);
    read_and_check(first, &rows, &state);
    if (are_good(&rows)) {
        write_again(second, &state);
        read_and_check(second, &rows, &again);
        free(again.entries);
        ASSERT(unlink(second) == 0 && unlink(lock) == 0);
    }
    manifest_state_fini(&state);
    ASSERT(unlink(first) == 0);
    return 0;
}
