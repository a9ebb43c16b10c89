/* Our reader against jansson on valid UTF-8: what it takes for an object, and what the first member is. */
#include "../unit/json_oracle.h"
#include "fuzz.h"
#include "protocol/request.h"
#include "protocol/utf8.h"

static void compare_send(const struct request *request, json_t *object)
{
    json_t *text = json_object_get(object, "text");
    ASSERT(json_is_string(text));
    ASSERT(span_equal(request->send.text, (struct span){json_string_value(text), json_string_length(text)}));
    ASSERT(request_is_user_name(request->send.to));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct request_reader *reader;
    struct request request;
    struct request_error error = {ERROR_NONE, NULL};
    json_t *object = NULL;
    if (bytes > LIMIT_FRAME_BYTES || !utf8_is_valid((struct span){(const char *)data, bytes}))
        return 0;
    enum oracle oracle = oracle_read((const char *)data, bytes, &object);
    ASSERT(request_reader_open(&reader) == 0);
    char *copy = malloc(bytes + 1);
    memcpy(copy, data, bytes);
    bool is_read = request_read(reader, copy, bytes, &request, &error);
    if (oracle != ORACLE_CANNOT_SAY)
        ASSERT((is_read || error.code != ERROR_BAD_JSON) == (oracle == ORACLE_ACCEPTS));
    if (is_read && request_read_op(reader, &request, &error) && request_read_fields(reader, &request, false, &error)
        && request.op == REQUEST_SEND && oracle == ORACLE_ACCEPTS)
        compare_send(&request, object);
    json_decref(object);
    free(copy);
    request_reader_close(&reader);
    return 0;
}
