/*
 * frame.h: the frames that the simulator receives, as values. Most frames are plain: ASCII without escapes, integers of
 * at most 18 digits, no blanks; a small reader takes these in a twentieth of the time of jansson. Every other text is
 * jansson's, whether it is JSON or not, and so is every 64th plain frame, where both readers must agree.
 */
#ifndef CHITCHAT_TESTS_SIM_FRAME_H
#define CHITCHAT_TESTS_SIM_FRAME_H

#include "harness.h"

enum value_kind {
    VALUE_NULL,
    VALUE_TRUE,
    VALUE_FALSE,
    VALUE_INTEGER,
    VALUE_REAL,
    VALUE_STRING,
    VALUE_ARRAY,
    VALUE_OBJECT
};

struct value {
    enum value_kind kind;
    uint32_t count;      /* of elements or members */
    int64_t number;      /* of an integer */
    struct span name;    /* of a member; NULL for another value */
    struct span text;    /* of a string; a zero byte follows */
    struct value *first; /* element or member, NULL: none */
    struct value *next;  /* of the same array or object, NULL: none */
};

/* Scratch memory, for one frame at a time. */
struct frame_reader {
    struct value *values;
    size_t count;
    uint64_t plain; /* frames so far */
    json_t *json;   /* the newest that jansson read */
};

void frame_reader_open(struct frame_reader *reader);
void frame_reader_close(struct frame_reader *reader);
/* Whether `data` is plain; then *value_r is its value, and `data` is changed. */
bool frame_read_plain(struct frame_reader *reader, char *data, size_t bytes, struct value **value_r);
/* Whether both have the same value. */
bool frame_is_same(const struct value *value, json_t *json);

/* The next text or close frame that `client` has received, a close frame as {"close":code}; NULL: none. Ends the test
 * if a text is not JSON. Valid until the next call, and until the client receives more. */
const struct value *frame_next(struct frame_reader *reader, struct client *client);
/* The same; frames with other `op` are passed over. Ends the test if there is none. */
const struct value *frame_expect(struct frame_reader *reader, struct client *client, const char *op);

/* NULL: `object` is no object or has no such member. */
const struct value *value_get(const struct value *object, const char *name);
bool value_is_true(const struct value *object, const char *name);
/* Ends the test if there is none. */
uint64_t value_number(const struct value *object, const char *name);
/* Empty if there is none. */
const char *value_text(const struct value *object, const char *name);

#endif
