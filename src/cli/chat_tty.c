#include "cli/chat_tty.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "cli/chat.h"
#include "cli/command.h"
#include "cli/talk.h"

/* Missed messages that are shown after a reconnect; older ones are in /history. */
#define REPLAY_MAX 500u
/* The server passes one a second; the other side shows it for longer. */
#define TYPING_EVERY_MS 3000u
#define NOTES_BYTES 240u
#define UNSEEN_NAMES_MAX 3
#define TURN_MS 1000

/* The user of the other side. Borrowed from the message. */
static const char *peer_of(const struct chat_tty *chat, const struct client_message *message)
{
    return strcmp(message->from, client_user(chat->client)) == 0 ? message->to : message->from;
}

/* -- the prompt -- */

static void put_note(char notes[NOTES_BYTES], const char *text)
{
    size_t used = strlen(notes);
    ASSERT(used < NOTES_BYTES);
    (void)snprintf(notes + used, NOTES_BYTES - used, "%s", text);
}

static void put_unseen(const struct chat_tty *chat, char notes[NOTES_BYTES])
{
    char text[LIMIT_USER_BYTES + 32];
    int names = 0;
    struct chat_talk *talk = NULL;
    while ((talk = chat_talks_next(&chat->talks, talk)) != NULL && names <= UNSEEN_NAMES_MAX) {
        if (talk->unseen == 0)
            continue;
        if (names++ == UNSEEN_NAMES_MAX)
            put_note(notes, ", …");
        else {
            (void)snprintf(text, sizeof text, "%s%.20s %u", names == 1 ? "[" : ", ", talk->user, talk->unseen);
            put_note(notes, text);
        }
    }
    put_note(notes, names > 0 ? "] " : "");
}

static void set_prompt(struct chat_tty *chat)
{
    char notes[NOTES_BYTES] = "", text[LIMIT_USER_BYTES + 32];
    uint32_t unsent = client_unsent(chat->client);
    enum client_state state = client_state(chat->client);
    if (!client_is_logged_in(chat->client))
        put_note(notes,
                 state == CLIENT_WAITING && client_why(chat->client)[0] != '\0' ? "(offline) " : "(connecting) ");
    if (unsent > 0) {
        (void)snprintf(text, sizeof text, "(%u unsent) ", unsent);
        put_note(notes, text);
    }
    put_unseen(chat, notes);
    if (chat->current != NULL && chat->current->typing_until_ms > talk_now_ms()) {
        (void)snprintf(text, sizeof text, "(%.40s is typing) ", chat->current->user);
        put_note(notes, text);
    }
    chat_screen_prompt(chat->screen, notes, chat->current != NULL ? chat->current->user : "");
}

/* -- what comes -- */

static void tty_on_state(void *context, enum client_state state, const char *why)
{
    struct chat_tty *chat = context;
    if (state == CLIENT_WAITING && why[0] != '\0' && strcmp(why, chat->last_why) != 0) {
        chat_screen_error(chat->screen, "not connected: %s; trying again", why);
        (void)snprintf(chat->last_why, sizeof chat->last_why, "%s", why);
    }
    if (client_is_logged_in(chat->client) && chat->wants_page)
        chat_open(chat, chat->current->user); /* before the entries that a replay brings */
    if (state != CLIENT_LIVE)
        return;
    if (chat->last_why[0] != '\0')
        chat_screen_notice(chat->screen, "connected");
    chat->last_why[0] = '\0';
    bool is_first = !chat->was_live;
    chat->was_live = true;
    chat_ask_peers(chat, is_first && chat->current == NULL);
    if (chat->held == NULL)
        chat_mark_seen(chat);
}

void chat_show(struct chat_tty *chat, const struct client_message *message)
{
    bool is_mine = strcmp(message->from, client_user(chat->client)) == 0;
    struct chat_talk *talk = chat->current;
    ASSERT(talk != NULL);
    if (talk->oldest_ts == 0)
        talk->oldest_ts = message->ts;
    chat_screen_message(chat->screen, message, is_mine, NULL);
}

static json_t *hold(const struct client_message *message)
{
    return json_pack("{s:I,s:s,s:s,s:s,s:s}", "ts", (json_int_t)message->ts, "mid", message->mid, "from", message->from,
                     "to", message->to, "text", message->text);
}

