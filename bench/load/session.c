#include "load/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "load/frame.h"
#include "load/nats.h"
#include "load/random.h"
#include "load/run.h"
#include "load/scenario.h"
#include "load/wire.h"
#include "load/worker.h"

#define BACK_US_MIN 20000u /* until a session that was cut off connects again; plus a random time up to the same */
#define LOGIN_ID 1u
#define KEPT_BYTES_MAX 8192u /* the largest input buffer that an idle session keeps */

static void grow(struct load_buffer *buffer, uint32_t bytes)
{
    if (buffer->bytes + bytes <= buffer->room)
        return;
    buffer->room = 2 * (buffer->bytes + bytes);
    buffer->data = realloc(buffer->data, buffer->room);
    ASSERT(buffer->data != NULL); /* a generator without memory has nothing to measure */
}

char *load_session_room(struct load_worker *worker, struct load_session *session, uint32_t bytes)
{
    grow(&session->out, bytes);
    if (list_is_empty(&session->flush_link))
        list_append(&worker->flush, &session->flush_link);
    return session->out.data + session->out.bytes;
}

void load_session_flush(struct load_worker *worker, struct load_session *session)
{
    struct load_buffer full = session->out;
    if (session->state == LOAD_SESSION_AWAY || session->state == LOAD_SESSION_LEAVING || full.bytes == 0
        || io_is_sending(&session->socket))
        return;
    session->out = session->in_flight;
    session->out.bytes = 0;
    session->in_flight = full;
    io_send(worker->io, &session->socket, &(struct iovec){full.data, full.bytes}, 1);
}

static uint64_t back_us(struct load_worker *worker)
{
    return worker->now_us + BACK_US_MIN + load_random_below(&worker->random, BACK_US_MIN);
}

void load_session_connect(struct load_worker *worker, struct load_session *session)
{
    ASSERT(session->state == LOAD_SESSION_AWAY);
    enum load_socket_step step;
    uint32_t nth = worker->sources++ * worker->run->options.threads + worker->index;
    int fd = load_socket_open(&worker->run->options, nth, &step);
    if (fd < 0) {
        worker->stats.counts[LOAD_CONNECT_FAILED]++;
        load_worker_note_end(worker, strerror(-fd));
        if (worker->phase == LOAD_CONNECT && load_socket_is_hopeless(-fd))
            load_worker_give_up(worker, nth, step, -fd);
        session->due_us = back_us(worker);
        list_append(&worker->waiting, &session->wait_link);
        return;
    }
    session->state = LOAD_SESSION_UPGRADING;
    session->begun_us = worker->now_us;
    worker->connecting++;
    io_adopt(worker->io, &session->socket, fd);
    if (worker->run->options.protocol == LOAD_CHITCHAT) {
        char *out = load_session_room(worker, session, LOAD_WIRE_ROOM);
        session->out.bytes += (uint32_t)load_wire_put_upgrade(out, worker->run->host);
    }
    io_recv_start(worker->io, &session->socket);
}

static bool is_connecting(const struct load_session *session)
{
    return session->state == LOAD_SESSION_UPGRADING || session->state == LOAD_SESSION_LOGGING_IN
           || session->state == LOAD_SESSION_REPLAYING;
}

void load_session_leave(struct load_worker *worker, struct load_session *session, uint64_t due_us)
{
    session->due_us = due_us;
    if (session->state == LOAD_SESSION_AWAY || session->state == LOAD_SESSION_LEAVING)
        return;
    worker->connecting -= is_connecting(session);
    worker->gauges.live -= session->state == LOAD_SESSION_LIVE;
    session->state = LOAD_SESSION_LEAVING;
    list_remove(&session->flush_link);
    list_remove(&session->wait_link);
    io_close(worker->io, &session->socket);
}

void load_session_on_closed(struct load_worker *worker, struct load_session *session)
{
    ASSERT(session->state == LOAD_SESSION_LEAVING);
    session->state = LOAD_SESSION_AWAY;
    session->in.bytes = session->out.bytes = session->in_flight.bytes = 0;
    if (worker->phase != LOAD_END)
        list_append(&worker->waiting, &session->wait_link);
}

