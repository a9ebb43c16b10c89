/*
 * dump_line.h: an entry of a timeline as a line of JSON, which `chitchat dump` writes and `chitchat import` reads:
 *
 *     {"user":…,"ts":…,"other_ts":…,"mid":…,"from":…,"to":…,"text":…,"key":…}
 *
 * `other_ts` is the ts of the same message in the other user's timeline; a message to oneself has none. Only the
 * sender's entry has a `key`, if there was one. Pure; any thread.
 */
#ifndef CHITCHAT_CLI_DUMP_LINE_H
#define CHITCHAT_CLI_DUMP_LINE_H

#include "protocol/json.h"
#include "storage/record.h"

/* With its newline. */
#define DUMP_LINE_BYTES_MAX (160u + LIMIT_ESCAPED_BYTES(3 * LIMIT_USER_BYTES + LIMIT_TEXT_BYTES + LIMIT_KEY_BYTES))

/* Writes the line of `message` in the timeline of `user`, with its newline, to `line` (DUMP_LINE_BYTES_MAX). Returns
 * its bytes. */
size_t dump_line_write(char *line, struct span user, const struct message *message);

struct dump_entry {
    struct span user;
    struct message message; /* message.mid points to `mid` */
    uint8_t mid[LIMIT_MID_BYTES];
};

/* Reads a line without its newline, which is changed and then borrowed by *entry_r, until the next use of `reader`.
 * NULL; or what is wrong, static. */
const char *dump_line_read(struct json_reader *reader, char *line, size_t bytes, struct dump_entry *entry_r);

#endif