static void tty_on_message(void *context, const struct client_message *message)
{
    struct chat_tty *chat = context;
    const char *peer = peer_of(chat, message);
    bool is_mine = strcmp(message->from, client_user(chat->client)) == 0;
    struct chat_talk *talk = chat_talks_take(&chat->talks, peer);
    chat_talks_note(&chat->talks, talk, message, is_mine, talk == chat->current);
    if (talk != chat->current) {
        chat_screen_message(chat->screen, message, is_mine, peer);
    } else if (chat->held != NULL) {
        json_array_append_new(chat->held, hold(message));
    } else {
        chat_show(chat, message);
        if (!is_mine)
            chat_mark_seen(chat);
    }
}

static void tty_on_outcome(void *context, const struct client_outcome *outcome)
{
    struct chat_tty *chat = context;
    if (outcome->error == NULL)
        return;
    chat->has_refused = true;
    chat_screen_error(chat->screen, "not sent to %s: %s: %s", outcome->to, outcome->reason, outcome->text);
}

static void tty_on_reset(void *context, uint64_t last)
{
    struct chat_tty *chat = context;
    (void)last;
    chat_talks_reset(&chat->talks);
    chat_screen_error(chat->screen,
                      "the server has other data than before: what stands above may not be there any more");
    chat->was_live = false;
}

static void tty_on_skipped(void *context, uint64_t until)
{
    struct chat_tty *chat = context;
    (void)until;
    chat_screen_notice(chat->screen, "more than %u messages were missed: only the newest follow, /history has all",
                       REPLAY_MAX);
}

static void take_typing(struct chat_tty *chat, const json_t *push)
{
    const char *from = json_string_value(json_object_get(push, "from"));
    if (from != NULL && strlen(from) <= LIMIT_USER_BYTES)
        chat_talks_take(&chat->talks, from)->typing_until_ms = talk_now_ms() + CHAT_TYPING_MS;
}

static void take_seen(struct chat_tty *chat, const json_t *push, bool is_by_peer)
{
    const char *user = json_string_value(json_object_get(push, is_by_peer ? "user" : "with"));
    uint64_t ts = (uint64_t)json_integer_value(json_object_get(push, "ts"));
    if (user == NULL || strlen(user) > LIMIT_USER_BYTES)
        return;
    struct chat_talk *talk = chat_talks_take(&chat->talks, user);
    if (!is_by_peer)
        chat_talk_seen(talk, ts);
    else if (chat_talk_seen_by(talk, ts) && talk == chat->current && chat->held == NULL)
        chat_screen_notice(chat->screen, "      seen by %s", user);
}

static void tty_on_push(void *context, const json_t *push)
{
    struct chat_tty *chat = context;
    const char *op = json_string_value(json_object_get(push, "op"));
    if (strcmp(op, "typing") == 0)
        take_typing(chat, push);
    else if (strcmp(op, "seen") == 0 || strcmp(op, "seen_by") == 0)
        take_seen(chat, push, strcmp(op, "seen_by") == 0);
}

/* -- what the user does -- */

static void typing_on_reply(void *context, const json_t *reply)
{
    struct chat_tty *chat = context;
    const char *code = reply != NULL ? client_error_code(reply) : NULL;
    chat->has_no_typing |= code != NULL && strcmp(code, "unknown_op") == 0;
}

/* Says that the user is typing, while the line of a message grows. */
static void say_typing(struct chat_tty *chat)
{
    char first;
    uint32_t typed = chat_screen_typed(chat->screen, &first);
    bool grows = typed > chat->typed && first != '/';
    chat->typed = typed;
    if (!grows || chat->current == NULL || chat->has_no_typing
        || talk_now_ms() < chat->typing_sent_ms + TYPING_EVERY_MS)
        return;
    chat->typing_sent_ms = talk_now_ms();
    (void)client_request(chat->client, json_pack("{s:s,s:s}", "op", "typing", "to", chat->current->user),
                         typing_on_reply, chat);
}

