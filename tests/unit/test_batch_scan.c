#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/batch_scan.h"
#include "base/limits.h"

/* The objects of `text`, joined by |, and behind them how the scan ends. */
static const char *scan(const char *text)
{
    static char found[512];
    char *data = strdup(text);
    struct batch_scan scan = {.data = data, .bytes = strlen(text)};
    char *object;
    size_t bytes, used = 0;
    enum batch_found what;
    while ((what = batch_scan_next(&scan, &object, &bytes)) == BATCH_OBJECT) {
        memcpy(found + used, object, bytes);
        used += bytes;
        found[used++] = '|';
        memset(object, 'x', bytes); /* as the reader of objects may */
    }
    strcpy(found + used, what == BATCH_END ? "end" : what == BATCH_LONG ? "long" : "bad");
    free(data);
    return found;
}

Test(batch_scan, the_objects_are_found_one_by_one)
{
    cr_assert_str_eq(scan("{\"messages\":[]}"), "end");
    cr_assert_str_eq(scan("{\"messages\":[{}]}"), "{}|end");
    cr_assert_str_eq(scan(" {\n\"messages\"\t: [ {\"a\":1} ,\r{\"b\":[{},{}]} ] } "), "{\"a\":1}|{\"b\":[{},{}]}|end");
}

Test(batch_scan, braces_and_quotes_in_strings_do_not_count)
{
    cr_assert_str_eq(scan("{\"messages\":[{\"a\":\"}]\\\"{\"},{\"b\\\\\":\"\\\\\"}]}"),
                     "{\"a\":\"}]\\\"{\"}|{\"b\\\\\":\"\\\\\"}|end");
}

Test(batch_scan, whatever_else_is_bad)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "{}",
                                      "{\"messages\":{}}",
                                      "{\"messages\":[",
                                      "{\"messages\":[,{}]}",
                                      "{\"messages\":[7]}",
                                      "{\"messages\":[\"{}\"]}",
                                      "{\"messages\":[{",
                                      "{\"messages\":[]",
                                      "{\"messages\":[]}}",
                                      "{\"messages\":[],\"more\":1}",
                                      "{\"message\":[]}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_str_eq(scan(bad[i]), "bad", "%s", bad[i]);
    cr_assert_str_eq(scan("{\"messages\":[{},]}"), "{}|bad");
    cr_assert_str_eq(scan("{\"messages\":[{}{}]}"), "{}|bad");
    cr_assert_str_eq(scan("{\"messages\":[{},{\"a\":\"}"), "{}|bad");
    cr_assert_str_eq(scan("{\"messages\":[{},{\"a\":\"\\"), "{}|bad");
}

/* Of an object that never ends no more is looked at than a message may have. */
Test(batch_scan, an_object_longer_than_a_message_may_be_is_reported_as_such)
{
    for (size_t over = 0; over < 2; over++) {
        size_t bytes = LIMIT_FRAME_BYTES + over;
        char *data = malloc(bytes + 64);
        size_t begun = (size_t)sprintf(data, "{\"messages\":[{\"a\":\"");
        size_t object = begun - 6;
        memset(data + begun, 'a', bytes - 8);
        sprintf(data + object + bytes - 2, "\"}]}");
        struct batch_scan scan = {.data = data, .bytes = strlen(data)};
        char *found;
        size_t found_bytes;
        cr_assert_eq(batch_scan_next(&scan, &found, &found_bytes), over ? BATCH_LONG : BATCH_OBJECT);
        if (!over)
            cr_assert_eq(found_bytes, LIMIT_FRAME_BYTES);
        free(data);
    }
}
