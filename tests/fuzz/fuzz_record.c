/* What the decoders of records and rows take is written again as the same bytes. */
#include "fuzz.h"
#include "storage/record.h"

static void check_mark(const struct record_fields *fields, const char *data, size_t bytes)
{
    uint8_t again[RECORD_MARK_BYTES_MAX];
    struct record_mark mark = {fields->to, fields->key, fields->ts_to, fields->ts_from, fields->mid};
    ASSERT(record_encode_mark(&mark, again) == bytes);
    ASSERT(memcmp(again, data, bytes) == 0);
}

static void check_cut(const struct record_fields *fields, const char *data, size_t bytes)
{
    uint8_t again[RECORD_CUT_BYTES_MAX];
    ASSERT(record_encode_cut(fields->to, fields->ts_to, again) == bytes);
    ASSERT(memcmp(again, data, bytes) == 0);
}

static void check_record(const char *data, size_t bytes)
{
    struct record_fields fields;
    int record_bytes = record_decode(data, bytes, &fields);
    if (record_bytes < 0)
        return;
    ASSERT((size_t)record_bytes <= bytes);
    if (fields.is_mark) {
        check_mark(&fields, data, (size_t)record_bytes);
        return;
    }
    if (fields.is_cut) {
        check_cut(&fields, data, (size_t)record_bytes);
        return;
    }
    struct record *record = malloc(sizeof *record + LIMIT_RECORD_BODY_BYTES);
    char *again = malloc(LIMIT_RECORD_BYTES);
    ASSERT(record != NULL && again != NULL);
    *record = (struct record){.ts_from = fields.ts_from,
                              .ts_to = fields.ts_to,
                              .from_bytes = (uint8_t)fields.from.bytes,
                              .to_bytes = (uint8_t)fields.to.bytes,
                              .key_bytes = (uint8_t)fields.key.bytes,
                              .text_bytes = (uint16_t)fields.text.bytes};
    memcpy(record->mid, fields.mid, LIMIT_MID_BYTES);
    memcpy(record->body, fields.from.data, record_body_bytes(record));
    ASSERT(span_equal(record_from(record), fields.from) && span_equal(record_to(record), fields.to));
    ASSERT(span_equal(record_key(record), fields.key) && span_equal(record_text(record), fields.text));
    ASSERT(record_encode(record, again) == (uint32_t)record_bytes);
    ASSERT(memcmp(again, data, (size_t)record_bytes) == 0);
    free(again);
    free(record);
}

static uint32_t write_key(const struct row_key_fields *row, uint8_t *out)
{
    switch (row->kind) {
    case ROW_ENTRY: return row_key(row->user, row->ts, out);
    case ROW_KEYED: return row_key_index(row->user, row->ts, out);
    case ROW_PEERS:
        return row->is_filter ? row_key_peers_filter(row->user, row->ts, out)
                              : row_key_peers(row->user, row->ts, row->peer, row->peer_ts, out);
    case ROW_MARKS: break;
    }
    return row_key_marks(row->user, row->peer, out);
}

static void check_key(struct span key)
{
    struct row_key_fields row;
    uint8_t again[ROW_KEY_PEERS_BYTES_MAX];
    if (row_key_parse(key, &row) != 0)
        return;
    ASSERT(span_equal(key, (struct span){(const char *)again, write_key(&row, again)}));
}

static void check_marks(struct span value)
{
    struct seen_marks marks;
    uint8_t again[ROW_MARKS_BYTES];
    if (row_decode_marks(value, &marks) != 0)
        return;
    row_encode_marks(marks, again);
    ASSERT(span_equal(value, (struct span){(const char *)again, sizeof again}));
}

static void check_row(struct span value)
{
    struct message message;
    struct span user = SPAN_LITERAL("ann");
    if (row_decode(user, 7, value, &message) != 0)
        return;
    char *again = malloc(ROW_VALUE_BYTES_MAX);
    ASSERT(again != NULL && value.bytes <= ROW_VALUE_BYTES_MAX);
    ASSERT(message.ts == 7 && span_equal(message.role == ROLE_RECEIVED ? message.to : message.from, user));
    ASSERT(row_encode(&message, again) == value.bytes);
    ASSERT(memcmp(again, value.data, value.bytes) == 0);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *copy = fuzz_copy(data, bytes);
    check_record(copy, bytes);
    check_key((struct span){copy, bytes});
    check_row((struct span){copy, bytes});
    check_marks((struct span){copy, bytes});
    free(copy);
    return 0;
}
