#include "storage/record.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "storage/memtable/record_heap.h"

static struct record_heap *heap;

static void open_heap(void)
{
    cr_assert_eq(record_heap_open(&heap, 8u << 20), 0);
}

static void close_heap(void)
{
    record_heap_close(&heap);
    cr_assert_null(heap);
}

TestSuite(record, .init = open_heap, .fini = close_heap);
TestSuite(record_heap, .init = open_heap, .fini = close_heap);

static struct record *make(const char *from, const char *to, const char *key, const char *text)
{
    struct record *record = record_heap_take(heap, span_of(from), span_of(to), span_of(key), span_of(text));
    cr_assert_not_null(record);
    record->ts_from = 1763900000000001;
    record->ts_to = 1763900000000777;
    for (int i = 0; i < (int)LIMIT_MID_BYTES; i++)
        record->mid[i] = (uint8_t)(i * 17);
    return record;
}

static bool is(struct span span, const char *text)
{
    return span_equal(span, span_of(text));
}

Test(record, its_log_form_is_read_back_as_it_was)
{
    struct record *record = make("alice", "bob", "key", "text \x01\xFF");
    uint8_t *bytes = malloc(record_encoded_bytes(record));
    cr_assert_eq(record_encode(record, bytes), record_encoded_bytes(record));
    struct record_fields fields;
    cr_assert_eq(record_decode(bytes, record_encoded_bytes(record), &fields), (int)record_encoded_bytes(record));
    cr_assert(fields.ts_from == record->ts_from && fields.ts_to == record->ts_to);
    cr_assert_arr_eq(fields.mid, record->mid, LIMIT_MID_BYTES);
    cr_assert(is(fields.from, "alice") && is(fields.to, "bob") && is(fields.key, "key")
              && is(fields.text, "text \x01\xFF"));
    free(bytes);
    record_heap_unref(heap, &record);
    cr_assert_null(record);
}

Test(record, one_that_is_cut_anywhere_is_refused)
{
    struct record *record = make("alice", "bob", "key", "text");
    uint32_t whole = record_encoded_bytes(record);
    uint8_t *bytes = malloc(whole);
    struct record_fields fields;
    record_encode(record, bytes);
    for (uint32_t cut = 0; cut < whole; cut++) {
        uint8_t *copy = malloc(cut); /* exactly: a read past the end is seen by the sanitizer */
        memcpy(copy, bytes, cut);
        cr_assert_eq(record_decode(copy, cut, &fields), -EBADMSG, "cut at %u", cut);
        free(copy);
    }
    free(bytes);
    record_heap_unref(heap, &record);
}

Test(record, a_cut_is_read_back_and_is_no_message_to_readers_that_know_none)
{
    static const char *const users[] = {"", "ann"};
    for (int i = 0; i < 2; i++) {
        uint8_t bytes[RECORD_CUT_BYTES_MAX];
        struct record_fields fields;
        uint32_t count = record_encode_cut(span_of(users[i]), 77, bytes);
        cr_assert_eq(record_decode(bytes, count, &fields), (int)count);
        cr_assert(fields.is_cut);
        cr_assert(is(fields.to, users[i]));
        cr_assert_eq(fields.ts_to, 77);
        cr_assert_eq(record_decode(bytes, count - 1, &fields), -EBADMSG);
        /* Readers of messages refuse a sender without a name: the byte behind the mid. */
        cr_assert_eq(bytes[20 + LIMIT_MID_BYTES], 0);
        for (uint32_t at = 4; at < count; at++) {
            uint8_t copy[RECORD_CUT_BYTES_MAX];
            bool is_field = (at >= 12 && at < 20) || at == 20 + LIMIT_MID_BYTES || at == 21 + LIMIT_MID_BYTES;
            memcpy(copy, bytes, count);
            copy[at] ^= 1;
            if (!is_field && at < 40)
                cr_assert_eq(record_decode(copy, count, &fields), -EBADMSG, "byte %u means something", at);
        }
    }
}

