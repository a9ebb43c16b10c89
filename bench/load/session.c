#include "load/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/client_tls.h"
#include "load/frame.h"
#include "load/http.h"
#include "load/look.h"
#include "load/nats.h"
#include "load/random.h"
#include "load/run.h"
#include "load/scenario.h"
#include "load/wire.h"
#include "load/worker.h"

#define BACK_US_MIN 20000u /* until a session that was cut off connects again; plus a random time up to the same */
#define LOGIN_ID 1u
#define BACK_US_MIN_PAIR 50000u /* the same of a pair of nodes: for seconds, none of them may serve */
#define CLOSE_GOING_AWAY 1001u  /* PROTOCOL.md, section 9, as the next */
#define CLOSE_TOO_MANY 4201u
#define KEPT_BYTES_MAX 8192u /* the largest input buffer that an idle session keeps */

static void want_flush(struct load_worker *worker, struct load_session *session)
{
    if (list_is_empty(&session->flush_link))
        list_append(&worker->flush, &session->flush_link);
}

char *load_session_room(struct load_worker *worker, struct load_session *session, uint32_t bytes)
{
    buffer_grow(&session->out, bytes);
    want_flush(worker, session);
    return session->out.data + session->out.bytes;
}

static bool is_connected(const struct load_session *session)
{
    return session->state != LOAD_SESSION_AWAY && session->state != LOAD_SESSION_LEAVING;
}

bool load_session_has_output(const struct load_session *session)
{
    return session->out.bytes > 0 || (session->tls != NULL && client_tls_output(session->tls)->bytes > 0);
}

static void fail_tls(struct load_worker *worker, struct load_session *session);

/* What can be sent now. All frames of a turn become one record, or few. */
static struct buffer *encrypt(struct load_worker *worker, struct load_session *session)
{
    struct client_tls *tls = session->tls;
    if (session->out.bytes > 0 && client_tls_is_secured(tls)) {
        if (!client_tls_write(tls, session->out.data, session->out.bytes))
            fail_tls(worker, session);
        session->out.bytes = 0;
    }
    return client_tls_output(tls);
}

void load_session_flush(struct load_worker *worker, struct load_session *session)
{
    if (!is_connected(session) || io_is_sending(&session->socket))
        return;
    struct buffer *out = session->tls != NULL ? encrypt(worker, session) : &session->out, full = *out;
    if (full.bytes == 0 || !is_connected(session))
        return;
    *out = session->in_flight;
    out->bytes = 0;
    session->in_flight = full;
    io_send(worker->io, &session->socket, &(struct iovec){full.data, full.bytes}, 1);
}

static uint64_t back_us(struct load_worker *worker)
{
    uint32_t min_us = load_options_has_pair(&worker->run->options) ? BACK_US_MIN_PAIR : BACK_US_MIN;
    return worker->now_us + min_us + load_random_below(&worker->random, min_us);
}

/* Whether the reason of a close, a URL, names this address. */
static bool names(struct span reason, const struct load_address *address)
{
    size_t bytes = strlen(address->text);
    const char *slashes = reason.bytes > 0 ? memmem(reason.data, reason.bytes, "//", 2) : NULL;
    const char *end = reason.data + reason.bytes;
    if (slashes == NULL || (size_t)(end - slashes) < 2 + bytes || memcmp(slashes + 2, address->text, bytes) != 0)
        return false;
    return slashes + 2 + bytes == end || slashes[2 + bytes] == '/';
}

/* Of a pair of nodes one serves: the session connects next to the one that the reason of the close names, else to the
 * other one. */
static void choose_node(const struct load_worker *worker, struct load_session *session, struct span reason)
{
    const struct load_options *options = &worker->run->options;
    if (load_options_has_pair(options) && !names(reason, &options->addresses[session->node]))
        session->node = 1 - session->node;
}

void load_session_connect(struct load_worker *worker, struct load_session *session)
{
    ASSERT(session->state == LOAD_SESSION_AWAY);
    enum load_socket_step step;
    uint32_t nth = worker->sources++ * worker->run->options.threads + worker->index;
    int fd = load_socket_open(&worker->run->options, session->node, nth, &step);
    if (fd < 0) {
        worker->stats.counts[LOAD_CONNECT_FAILED]++;
        load_worker_note_end(worker, strerror(-fd));
        if (worker->phase == LOAD_CONNECT && load_socket_is_hopeless(-fd))
            load_worker_give_up(worker, nth, step, -fd);
        choose_node(worker, session, (struct span){NULL, 0});
        session->due_us = back_us(worker);
        list_append(&worker->waiting, &session->wait_link);
        return;
    }
    session->state = session->tls != NULL ? LOAD_SESSION_SECURING : LOAD_SESSION_UPGRADING;
    session->begun_us = worker->now_us;
    worker->connecting++;
    io_adopt(worker->io, &session->socket, fd);
    if (worker->run->options.protocol == LOAD_CHITCHAT) {
        char *out = load_session_room(worker, session, LOAD_WIRE_ROOM);
        session->out.bytes += (uint32_t)load_wire_put_upgrade(out, worker->run->options.addresses[session->node].text);
    } else if (worker->run->options.protocol == LOAD_HTTP) {
        load_http_begin(worker, session);
    }
    io_recv_start(worker->io, &session->socket);
    if (session->tls != NULL && !client_tls_begin(session->tls))
        fail_tls(worker, session);
}

