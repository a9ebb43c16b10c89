/*
 * chat_screen.h: a terminal with a line that is being edited at its bottom, by libedit, and lines above it that are
 * there to stay: they go into the terminal's own scroll-back. Lines that come while the user writes stand above what
 * they write, which is not changed. No other screen is used, nothing is cleared.
 *
 * Colours are used unless NO_COLOR is set or TERM is dumb. One thread.
 */
#ifndef CHITCHAT_CLI_CHAT_SCREEN_H
#define CHITCHAT_CLI_CHAT_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/span.h"
#include "cli/client.h"

struct chat_screen;

enum chat_turn {
    CHAT_TURN_AGAIN, /* nothing was typed */
    CHAT_TURN_INPUT, /* stdin can be read */
    CHAT_TURN_CLEAR, /* the line is to be cleared */
    CHAT_TURN_END,   /* chat_screen_read shall return */
};
/* Waits for input and whatever else happens; called again and again while a line is edited. */
typedef enum chat_turn chat_screen_on_turn(void *context);

/* The tab key: what is to be inserted behind `before`, the line up to the cursor; no bytes: nothing. May add lines.
 * Borrowed until the next call. */
typedef struct span chat_screen_on_tab(void *context, struct span before);

/* NULL: the terminal cannot be used. Borrows `context` until close. */
struct chat_screen *chat_screen_open(chat_screen_on_turn *on_turn, chat_screen_on_tab *on_tab, void *context);
/* Gives the terminal back as it was. Nulls *screen; NULL is fine. */
void chat_screen_close(struct chat_screen **screen);

/* Lets the user edit a line; the line is gone from the screen when it is entered. NULL: the end, by ^D or
 * CHAT_TURN_END. Borrowed until the next call. */
const char *chat_screen_read(struct chat_screen *screen);
/* Characters in the line that is being edited; *first_r is the first byte, 0 if there is none. */
uint32_t chat_screen_typed(const struct chat_screen *screen, char *first_r);
/* What stands before the line: `notes` dimmed, then `name` and "> ". Shown by the next update. */
void chat_screen_prompt(struct chat_screen *screen, const char *notes, const char *name);

/* Lines to be shown by the next update. A notice is dimmed, an error is red. */
void chat_screen_notice(struct chat_screen *screen, const char *format, ...) __attribute__((format(printf, 2, 3)));
void chat_screen_error(struct chat_screen *screen, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A message, after a line with its day if that is another one than before. With `peer`: one dimmed line that is cut to
 * the width, of a conversation that is not open. */
void chat_screen_message(struct chat_screen *screen, const struct client_message *message, bool is_mine,
                         const char *peer);
/* Shows what was added. Within on_turn, or outside of chat_screen_read. */
void chat_screen_update(struct chat_screen *screen);
/* The terminal has another size, or is ours again after a stop. */
void chat_screen_resume(struct chat_screen *screen);

#endif
