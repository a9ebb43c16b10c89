/* chat_commands.c: what the user of a terminal asks for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/chat_tty.h"
#include "cli/config_value.h"
#include "protocol/request.h"

#define PEERS_LIMIT 50
#define PEERS_TEXT_BYTES 60u

/* -- conversations -- */

static bool is_unknown(const json_t *reply)
{
    const char *code = client_error_code(reply);
    return code != NULL && strcmp(code, "unknown_op") == 0;
}

static bool is_online(const json_t *online, const char *user)
{
    for (size_t i = 0; i < json_array_size(online); i++)
        if (strcmp(json_string_value(json_array_get(online, i)), user) == 0)
            return true;
    return false;
}

static void list_talks(struct chat_tty *chat, const json_t *online)
{
    struct chat_talk *talk = NULL;
    if (chat_talks_next(&chat->talks, NULL) == NULL)
        chat_screen_notice(chat->screen, "no conversations yet: /with USER begins one");
    while ((talk = chat_talks_next(&chat->talks, talk)) != NULL) {
        char unseen[32] = "";
        if (talk->unseen >= CHAT_UNSEEN_MAX)
            (void)snprintf(unseen, sizeof unseen, "  more than %u unseen", CHAT_UNSEEN_MAX - 1);
        else if (talk->unseen > 0)
            (void)snprintf(unseen, sizeof unseen, "  %u unseen", talk->unseen);
        chat_screen_notice(chat->screen, "  %s%s%s%s", talk->user, is_online(online, talk->user) ? "  online" : "",
                           unseen, talk == chat->current ? "  (open)" : "");
    }
}

static void watch_on_reply(void *context, const json_t *reply)
{
    if (reply != NULL)
        list_talks(context, json_object_get(reply, "online"));
}

/* Who is online, then the list. */
static void list_with_presence(struct chat_tty *chat)
{
    json_t *users = json_array();
    struct chat_talk *talk = NULL;
    while ((talk = chat_talks_next(&chat->talks, talk)) != NULL && json_array_size(users) < 1000)
        json_array_append_new(users, json_string(talk->user));
    json_t *request = json_pack("{s:s,s:o}", "op", "watch", "users", users);
    if (!client_request(chat->client, request, watch_on_reply, chat))
        list_talks(chat, NULL);
}

static void peers_on_reply(void *context, const json_t *reply)
{
    struct chat_tty *chat = context;
    bool is_shown = chat->lists_peers;
    chat->lists_peers = false;
    chat->has_no_peers |= is_unknown(reply);
    if (reply == NULL)
        return;
    chat_talks_take_page(&chat->talks, json_object_get(reply, "peers"));
    if (chat->current != NULL)
        chat->current->unseen = 0;
    if (is_shown && chat->has_no_peers)
        list_talks(chat, NULL);
    else if (is_shown)
        list_with_presence(chat);
}

void chat_ask_peers(struct chat_tty *chat, bool is_shown)
{
    chat->lists_peers |= is_shown;
    bool is_asked = !chat->has_no_peers
                    && client_request(chat->client, json_pack("{s:s,s:i}", "op", "peers", "limit", PEERS_LIMIT),
                                      peers_on_reply, chat);
    if (is_asked || !is_shown)
        return;
    chat->lists_peers = false;
    list_talks(chat, NULL);
}

static void seen_on_reply(void *context, const json_t *reply)
{
    struct chat_tty *chat = context;
    chat->has_no_seen |= is_unknown(reply);
}

void chat_mark_seen(struct chat_tty *chat)
{
    struct chat_talk *talk = chat->current;
    if (talk == NULL)
        return;
    talk->unseen = 0;
    if (chat->has_no_seen || talk->received_ts == 0)
        return;
    (void)client_request(
        chat->client, json_pack("{s:s,s:s,s:I}", "op", "seen", "with", talk->user, "ts", (json_int_t)talk->received_ts),
        seen_on_reply, chat);
}

/* -- messages of a conversation -- */

