#include "api/batch_scan.h"

#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static void skip_blanks(struct batch_scan *scan)
{
    while (scan->at < scan->bytes && is_blank(scan->data[scan->at]))
        scan->at++;
}

/* Takes `text`, and blanks before it. */
static bool take(struct batch_scan *scan, const char *text)
{
    size_t bytes = strlen(text);
    skip_blanks(scan);
    if (scan->bytes - scan->at < bytes || memcmp(scan->data + scan->at, text, bytes) != 0)
        return false;
    scan->at += bytes;
    return true;
}

/* Where the string that begins at `at` ends: behind its quote. */
static size_t string_end(const struct batch_scan *scan, size_t at, size_t end)
{
    for (at++; at < end; at++) {
        if (scan->data[at] == '\\')
            at++;
        else if (scan->data[at] == '"')
            return at + 1;
    }
    return end;
}

/* Where the object that begins at scan->at ends: behind its brace; or, without one, `end`. Brackets count as braces do:
 * whether they match is for the reader of the object. */
static size_t object_end(const struct batch_scan *scan, size_t end, bool *is_whole_r)
{
    unsigned depth = 0;
    for (size_t at = scan->at; at < end;) {
        char byte = scan->data[at];
        if (byte == '"') {
            at = string_end(scan, at, end);
            continue;
        }
        at++;
        if (byte == '{' || byte == '[') {
            depth++;
        } else if ((byte == '}' || byte == ']') && --depth == 0) {
            *is_whole_r = true;
            return at;
        }
    }
    *is_whole_r = false;
    return end;
}

static enum batch_found take_object(struct batch_scan *scan, char **object_r, size_t *bytes_r)
{
    bool is_whole;
    size_t left = scan->bytes - scan->at;
    bool is_cut = left > LIMIT_FRAME_BYTES;
    size_t end = object_end(scan, scan->at + (is_cut ? LIMIT_FRAME_BYTES : left), &is_whole);
    if (!is_whole)
        return is_cut ? BATCH_LONG : BATCH_BAD;
    *object_r = scan->data + scan->at;
    *bytes_r = end - scan->at;
    scan->at = end;
    scan->found++;
    return BATCH_OBJECT;
}

enum batch_found batch_scan_next(struct batch_scan *scan, char **object_r, size_t *bytes_r)
{
    ASSERT(scan->at <= scan->bytes);
    bool is_first = !scan->is_begun;
    if (is_first && !(take(scan, "{") && take(scan, "\"messages\"") && take(scan, ":") && take(scan, "[")))
        return BATCH_BAD;
    scan->is_begun = 1;
    if (take(scan, "]")) {
        bool is_end = take(scan, "}");
        skip_blanks(scan);
        return is_end && scan->at == scan->bytes ? BATCH_END : BATCH_BAD;
    }
    if (!is_first && !take(scan, ","))
        return BATCH_BAD;
    skip_blanks(scan);
    if (scan->at == scan->bytes || scan->data[scan->at] != '{')
        return BATCH_BAD;
    return take_object(scan, object_r, bytes_r);
}