static enum chat_turn take_signal(struct chat_tty *chat)
{
    char first;
    struct signalfd_siginfo info;
    if (read(chat->signals, &info, sizeof info) != sizeof info)
        return CHAT_TURN_AGAIN;
    if (info.ssi_signo == SIGWINCH || info.ssi_signo == SIGCONT) {
        chat_screen_resume(chat->screen);
        return CHAT_TURN_AGAIN;
    }
    if (info.ssi_signo == SIGINT && chat_screen_typed(chat->screen, &first) > 0)
        return CHAT_TURN_CLEAR;
    chat->is_over = true;
    return CHAT_TURN_END;
}

static enum chat_turn tty_on_turn(void *context)
{
    struct chat_tty *chat = context;
    struct pollfd fds[3];
    say_typing(chat);
    set_prompt(chat);
    chat_screen_update(chat->screen);
    int wait_ms = client_wants(chat->client, &fds[0]);
    fds[1] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    fds[2] = (struct pollfd){.fd = chat->signals, .events = POLLIN};
    int ready = poll(fds, 3, wait_ms < TURN_MS ? wait_ms : TURN_MS);
    client_step(chat->client, ready > 0 ? fds[0].revents : 0);
    set_prompt(chat);
    chat_screen_update(chat->screen);
    if (client_state(chat->client) == CLIENT_STOPPED)
        return CHAT_TURN_END;
    if (ready > 0 && fds[2].revents != 0)
        return take_signal(chat);
    return ready > 0 && fds[1].revents != 0 ? CHAT_TURN_INPUT : CHAT_TURN_AGAIN;
}

/* -- the whole -- */

static void talk(struct chat_tty *chat)
{
    chat_screen_notice(chat->screen, "/help lists the commands, /quit leaves");
    while (!chat->is_over && client_state(chat->client) != CLIENT_STOPPED) {
        set_prompt(chat);
        chat_screen_update(chat->screen);
        const char *line = chat_screen_read(chat->screen);
        chat->typed = 0;
        if (line != NULL)
            chat_command(chat, line);
        else if (!chat->is_over && client_state(chat->client) != CLIENT_STOPPED)
            chat_command(chat, "/quit");
    }
    chat_screen_update(chat->screen);
}

static enum talk_exit conclude(const struct chat_tty *chat)
{
    char line[128];
    uint32_t unsent = client_unsent(chat->client);
    if (client_state(chat->client) == CLIENT_STOPPED)
        return (enum talk_exit)command_complain(TALK_STOPPED, client_why(chat->client));
    if (unsent == 0)
        return chat->has_refused ? TALK_REFUSED : TALK_DONE;
    (void)snprintf(line, sizeof line, "%u messages were not acknowledged, and may be stored or not", unsent);
    return (enum talk_exit)command_complain(TALK_LATE, line);
}

static int open_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT};
    sigset_t signals;
    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaddset(&signals, numbers[i]);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

int chat_tty_run(const struct config *config)
{
    char error[CLIENT_ERROR_BYTES];
    struct chat_tty chat = {.config = config};
    struct client_options options = talk_options(config);
    options.replay_max = REPLAY_MAX;
    options.handler = (struct client_handler){.context = &chat,
                                              .on_state = tty_on_state,
                                              .on_message = tty_on_message,
                                              .on_outcome = tty_on_outcome,
                                              .on_reset = tty_on_reset,
                                              .on_skipped = tty_on_skipped,
                                              .on_push = tty_on_push};
    chat_talks_init(&chat.talks);
    if (client_open(&chat.client, &options, error) != 0)
        return command_complain(TALK_USAGE, error);
    chat.signals = open_signals();
    chat.screen = chat_screen_open(tty_on_turn, chat_complete_line, &chat);
    if (chat.screen == NULL) {
        client_close(&chat.client);
        return command_complain(TALK_USAGE, "the terminal cannot be used: check TERM");
    }
    if (config->to_user != NULL)
        chat_open(&chat, config->to_user);
    talk(&chat);
    chat_screen_close(&chat.screen);
    enum talk_exit code = conclude(&chat);
    client_close(&chat.client);
    json_decref(chat.held);
    chat_talks_fini(&chat.talks);
    close(chat.signals);
    return (int)code;
}