static bool is_connecting(const struct load_session *session)
{
    return session->state == LOAD_SESSION_SECURING || session->state == LOAD_SESSION_UPGRADING
           || session->state == LOAD_SESSION_LOGGING_IN || session->state == LOAD_SESSION_REPLAYING;
}

void load_session_leave(struct load_worker *worker, struct load_session *session, uint64_t due_us)
{
    session->due_us = due_us;
    if (session->state == LOAD_SESSION_AWAY || session->state == LOAD_SESSION_LEAVING)
        return;
    worker->connecting -= is_connecting(session);
    worker->gauges.live -= session->state == LOAD_SESSION_LIVE;
    session->state = LOAD_SESSION_LEAVING;
    load_look_end(worker, session);
    list_remove(&session->flush_link);
    list_remove(&session->wait_link);
    io_close(worker->io, &session->socket);
}

void load_session_on_closed(struct load_worker *worker, struct load_session *session)
{
    ASSERT(session->state == LOAD_SESSION_LEAVING);
    session->state = LOAD_SESSION_AWAY;
    session->in.bytes = session->out.bytes = session->in_flight.bytes = 0;
    if (session->tls != NULL)
        client_tls_end(session->tls);
    if (worker->phase != LOAD_END)
        list_append(&worker->waiting, &session->wait_link);
}

/* A server may refuse a login: that breaks no guarantee. */
static bool is_first_login(const struct load_worker *worker, const struct load_session *session)
{
    return worker->phase == LOAD_CONNECT && session->state == LOAD_SESSION_LOGGING_IN && !session->was_in;
}

static void lose(struct load_worker *worker, struct load_session *session, const char *why, struct span reason)
{
    const struct load_options *options = &worker->run->options;
    bool may_end = load_options_kills(options) || load_options_has_pair(options) || worker->phase == LOAD_END;
    bool is_open = session->state != LOAD_SESSION_SECURING && session->state != LOAD_SESSION_UPGRADING
                   && !is_first_login(worker, session);
    if (session->state == LOAD_SESSION_AWAY || session->state == LOAD_SESSION_LEAVING)
        return;
    load_worker_note_end(worker, why);
    worker->stats.counts[is_open ? LOAD_CUT_OFF : LOAD_CONNECT_FAILED]++;
    if (!may_end && is_open)
        load_worker_broken(worker, LOAD_BROKEN_CLOSE, why, (struct span){"", 0});
    choose_node(worker, session, reason);
    load_session_leave(worker, session, back_us(worker));
}

void load_session_lost(struct load_worker *worker, struct load_session *session, const char *why)
{
    lose(worker, session, why, (struct span){NULL, 0});
}

bool load_session_refuse_server(struct load_worker *worker, struct load_session *session, struct span answer)
{
    char why[LOAD_WHY_BYTES];
    if (!is_first_login(worker, session))
        return false;
    snprintf(why, sizeof why, "this is no chitchat server: it answers a login with %.*s",
             answer.bytes < 150 ? (int)answer.bytes : 150, answer.data);
    load_worker_give_up_because(worker, why);
    load_session_lost(worker, session, why);
    return true;
}

/* While the first connections open, what must fail again ends the run. */
static void fail_tls(struct load_worker *worker, struct load_session *session)
{
    char why[LOAD_WHY_BYTES];
    bool is_hopeless = client_tls_explain(session->tls, why, sizeof why);
    if (is_hopeless && worker->phase == LOAD_CONNECT)
        load_worker_give_up_because(worker, why);
    load_session_lost(worker, session, why);
}

