/* command_send.c: `chitchat send`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/command.h"
#include "cli/show.h"
#include "cli/talk.h"

#define LINE_BYTES 1024u

struct sending {
    const struct config *config;
    struct client *client; /* owned */
    bool is_done;
    enum talk_exit code;
};

/* All of stdin, without its last line end; a text that is too long is cut one byte above the limit, which the client
 * refuses. TALK_DONE, or what the command ends with: complained. */
static int read_text(char out[LIMIT_TEXT_BYTES + 3])
{
    size_t bytes = fread(out, 1, LIMIT_TEXT_BYTES + 2, stdin);
    if (ferror(stdin))
        return command_complain(TALK_USAGE, "stdin cannot be read");
    if (memchr(out, '\0', bytes) != NULL)
        return command_complain(TALK_REFUSED, "the text has a byte 0, which no message may have");
    if (bytes > 0 && out[bytes - 1] == '\n')
        bytes--;
    if (bytes > 0 && out[bytes - 1] == '\r')
        bytes--;
    out[bytes] = '\0';
    return TALK_DONE;
}

static enum talk_exit print_stored(const struct client_outcome *outcome)
{
    struct buffer out = {0};
    json_t *object = json_pack("{s:s,s:I,s:s}", "op", "ok", "ts", (json_int_t)outcome->ts, "mid", outcome->mid);
    json_object_set_new(object, "key", json_string(outcome->key));
    if (outcome->is_dup)
        json_object_set_new(object, "dup", json_true());
    char *text = json_dumps(object, JSON_COMPACT);
    show_put_raw(&out, text);
    show_put_raw(&out, "\n");
    bool is_written = talk_flush(&out);
    buffer_fini(&out);
    free(text);
    json_decref(object);
    if (is_written)
        return TALK_DONE;
    return (enum talk_exit)command_complain(TALK_REFUSED, "stdout cannot be written, but the message is stored");
}

static void send_on_outcome(void *context, const struct client_outcome *outcome)
{
    char line[LINE_BYTES];
    struct sending *sending = context;
    sending->is_done = true;
    if (outcome->error == NULL) {
        sending->code = sending->config->wants_json ? print_stored(outcome) : TALK_DONE;
        return;
    }
    (void)snprintf(line, sizeof line, "the message is refused: %s: %s", outcome->error, outcome->reason);
    sending->code = (enum talk_exit)command_complain(TALK_REFUSED, line);
}

/* With a line that says how to repeat it safely. */
static enum talk_exit complain_late(const struct sending *sending, const char *key)
{
    char line[LINE_BYTES];
    const char *why = client_why(sending->client);
    if (client_epoch(sending->client)[0] == '\0') {
        (void)snprintf(line, sizeof line, "nothing was sent: no login within %u s%s%s", sending->config->timeout_s,
                       why[0] != '\0' ? ": " : "", why);
        return (enum talk_exit)command_complain(TALK_LATE, line);
    }
    (void)snprintf(line, sizeof line,
                   "not acknowledged within %u s%s%s: the message may be stored or not; to send it once for certain, "
                   "repeat this within 24 hours with --key %s",
                   sending->config->timeout_s, why[0] != '\0' ? ": " : "", why, key);
    return (enum talk_exit)command_complain(TALK_LATE, line);
}

static enum talk_exit wait_for_outcome(struct sending *sending, const char *key)
{
    uint64_t now_ms, due_ms = talk_now_ms() + (uint64_t)sending->config->timeout_s * 1000;
    while (!sending->is_done && (now_ms = talk_now_ms()) < due_ms) {
        if (client_state(sending->client) == CLIENT_STOPPED)
            return (enum talk_exit)command_complain(TALK_STOPPED, client_why(sending->client));
        client_wait(sending->client, (int)(due_ms - now_ms));
    }
    return sending->is_done ? sending->code : complain_late(sending, key);
}

/* A key that the user can repeat. */
static bool make_key(char key[33])
{
    uint8_t random[16];
    if (getentropy(random, sizeof random) != 0)
        return false;
    for (size_t i = 0; i < sizeof random; i++)
        (void)snprintf(key + 2 * i, 3, "%02x", random[i]);
    return true;
}

int command_send(const struct config *config)
{
    char error[CLIENT_ERROR_BYTES], text[LIMIT_TEXT_BYTES + 3], key[33] = "";
    uint64_t number;
    struct sending sending = {.config = config};
    struct client_options options = talk_options(config);
    options.handler = (struct client_handler){.context = &sending, .on_outcome = send_on_outcome};
    int code = config->message == NULL ? read_text(text) : TALK_DONE;
    if (code != TALK_DONE)
        return code;
    if (config->key == NULL && !make_key(key))
        return command_complain(TALK_USAGE, "no random key can be made: the system has no random numbers");
    if (client_open(&sending.client, &options, error) != 0)
        return command_complain(TALK_USAGE, error);
    const char *used = config->key != NULL ? config->key : key;
    const char *wrong =
        client_send(sending.client, config->to_user, config->message != NULL ? config->message : text, used, &number);
    code = wrong != NULL ? command_complain(TALK_REFUSED, wrong) : (int)wait_for_outcome(&sending, used);
    client_close(&sending.client);
    return code;
}
