#include "storage/runs/manifest_rows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "storage/runs/peer_index.h"

#define MANIFEST_VERSION 1u
#define RUN_KEY_BYTES 16u /* run-NNNNNNNNNNNN */
#define MARKS_KEY "marks"
#define ASSIGNED_KEY "wal-files"
#define CUT_KEY "cut-" /* and the user */
#define CUT_KEY_BYTES (sizeof CUT_KEY - 1)

/* Values, little endian: u32 CRC of what follows, u32 level or version, u64 each. */
enum {
    VALUE_CRC = 0,
    VALUE_WORD = 4,
    VALUE_NUMBERS = 8,
    RUN_NUMBERS = 10,
    RUN_NUMBERS_OLD = 7, /* of a version without marks and the index by peer */
    MARKS_NUMBERS = 5,
    CUT_NUMBERS = 2,
    RUN_VALUE_BYTES = VALUE_NUMBERS + 8 * RUN_NUMBERS,
    MARKS_VALUE_BYTES = VALUE_NUMBERS + 8 * MARKS_NUMBERS,
    ASSIGNED_NUMBERS_MAX = 2 * WAL_ASSIGNED_MAX, /* generation and file of each segment; the word is their count */
    ASSIGNED_VALUE_BYTES_MAX = VALUE_NUMBERS + 8 * ASSIGNED_NUMBERS_MAX,
    CUT_VALUE_BYTES = VALUE_NUMBERS + 8 * CUT_NUMBERS,
};

static void value_write(uint8_t *out, uint32_t word, const uint64_t *numbers, uint32_t count)
{
    bytes_store_le32(out + VALUE_WORD, word);
    for (uint32_t i = 0; i < count; i++)
        bytes_store_le64(out + VALUE_NUMBERS + 8 * i, numbers[i]);
    bytes_store_le32(out + VALUE_CRC, hash_crc32c(0, out + VALUE_WORD, 4 + 8 * count));
}

static int value_read(const MDB_val *value, uint32_t *word_r, uint64_t *numbers_r, uint32_t count)
{
    const uint8_t *in = value->mv_data;
    if (value->mv_size != VALUE_NUMBERS + 8 * count)
        return -EBADMSG;
    if (bytes_load_le32(in + VALUE_CRC) != hash_crc32c(0, in + VALUE_WORD, 4 + 8 * count))
        return -EBADMSG;
    *word_r = bytes_load_le32(in + VALUE_WORD);
    for (uint32_t i = 0; i < count; i++)
        numbers_r[i] = bytes_load_le64(in + VALUE_NUMBERS + 8 * i);
    return 0;
}

int manifest_rows_put_marks(MDB_txn *txn, MDB_dbi dbi, const struct manifest_marks *marks)
{
    uint8_t bytes[MARKS_VALUE_BYTES];
    uint64_t numbers[MARKS_NUMBERS] = {marks->last_ts, marks->applied.generation, marks->applied.bytes, marks->next_id,
                                       marks->next_seq};
    value_write(bytes, MANIFEST_VERSION, numbers, MARKS_NUMBERS);
    MDB_val key = {sizeof MARKS_KEY - 1, (void *)MARKS_KEY};
    MDB_val value = {sizeof bytes, bytes};
    return mdb_put(txn, dbi, &key, &value, 0);
}

static int take_marks(const MDB_val *value, struct manifest_marks *marks_r)
{
    uint64_t numbers[MARKS_NUMBERS];
    uint32_t version;
    if (value_read(value, &version, numbers, MARKS_NUMBERS) != 0 || version != MANIFEST_VERSION)
        return -EBADMSG;
    *marks_r = (struct manifest_marks){
        .applied = {numbers[1], numbers[2]}, .last_ts = numbers[0], .next_id = numbers[3], .next_seq = numbers[4]};
    return 0;
}

