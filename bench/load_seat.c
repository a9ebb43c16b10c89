/* load_seat.c: a seat's connection: connect, upgrade, log in, bytes out and in, end and come back. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "load_run.h"

#define BACK_US_MIN 20000u /* after an end that was not ours; then as much again by chance */
#define LOGIN_ID 1u
#define KEPT_BYTES_MAX 8192u /* what an idle seat keeps for half a frame */

static uint32_t mask_of(struct load_worker *worker)
{
    return (uint32_t)load_random_next(&worker->random);
}

static void grow(struct load_buffer *buffer, uint32_t bytes)
{
    if (buffer->bytes + bytes <= buffer->room)
        return;
    buffer->room = 2 * (buffer->bytes + bytes);
    buffer->data = realloc(buffer->data, buffer->room);
    ASSERT(buffer->data != NULL); /* a generator without memory has nothing to measure */
}

char *load_seat_room(struct load_worker *worker, struct load_seat *seat, uint32_t bytes)
{
    grow(&seat->out, bytes);
    if (list_is_empty(&seat->flush_link))
        list_append(&worker->flush, &seat->flush_link);
    return seat->out.data + seat->out.bytes;
}

void load_seat_flush(struct load_worker *worker, struct load_seat *seat)
{
    struct load_buffer full = seat->out;
    if (seat->state == LOAD_SEAT_AWAY || seat->state == LOAD_SEAT_LEAVING || full.bytes == 0
        || io_is_sending(&seat->socket))
        return;
    seat->out = seat->flying;
    seat->out.bytes = 0;
    seat->flying = full;
    io_send(worker->io, &seat->socket, &(struct iovec){full.data, full.bytes}, 1);
}

static void wait_again(struct load_worker *worker, struct load_seat *seat)
{
    seat->due_us = worker->now_us + BACK_US_MIN + load_random_below(&worker->random, BACK_US_MIN);
    list_append(&worker->waiting, &seat->wait_link);
}

void load_seat_connect(struct load_worker *worker, struct load_seat *seat)
{
    ASSERT(seat->state == LOAD_SEAT_AWAY);
    enum load_socket_step step;
    uint32_t nth = worker->sources++ * worker->run->options.threads + worker->index;
    int fd = load_socket_open(&worker->run->options, nth, &step);
    if (fd < 0) {
        worker->stats.counts[LOAD_CONNECT_FAILED]++;
        load_worker_note_end(worker, strerror(-fd));
        if (worker->phase == LOAD_CONNECT && load_socket_is_hopeless(-fd))
            load_worker_give_up(worker, nth, step, -fd);
        wait_again(worker, seat);
        return;
    }
    seat->state = LOAD_SEAT_UPGRADING;
    seat->begun_us = worker->now_us;
    worker->connecting++;
    io_adopt(worker->io, &seat->socket, fd);
    if (worker->run->options.protocol == LOAD_CHITCHAT) {
        char *out = load_seat_room(worker, seat, LOAD_WIRE_ROOM);
        seat->out.bytes += (uint32_t)load_wire_put_upgrade(out, worker->run->host);
    }
    io_recv_start(worker->io, &seat->socket);
}

static bool is_connecting(const struct load_seat *seat)
{
    return seat->state == LOAD_SEAT_UPGRADING || seat->state == LOAD_SEAT_LOGGING_IN
           || seat->state == LOAD_SEAT_REPLAYING;
}

void load_seat_leave(struct load_worker *worker, struct load_seat *seat, uint64_t due_us)
{
    seat->due_us = due_us;
    if (seat->state == LOAD_SEAT_AWAY || seat->state == LOAD_SEAT_LEAVING)
        return;
    worker->connecting -= is_connecting(seat);
    worker->gauges.live -= seat->state == LOAD_SEAT_LIVE;
    seat->state = LOAD_SEAT_LEAVING;
    list_remove(&seat->flush_link);
    list_remove(&seat->wait_link);
    io_close(worker->io, &seat->socket);
}

