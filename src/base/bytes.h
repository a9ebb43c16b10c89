/*
 * bytes.h: integers to and from bytes in memory. The memory needs no alignment. le is little endian (WAL, values of
 * rows), be is big endian (keys of rows, so that memcmp orders them). Pure; any thread.
 */
#ifndef CHITCHAT_BASE_BYTES_H
#define CHITCHAT_BASE_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t bytes_load_le16(const void *from)
{
    uint16_t value;
    memcpy(&value, from, sizeof value);
    return le16toh(value);
}

static inline uint32_t bytes_load_le32(const void *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return le32toh(value);
}

static inline uint64_t bytes_load_le64(const void *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return le64toh(value);
}

static inline uint64_t bytes_load_be64(const void *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return be64toh(value);
}

static inline void bytes_store_le16(void *to, uint16_t value)
{
    value = htole16(value);
    memcpy(to, &value, sizeof value);
}

static inline void bytes_store_le32(void *to, uint32_t value)
{
    value = htole32(value);
    memcpy(to, &value, sizeof value);
}

static inline void bytes_store_le64(void *to, uint64_t value)
{
    value = htole64(value);
    memcpy(to, &value, sizeof value);
}

static inline void bytes_store_be64(void *to, uint64_t value)
{
    value = htobe64(value);
    memcpy(to, &value, sizeof value);
}

/* memcpy for what is mostly 4 to 16 bytes, such as names: two words that may overlap are copied, without a call. */
static inline void bytes_copy_short(void *to, const void *from, size_t bytes)
{
    uint64_t first, last;
    uint32_t first_half, last_half;
    if (bytes - 4 > 12) {
        if (bytes > 0)
            memcpy(to, from, bytes);
        return;
    }
    if (bytes >= 8) {
        memcpy(&first, from, 8);
        memcpy(&last, (const char *)from + bytes - 8, 8);
        memcpy(to, &first, 8);
        memcpy((char *)to + bytes - 8, &last, 8);
        return;
    }
    memcpy(&first_half, from, 4);
    memcpy(&last_half, (const char *)from + bytes - 4, 4);
    memcpy(to, &first_half, 4);
    memcpy((char *)to + bytes - 4, &last_half, 4);
}

#endif