Test(record, random_bytes_never_lead_the_reader_astray)
{
    uint8_t bytes[400];
    struct record_fields fields;
    srand(5);
    for (uint32_t i = 0; i < 200000; i++) {
        size_t count = (size_t)rand() % sizeof bytes;
        for (size_t k = 0; k < count; k++)
            bytes[k] = (uint8_t)(rand() % 8 == 0 ? rand() : rand() % 4);
        if (count > 4 && i % 2 == 0)
            bytes_store_le32(bytes, (uint32_t)count);
        int result = record_decode(bytes, count, &fields);
        cr_assert(result == -EBADMSG || (result > 0 && (size_t)result <= count));
        if (result > 0)
            cr_assert((const uint8_t *)fields.text.data + fields.text.bytes == bytes + result);
    }
}

Test(record, views_show_each_timeline_its_own_ts_and_the_recipient_no_key)
{
    struct record *record = make("alice", "bob", "key", "text");
    struct message sent = record_view(record, ROLE_SENT), received = record_view(record, ROLE_RECEIVED);
    cr_assert(sent.ts == record->ts_from && sent.other_ts == record->ts_to && is(sent.key, "key"));
    cr_assert(received.ts == record->ts_to && received.other_ts == record->ts_from && received.key.bytes == 0);
    cr_assert(is(sent.from, "alice") && is(received.from, "alice") && is(sent.to, "bob") && is(received.text, "text"));
    cr_assert_not(record_is_to_self(record));
    record_heap_unref(heap, &record);
    record = make("alice", "alice", "", "note");
    cr_assert(record_is_to_self(record));
    record->ts_to = record->ts_from;
    cr_assert_eq(record_view(record, ROLE_SELF).ts, record_view(record, ROLE_SELF).other_ts);
    record_heap_unref(heap, &record);
}

static void expect_row(struct record *record, enum role role, const char *user)
{
    struct message message = record_view(record, role), back;
    uint8_t value[ROW_VALUE_BYTES_MAX];
    uint32_t bytes = row_encode(&message, value);
    struct span span = {(const char *)value, bytes};
    cr_assert_eq(row_decode(span_of(user), message.ts, span, &back), 0);
    cr_assert(back.ts == message.ts && back.other_ts == message.other_ts && back.role == role);
    cr_assert(span_equal(back.from, message.from) && span_equal(back.to, message.to));
    cr_assert(span_equal(back.key, message.key) && span_equal(back.text, message.text));
    cr_assert_arr_eq(back.mid, message.mid, LIMIT_MID_BYTES);
    for (uint32_t cut = 0; cut < bytes - message.text.bytes; cut++)
        cr_assert_eq(row_decode(span_of(user), 1, (struct span){(const char *)value, cut}, &back), -EBADMSG);
    value[0] = 9;
    cr_assert_eq(row_decode(span_of(user), 1, span, &back), -EBADMSG, "an unknown role");
}

Test(record, its_rows_are_read_back_in_every_role)
{
    struct record *record = make("alice", "bob", "key", "text");
    expect_row(record, ROLE_SENT, "alice");
    expect_row(record, ROLE_RECEIVED, "bob");
    record_heap_unref(heap, &record);
    record = make("alice", "alice", "key", "text");
    record->ts_to = record->ts_from;
    expect_row(record, ROLE_SELF, "alice");
    record_heap_unref(heap, &record);
}

Test(record, keys_of_rows_are_taken_apart_and_sort_by_user_then_ts)
{
    uint8_t keys[4][ROW_KEY_BYTES_MAX];
    uint32_t bytes[4];
    struct row_key_fields row;
    bytes[0] = row_key_index(SPAN_LITERAL("zoe"), 5, keys[0]);
    bytes[1] = row_key(SPAN_LITERAL("al"), 900, keys[1]);
    bytes[2] = row_key(SPAN_LITERAL("alice"), 255, keys[2]);
    bytes[3] = row_key(SPAN_LITERAL("alice"), 256, keys[3]);
    for (int i = 0; i < 4; i++) {
        struct span key = {(const char *)keys[i], bytes[i]};
        cr_assert_eq(row_key_parse(key, &row), 0);
        cr_assert_eq(row.kind, i == 0 ? ROW_KEYED : ROW_ENTRY);
        cr_assert(i == 0 || span_compare((struct span){(const char *)keys[i - 1], bytes[i - 1]}, key) < 0);
        for (uint32_t cut = 0; cut < bytes[i]; cut++)
            if (row_key_parse((struct span){key.data, cut}, &row) == 0)
                cr_assert_fail("a key cut at %u", cut);
    }
}

