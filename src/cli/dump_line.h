/*
 * dump_line.h: what timelines have, as lines of JSON, which `chitchat dump` writes and `chitchat import` reads. An
 * entry:
 *
 *     {"user":…,"ts":…,"other_ts":…,"alone":true,"mid":…,"from":…,"to":…,"text":…,"key":…}
 *
 * `other_ts` is the ts of the same message in the other user's timeline; a message to oneself has none. `alone` is
 * there if that other copy is cut (storage/runs/cuts.h). Only the sender's entry has a `key`, if there was one.
 *
 *     {"user":…,"with":…,"seen":…,"seen_by":…}
 *
 * are the marks of a conversation, behind the entries of the user: up to which ts the user has seen it, and the newest
 * message of the user that the other user has seen. One that is 0 is not there.
 *
 *     {"first":…}                 the timelines of all users are whole after this ts only
 *     {"user":…,"first":…}        that of this user begins later: it is whole after this ts
 *
 * Pure; any thread.
 */
#ifndef CHITCHAT_CLI_DUMP_LINE_H
#define CHITCHAT_CLI_DUMP_LINE_H

#include "protocol/json.h"
#include "storage/record.h"

/* With its newline. */
#define DUMP_LINE_BYTES_MAX (160u + LIMIT_ESCAPED_BYTES(3 * LIMIT_USER_BYTES + LIMIT_TEXT_BYTES + LIMIT_KEY_BYTES))

/* Writes the line of `message` in the timeline of `user`, with its newline, to `line` (DUMP_LINE_BYTES_MAX). Returns
 * its bytes. */
size_t dump_line_write(char *line, struct span user, const struct message *message, bool is_alone);
/* Writes the line that says where the timeline of `user` begins; without bytes: those of all. Else as above. */
size_t dump_line_write_first(char *line, struct span user, uint64_t first);

/* Writes the marks of (user, peer). Else as above. */
size_t dump_line_write_marks(char *line, struct span user, struct span peer, struct seen_marks marks);

struct dump_line {
    struct span user; /* no bytes: all; only with `first` */
    uint64_t first;   /* 0: the line is an entry or has marks */
    struct span with; /* no bytes: the line is an entry, and what follows `marks` is set */
    struct seen_marks marks;
    bool is_alone;
    struct message message; /* message.mid points to `mid` */
    uint8_t mid[LIMIT_MID_BYTES];
};

/* Reads a line without its newline, which is changed and then borrowed by *line_r, until the next use of `reader`.
 * NULL; or what is wrong, static. */
const char *dump_line_read(struct json_reader *reader, char *line, size_t bytes, struct dump_line *line_r);

#endif