void load_session_lost(struct load_worker *worker, struct load_session *session, const char *why)
{
    bool may_end = worker->run->options.kill_command != NULL || worker->phase == LOAD_END;
    if (session->state == LOAD_SESSION_AWAY || session->state == LOAD_SESSION_LEAVING)
        return;
    load_worker_note_end(worker, why);
    worker->stats.counts[session->state == LOAD_SESSION_UPGRADING ? LOAD_CONNECT_FAILED : LOAD_CUT_OFF]++;
    if (!may_end && session->state != LOAD_SESSION_UPGRADING)
        load_worker_broken(worker, LOAD_BROKEN_CLOSE, why, (struct span){"", 0});
    load_session_leave(worker, session, back_us(worker));
}

static void log_in(struct load_worker *worker, struct load_session *session)
{
    char name[LOAD_USER_BYTES_MAX], epoch[LOAD_EPOCH_BYTES_MAX + 1] = "";
    struct load_wire_login login = {
        .user = {name, load_run_user_name(worker->run, session->user, name)},
        .has_after = session->was_in,
        .after = session->from_start ? session->base : session->cursor,
    };
    if (session->was_in) {
        pthread_mutex_lock(&worker->run->epoch_lock);
        memcpy(epoch, worker->run->epoch, sizeof epoch);
        pthread_mutex_unlock(&worker->run->epoch_lock);
    }
    login.epoch = span_of(epoch);
    char *out = load_session_room(worker, session, LOAD_WIRE_ROOM);
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
    const uint8_t *code = (const uint8_t *)payload.data;
    char why[64] = "the server closed the connection";
    if (payload.bytes >= 2)
        snprintf(why, sizeof why, "the server closed the connection with %u", (unsigned)(code[0] << 8 | code[1]));
    load_session_lost(worker, session, why);
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
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "a frame that the protocol does not have", frame->payload);
        return;
    }
}

static bool is_connected(const struct load_session *session)
{
    return session->state != LOAD_SESSION_AWAY && session->state != LOAD_SESSION_LEAVING;
}

/* The answer to the upgrade; returns its bytes, 0 if it is incomplete. */
static uint32_t take_head(struct load_worker *worker, struct load_session *session, const char *data, uint32_t bytes)
{
    const char *end = memmem(data, bytes, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    if (bytes < 12 || memcmp(data, "HTTP/1.1 101", 12) != 0) {
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "no upgrade", (struct span){data, bytes});
        load_session_lost(worker, session, "no upgrade");
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
    if (session->state == LOAD_SESSION_UPGRADING) {
        used = take_head(worker, session, data, bytes);
        if (used == 0)
            return 0;
    }
    while (is_connected(session) && used < bytes) {
        int64_t frame_bytes = load_wire_read_frame(data + used, bytes - used, &frame);
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

static void keep(struct load_buffer *in, const char *data, uint32_t bytes)
{
    grow(in, bytes);
    memcpy(in->data + in->bytes, data, bytes);
    in->bytes += bytes;
}

/* Takes what is complete of the kept bytes. */
static void take_kept(struct load_worker *worker, struct load_session *session)
{
    struct load_buffer *in = &session->in;
    uint32_t used = take_whole(worker, session, in->data, in->bytes);
    in->bytes -= used;
    memmove(in->data, in->data + used, in->bytes);
    if (in->bytes == 0 && in->room > KEPT_BYTES_MAX) {
        free(in->data);
        *in = (struct load_buffer){0};
    }
}

/* How many bytes to add to the kept ones: only those of their frame, so that the frames behind it are read in place. */
static uint32_t missing(const struct load_worker *worker, const struct load_session *session)
{
    struct load_wire_frame frame;
    if (worker->run->options.protocol == LOAD_NATS || session->state == LOAD_SESSION_UPGRADING
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