Test(record, keys_of_a_user_are_in_the_order_of_entries_index_by_peer_and_marks)
{
    uint8_t keys[10][ROW_KEY_PEERS_BYTES_MAX];
    uint32_t bytes[10], count = 0;
    struct row_key_fields row = {.kind = ROW_ENTRY};
    struct span al = SPAN_LITERAL("al"), bob = SPAN_LITERAL("bob");
    bytes[count] = row_key(al, 7, keys[count]);
    count++;
    bytes[count] = row_key_peers(al, 7, (struct span){"", 0}, 0, keys[count]);
    count++;
    bytes[count] = row_key_peers(al, 7, bob, 5, keys[count]);
    count++;
    bytes[count] = row_key_peers(al, 7, bob, 6, keys[count]);
    count++;
    bytes[count] = row_key_peers(al, 7, SPAN_LITERAL("bobby"), 1, keys[count]);
    count++;
    bytes[count] = row_key_peers_filter(al, 7, keys[count]);
    count++;
    bytes[count] = row_key(al, 8, keys[count]);
    count++;
    bytes[count] = row_key(al, UINT64_C(0x0101010101010101), keys[count]);
    count++;
    bytes[count] = row_key_marks(al, bob, keys[count]);
    count++;
    bytes[count] = row_key(SPAN_LITERAL("al!"), 1, keys[count]);
    static const enum row_kind kinds[] = {ROW_ENTRY, ROW_PEERS, ROW_PEERS, ROW_PEERS, ROW_PEERS,
                                          ROW_PEERS, ROW_ENTRY, ROW_ENTRY, ROW_MARKS, ROW_ENTRY};
    for (uint32_t i = 0; i <= count; i++) {
        struct span key = {(const char *)keys[i], bytes[i]};
        cr_assert_eq(row_key_parse(key, &row), 0, "key %u", i);
        cr_assert_eq(row.kind, kinds[i], "key %u", i);
        cr_assert(i == count || span_equal(row.user, al));
        cr_assert(i == 0 || span_compare((struct span){(const char *)keys[i - 1], bytes[i - 1]}, key) < 0);
        if (i == 2)
            cr_assert(row.ts == 7 && row.peer_ts == 5 && span_equal(row.peer, bob));
        if (i == 8)
            cr_assert(span_equal(row.peer, bob));
        cr_assert_eq(row.is_filter, i == 5);
        for (uint32_t cut = 0; cut < bytes[i]; cut++)
            if (row_key_parse((struct span){key.data, cut}, &row) == 0)
                cr_assert(kinds[i] == ROW_PEERS || kinds[i] == ROW_MARKS, "key %u cut at %u", i, cut);
    }
}

static const char mark_mid[LIMIT_MID_BYTES] = "0123456789abcd";

Test(record, a_mark_is_read_back_and_means_each_byte)
{
    uint8_t bytes[RECORD_MARK_BYTES_MAX + 1], copy[sizeof bytes];
    struct record_fields fields;
    struct record_mark mark = {SPAN_LITERAL("alice"), SPAN_LITERAL("bob"), 77, LIMIT_TS_MAX, (const uint8_t *)mark_mid};
    uint32_t count = record_encode_mark(&mark, bytes);
    cr_assert_eq(record_decode(bytes, sizeof bytes, &fields), (int)count);
    cr_assert(fields.is_mark && !fields.is_cut);
    cr_assert(is(fields.to, "alice") && is(fields.key, "bob") && fields.from.bytes == 0 && fields.text.bytes == 0);
    cr_assert(fields.ts_to == 77 && fields.ts_from == LIMIT_TS_MAX);
    cr_assert_arr_eq(fields.mid, mark_mid, LIMIT_MID_BYTES);
    for (uint32_t cut = 0; cut < count; cut++)
        cr_assert_eq(record_decode(bytes, cut, &fields), -EBADMSG, "cut at %u", cut);
    for (uint32_t at = 0; at < count; at++) {
        memcpy(copy, bytes, sizeof copy);
        copy[at] ^= 1;
        if (record_decode(copy, count, &fields) != (int)count)
            continue;
        mark = (struct record_mark){fields.to, fields.key, fields.ts_to, fields.ts_from, fields.mid};
        uint8_t again[sizeof bytes];
        cr_assert_eq(record_encode_mark(&mark, again), count);
        cr_assert_arr_eq(again, copy, count);
    }
}

