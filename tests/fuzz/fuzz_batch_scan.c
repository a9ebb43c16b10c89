/* The objects of a batch of messages against jansson: a body that was scanned to its end is whole JSON if its objects
 * are, with these objects; and the scan refuses no body that jansson reads as such. */
#include <jansson.h>

#include "api/batch_scan.h"
#include "base/limits.h"
#include "fuzz.h"

#define FLAGS (JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL)

struct result {
    enum batch_found last;
    json_t *objects; /* an array of those that jansson reads */
    bool are_all_read;
};

static struct result scan_all(char *data, size_t bytes)
{
    struct batch_scan scan = {.data = data, .bytes = bytes};
    struct result result = {.objects = json_array(), .are_all_read = true};
    char *object;
    size_t object_bytes;
    while ((result.last = batch_scan_next(&scan, &object, &object_bytes)) == BATCH_OBJECT) {
        ASSERT(object >= data && object_bytes >= 2 && object + object_bytes <= data + bytes);
        ASSERT(object_bytes <= LIMIT_FRAME_BYTES && *object == '{');
        json_t *read = json_loadb(object, object_bytes, FLAGS, NULL);
        result.are_all_read &= read != NULL;
        if (read != NULL)
            json_array_append_new(result.objects, read);
    }
    return result;
}

/* The array of a body that has it as its only member, and whose elements are all objects; else NULL. Borrowed. */
static json_t *messages_of(json_t *whole)
{
    json_t *messages = json_object_get(whole, "messages"), *message;
    size_t i;
    if (!json_is_array(messages) || json_object_size(whole) != 1)
        return NULL;
    json_array_foreach(messages, i, message)
    {
        if (!json_is_object(message))
            return NULL;
    }
    return messages;
}

/* Whether the name is written without escapes, which the scan wants. */
static bool is_plain(const char *data, size_t bytes)
{
    static const char name[] = "\"messages\"";
    size_t at = 0;
    while (at < bytes && strchr(" \t\r\n{", data[at]) != NULL && data[at] != '\0')
        at++;
    return bytes - at >= sizeof name - 1 && memcmp(data + at, name, sizeof name - 1) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *copy = fuzz_copy(data, bytes);
    struct result result = scan_all(copy, bytes);
    json_t *whole = json_loadb((const char *)data, bytes, FLAGS, NULL);
    json_t *messages = whole == NULL ? NULL : messages_of(whole);
    if (result.last == BATCH_END && result.are_all_read)
        ASSERT(messages != NULL && json_equal(messages, result.objects));
    if (messages != NULL && is_plain((const char *)data, bytes) && result.last != BATCH_LONG)
        ASSERT(result.last == BATCH_END && result.are_all_read && json_equal(messages, result.objects));
    json_decref(whole);
    json_decref(result.objects);
    free(copy);
    return 0;
}
