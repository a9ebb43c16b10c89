/* chat_pipe.c: chat between stdin and stdout, for programs. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "cli/chat.h"
#include "cli/command.h"
#include "cli/show.h"
#include "cli/talk.h"

#define LINE_BYTES 1024u
/* Lines are read only while fewer are unsent: a program that writes much waits in its pipe. */
#define UNSENT_MAX 64u
#define STEP_MS 60000

struct chat_pipe {
    const struct config *config;
    struct client *client; /* owned */
    struct buffer out;
    struct buffer in;     /* what came from stdin, without the lines that were taken */
    int signals;          /* a signalfd: SIGINT, SIGTERM */
    bool has_to_end;      /* one of them came */
    bool is_in_open;      /* stdin is read, and has not ended */
    bool is_skipping;     /* the rest of a line that is too long */
    bool has_refused;     /* a line was refused for good */
    bool has_failed;      /* stdout */
    uint64_t ended_at_ms; /* when stdin ended; 0: it has not */
};

/* -- what comes -- */

static void put_object(struct chat_pipe *chat, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    ASSERT(text != NULL);
    show_put_raw(&chat->out, text);
    show_put_raw(&chat->out, "\n");
    free(text);
    json_decref(object);
}

static void pipe_on_state(void *context, enum client_state state, const char *why)
{
    static const char *const names[] = {[CLIENT_CONNECTING] = "connecting", [CLIENT_LOGGING_IN] = "logging in",
                                        [CLIENT_REPLAY] = "replay",         [CLIENT_LIVE] = "live",
                                        [CLIENT_WAITING] = "waiting",       [CLIENT_STOPPED] = "stopped"};
    char line[LINE_BYTES];
    struct chat_pipe *chat = context;
    if (chat->config->wants_json)
        put_object(chat, json_pack("{s:s,s:s,s:s}", "op", "state", "state", names[state], "message", why));
    if (state != CLIENT_WAITING || why[0] == '\0')
        return;
    (void)snprintf(line, sizeof line, "%s; connecting again", why);
    (void)command_complain(TALK_LATE, line);
}

/* What this program has sent itself is not repeated: a bot would answer to its own words. */
static void pipe_on_message(void *context, const struct client_message *message)
{
    struct chat_pipe *chat = context;
    if (message->is_own)
        return;
    if (chat->config->wants_json)
        talk_put_json(&chat->out, message, "msg");
    else
        talk_put_line(&chat->out, message);
}

static json_t *describe(const struct client_outcome *outcome)
{
    if (outcome->error != NULL)
        return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "op", "error", "code", outcome->error, "message", outcome->reason,
                         "to", outcome->to, "key", outcome->key, "text", outcome->text);
    json_t *object = json_pack("{s:s,s:I,s:s,s:s,s:s,s:s}", "op", "ok", "ts", (json_int_t)outcome->ts, "mid",
                               outcome->mid, "to", outcome->to, "key", outcome->key, "text", outcome->text);
    if (outcome->is_dup)
        json_object_set_new(object, "dup", json_true());
    return object;
}

static void pipe_on_outcome(void *context, const struct client_outcome *outcome)
{
    char line[LINE_BYTES];
    struct chat_pipe *chat = context;
    if (chat->config->wants_json)
        put_object(chat, describe(outcome));
    if (outcome->error == NULL)
        return;
    chat->has_refused = true;
    (void)snprintf(line, sizeof line, "not sent: %s: %s: %.60s", outcome->error, outcome->reason, outcome->text);
    (void)command_complain(TALK_REFUSED, line);
}

static void pipe_on_reset(void *context, uint64_t last)
{
    struct chat_pipe *chat = context;
    if (chat->config->wants_json)
        put_object(chat, json_pack("{s:s,s:I}", "op", "reset", "last", (json_int_t)last));
    (void)command_complain(TALK_REFUSED, "the server has other data than before (a restored backup): messages that "
                                         "came in between are in `chitchat history`");
}

static void pipe_on_push(void *context, const json_t *push)
{
    struct chat_pipe *chat = context;
    if (chat->config->wants_json)
        put_object(chat, json_deep_copy(push));
}

/* -- what goes -- */

static void send_line(struct chat_pipe *chat, char *line, size_t bytes)
{
    uint64_t number;
    char complaint[LINE_BYTES];
    if (bytes > 0 && line[bytes - 1] == '\r')
        bytes--;
    line[bytes] = '\0';
    const char *wrong = strlen(line) != bytes ? "the line has a byte 0" : NULL;
    if (bytes == 0)
        return;
    if (wrong == NULL)
        wrong = client_send(chat->client, chat->config->to_user, line, NULL, &number);
    if (wrong == NULL)
        return;
    chat->has_refused = true;
    (void)snprintf(complaint, sizeof complaint, "not sent: %s: %.60s", wrong, line);
    (void)command_complain(TALK_REFUSED, complaint);
    if (chat->config->wants_json)
        put_object(chat, json_pack("{s:s,s:s,s:s}", "op", "error", "code", "bad_request", "message", wrong));
}

