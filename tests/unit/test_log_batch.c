#include "storage/log_batch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/hash.h"

static uint8_t bytes[LOG_BATCH_HEADER_BYTES + 1000];

static struct log_batch_header sample(uint32_t payload_bytes)
{
    struct log_batch_header batch = {
        .slot = 17,
        .kind = LOG_BATCH_RECORDS,
        .generation = 5,
        .number = 1234567890123,
        .committed = 1234567890121,
        .incarnation = 3,
        .wall_us = 1763900000000001,
        .record_count = 9,
        .payload_bytes = payload_bytes,
        .node = "north",
    };
    memset(batch.previous.bytes, 0xa5, LOG_HASH_BYTES);
    memset(bytes + LOG_BATCH_HEADER_BYTES, 'p', payload_bytes);
    return batch;
}

Test(log_batch, a_batch_is_read_as_it_was_written)
{
    struct log_batch_header batch = sample(1000);
    struct log_batch_header read;
    cr_assert_eq(log_batch_encode(&batch, bytes), sizeof bytes);
    cr_assert_eq(log_batch_decode(bytes, sizeof bytes, &read), 0);
    cr_assert_eq(memcmp(&read, &batch, sizeof read), 0);
    struct span payload = log_batch_payload(&read, bytes);
    cr_assert_eq(payload.bytes, 1000);
    cr_assert_eq(payload.data[999], 'p');
}

Test(log_batch, a_batch_may_have_no_payload_and_the_longest_name)
{
    struct log_batch_header batch = sample(0);
    struct log_batch_header read;
    memset(batch.node, 'n', LOG_BATCH_NODE_BYTES);
    cr_assert_eq(log_batch_encode(&batch, bytes), LOG_BATCH_HEADER_BYTES);
    cr_assert_eq(log_batch_decode(bytes, LOG_BATCH_HEADER_BYTES, &read), 0);
    cr_assert_str_eq(read.node, batch.node);
}

Test(log_batch, every_changed_byte_and_every_other_length_is_noticed)
{
    struct log_batch_header batch = sample(100);
    struct log_batch_header read;
    uint32_t all = log_batch_encode(&batch, bytes);
    for (uint32_t i = 0; i < all; i++) {
        bytes[i] ^= 0x10;
        cr_assert_eq(log_batch_decode(bytes, all, &read), -EBADMSG, "byte %u", i);
        bytes[i] ^= 0x10;
    }
    for (uint32_t i = 0; i <= all + 8; i++)
        cr_assert_eq(log_batch_decode(bytes, i, &read), i == all ? 0 : -EBADMSG, "%u bytes", i);
}

/* With a CRC that is right. */
static int decode_with(uint32_t at, uint8_t value)
{
    struct log_batch_header batch = sample(8);
    struct log_batch_header read;
    uint32_t all = log_batch_encode(&batch, bytes);
    bytes[at] = value;
    memset(bytes + 12, 0, 4);
    bytes_store_le32(bytes + 12, hash_crc32c(0, bytes, all));
    return log_batch_decode(bytes, all, &read);
}

Test(log_batch, another_version_is_told_from_damage)
{
    cr_assert_eq(decode_with(8, 1), 0);
    cr_assert_eq(decode_with(8, 2), -EPROTO);
}

Test(log_batch, fields_out_of_bounds_are_damage)
{
    cr_assert_eq(decode_with(20, 0), -EBADMSG, "kind");
    cr_assert_eq(decode_with(20, 4), -EBADMSG, "kind");
    cr_assert_eq(decode_with(24, 0), -EBADMSG, "generation 0");
    cr_assert_eq(decode_with(47, 1), -EBADMSG, "committed above the number");
    cr_assert_eq(decode_with(84, 7), -EBADMSG, "payload bytes");
    cr_assert_eq(decode_with(88, 0), -EBADMSG, "no name");
}

Test(log_batch, the_hash_is_the_first_half_of_a_sha256)
{
    static const uint8_t of_abc[LOG_HASH_BYTES] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
                                                   0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23};
    struct log_hash hash;
    log_batch_hash("abc", 3, &hash);
    cr_assert_eq(memcmp(hash.bytes, of_abc, LOG_HASH_BYTES), 0);
}