static void log_in(struct load_worker *worker, struct load_session *session)
{
    const struct load_run *run = worker->run;
    char name[LOAD_USER_BYTES_MAX], token[LOAD_TOKEN_CHARS_MAX], epoch[LOAD_EPOCH_BYTES_MAX + 1] = "";
    struct load_wire_login login = {
        .user = {name, load_run_user_name(run, session->user, name)},
        .has_after = session->was_in,
        .after = session->from_start ? session->base : session->cursor,
    };
    if (session->was_in) {
        pthread_mutex_lock(&worker->run->epoch_lock);
        memcpy(epoch, worker->run->epoch, sizeof epoch);
        pthread_mutex_unlock(&worker->run->epoch_lock);
    }
    login.epoch = span_of(epoch);
    if (run->secret.bytes > 0)
        login.token = (struct span){token, load_token_write(&run->secret, login.user, run->tokens_expire_s, token)};
    if (run->tokens.count > 0)
        login.token = run->tokens.each[session->user];
    char *out = load_session_room(worker, session, LOAD_WIRE_ROOM + (uint32_t)login.token.bytes);
    session->out.bytes += (uint32_t)load_wire_put_login(out, load_worker_mask(worker), LOGIN_ID, &login);
    session->state = LOAD_SESSION_LOGGING_IN;
}

void load_session_set_live(struct load_worker *worker, struct load_session *session)
{
    worker->connecting--;
    worker->gauges.live++;
    session->state = LOAD_SESSION_LIVE;
    if (worker->gauges.live == worker->session_count && worker->storm > 0 && worker->gauges.back_us == 0)
        worker->gauges.back_us = worker->now_us;
    load_scenario_on_live(worker, session);
}

static void take_close(struct load_worker *worker, struct load_session *session, struct span payload)
{
    const uint8_t *bytes = (const uint8_t *)payload.data;
    char why[128] = "the server closed the connection";
    uint32_t code = payload.bytes >= 2 ? (uint32_t)(bytes[0] << 8 | bytes[1]) : 0;
    if (code != 0)
        snprintf(why, sizeof why, "the server closed the connection with %u%s", code,
                 code == CLOSE_TOO_MANY ? ", too many connections of one user: give more --users" : "");
    if (code == CLOSE_TOO_MANY && is_first_login(worker, session))
        load_worker_give_up_because(worker, why);
    bool is_going = code == CLOSE_GOING_AWAY;
    lose(worker, session, why, is_going ? (struct span){payload.data + 2, payload.bytes - 2} : (struct span){NULL, 0});
}

static void take_frame(struct load_worker *worker, struct load_session *session, const struct load_wire_frame *frame)
{
    switch (frame->opcode) {
    case LOAD_WIRE_TEXT: load_frame_take(worker, session, frame->payload); return;
    case LOAD_WIRE_CLOSE: take_close(worker, session, frame->payload); return;
    case LOAD_WIRE_PING: {
        char *out = load_session_room(worker, session, LOAD_WIRE_ROOM);
        session->out.bytes += (uint32_t)load_wire_put_pong(out, load_worker_mask(worker), frame->payload);
        return;
    }
    case LOAD_WIRE_PONG: return;
    default:
        if (!load_session_refuse_server(worker, session, span_of("a frame that is no text")))
            load_worker_broken(worker, LOAD_BROKEN_REPLY, "a frame that the protocol does not have", frame->payload);
        return;
    }
}

/* The answer is no upgrade. 503 is for now only; after any other the first connections need not try again. */
static void refuse_head(struct load_worker *worker, struct load_session *session, const char *data, uint32_t bytes)
{
    char why[LOAD_WHY_BYTES], line[100];
    uint32_t chars = 0;
    for (; chars < bytes && chars < sizeof line && data[chars] >= ' ' && data[chars] <= '~'; chars++)
        line[chars] = data[chars];
    bool is_full = bytes >= 12 && memcmp(data, "HTTP/1.", 7) == 0 && memcmp(data + 8, " 503", 4) == 0;
    const char *hint = session->tls == NULL ? "; does it speak TLS (--tls)?" : "";
    if (is_full)
        snprintf(why, sizeof why, "the server refuses connections: it answers `%.*s`", (int)chars, line);
    else
        snprintf(why, sizeof why, "this is no chitchat server: it answers an upgrade with `%.*s`%s%s", (int)chars, line,
                 chars == 0 ? " and unprintable bytes" : "", hint);
    if (!is_full && worker->phase == LOAD_CONNECT)
        load_worker_give_up_because(worker, why);
    else if (!is_full)
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "no upgrade", (struct span){data, bytes});
    load_session_lost(worker, session, why);
}

/* The answer to the upgrade; returns its bytes, 0 if it is incomplete. */
static uint32_t take_head(struct load_worker *worker, struct load_session *session, const char *data, uint32_t bytes)
{
    const char *end = memmem(data, bytes, "\r\n\r\n", 4);
    bool is_http = memcmp(data, "HTTP/1.", bytes < 7 ? bytes : 7) == 0;
    if (end == NULL && is_http)
        return 0;
    if (!is_http || bytes < 12 || memcmp(data + 8, " 101", 4) != 0) {
        refuse_head(worker, session, data, bytes);
        return bytes;
    }
    log_in(worker, session);
    return (uint32_t)(end + 4 - data);
}