int manifest_rows_put_assigned(MDB_txn *txn, MDB_dbi dbi, const struct wal_assigned *assigned)
{
    uint8_t bytes[ASSIGNED_VALUE_BYTES_MAX];
    uint64_t numbers[ASSIGNED_NUMBERS_MAX];
    ASSERT(assigned->count <= WAL_ASSIGNED_MAX);
    for (uint32_t i = 0; i < assigned->count; i++) {
        numbers[2 * i] = assigned->segments[i].generation;
        numbers[2 * i + 1] = assigned->segments[i].file;
    }
    value_write(bytes, assigned->count, numbers, 2 * assigned->count);
    MDB_val key = {sizeof ASSIGNED_KEY - 1, (void *)ASSIGNED_KEY};
    MDB_val value = {VALUE_NUMBERS + 16 * assigned->count, bytes};
    return mdb_put(txn, dbi, &key, &value, 0);
}

static int take_assigned(const MDB_val *value, struct wal_assigned *assigned_r)
{
    uint64_t numbers[ASSIGNED_NUMBERS_MAX];
    uint32_t count = value->mv_size < VALUE_NUMBERS ? 0 : (uint32_t)((value->mv_size - VALUE_NUMBERS) / 16);
    uint32_t word;
    if (count > WAL_ASSIGNED_MAX || value_read(value, &word, numbers, 2 * count) != 0 || word != count)
        return -EBADMSG;
    assigned_r->count = count;
    for (uint32_t i = 0; i < count; i++) {
        assigned_r->segments[i].generation = numbers[2 * i];
        assigned_r->segments[i].file = numbers[2 * i + 1];
    }
    return 0;
}

static void run_key(uint64_t id, char out[RUN_KEY_BYTES + 1])
{
    ASSERT(id < UINT64_C(1000000000000));
    snprintf(out, RUN_KEY_BYTES + 1, "run-%012" PRIu64, id);
}

int manifest_rows_put_run(MDB_txn *txn, MDB_dbi dbi, const struct run_entry *entry)
{
    char name[RUN_KEY_BYTES + 1];
    uint8_t bytes[RUN_VALUE_BYTES];
    uint64_t numbers[RUN_NUMBERS] = {entry->seq_first,    entry->seq_last,     entry->rows,       entry->entries,
                                     entry->ts_min,       entry->ts_max,       entry->file_bytes, entry->marks,
                                     entry->marks_ts_max, entry->index_version};
    value_write(bytes, entry->level, numbers, RUN_NUMBERS);
    run_key(entry->id, name);
    MDB_val key = {RUN_KEY_BYTES, name};
    MDB_val value = {sizeof bytes, bytes};
    return mdb_put(txn, dbi, &key, &value, MDB_NOOVERWRITE);
}

static int take_run(const MDB_val *key, const MDB_val *value, struct run_entry *entry_r)
{
    char name[RUN_KEY_BYTES + 1] = {0};
    uint64_t numbers[RUN_NUMBERS] = {0};
    uint32_t count = value->mv_size == VALUE_NUMBERS + 8 * RUN_NUMBERS_OLD ? RUN_NUMBERS_OLD : RUN_NUMBERS;
    if (key->mv_size != RUN_KEY_BYTES || memcmp(key->mv_data, "run-", 4) != 0)
        return -EBADMSG;
    memcpy(name, key->mv_data, RUN_KEY_BYTES);
    if (strspn(name + 4, "0123456789") != RUN_KEY_BYTES - 4 || value_read(value, &entry_r->level, numbers, count) != 0)
        return -EBADMSG;
    entry_r->id = strtoull(name + 4, NULL, 10);
    entry_r->seq_first = numbers[0];
    entry_r->seq_last = numbers[1];
    entry_r->rows = numbers[2];
    entry_r->entries = numbers[3];
    entry_r->ts_min = numbers[4];
    entry_r->ts_max = numbers[5];
    entry_r->file_bytes = numbers[6];
    entry_r->marks = numbers[7];
    entry_r->marks_ts_max = numbers[8];
    entry_r->index_version = numbers[9];
    if (entry_r->index_version > PEER_INDEX_VERSION)
        return -EBADMSG;
    return 0;
}