static void show_page(struct chat_tty *chat, const json_t *messages)
{
    struct client_message message;
    struct chat_talk *talk = chat->current;
    ASSERT(talk != NULL);
    if (chat->is_older)
        chat_screen_notice(chat->screen, "--- older messages with %s ---", talk->user);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        if (!client_message_read(json_array_get(messages, i), &message))
            continue;
        if (talk->oldest_ts == 0 || message.ts < talk->oldest_ts)
            talk->oldest_ts = message.ts;
        bool is_sent = strcmp(message.from, client_user(chat->client)) == 0;
        if (is_sent && message.ts > talk->sent_ts)
            talk->sent_ts = message.ts;
        if (!is_sent && message.ts > talk->received_ts)
            talk->received_ts = message.ts;
        chat_screen_message(chat->screen, &message, is_sent, NULL);
    }
    if (chat->is_older)
        chat_screen_notice(chat->screen, "--- end of older messages ---");
    else if (chat_talk_seen_by(talk, talk->seen_by_ts))
        chat_screen_notice(chat->screen, "      seen by %s", talk->user);
}

/* What came while the page was read stands behind it. */
static void show_held(struct chat_tty *chat)
{
    struct client_message message;
    json_t *held = chat->held;
    chat->held = NULL;
    for (size_t i = 0; i < json_array_size(held); i++)
        if (client_message_read(json_array_get(held, i), &message))
            chat_show(chat, &message);
    json_decref(held);
}

static void page_on_reply(void *context, const json_t *reply)
{
    struct chat_tty *chat = context;
    ASSERT(chat->loading > 0);
    chat->loading--;
    if (chat->loading > 0 || chat->screen == NULL)
        return; /* another page was asked for since, or this is the end */
    const json_t *messages = json_object_get(reply, "messages");
    if (!json_is_array(messages))
        chat_screen_error(chat->screen, "older messages cannot be read now: try /history again");
    else if (json_array_size(messages) == 0)
        chat_screen_notice(chat->screen, "no %smessages with %s", chat->is_older ? "older " : "", chat->current->user);
    else
        show_page(chat, messages);
    show_held(chat);
    chat_mark_seen(chat);
}

static void ask_page(struct chat_tty *chat, uint64_t before, uint64_t limit, bool is_older)
{
    ASSERT(chat->current != NULL);
    json_t *request = json_pack("{s:s,s:s,s:I,s:I}", "op", "history", "with", chat->current->user, "before",
                                (json_int_t)before, "limit", (json_int_t)limit);
    chat->is_older = is_older;
    if (!client_request(chat->client, request, page_on_reply, chat)) {
        chat_screen_error(chat->screen, "not connected: older messages can be read when the connection is back");
        return;
    }
    chat->loading++;
    if (chat->held == NULL)
        chat->held = json_array();
}

void chat_open(struct chat_tty *chat, const char *user)
{
    struct chat_talk *talk = chat_talks_take(&chat->talks, user);
    if (chat->current == talk && chat->loading > 0)
        return;
    json_decref(chat->held); /* of another conversation: they are in its page when it is opened again */
    chat->held = NULL;
    chat->current = talk;
    talk->oldest_ts = 0;
    talk->unseen = 0;
    chat->wants_page = !client_is_logged_in(chat->client);
    if (!chat->wants_page)
        ask_page(chat, client_cursor(chat->client) + 1, CHAT_PAGE, false);
}

/* -- commands -- */

static void command_with(struct chat_tty *chat, const char *user)
{
    if (!request_is_user_name(span_of(user))) {
        chat_screen_error(chat->screen, "/with needs the name of a user, as in: /with bob");
        return;
    }
    chat_screen_notice(chat->screen, "--- with %s ---", user);
    chat_open(chat, user);
}

static void command_older(struct chat_tty *chat, const char *count)
{
    uint64_t limit = CHAT_PAGE;
    if (chat->current == NULL)
        chat_screen_error(chat->screen, "no conversation is open: /with USER opens one");
    else if (count[0] != '\0' && (!config_value_number(count, false, &limit) || limit < 1 || limit > 1000))
        chat_screen_error(chat->screen, "/history takes a number from 1 to 1000");
    else
        ask_page(chat, chat->current->oldest_ts != 0 ? chat->current->oldest_ts : client_cursor(chat->client) + 1,
                 limit, chat->current->oldest_ts != 0);
}

static void command_quit(struct chat_tty *chat, const char *argument)
{
    uint32_t unsent = client_unsent(chat->client);
    (void)argument;
    chat->is_over = unsent == 0 || chat->leaves_unsent;
    if (!chat->is_over)
        chat_screen_error(chat->screen, "%u messages are not sent yet: /quit again drops them", unsent);
    chat->leaves_unsent = true;
}

static void command_peers(struct chat_tty *chat, const char *argument)
{
    (void)argument;
    chat_ask_peers(chat, true);
}

static void command_help(struct chat_tty *chat, const char *argument);