/* Takes the frames that are complete; returns the bytes used. */
static uint32_t take_frames(struct load_worker *worker, struct load_session *session, const char *data, uint32_t bytes)
{
    struct load_wire_frame frame;
    uint32_t used = 0;
    if (worker->run->options.protocol == LOAD_NATS)
        return load_nats_take(worker, session, data, bytes);
    if (worker->run->options.protocol == LOAD_HTTP)
        return load_http_take(worker, session, data, bytes);
    if (session->state == LOAD_SESSION_UPGRADING) {
        used = take_head(worker, session, data, bytes);
        if (used == 0)
            return 0;
    }
    while (is_connected(session) && used < bytes) {
        int64_t frame_bytes = load_wire_read_frame(data + used, bytes - used, &frame);
        if (frame_bytes < 0 && load_session_refuse_server(worker, session, span_of("what is no WebSocket frame")))
            break;
        if (frame_bytes < 0) {
            load_worker_broken(worker, LOAD_BROKEN_REPLY, "a frame that no server sends", (struct span){"", 0});
            load_session_lost(worker, session, "the server sent a malformed frame");
        }
        if (frame_bytes <= 0)
            break;
        take_frame(worker, session, &frame);
        used += (uint32_t)frame_bytes;
    }
    return is_connected(session) ? used : bytes;
}

/* The checks of order borrow the bytes, so they end first. */
static uint32_t take_whole(struct load_worker *worker, struct load_session *session, const char *data, uint32_t bytes)
{
    uint32_t used = take_frames(worker, session, data, bytes);
    load_worker_end_order_checks(worker);
    return used;
}

static void keep(struct buffer *in, const char *data, uint32_t bytes)
{
    buffer_grow(in, bytes);
    memcpy(in->data + in->bytes, data, bytes);
    in->bytes += bytes;
}

/* Takes what is complete of the kept bytes. */
static void take_kept(struct load_worker *worker, struct load_session *session)
{
    struct buffer *in = &session->in;
    uint32_t used = take_whole(worker, session, in->data, in->bytes);
    in->bytes -= used;
    memmove(in->data, in->data + used, in->bytes);
    if (in->bytes == 0 && in->room > KEPT_BYTES_MAX)
        buffer_fini(in);
}

/* How many bytes to add to the kept ones: only those of their frame, so that the frames behind it are read in place. */
static uint32_t missing(const struct load_worker *worker, const struct load_session *session)
{
    struct load_wire_frame frame;
    if (worker->run->options.protocol != LOAD_CHITCHAT || session->state == LOAD_SESSION_UPGRADING
        || load_wire_read_frame(session->in.data, session->in.bytes, &frame) != 0)
        return UINT32_MAX;
    return (uint32_t)frame.wanted_bytes - session->in.bytes;
}

void load_session_take(struct load_worker *worker, struct load_session *session, const char *data, uint32_t bytes)
{
    uint32_t taken = 0;
    while (session->in.bytes > 0 && taken < bytes) {
        uint32_t part = missing(worker, session);
        part = part < bytes - taken ? part : bytes - taken;
        keep(&session->in, data + taken, part);
        taken += part;
        take_kept(worker, session);
    }
    if (taken < bytes)
        taken += take_whole(worker, session, data + taken, bytes - taken);
    if (taken < bytes)
        keep(&session->in, data + taken, bytes - taken);
}

static void on_secured(struct load_worker *worker, struct load_session *session)
{
    worker->stats.counts[LOAD_HANDSHAKES]++;
    worker->stats.counts[LOAD_RESUMED] += client_tls_was_resumed(session->tls);
    session->state = LOAD_SESSION_UPGRADING;
    want_flush(worker, session); /* the upgrade has been waiting */
}

static void take_tls(struct load_worker *worker, struct load_session *session, const char *data, uint32_t bytes)
{
    struct client_tls *tls = session->tls;
    client_tls_give(tls, data, bytes);
    while (is_connected(session)) {
        int64_t plain_bytes = client_tls_read(tls, worker->plain, LOAD_PLAIN_BYTES);
        if (session->state == LOAD_SESSION_SECURING && client_tls_is_secured(tls))
            on_secured(worker, session);
        if (plain_bytes < 0)
            fail_tls(worker, session);
        if (plain_bytes <= 0)
            break;
        load_session_take(worker, session, worker->plain, (uint32_t)plain_bytes);
    }
    if (is_connected(session) && client_tls_output(tls)->bytes > 0)
        want_flush(worker, session);
}

void load_session_on_recv(struct load_worker *worker, struct load_session *session, const char *data, uint32_t bytes)
{
    if (!is_connected(session))
        return;
    if (session->tls != NULL)
        take_tls(worker, session, data, bytes);
    else
        load_session_take(worker, session, data, bytes);
}