/* Borrows `name`, which has the bytes. */
static MDB_val cut_key(const struct cut *cut, char name[CUT_KEY_BYTES + LIMIT_USER_BYTES])
{
    memcpy(name, CUT_KEY, CUT_KEY_BYTES);
    memcpy(name + CUT_KEY_BYTES, cut->user, cut->user_bytes);
    return (MDB_val){CUT_KEY_BYTES + cut->user_bytes, name};
}

int manifest_rows_delete_run(MDB_txn *txn, MDB_dbi dbi, uint64_t id)
{
    char name[RUN_KEY_BYTES + 1];
    run_key(id, name);
    MDB_val key = {RUN_KEY_BYTES, name};
    return mdb_del(txn, dbi, &key, NULL);
}

int manifest_rows_put_cut(MDB_txn *txn, MDB_dbi dbi, const struct cut *cut)
{
    char name[CUT_KEY_BYTES + LIMIT_USER_BYTES];
    uint8_t bytes[CUT_VALUE_BYTES];
    uint64_t numbers[CUT_NUMBERS] = {cut->ts, cut->since_id > cut->keys_id ? cut->since_id : cut->keys_id};
    value_write(bytes, MANIFEST_VERSION, numbers, CUT_NUMBERS);
    MDB_val key = cut_key(cut, name);
    MDB_val value = {sizeof bytes, bytes};
    return mdb_put(txn, dbi, &key, &value, 0);
}

int manifest_rows_delete_cut(MDB_txn *txn, MDB_dbi dbi, const struct cut *cut)
{
    char name[CUT_KEY_BYTES + LIMIT_USER_BYTES];
    MDB_val key = cut_key(cut, name);
    int result = mdb_del(txn, dbi, &key, NULL);
    return result == MDB_NOTFOUND ? 0 : result;
}

static bool is_cut(const MDB_val *key)
{
    return key->mv_size >= CUT_KEY_BYTES && memcmp(key->mv_data, CUT_KEY, CUT_KEY_BYTES) == 0;
}

static int take_cut(const MDB_val *key, const MDB_val *value, struct cuts *cuts)
{
    uint64_t numbers[CUT_NUMBERS];
    uint32_t version;
    struct span user = {(const char *)key->mv_data + CUT_KEY_BYTES, key->mv_size - CUT_KEY_BYTES};
    if (value_read(value, &version, numbers, CUT_NUMBERS) != 0 || version != MANIFEST_VERSION
        || user.bytes > LIMIT_USER_BYTES || numbers[0] == 0 || numbers[0] > LIMIT_TS_MAX)
        return -EBADMSG;
    int status = cuts_add(cuts, user, numbers[0], numbers[1]);
    if (status == 0)
        cuts_find(cuts, user)->is_saved = true;
    return status == -ENOSPC ? -EBADMSG : status;
}

static int compare_entries(const void *a, const void *b)
{
    const struct run_entry *x = a, *y = b;
    return x->seq_first < y->seq_first ? -1 : x->seq_first > y->seq_first;
}

static bool is_key(const MDB_val *key, const char *name)
{
    return key->mv_size == strlen(name) && memcmp(key->mv_data, name, key->mv_size) == 0;
}

int manifest_rows_take(MDB_cursor *cursor, struct manifest_state *state)
{
    MDB_val key, value;
    bool has_marks = false;
    int status = 0;
    int result = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    for (; result == 0 && status == 0; result = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
        if (is_key(&key, MARKS_KEY)) {
            has_marks = true;
            status = take_marks(&value, &state->marks);
            continue;
        }
        if (is_key(&key, ASSIGNED_KEY)) {
            status = take_assigned(&value, &state->assigned);
            continue;
        }
        if (is_cut(&key)) {
            status = take_cut(&key, &value, &state->cuts);
            continue;
        }
        struct run_entry *grown = realloc(state->entries, (state->count + 1) * sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        state->entries = grown;
        status = take_run(&key, &value, &state->entries[state->count++]);
    }
    if (status == 0 && result != MDB_NOTFOUND)
        status = manifest_errno(result);
    if (status == 0 && !has_marks)
        status = -EBADMSG;
    if (state->count > 0)
        qsort(state->entries, state->count, sizeof *state->entries, compare_entries);
    return status;
}
