#include "load/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "load/put.h"
#include "load/run.h"
#include "load/send.h"
#include "load/session.h"
#include "load/text.h"
#include "load/wire.h"
#include "load/worker.h"

/* What an answer is: its status, and its body. */
struct answer {
    uint32_t status;
    struct span body;
};

static const char *host_of(const struct load_worker *worker, const struct load_session *session)
{
    return worker->run->options.addresses[session->node].text;
}

void load_http_begin(struct load_worker *worker, struct load_session *session)
{
    char *out = load_session_room(worker, session, LOAD_WIRE_ROOM);
    int bytes = snprintf(out, LOAD_WIRE_ROOM, "GET /readyz HTTP/1.1\r\nHost: %s\r\n\r\n", host_of(worker, session));
    ASSERT(bytes > 0 && bytes < (int)LOAD_WIRE_ROOM);
    session->out.bytes += (uint32_t)bytes;
}

void load_http_send(struct load_worker *worker, struct load_session *session, const struct load_send *send,
                    const struct load_text *text)
{
    const struct load_run *run = worker->run;
    char from[LOAD_USER_BYTES_MAX], to[LOAD_USER_BYTES_MAX];
    uint32_t from_bytes = load_run_user_name(run, session->user, from), text_bytes = run->options.text_bytes;
    uint32_t to_bytes = load_run_user_name(run, send->to, to);
    uint32_t key_bytes = run->options.has_keys ? (uint32_t)strlen("\",\"key\":\"") + LOAD_KEY_CHARS : 0;
    uint32_t body_bytes =
        (uint32_t)strlen("{\"from\":\"\",\"to\":\"\",\"text\":\"\"}") + from_bytes + to_bytes + key_bytes + text_bytes;
    char *out = load_session_room(worker, session, 2 * LOAD_WIRE_ROOM + text_bytes);
    int head_bytes = snprintf(
        out, LOAD_WIRE_ROOM,
        "POST /api/v1/messages HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %u\r\n\r\n",
        host_of(worker, session), body_bytes);
    ASSERT(head_bytes > 0 && head_bytes < (int)LOAD_WIRE_ROOM);
    char *body = out + head_bytes, *at = LOAD_PUT(body, "{\"from\":\"");
    at = load_put(at, from, from_bytes);
    at = LOAD_PUT(at, "\",\"to\":\"");
    at = load_put(at, to, to_bytes);
    if (run->options.has_keys) {
        at = LOAD_PUT(at, "\",\"key\":\"");
        load_text_write_key(at, text);
        at += LOAD_KEY_CHARS;
    }
    at = LOAD_PUT(at, "\",\"text\":\"");
    load_text_write(at, text_bytes, text, &run->filler);
    at = LOAD_PUT(at + text_bytes, "\"}");
    ASSERT((uint32_t)(at - body) == body_bytes);
    session->out.bytes += (uint32_t)(at - out);
}

/* -- answers -- */

/* A server that is not ready yet answers 503. With any other answer this is no address that takes posts. */
static void refuse_server(struct load_worker *worker, struct load_session *session, bool is_unready, struct span said)
{
    char why[LOAD_WHY_BYTES];
    const char *end = memchr(said.data, '\r', said.bytes);
    int bytes = end != NULL && end - said.data < 100 ? (int)(end - said.data) : 0;
    snprintf(why, sizeof why, "%s answers GET /readyz with `%.*s`",
             is_unready ? "the server" : "this is no admin address of a chitchat server (its option --admin): it",
             bytes, said.data);
    if (worker->phase == LOAD_CONNECT && !is_unready)
        load_worker_give_up_because(worker, why);
    load_session_lost(worker, session, why);
}

static void go_live(struct load_worker *worker, struct load_session *session)
{
    worker->stats.counts[LOAD_LOGINS]++;
    load_worker_add_latency(worker, LOAD_CONNECT_TO_LOGIN, session->begun_us);
    load_send_resume(worker, session);
    load_session_set_live(worker, session);
}

