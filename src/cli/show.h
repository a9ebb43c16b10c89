/*
 * show.h: received texts and times, as a terminal or a file may have them. A text may hold anything: escape sequences
 * that a terminal would execute, and marks that reorder what stands around them. Control characters become ^[ and the
 * like; those of U+0080 to U+009F, line separators and marks that override the direction of text become \u202e and the
 * like. Letters of all scripts, and emoji, stay. Pure, but for the time zone; any thread.
 */
#ifndef CHITCHAT_CLI_SHOW_H
#define CHITCHAT_CLI_SHOW_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/span.h"

enum show_style {
    SHOW_LINE,  /* one line: line ends become \n, tabs \t */
    SHOW_LINES, /* each line but the first begins with SHOW_INDENT, and tabs become blanks */
};
#define SHOW_INDENT "         "

/* Appends `text`, which should be UTF-8; a byte that is not becomes \xff and the like. */
void show_put(struct buffer *out, struct span text, enum show_style style);
/* Appends as it is. */
void show_put_raw(struct buffer *out, const char *text);
/* Appends the local time of a ts by a format of strftime. */
void show_put_time(struct buffer *out, uint64_t ts, const char *format);

#endif