void load_seat_on_closed(struct load_worker *worker, struct load_seat *seat)
{
    ASSERT(seat->state == LOAD_SEAT_LEAVING);
    seat->state = LOAD_SEAT_AWAY;
    seat->in.bytes = seat->out.bytes = seat->flying.bytes = 0;
    if (worker->phase != LOAD_END)
        list_append(&worker->waiting, &seat->wait_link);
}

void load_seat_lost(struct load_worker *worker, struct load_seat *seat, const char *why)
{
    bool may_end = worker->run->options.kill_command != NULL || worker->phase == LOAD_END;
    if (seat->state == LOAD_SEAT_AWAY || seat->state == LOAD_SEAT_LEAVING)
        return;
    load_worker_note_end(worker, why);
    worker->stats.counts[seat->state == LOAD_SEAT_UPGRADING ? LOAD_CONNECT_FAILED : LOAD_CUT_OFF]++;
    if (!may_end && seat->state != LOAD_SEAT_UPGRADING)
        load_worker_broken(worker, LOAD_BROKEN_CLOSE, why, (struct span){"", 0});
    load_seat_leave(worker, seat, worker->now_us + BACK_US_MIN + load_random_below(&worker->random, BACK_US_MIN));
}

void load_seat_login(struct load_worker *worker, struct load_seat *seat)
{
    char name[LOAD_USER_BYTES_MAX], epoch[LOAD_EPOCH_BYTES_MAX + 1] = "";
    struct load_wire_login login = {
        .user = {name, load_run_user_name(worker->run, seat->user, name)},
        .has_after = seat->was_in,
        .after = seat->from_start ? seat->base : seat->cursor,
    };
    if (seat->was_in) {
        pthread_mutex_lock(&worker->run->epoch_lock);
        memcpy(epoch, worker->run->epoch, sizeof epoch);
        pthread_mutex_unlock(&worker->run->epoch_lock);
    }
    login.epoch = span_of(epoch);
    char *out = load_seat_room(worker, seat, LOAD_WIRE_ROOM);
    seat->out.bytes += (uint32_t)load_wire_put_login(out, mask_of(worker), LOGIN_ID, &login);
    seat->state = LOAD_SEAT_LOGGING_IN;
}

void load_seat_set_live(struct load_worker *worker, struct load_seat *seat)
{
    worker->connecting--;
    worker->gauges.live++;
    seat->state = LOAD_SEAT_LIVE;
    if (worker->gauges.live == worker->seat_count && worker->storm > 0 && worker->gauges.back_us == 0)
        worker->gauges.back_us = worker->now_us;
    load_scenario_on_live(worker, seat);
}

static void take_close(struct load_worker *worker, struct load_seat *seat, struct span payload)
{
    const uint8_t *code = (const uint8_t *)payload.data;
    char why[64] = "the server closed it";
    if (payload.bytes >= 2)
        snprintf(why, sizeof why, "the server closed it with %u", (unsigned)(code[0] << 8 | code[1]));
    load_seat_lost(worker, seat, why);
}

static void take_frame(struct load_worker *worker, struct load_seat *seat, const struct load_wire_frame *frame)
{
    switch (frame->opcode) {
    case LOAD_WIRE_TEXT: load_frame_take(worker, seat, frame->payload); return;
    case LOAD_WIRE_CLOSE: take_close(worker, seat, frame->payload); return;
    case LOAD_WIRE_PING: {
        char *out = load_seat_room(worker, seat, LOAD_WIRE_ROOM);
        seat->out.bytes += (uint32_t)load_wire_put_pong(out, mask_of(worker), frame->payload);
        return;
    }
    case LOAD_WIRE_PONG: return;
    default: load_worker_broken(worker, LOAD_BROKEN_REPLY, "a frame that the protocol has not", frame->payload); return;
    }
}