/* The one send that waits for its answer; NULL if there is none. */
static struct load_send *send_out(struct load_session *session)
{
    for (uint32_t i = 0; i < session->sends_room; i++)
        if (session->sends[i].state == LOAD_SEND_OUT)
            return &session->sends[i];
    return NULL;
}

static void take_stored(struct load_worker *worker, struct load_session *session, struct load_send *send,
                        const struct load_wire_object *stored, struct span body)
{
    if (!load_wire_is_mid(stored->mid) || !stored->has_ts)
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "no mid or no ts", body);
    if (stored->dup && !send->was_resent)
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "dup, though it was sent once", body);
    if (!stored->dup && stored->ts <= session->cursor)
        load_worker_broken(worker, LOAD_BROKEN_ORDER, "its ts is not above that of the message before it", body);
    worker->stats.counts[LOAD_DUPLICATE_OKS] += stored->dup;
    session->cursor = stored->ts > session->cursor ? stored->ts : session->cursor;
    load_send_done(worker, session, send, 0);
}

static void take_answer(struct load_worker *worker, struct load_session *session, const struct answer *answer)
{
    struct load_wire_object object;
    struct load_send *send = send_out(session);
    const char *end = answer->body.data + answer->body.bytes;
    if (send == NULL || load_wire_read_object(answer->body.data, end, &object) != end) {
        load_worker_broken(worker, LOAD_BROKEN_REPLY, send == NULL ? "an answer to no request" : "no JSON object",
                           answer->body);
        return;
    }
    if (answer->status == 200) {
        take_stored(worker, session, send, &object, answer->body);
        return;
    }
    object.id = load_send_id(session, send);
    object.has_id = true;
    load_send_refused(worker, session, &object, answer->body);
}

/* The bytes of the answer at `data`; 0: it is incomplete; -1: no server of ours answers like this. */
static int64_t read_answer(const char *data, uint32_t bytes, struct answer *answer_r)
{
    static const char version[] = "HTTP/1.1 ", length[] = "\r\nContent-Length: ";
    const char *end = memmem(data, bytes, "\r\n\r\n", 4);
    if (memcmp(data, version, bytes < sizeof version - 1 ? bytes : sizeof version - 1) != 0)
        return -1;
    if (end == NULL)
        return 0;
    uint32_t head_bytes = (uint32_t)(end + 4 - data);
    const char *at = memmem(data, head_bytes, length, sizeof length - 1);
    if (at == NULL)
        return -1;
    uint64_t body_bytes = strtoull(at + sizeof length - 1, NULL, 10);
    if (body_bytes > LOAD_TEXT_BYTES_MAX)
        return -1;
    answer_r->status = (uint32_t)strtoul(data + sizeof version - 1, NULL, 10);
    answer_r->body = (struct span){end + 4, (size_t)body_bytes};
    return head_bytes + body_bytes > bytes ? 0 : (int64_t)(head_bytes + body_bytes);
}

uint32_t load_http_take(struct load_worker *worker, struct load_session *session, const char *data, uint32_t bytes)
{
    struct answer answer;
    uint32_t used = 0;
    while (used < bytes) {
        int64_t taken = read_answer(data + used, bytes - used, &answer);
        if (taken == 0)
            return used;
        bool is_first = session->state == LOAD_SESSION_UPGRADING;
        struct span said = {data + used, bytes - used};
        if (is_first && (taken < 0 || answer.status != 200)) {
            refuse_server(worker, session, taken > 0 && answer.status == 503, said);
        } else if (taken < 0) {
            load_worker_broken(worker, LOAD_BROKEN_REPLY, "no answer of HTTP", said);
            load_session_lost(worker, session, "the server sent no answer of HTTP");
        } else if (is_first) {
            go_live(worker, session);
        } else {
            take_answer(worker, session, &answer);
        }
        if (session->state != LOAD_SESSION_LIVE)
            return bytes;
        used += (uint32_t)taken;
    }
    return used;
}
