#include "protocol/utf8.h"

#include "base/assert.h"

/* The first byte of a character of several bytes: sets how many follow, and the bounds of the next one (RFC 3629,
 * section 4). */
static bool begin(struct utf8 *utf8, uint8_t byte)
{
    utf8->low = 0x80;
    utf8->high = 0xBF;
    if (byte >= 0xC2 && byte <= 0xDF) {
        utf8->missing = 1;
    } else if (byte >= 0xE0 && byte <= 0xEF) {
        utf8->missing = 2;
        if (byte == 0xE0)
            utf8->low = 0xA0;
        if (byte == 0xED)
            utf8->high = 0x9F;
    } else if (byte >= 0xF0 && byte <= 0xF4) {
        utf8->missing = 3;
        if (byte == 0xF0)
            utf8->low = 0x90;
        if (byte == 0xF4)
            utf8->high = 0x8F;
    } else {
        return false;
    }
    return true;
}

static bool go_on(struct utf8 *utf8, uint8_t byte)
{
    ASSERT(utf8->missing > 0);
    if (byte < utf8->low || byte > utf8->high)
        return false;
    utf8->missing--;
    utf8->low = 0x80;
    utf8->high = 0xBF;
    return true;
}

/* Bytes of ASCII at the start, in steps of eight. */
static size_t skip_ascii(const uint8_t *at, size_t bytes)
{
    size_t skipped = 0;
    uint64_t word;
    while (bytes - skipped >= sizeof word) {
        memcpy(&word, at + skipped, sizeof word);
        if ((word & UINT64_C(0x8080808080808080)) != 0)
            break;
        skipped += sizeof word;
    }
    return skipped;
}

bool utf8_feed(struct utf8 *utf8, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < bytes; i++) {
        if (utf8->missing > 0) {
            if (!go_on(utf8, at[i]))
                return false;
            continue;
        }
        i += skip_ascii(at + i, bytes - i);
        if (i < bytes && at[i] >= 0x80 && !begin(utf8, at[i]))
            return false;
    }
    return true;
}

bool utf8_is_valid(struct span text)
{
    struct utf8 utf8 = {0, 0, 0};
    return utf8_feed(&utf8, text.data, text.bytes) && utf8_is_whole(&utf8);
}