static bool is_here(const struct load_seat *seat)
{
    return seat->state != LOAD_SEAT_AWAY && seat->state != LOAD_SEAT_LEAVING;
}

/* The answer to the upgrade; returns its bytes, 0 if it is not whole. */
static uint32_t take_head(struct load_worker *worker, struct load_seat *seat, const char *data, uint32_t bytes)
{
    const char *end = memmem(data, bytes, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    if (bytes < 12 || memcmp(data, "HTTP/1.1 101", 12) != 0) {
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "no upgrade", (struct span){data, bytes});
        load_seat_lost(worker, seat, "no upgrade");
        return bytes;
    }
    load_seat_login(worker, seat);
    return (uint32_t)(end + 4 - data);
}

/* Takes what is whole; returns the bytes used. */
static uint32_t take_frames(struct load_worker *worker, struct load_seat *seat, const char *data, uint32_t bytes)
{
    struct load_wire_frame frame;
    uint32_t used = 0;
    if (worker->run->options.protocol == LOAD_NATS)
        return load_nats_take(worker, seat, data, bytes);
    if (seat->state == LOAD_SEAT_UPGRADING) {
        used = take_head(worker, seat, data, bytes);
        if (used == 0)
            return 0;
    }
    while (is_here(seat) && used < bytes) {
        int64_t frame_bytes = load_wire_read_frame(data + used, bytes - used, &frame);
        if (frame_bytes < 0) {
            load_worker_broken(worker, LOAD_BROKEN_REPLY, "a frame that no server sends", (struct span){"", 0});
            load_seat_lost(worker, seat, "its frames make no sense");
        }
        if (frame_bytes <= 0)
            break;
        take_frame(worker, seat, &frame);
        used += (uint32_t)frame_bytes;
    }
    return is_here(seat) ? used : bytes;
}

/* What it says of order is judged before its bytes go. */
static uint32_t take_whole(struct load_worker *worker, struct load_seat *seat, const char *data, uint32_t bytes)
{
    uint32_t used = take_frames(worker, seat, data, bytes);
    load_worker_settle_order(worker);
    return used;
}

static void keep(struct load_buffer *in, const char *data, uint32_t bytes)
{
    grow(in, bytes);
    memcpy(in->data + in->bytes, data, bytes);
    in->bytes += bytes;
}

/* What was kept is taken as far as it is whole. */
static void take_kept(struct load_worker *worker, struct load_seat *seat)
{
    struct load_buffer *in = &seat->in;
    uint32_t used = take_whole(worker, seat, in->data, in->bytes);
    in->bytes -= used;
    memmove(in->data, in->data + used, in->bytes);
    if (in->bytes == 0 && in->room > KEPT_BYTES_MAX) {
        free(in->data);
        *in = (struct load_buffer){0};
    }
}

/* How many bytes more the kept ones need: of a frame only its own, so that what follows it is read where it lies. */
static uint32_t missing(const struct load_worker *worker, const struct load_seat *seat)
{
    struct load_wire_frame frame;
    if (worker->run->options.protocol == LOAD_NATS || seat->state == LOAD_SEAT_UPGRADING
        || load_wire_read_frame(seat->in.data, seat->in.bytes, &frame) != 0)
        return UINT32_MAX;
    return (uint32_t)frame.wanted_bytes - seat->in.bytes;
}

void load_seat_take(struct load_worker *worker, struct load_seat *seat, const char *data, uint32_t bytes)
{
    uint32_t taken = 0;
    while (seat->in.bytes > 0 && taken < bytes) {
        uint32_t part = missing(worker, seat);
        part = part < bytes - taken ? part : bytes - taken;
        keep(&seat->in, data + taken, part);
        taken += part;
        take_kept(worker, seat);
    }
    if (taken < bytes)
        taken += take_whole(worker, seat, data + taken, bytes - taken);
    if (taken < bytes)
        keep(&seat->in, data + taken, bytes - taken);
}
