/*
 * chat_tty.h: the state of `chitchat chat` in a terminal, for chat_tty.c (the loop, and what comes) and chat_commands.c
 * (what the user asks for). Main's thread.
 */
#ifndef CHITCHAT_CLI_CHAT_TTY_H
#define CHITCHAT_CLI_CHAT_TTY_H

#include "cli/chat_complete.h"
#include "cli/chat_screen.h"
#include "cli/chat_talks.h"
#include "cli/client.h"
#include "cli/config.h"

/* Messages of a conversation that are shown when it is opened, and of a /history. */
#define CHAT_PAGE 20u

struct chat_tty {
    const struct config *config;
    struct client *client;      /* owned */
    struct chat_screen *screen; /* owned */
    struct chat_talks talks;
    struct chat_talk *current; /* that which is open; NULL: none */
    int signals;               /* a signalfd */
    bool is_over;
    bool has_refused;
    bool leaves_unsent; /* the user was warned */
    bool was_live;
    bool wants_page;   /* the open conversation has not been read yet */
    bool lists_peers;  /* the next page of peers is for the user's eyes */
    json_t *held;      /* owned: messages that came while the page of the open conversation is read; NULL: none is */
    uint64_t loading;  /* counts the pages that were asked for: only the newest one is shown */
    bool is_older;     /* that page is a /history */
    bool has_no_peers; /* the server does not know these operations */
    bool has_no_seen;
    bool has_no_typing;
    uint32_t typed; /* characters in the line when it was looked at last */
    uint64_t typing_sent_ms;
    char last_why[512];                /* that was shown */
    struct chat_completion completion; /* of the tab key that was pressed last */
};

/* Does what an entered line says: a command, or a message. */
void chat_command(struct chat_tty *chat, const char *line);
/* As chat_screen_on_tab: a command, or the user of a /with. */
struct span chat_complete_line(void *context, struct span before);
/* Opens the conversation with `user`, and reads its newest messages. */
void chat_open(struct chat_tty *chat, const char *user);
/* Asks for conversations and counts; with `is_shown` they are listed when they come. */
void chat_ask_peers(struct chat_tty *chat, bool is_shown);
/* Says to the server that all of the open conversation is seen. */
void chat_mark_seen(struct chat_tty *chat);
/* Shows a message of the open conversation. */
void chat_show(struct chat_tty *chat, const struct client_message *message);

#endif
