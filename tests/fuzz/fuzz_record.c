/* What the decoders of records and rows take is written again as the same bytes. */
#include "fuzz.h"
#include "storage/record.h"

static void check_record(const char *data, size_t bytes)
{
    struct record_fields fields;
    int record_bytes = record_decode(data, bytes, &fields);
    if (record_bytes < 0)
        return;
    ASSERT((size_t)record_bytes <= bytes);
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

static void check_key(struct span key)
{
    struct span user;
    uint8_t again[ROW_KEY_BYTES_MAX];
    uint64_t ts;
    bool is_index;
    if (row_key_parse(key, &user, &ts, &is_index) != 0)
        return;
    uint32_t bytes = is_index ? row_key_index(user, ts, again) : row_key(user, ts, again);
    ASSERT(span_equal(key, (struct span){(const char *)again, bytes}));
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
    free(copy);
    return 0;
}