Test(record, marks_of_a_row_are_read_back_and_never_both_zero)
{
    uint8_t value[ROW_MARKS_BYTES];
    struct seen_marks marks;
    row_encode_marks((struct seen_marks){5, LIMIT_TS_MAX}, value);
    cr_assert_eq(row_decode_marks((struct span){(const char *)value, sizeof value}, &marks), 0);
    cr_assert(marks.seen == 5 && marks.seen_by == LIMIT_TS_MAX);
    cr_assert_eq(row_decode_marks((struct span){(const char *)value, sizeof value - 1}, &marks), -EBADMSG);
    row_encode_marks((struct seen_marks){LIMIT_TS_MAX + 1, 1}, value);
    cr_assert_eq(row_decode_marks((struct span){(const char *)value, sizeof value}, &marks), -EBADMSG);
    row_encode_marks((struct seen_marks){0, 0}, value);
    cr_assert_eq(row_decode_marks((struct span){(const char *)value, sizeof value}, &marks), -EBADMSG);
    marks = (struct seen_marks){7, 2};
    seen_marks_raise(&marks, (struct seen_marks){6, 3});
    cr_assert(marks.seen == 7 && marks.seen_by == 3);
}

/* -- the heap -- */

Test(record_heap, copies_what_it_is_given_and_frees_with_the_last_reference)
{
    struct record *record = make("alice", "bob", "k", "text");
    cr_assert(is(record_from(record), "alice") && is(record_to(record), "bob"));
    cr_assert(is(record_key(record), "k") && is(record_text(record), "text"));
    struct record *second = record_heap_ref(heap, record);
    record_heap_unref(heap, &record);
    cr_assert(is(record_text(second), "text"));
    cr_assert_gt(record_heap_bytes_used(heap), 0);
    record_heap_unref(heap, &second);
}

Test(record_heap, is_full_at_its_bound_and_has_room_again_when_all_was_given_back)
{
    enum { ROUNDS = 3 };
    static char text[LIMIT_TEXT_BYTES];
    static struct record *records[4096];
    uint32_t first = 0;
    memset(text, 'x', sizeof text);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t count = 0;
        while ((records[count] = record_heap_take(heap, SPAN_LITERAL("a"), SPAN_LITERAL("b"), SPAN_LITERAL(""),
                                                  (struct span){text, sizeof text}))
               != NULL)
            count++;
        cr_assert_gt(count, 300);
        if (round == 0)
            first = count;
        cr_assert_geq(count + 64, first, "nothing is lost from round to round");
        cr_assert_leq(record_heap_bytes_used(heap), record_heap_bytes_max(heap));
        for (uint32_t i = 0; i < count; i++) /* not in the order in which they were taken */
            if (records[(i * 7) % count] != NULL)
                record_heap_unref(heap, &records[(i * 7) % count]);
        for (uint32_t i = 0; i < count; i++)
            if (records[i] != NULL)
                record_heap_unref(heap, &records[i]);
    }
}

Test(record_heap, a_block_that_emptied_while_it_was_filled_is_filled_again_when_no_other_is_left)
{
    static char text[LIMIT_TEXT_BYTES];
    static struct record *records[4096];
    struct span body = {text, sizeof text};
    uint32_t count = 0, again = 0, last_block;
    memset(text, 'x', sizeof text);
    while ((records[count] = record_heap_take(heap, SPAN_LITERAL("a"), SPAN_LITERAL("b"), SPAN_LITERAL(""), body))
           != NULL)
        count++;
    last_block = records[count - 1]->block;
    uint32_t first = count;
    while (first > 0 && records[first - 1]->block == last_block)
        record_heap_unref(heap, &records[--first]);
    cr_assert_gt(first, 0);
    while (again < count - first
           && (records[first + again] =
                   record_heap_take(heap, SPAN_LITERAL("a"), SPAN_LITERAL("b"), SPAN_LITERAL(""), body))
                  != NULL)
        again++;
    cr_assert_eq(again, count - first, "%u of %u", again, count - first);
    for (uint32_t i = 0; i < count; i++)
        record_heap_unref(heap, &records[i]);
}

