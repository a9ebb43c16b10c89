#include "sim_rude.h"

#include <stdio.h>
#include <string.h>

#include "frame.h"
#include "harness.h"
#include "sim_model.h"

#define EMPTY_PIECES_MAX 40u
#define SILENT_MAX 10000u

/* A frame, and the code of the error that answers it. Without a code there is no answer, or a pong. */
static const struct rude_kind {
    const char *text; /* %llu is the id */
    const char *code;
    uint8_t first_byte;
    bool has_id;
} kinds[] = {
    {"{", "bad_json", FRAME_TEXT, false},
    {"{", "bad_json", FRAME_TEXT_BEGUN, false},
    {"", "bad_json", FRAME_TEXT, false},
    {"[{}]", "bad_json", FRAME_TEXT, false},
    {"{\"op\":\"ping\",\"id\":{}}", "bad_request", FRAME_TEXT, false},
    {"{\"id\":%llu}", "bad_request", FRAME_TEXT, true},
    {"{\"op\":\"shout\",\"id\":%llu}", "unknown_op", FRAME_TEXT, true},
    {"{\"op\":\"shout\",\"id\":%llu}", "unknown_op", FRAME_TEXT_BEGUN, true},
    {"{\"op\":\"ping\",\"id\":%llu}", "not_logged_in", FRAME_TEXT, true},
    {"{\"op\":\"send\",\"id\":%llu,\"to\":\"u0\",\"text\":\"hi\"}", "not_logged_in", FRAME_TEXT, true},
    {"{\"op\":\"history\",\"id\":%llu,\"limit\":0}", "not_logged_in", FRAME_TEXT, true},
    {"{\"op\":\"login\",\"id\":%llu,\"user\":\"\"}", "bad_request", FRAME_TEXT, true},
    {"{\"op\":\"login\",\"id\":%llu,\"user\":\"u0\",\"after\":-1}", "bad_request", FRAME_TEXT, true},
    {"{\"op\":\"login\",\"id\":%llu}", "bad_request", FRAME_TEXT, true},
    {"", NULL, FRAME_PING, false},
    {"are you there?", NULL, FRAME_PING, false},
    {"", NULL, FRAME_PONG, false},
};
#define KIND_COUNT (sizeof kinds / sizeof *kinds)

/* Fragments: the first has the text, all others are empty. */
static void send_pieces(struct chaos *chaos, struct client *client, const char *text, size_t bytes)
{
    client_send_frame(client, FRAME_TEXT_BEGUN, text, bytes);
    for (uint32_t left = chaos_below(chaos, EMPTY_PIECES_MAX); left > 0; left--)
        client_send_frame(client, FRAME_MORE, "", 0);
    client_send_frame(client, FRAME_LAST, "", 0);
}

static void send_one(struct rude *rude, struct chaos *chaos, struct client *client, uint32_t kind, uint64_t first_id)
{
    char text[96];
    unsigned long long id = first_id + rude->count;
    const char *percent = strstr(kinds[kind].text, "%llu");
    size_t begun = percent == NULL ? strlen(kinds[kind].text) : (size_t)(percent - kinds[kind].text);
    int bytes = percent == NULL
                    ? snprintf(text, sizeof text, "%s", kinds[kind].text)
                    : snprintf(text, sizeof text, "%.*s%llu%s", (int)begun, kinds[kind].text, id, percent + 4);
    HARNESS_MUST(bytes >= 0 && (size_t)bytes < sizeof text);
    if (kinds[kind].first_byte == FRAME_TEXT_BEGUN)
        send_pieces(chaos, client, text, (size_t)bytes);
    else
        client_send_frame(client, kinds[kind].first_byte, text, (size_t)bytes);
    rude->pings += kinds[kind].first_byte == FRAME_PING;
    if (kinds[kind].code != NULL)
        rude->kinds[rude->count++] = (uint8_t)kind;
}

/* A few of them or very many, all of one kind or of all kinds. */
void rude_send(struct rude *rude, struct chaos *chaos, struct client *client, uint64_t first_id)
{
    static const uint32_t at_most[] = {6, 60, 800, RUDE_MAX};
    uint32_t count = 1 + chaos_below(chaos, at_most[chaos_below(chaos, 4)]);
    uint32_t variety = chaos_hits(chaos, 2) ? KIND_COUNT : 1;
    uint32_t first_kind = chaos_hits(chaos, 2) ? 0 : chaos_below(chaos, KIND_COUNT);
    for (uint32_t i = 0; i < count; i++)
        send_one(rude, chaos, client, (first_kind + chaos_below(chaos, variety)) % KIND_COUNT, first_id);
}

void rude_send_silent(struct chaos *chaos, struct client *client)
{
    for (uint32_t left = chaos_below(chaos, SILENT_MAX); left > 0; left--)
        client_send_frame(client, FRAME_PONG, "", 0);
}

void rude_take(struct rude *rude, const struct value *frame, uint64_t first_id)
{
    bool has_id = value_get(frame, "id") != NULL;
    if (rude->taken == rude->count)
        sim_fail("a frame is refused that nobody sent: %s", value_text(frame, "message"));
    const struct rude_kind *kind = &kinds[rude->kinds[rude->taken]];
    if (strcmp(value_text(frame, "op"), "error") != 0 || strcmp(value_text(frame, "code"), kind->code) != 0)
        sim_fail("frame %u before the login, `%s`, is answered with %s %s", rude->taken, kind->text,
                 value_text(frame, "op"), value_text(frame, "code"));
    if (has_id != kind->has_id || (has_id && value_number(frame, "id") != first_id + rude->taken))
        sim_fail("frame %u before the login, `%s`, is answered with another id, or out of order", rude->taken,
                 kind->text);
    rude->taken++;
}

void rude_check_all_answered(const struct rude *rude, uint32_t pongs)
{
    if (rude->taken != rude->count)
        sim_fail("the login is answered, and of %u bad frames before it %u", rude->count, rude->taken);
    if (pongs < rude->pings)
        sim_fail("the login is answered, and of %u pings before it %u", rude->pings, pongs);
}
