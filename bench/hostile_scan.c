#include "hostile_scan.h"

#include <errno.h>
#include <string.h>

#include "load/wire.h"

#define STATUS_LINE_BYTES 12u /* "HTTP/1.1 101" */
#define OPCODE_BITS 0x0Fu
#define LENGTH_BITS 0x7Fu

void hostile_scan_init(struct hostile_scan *scan)
{
    memset(scan, 0, sizeof *scan);
}

static uint16_t status_of(const uint8_t *line)
{
    return (uint16_t)((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
}

/* Takes bytes of the HTTP head, up to the end of its blank line; returns how many. */
static size_t take_head(struct hostile_scan *scan, const char *data, size_t bytes)
{
    static const char blank_line[] = "\r\n\r\n";
    size_t at = 0;
    while (at < bytes && scan->line_end_bytes < 4) {
        char byte = data[at++];
        if (scan->kept_bytes < STATUS_LINE_BYTES)
            scan->kept[scan->kept_bytes++] = (uint8_t)byte;
        if (byte == blank_line[scan->line_end_bytes])
            scan->line_end_bytes++;
        else
            scan->line_end_bytes = byte == '\r';
    }
    if (scan->status == 0 && scan->kept_bytes == STATUS_LINE_BYTES)
        scan->status = status_of(scan->kept);
    if (scan->line_end_bytes == 4) {
        scan->is_upgraded = scan->status == 101;
        scan->kept_bytes = 0;
    }
    return at;
}

static uint32_t header_bytes_of(const struct hostile_scan *scan)
{
    uint8_t length = scan->kept[1] & LENGTH_BITS;
    return length < 126 ? 2 : length == 126 ? 4 : 10;
}

static uint64_t payload_bytes_of(const struct hostile_scan *scan)
{
    uint32_t header_bytes = header_bytes_of(scan);
    uint64_t length = 0;
    if (header_bytes == 2)
        return scan->kept[1] & LENGTH_BITS;
    for (uint32_t i = 2; i < header_bytes; i++)
        length = length << 8 | scan->kept[i];
    return length;
}

static bool begins(struct span text, const char *word)
{
    return text.bytes >= strlen(word) && memcmp(text.data, word, strlen(word)) == 0;
}

static void count_text(struct span text, struct hostile_counts *counts)
{
    if (begins(text, "{\"op\":\"ok\""))
        counts->oks++;
    else if (begins(text, "{\"op\":\"msg\""))
        counts->messages++;
    else if (begins(text, "{\"op\":\"history\""))
        counts->pages++;
    else if (begins(text, "{\"op\":\"live\""))
        counts->lives++;
    else if (begins(text, "{\"op\":\"error\"")) {
        counts->errors++;
        counts->refused += memmem(text.data, text.bytes, "\"busy\"", 6) != NULL
                           || memmem(text.data, text.bytes, "\"rate_limited\"", 14) != NULL;
    }
}

static uint16_t close_code_of(struct span payload)
{
    if (payload.bytes < 2)
        return 0;
    uint32_t high = (uint8_t)payload.data[0], low = (uint8_t)payload.data[1];
    return (uint16_t)(high << 8 | low);
}

static int count_frame(struct hostile_scan *scan, struct hostile_counts *counts)
{
    uint32_t header_bytes = header_bytes_of(scan);
    struct span payload = {(const char *)scan->kept + header_bytes, scan->kept_bytes - header_bytes};
    switch (scan->kept[0] & OPCODE_BITS) {
    case LOAD_WIRE_TEXT: count_text(payload, counts); return 0;
    case LOAD_WIRE_PING: counts->pings++; return 0;
    case LOAD_WIRE_PONG: counts->pongs++; return 0;
    case LOAD_WIRE_CLOSE:
        counts->closes++;
        scan->close_code = close_code_of(payload);
        return 0;
    default: return -EPROTO;
    }
}

/* How many bytes of the frame, header included, must be kept before it is counted. */
static uint64_t wanted_bytes(const struct hostile_scan *scan)
{
    if (scan->kept_bytes < 2)
        return 2;
    uint32_t header_bytes = header_bytes_of(scan);
    if (scan->kept_bytes < header_bytes)
        return header_bytes;
    uint64_t payload_bytes = payload_bytes_of(scan), room = HOSTILE_KEPT_BYTES - header_bytes;
    return header_bytes + (payload_bytes < room ? payload_bytes : room);
}

static size_t least(uint64_t left, uint64_t right)
{
    return (size_t)(left < right ? left : right);
}

/* Takes bytes of one frame; returns how many, or -EPROTO. */
static int64_t take_frame(struct hostile_scan *scan, const char *data, size_t bytes, struct hostile_counts *counts)
{
    size_t took = least(scan->skip_bytes, bytes);
    scan->skip_bytes -= took;
    while (scan->skip_bytes == 0) {
        uint64_t wanted = wanted_bytes(scan);
        if (scan->kept_bytes == wanted) {
            scan->skip_bytes = header_bytes_of(scan) + payload_bytes_of(scan) - wanted;
            int status = count_frame(scan, counts);
            scan->kept_bytes = 0;
            return status != 0 ? status : (int64_t)took;
        }
        if (took == bytes)
            break;
        size_t piece = least(wanted - scan->kept_bytes, bytes - took);
        memcpy(scan->kept + scan->kept_bytes, data + took, piece);
        scan->kept_bytes += (uint32_t)piece;
        took += piece;
    }
    return (int64_t)took;
}

int hostile_scan_take(struct hostile_scan *scan, const char *data, size_t bytes, struct hostile_counts *counts)
{
    size_t at = scan->line_end_bytes < 4 ? take_head(scan, data, bytes) : 0;
    if (at < bytes && !scan->is_upgraded)
        return 0; /* the body of a refusal */
    while (at < bytes) {
        int64_t took = take_frame(scan, data + at, bytes - at, counts);
        if (took < 0)
            return (int)took;
        at += (size_t)took;
    }
    return 0;
}

void hostile_counts_add(struct hostile_counts *into, const struct hostile_counts *from)
{
    into->oks += from->oks;
    into->errors += from->errors;
    into->refused += from->refused;
    into->messages += from->messages;
    into->pages += from->pages;
    into->lives += from->lives;
    into->pongs += from->pongs;
    into->pings += from->pings;
    into->closes += from->closes;
    into->flights += from->flights;
}

uint64_t hostile_counts_replies(const struct hostile_counts *counts)
{
    return counts->oks + counts->errors + counts->pages;
}