Test(record_heap, records_of_all_sizes_at_random_keep_their_bytes)
{
    enum { LIVE = 300 };
    struct record *records[LIVE] = {NULL};
    char text[3000];
    srand(9);
    for (uint32_t i = 0; i < 30000; i++) {
        struct record **at = &records[rand() % LIVE];
        if (*at != NULL) {
            struct span body = record_text(*at);
            for (size_t k = 0; k < body.bytes; k++)
                cr_assert_eq((uint8_t)body.data[k], (uint8_t)(*at)->ts_from);
            record_heap_unref(heap, at);
            continue;
        }
        size_t bytes = 1 + (size_t)rand() % sizeof text;
        memset(text, (int)(i & 0xFF), bytes);
        *at =
            record_heap_take(heap, SPAN_LITERAL("a"), SPAN_LITERAL("b"), SPAN_LITERAL(""), (struct span){text, bytes});
        cr_assert_not_null(*at);
        cr_assert_eq((*at)->refs, 1);
        (*at)->ts_from = i;
    }
    for (uint32_t i = 0; i < LIVE; i++)
        if (records[i] != NULL)
            record_heap_unref(heap, &records[i]);
}

/* -- memory returned to the system -- */

/* The address sanitizer keeps a byte of its own for each eight that were ever mapped, and some of its libraries touch
 * them then. */
#ifdef __SANITIZE_ADDRESS__
#define SHADOW_BYTES(bytes) ((bytes) / 8)
#else
#define SHADOW_BYTES(bytes) 0
#endif

static size_t resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    cr_assert_eq(fscanf(file, "%*u %llu", &pages), 1);
    fclose(file);
    return (size_t)pages * 4096;
}

static void fill_and_empty(void)
{
    static char text[LIMIT_TEXT_BYTES];
    static struct record *records[4096];
    struct span body = {text, sizeof text};
    uint32_t count = 0;
    while ((records[count] = record_heap_take(heap, SPAN_LITERAL("a"), SPAN_LITERAL("b"), SPAN_LITERAL(""), body))
           != NULL)
        count++;
    while (count > 0)
        record_heap_unref(heap, &records[--count]);
}

Test(record_heap, memory_that_is_needed_again_and_again_stays_and_what_is_not_goes_little_by_little)
{
    size_t heap_bytes = (size_t)record_heap_bytes_max(heap), before = resident_bytes();
    for (int i = 0; i < 100; i++) {
        fill_and_empty();
        record_heap_trim(heap);
    }
    size_t busy = resident_bytes();
    cr_assert_geq(busy, before + heap_bytes - RECORD_HEAP_BLOCK_BYTES);
    record_heap_trim(heap);
    cr_assert_geq(resident_bytes(), busy - 2 * RECORD_HEAP_BLOCK_BYTES, "not all at once");
    for (int i = 0; i < 400; i++)
        record_heap_trim(heap);
    cr_assert_leq(resident_bytes(), busy - heap_bytes + 2 * RECORD_HEAP_BLOCK_BYTES);
    fill_and_empty();
}

Test(record_heap, loose_blocks_are_kept_for_the_next_and_trimmed_too)
{
    enum { COUNT = 20 };
    char *blocks[COUNT];
    size_t before = resident_bytes();
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = record_heap_index_take(heap);
        memset(blocks[i], 'x', RECORD_HEAP_BLOCK_BYTES);
    }
    cr_assert_eq(record_heap_bytes_used(heap), 0, "they are not counted");
    record_heap_index_give(heap, blocks[7]);
    cr_assert_eq(record_heap_index_take(heap), blocks[7]);
    for (int i = 0; i < COUNT; i++)
        record_heap_index_give(heap, blocks[i]);
    cr_assert_geq(resident_bytes(), before + (COUNT - 1) * RECORD_HEAP_BLOCK_BYTES);
    for (int i = 0; i < 2 * COUNT; i++)
        record_heap_trim(heap);
    cr_assert_leq(resident_bytes(),
                  before + 2 * RECORD_HEAP_BLOCK_BYTES + SHADOW_BYTES(COUNT * RECORD_HEAP_BLOCK_BYTES));
}

