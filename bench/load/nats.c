#include "load/nats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/run.h"
#include "load/send.h"
#include "load/session.h"
#include "load/text.h"
#include "load/wire.h"
#include "load/worker.h"

#define SUBJECT "load."
#define INBOX "_INBOX.load."
#define CREATED "created" /* the last word of the subject to which the answer to the creation comes */
#define SID_USER '1'
#define STREAM_ROOM 512u

static void say(struct load_worker *worker, struct load_session *session, const char *text)
{
    uint32_t bytes = (uint32_t)strlen(text);
    memcpy(load_session_room(worker, session, bytes), text, bytes);
    session->out.bytes += bytes;
}

/* The first session creates the stream and waits for the answer to that; the others wait for the answer to PING. */
static void log_in(struct load_worker *worker, struct load_session *session)
{
    static const char stream[] =
        "{\"name\":\"LOAD\",\"subjects\":[\"" SUBJECT "*\"],\"retention\":\"limits\",\"storage\":\"file\","
        "\"num_replicas\":1,\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":-1,\"discard\":\"old\"}";
    char text[STREAM_ROOM + sizeof stream];
    snprintf(text, sizeof text,
             "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":true,\"headers\":false}\r\nSUB " SUBJECT
             "%u 1\r\nSUB " INBOX "%u.* 2\r\n",
             session->user, session->index);
    say(worker, session, text);
    if (session->index == 0)
        snprintf(text, sizeof text, "PUB $JS.API.STREAM.CREATE.LOAD " INBOX "0." CREATED " %zu\r\n%s\r\n",
                 sizeof stream - 1, stream);
    say(worker, session, session->index == 0 ? text : "PING\r\n");
    session->state = LOAD_SESSION_LOGGING_IN;
}

static void go_live(struct load_worker *worker, struct load_session *session)
{
    worker->stats.counts[LOAD_LOGINS]++;
    load_worker_add_latency(worker, LOAD_CONNECT_TO_LOGIN, session->begun_us);
    session->was_in = true;
    load_session_set_live(worker, session);
}

void load_nats_send(struct load_worker *worker, struct load_session *session, const struct load_send *send,
                    const struct load_text *text)
{
    const struct load_run *run = worker->run;
    uint64_t id = load_send_id(session, send);
    char *out = load_session_room(worker, session, LOAD_WIRE_ROOM + run->options.text_bytes);
    int head = snprintf(out, LOAD_WIRE_ROOM, "PUB " SUBJECT "%u " INBOX "%u.%llu %u\r\n", send->to, session->index,
                        (unsigned long long)id, run->options.text_bytes);
    load_text_write(out + head, run->options.text_bytes, text, &run->filler);
    memcpy(out + head + run->options.text_bytes, "\r\n", 2);
    session->out.bytes += (uint32_t)head + run->options.text_bytes + 2;
}

static void take_entry(struct load_worker *worker, struct load_session *session, const struct load_text *text,
                       struct span payload)
{
    session->got_count++;
    session->got_sum += load_text_hash(text->from, text->seq, "", 0);
    worker->gauges.got++;
    load_worker_check_order(worker, session, text, payload);
}

static void take_delivery(struct load_worker *worker, struct load_session *session, struct span payload)
{
    struct load_text text;
    bool is_ours = load_text_read(payload.data, (uint32_t)payload.bytes, &worker->run->filler, &text);
    if (!is_ours || text.run != worker->run->number || text.to != session->user
        || text.from >= worker->run->options.connections || payload.bytes != worker->run->options.text_bytes) {
        load_worker_broken(worker, LOAD_BROKEN_CONTENT, "not what was sent, or not to this user", payload);
        return;
    }
    take_entry(worker, session, &text, payload);
    worker->stats.counts[LOAD_DELIVERED]++;
    load_worker_add_latency(worker, LOAD_SEND_TO_DELIVERY, text.sent_us);
}

static bool holds(struct span span, const char *word)
{
    return memmem(span.data, span.bytes, word, strlen(word)) != NULL;
}

static void take_answer(struct load_worker *worker, struct load_session *session, struct span word, struct span payload)
{
    if (holds(payload, "\"error\"")) {
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "JetStream refuses", payload);
        return;
    }
    if (load_wire_is(word, CREATED)) {
        go_live(worker, session);
        return;
    }
    struct load_send *send = load_send_find(session, strtoull(word.data, NULL, 10));
    if (send == NULL || !holds(payload, "\"seq\"")) {
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "an answer to no request", payload);
        return;
    }
    struct load_text text = load_send_text(worker, session, send);
    take_entry(worker, session, &text, payload);
    load_send_done(worker, session, send, load_text_hash(text.from, text.seq, "", 0));
}

static struct span next_word(struct span *line)
{
    const char *end = memchr(line->data, ' ', line->bytes);
    struct span word = {line->data, end != NULL ? (size_t)(end - line->data) : line->bytes};
    size_t used = end != NULL ? word.bytes + 1 : word.bytes;
    *line = (struct span){line->data + used, line->bytes - used};
    return word;
}

/* MSG subject sid [reply] bytes, and the payload behind it; returns the bytes of both, 0 if they are incomplete. */
static uint32_t take_msg(struct load_worker *worker, struct load_session *session, struct span line, const char *data,
                         uint32_t bytes)
{
    struct span rest = line, subject, sid, size;
    next_word(&rest);
    subject = next_word(&rest);
    sid = next_word(&rest);
    for (size = next_word(&rest); rest.bytes > 0;)
        size = next_word(&rest);
    uint64_t payload_bytes = strtoull(size.data, NULL, 10), all = line.bytes + 2 + payload_bytes + 2;
    if (all > bytes)
        return 0;
    struct span payload = {data + line.bytes + 2, payload_bytes};
    const char *dot = memrchr(subject.data, '.', subject.bytes);
    if (sid.bytes == 1 && sid.data[0] == SID_USER)
        take_delivery(worker, session, payload);
    else if (dot != NULL)
        take_answer(worker, session, (struct span){dot + 1, (size_t)(subject.data + subject.bytes - dot - 1)}, payload);
    return (uint32_t)all;
}

static void take_line(struct load_worker *worker, struct load_session *session, struct span line)
{
    bool is_logging_in = session->state == LOAD_SESSION_LOGGING_IN && session->index != 0;
    if (session->state == LOAD_SESSION_UPGRADING && line.bytes > 5 && memcmp(line.data, "INFO ", 5) == 0)
        log_in(worker, session);
    else if (load_wire_is(line, "PONG") && is_logging_in)
        go_live(worker, session);
    else if (load_wire_is(line, "PING"))
        say(worker, session, "PONG\r\n");
    else if (line.bytes > 0 && line.data[0] == '-')
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "the server refuses", line);
}

uint32_t load_nats_take(struct load_worker *worker, struct load_session *session, const char *data, uint32_t bytes)
{
    uint32_t used = 0;
    while (session->state != LOAD_SESSION_AWAY && session->state != LOAD_SESSION_LEAVING) {
        const char *end = memmem(data + used, bytes - used, "\r\n", 2);
        if (end == NULL)
            return used;
        struct span line = {data + used, (size_t)(end - data) - used};
        uint32_t taken = (uint32_t)line.bytes + 2;
        if (line.bytes > 4 && memcmp(line.data, "MSG ", 4) == 0)
            taken = take_msg(worker, session, line, data + used, bytes - used);
        else
            take_line(worker, session, line);
        if (taken == 0)
            return used;
        used += taken;
    }
    return bytes;
}