/* Takes whole lines while few are unsent; at the end of stdin the rest is a line too. */
static void take_lines(struct chat_pipe *chat)
{
    struct buffer *in = &chat->in;
    while (in->bytes > 0 && client_unsent(chat->client) < UNSENT_MAX) {
        char *end = memchr(in->data, '\n', in->bytes);
        bool is_long = end == NULL && in->bytes > LIMIT_TEXT_BYTES + 1;
        if (end == NULL && !is_long && chat->is_in_open)
            return;
        size_t bytes = end != NULL ? (size_t)(end - in->data) : in->bytes;
        size_t used = end != NULL ? bytes + 1 : bytes;
        buffer_grow(in, 1); /* for the NUL of a last line without an end */
        if (!chat->is_skipping)
            send_line(chat, in->data, bytes);
        chat->is_skipping = is_long;
        in->bytes -= (uint32_t)used;
        memmove(in->data, in->data + used, in->bytes);
    }
}

static void read_stdin(struct chat_pipe *chat)
{
    buffer_grow(&chat->in, LIMIT_TEXT_BYTES);
    ssize_t bytes = read(STDIN_FILENO, chat->in.data + chat->in.bytes, LIMIT_TEXT_BYTES);
    if (bytes < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    chat->in.bytes += bytes > 0 ? (uint32_t)bytes : 0;
    if (bytes > 0)
        return;
    chat->is_in_open = false;
    chat->ended_at_ms = talk_now_ms();
}

/* -- the loop -- */

static bool is_over(const struct chat_pipe *chat)
{
    bool all_is_sent = chat->in.bytes == 0 && client_unsent(chat->client) == 0;
    if (chat->has_to_end || chat->has_failed || client_state(chat->client) == CLIENT_STOPPED)
        return true;
    if (chat->ended_at_ms == 0)
        return false;
    if (all_is_sent)
        return chat->config->follows == 0;
    return talk_now_ms() >= chat->ended_at_ms + (uint64_t)chat->config->timeout_s * 1000;
}

static void turn(struct chat_pipe *chat)
{
    struct pollfd fds[3];
    take_lines(chat);
    bool reads = chat->is_in_open && client_unsent(chat->client) < UNSENT_MAX;
    int wait_ms = client_wants(chat->client, &fds[0]);
    fds[1] = (struct pollfd){.fd = reads ? STDIN_FILENO : -1, .events = POLLIN};
    fds[2] = (struct pollfd){.fd = chat->signals, .events = POLLIN};
    if (chat->ended_at_ms != 0 && wait_ms > 100)
        wait_ms = 100;
    int ready = poll(fds, 3, wait_ms < STEP_MS ? wait_ms : STEP_MS);
    if (ready > 0 && fds[1].revents != 0)
        read_stdin(chat);
    chat->has_to_end |= ready > 0 && fds[2].revents != 0;
    take_lines(chat);
    client_step(chat->client, ready > 0 ? fds[0].revents : 0);
    chat->has_failed |= !talk_flush(&chat->out);
}

static enum talk_exit conclude(const struct chat_pipe *chat)
{
    char line[LINE_BYTES];
    uint32_t unsent = client_unsent(chat->client);
    if (chat->has_failed)
        return (enum talk_exit)command_complain(TALK_REFUSED, "stdout cannot be written");
    if (client_state(chat->client) == CLIENT_STOPPED)
        return (enum talk_exit)command_complain(TALK_STOPPED, client_why(chat->client));
    if (unsent == 0 && chat->in.bytes == 0)
        return chat->has_refused ? TALK_REFUSED : TALK_DONE;
    (void)snprintf(line, sizeof line,
                   "%u lines were not acknowledged, and may be stored or not; %u bytes were not sent", unsent,
                   chat->in.bytes);
    return (enum talk_exit)command_complain(TALK_LATE, line);
}

int chat_pipe_run(const struct config *config)
{
    char error[CLIENT_ERROR_BYTES];
    struct chat_pipe chat = {.config = config, .is_in_open = config->to_user != NULL};
    struct client_options options = talk_options(config);
    sigset_t signals;
    options.handler = (struct client_handler){.context = &chat,
                                              .on_state = pipe_on_state,
                                              .on_message = pipe_on_message,
                                              .on_outcome = pipe_on_outcome,
                                              .on_reset = pipe_on_reset,
                                              .on_push = pipe_on_push};
    if (client_open(&chat.client, &options, error) != 0)
        return command_complain(TALK_USAGE, error);
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    chat.signals = signalfd(-1, &signals, SFD_CLOEXEC);
    while (!is_over(&chat))
        turn(&chat);
    enum talk_exit code = conclude(&chat);
    client_close(&chat.client);
    close(chat.signals);
    buffer_fini(&chat.in);
    buffer_fini(&chat.out);
    return (int)code;
}