static const struct {
    const char *name;
    const char *argument;
    void (*run)(struct chat_tty *chat, const char *argument);
    const char *help;
} commands[] = {
    {"/with", " USER", command_with, "open the conversation with USER; what you write goes there"},
    {"/peers", "", command_peers, "list the conversations, with unseen counts and who is online"},
    {"/history", " [N]", command_older, "show N older messages of this conversation (20)"},
    {"/help", "", command_help, "this list"},
    {"/quit", "", command_quit, "leave; so does ^D"},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static void command_help(struct chat_tty *chat, const char *argument)
{
    (void)argument;
    for (size_t i = 0; i < COMMANDS; i++)
        chat_screen_notice(chat->screen, "  %s%-*s %s", commands[i].name, (int)(14 - strlen(commands[i].name)),
                           commands[i].argument, commands[i].help);
    chat_screen_notice(chat->screen, "  A text that begins with / is written with two: //like this.");
    chat_screen_notice(chat->screen, "  Keys: arrows, ^A ^E ^W ^U ^K ^Y; up, down, ^R: earlier lines; tab for names.");
}

/* Names what fits, in one line. */
static void list_fitting(struct chat_tty *chat, const struct chat_completion *completion)
{
    char text[CHAT_FITTING_MAX * (LIMIT_USER_BYTES + 2) + 32] = "";
    size_t bytes = 0;
    uint32_t named = completion->count < CHAT_FITTING_MAX ? completion->count : CHAT_FITTING_MAX;
    for (uint32_t i = 0; i < named; i++)
        bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "%s  ", completion->fitting[i]);
    if (completion->count > named)
        (void)snprintf(text + bytes, sizeof text - bytes, "and %u more", completion->count - named);
    chat_screen_notice(chat->screen, "  %s", text);
}

struct span chat_complete_line(void *context, struct span before)
{
    struct chat_tty *chat = context;
    struct chat_completion *completion = &chat->completion;
    const char *blank = before.bytes > 0 ? memchr(before.data, ' ', before.bytes) : NULL;
    size_t begin = blank == NULL ? 0 : (size_t)(blank + 1 - before.data);
    bool is_user = begin == 6 && memcmp(before.data, "/with ", 6) == 0;
    if (before.bytes == 0 || before.data[0] != '/' || (begin > 0 && !is_user))
        return (struct span){"", 0};
    struct span stem = {before.data + begin, before.bytes - begin};
    chat_complete_begin(completion, stem);
    for (const struct chat_talk *talk = NULL; is_user && (talk = chat_talks_next(&chat->talks, talk)) != NULL;)
        chat_complete_add(completion, stem, talk->user);
    for (size_t i = 0; i < COMMANDS && !is_user; i++)
        chat_complete_add(completion, stem, commands[i].name);
    struct span rest = chat_complete_rest(completion);
    if (rest.bytes == 0 && completion->count > 1)
        list_fitting(chat, completion);
    return rest;
}

/* The argument is what follows the command, without the blanks around it: two words are no name and no number. */
static bool run_command(struct chat_tty *chat, const char *line)
{
    size_t bytes = strcspn(line, " ");
    const char *argument = line + bytes + strspn(line + bytes, " ");
    size_t argument_bytes = strlen(argument);
    char text[LIMIT_USER_BYTES + 2];
    while (argument_bytes > 0 && argument[argument_bytes - 1] == ' ')
        argument_bytes--;
    (void)snprintf(text, sizeof text, "%.*s", (int)argument_bytes, argument);
    for (size_t i = 0; i < COMMANDS; i++)
        if (strlen(commands[i].name) == bytes && memcmp(commands[i].name, line, bytes) == 0) {
            commands[i].run(chat, text);
            return true;
        }
    return false;
}

void chat_command(struct chat_tty *chat, const char *line)
{
    uint64_t number;
    bool is_command = line[0] == '/' && line[1] != '/';
    if (line[0] == '\0')
        return;
    if (strncmp(line, "/quit", 5) != 0)
        chat->leaves_unsent = false;
    if (is_command && !run_command(chat, line))
        chat_screen_error(chat->screen, "there is no command %.40s: /help lists them", line);
    if (is_command)
        return;
    if (chat->current == NULL) {
        chat_screen_error(chat->screen, "no conversation is open: /with USER opens one, /peers lists them");
        return;
    }
    const char *wrong = client_send(chat->client, chat->current->user, line[0] == '/' ? line + 1 : line, NULL, &number);
    if (wrong != NULL)
        chat_screen_error(chat->screen, "not sent: %s", wrong);
}