Test(record_heap, what_is_kept_makes_way_for_loose_blocks)
{
    enum { COUNT = 3 };
    char *blocks[COUNT];
    size_t heap_bytes = (size_t)record_heap_bytes_max(heap), before = resident_bytes();
    fill_and_empty();
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = record_heap_index_take(heap);
        memset(blocks[i], 'x', RECORD_HEAP_BLOCK_BYTES);
    }
    cr_assert_leq(resident_bytes(), before + heap_bytes + RECORD_HEAP_BLOCK_BYTES / 2
                                        + SHADOW_BYTES(heap_bytes + COUNT * RECORD_HEAP_BLOCK_BYTES));
    for (int i = 0; i < COUNT; i++)
        record_heap_index_give(heap, blocks[i]);
}

/* -- references -- */

Test(record_heap, a_held_record_stands_without_a_reference_and_may_get_one_again)
{
    uint32_t first = (uint32_t)record_heap_group_open(heap), second = (uint32_t)record_heap_group_open(heap);
    cr_assert_neq(first, second);
    struct record *record = make("alice", "bob", "k", "text"), *again = record;
    record_heap_group_ref(heap, first, record);
    record_heap_group_ref(heap, second, record);
    record_heap_unref(heap, &record);
    cr_assert(record_heap_group_close_some(heap, first, 1));
    cr_assert(is(record_text(again), "text"));
    record = record_heap_ref(heap, again);
    cr_assert(record_heap_group_close_some(heap, second, 1));
    cr_assert(is(record_text(record), "text"), "the reference keeps it");
    record_heap_unref(heap, &record);
}

Test(record_heap, what_is_held_takes_room_until_it_is_let_go_of_block_by_block)
{
    static char text[LIMIT_TEXT_BYTES];
    struct span body = {text, sizeof text};
    uint32_t holder = (uint32_t)record_heap_group_open(heap), count = 0, slices = 1;
    struct record *record;
    while ((record = record_heap_take(heap, SPAN_LITERAL("a"), SPAN_LITERAL("b"), SPAN_LITERAL(""), body)) != NULL) {
        record_heap_group_ref(heap, holder, record);
        record_heap_unref(heap, &record);
        count++;
    }
    uint64_t blocks = record_heap_bytes_max(heap) / RECORD_HEAP_BLOCK_BYTES;
    cr_assert_eq(record_heap_bytes_used(heap), record_heap_bytes_max(heap));
    while (!record_heap_group_close_some(heap, holder, 1))
        slices++;
    cr_assert_eq(slices, blocks);
    cr_assert_leq(record_heap_bytes_used(heap), RECORD_HEAP_BLOCK_BYTES, "all but the one that is filled");
    for (uint32_t i = 0; i < count; i++) {
        record = record_heap_take(heap, SPAN_LITERAL("a"), SPAN_LITERAL("b"), SPAN_LITERAL(""), body);
        cr_assert_not_null(record);
        record_heap_unref(heap, &record);
    }
}

Test(record_heap, so_many_may_hold_at_a_time)
{
    for (uint32_t i = 0; i < RECORD_HEAP_GROUPS_MAX; i++)
        cr_assert_eq(record_heap_group_open(heap), (int)i);
    cr_assert_eq(record_heap_group_open(heap), -ENOMEM);
    cr_assert(record_heap_group_close_some(heap, 3, 1), "it holds nothing");
    cr_assert_eq(record_heap_group_open(heap), 3);
    for (uint32_t i = 0; i < RECORD_HEAP_GROUPS_MAX; i++)
        cr_assert(record_heap_group_close_some(heap, i, 1));
}

Test(record, no_name_begins_with_0xff_in_either_kind_of_row)
{
    static const char key[] = "\x01\xff"
                              "bob\0\0\0\0\0\0\0\0\x07";
    struct row_key_fields row;
    cr_assert_eq(row_key_parse((struct span){key, 14}, &row), -EBADMSG);
    cr_assert_eq(row_key_parse((struct span){key + 1, 13}, &row), -EBADMSG);
    cr_assert_eq(row_key_parse((struct span){key + 2, 12}, &row), 0);
    cr_assert_eq(row.ts, 7);
}
