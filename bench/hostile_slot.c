#include "hostile_slot.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "hostile_crew.h"
#include "load/wire.h"
#include "times.h"

#define DROP_BYTES (1u << 20)
#define WRITES_AT_ONCE 64u

static bool is_sender(const struct hostile_crew *crew, const struct hostile_slot *slot)
{
    return crew->plan->senders == 0 || slot->nth < crew->plan->senders;
}

/* Whether another block may begin. */
static bool may_begin_block(const struct hostile_crew *crew, const struct hostile_slot *slot)
{
    const struct hostile_plan *plan = crew->plan;
    if (crew->block.bytes == 0 || !is_sender(crew, slot))
        return false;
    switch (plan->pace) {
    case HOSTILE_ONCE: return slot->blocks == 0;
    case HOSTILE_FLOOD:
    case HOSTILE_BYTEWISE: return true;
    case HOSTILE_WINDOW: break;
    }
    uint64_t answered = (slot->replies - crew->opening_answers) / plan->block_answers;
    return slot->blocks < answered + plan->window;
}

/* What is to be written now; empty if nothing is. */
static struct span next_bytes(const struct hostile_crew *crew, const struct hostile_slot *slot)
{
    if (slot->opening_at < slot->opening.bytes)
        return (struct span){slot->opening.data + slot->opening_at, slot->opening.bytes - slot->opening_at};
    bool is_within = slot->block_at > 0 && slot->block_at != crew->block.loop_at;
    if (slot->state != HOSTILE_LIVE || (!is_within && !may_begin_block(crew, slot)))
        return (struct span){NULL, 0};
    size_t bytes = crew->plan->pace == HOSTILE_BYTEWISE ? 1 : crew->block.bytes - slot->block_at;
    return (struct span){crew->block.data + slot->block_at, bytes};
}

static void advance(struct hostile_crew *crew, struct hostile_slot *slot, size_t bytes)
{
    crew->tally.bytes_out += bytes;
    if (slot->opening_at < slot->opening.bytes) {
        slot->opening_at += bytes;
        return;
    }
    size_t unit = crew->block.unit_bytes;
    crew->tally.units += (slot->block_at + bytes) / unit - slot->block_at / unit;
    slot->block_at += bytes;
    if (slot->block_at < crew->block.bytes)
        return;
    slot->blocks++;
    slot->block_at = crew->block.loop_at;
}

/* The server answers what came before the end. */
static void end_side_if_due(const struct hostile_crew *crew, const struct hostile_slot *slot)
{
    if (crew->plan->is_half_closing && slot->opening_at == slot->opening.bytes)
        (void)shutdown(slot->fd, SHUT_WR);
}

/* With floods and single bytes each connection writes once, then the next one does. */
static int write_some(struct hostile_crew *crew, struct hostile_slot *slot)
{
    uint32_t writes = crew->plan->pace == HOSTILE_WINDOW ? WRITES_AT_ONCE : 1;
    for (uint32_t i = 0; i < writes; i++) {
        struct span next = next_bytes(crew, slot);
        if (next.bytes == 0)
            return 0;
        ssize_t sent = send(slot->fd, next.data, next.bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        advance(crew, slot, (size_t)sent);
        end_side_if_due(crew, slot);
        if (writes > 1)
            (void)sched_yield();
    }
    return 0;
}

static void set_live_if_due(struct hostile_crew *crew, struct hostile_slot *slot)
{
    if (slot->state != HOSTILE_OPENING || slot->opening_at < slot->opening.bytes
        || slot->replies < crew->opening_answers)
        return;
    slot->state = HOSTILE_LIVE;
    crew->begun_count += !slot->has_begun;
    slot->has_begun = true;
}

static bool has_ended(const struct hostile_crew *crew, const struct hostile_slot *slot)
{
    switch (crew->plan->end) {
    case HOSTILE_ENDS_ANSWERED: return slot->state == HOSTILE_LIVE;
    case HOSTILE_ENDS_LIVE: return slot->counts.lives > 0;
    case HOSTILE_ENDS_FLIGHT: return slot->counts.flights > 0;
    case HOSTILE_ENDS_NEVER: break;
    }
    return false;
}

/* A connection that only reads need not count what comes. */
static bool is_dropping(const struct hostile_crew *crew, const struct hostile_slot *slot)
{
    return slot->state == HOSTILE_LIVE && !is_sender(crew, slot);
}

static void take_counts(struct hostile_crew *crew, struct hostile_slot *slot, const struct hostile_counts *counts)
{
    hostile_counts_add(&slot->counts, counts);
    hostile_counts_add(&crew->tally.counts, counts);
    slot->replies = hostile_counts_replies(&slot->counts);
}

/* A 503 means that the server is full. */
static void take_status(struct hostile_crew *crew, const struct hostile_slot *slot, uint16_t was)
{
    if (was != 0 || slot->scan.status != 503)
        return;
    crew->tally.turned_away++;
    if (crew->full_us == 0)
        crew->full_us = times_now_us();
}

/* 0, or -errno when the connection has ended. */
static int read_some(struct hostile_crew *crew, struct hostile_slot *slot)
{
    struct hostile_counts counts = {0};
    if (is_dropping(crew, slot)) {
        ssize_t dropped = recv(slot->fd, NULL, DROP_BYTES, MSG_TRUNC | MSG_DONTWAIT);
        crew->tally.bytes_in += dropped > 0 ? (uint64_t)dropped : 0;
        return dropped > 0 || (dropped < 0 && (errno == EAGAIN || errno == EINTR)) ? 0 : -ECONNRESET;
    }
    ssize_t bytes = recv(slot->fd, crew->in, HOSTILE_IN_BYTES, MSG_DONTWAIT);
    if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (bytes <= 0)
        return -ECONNRESET;
    uint16_t was = slot->scan.status;
    int status = 0;
    crew->tally.bytes_in += (uint64_t)bytes;
    if (crew->plan->is_tls)
        counts.flights = slot->counts.flights == 0;
    else
        status = hostile_scan_take(&slot->scan, crew->in, (size_t)bytes, &counts);
    take_counts(crew, slot, &counts);
    take_status(crew, slot, was);
    return status;
}

/* Lets epoll wait for the next events. */
static void arm(struct hostile_crew *crew, struct hostile_slot *slot)
{
    bool is_deaf = crew->plan->is_deaf && (slot->state == HOSTILE_LIVE || crew->plan->is_half_closing);
    uint32_t wanted = is_deaf ? 0 : EPOLLIN;
    if (next_bytes(crew, slot).bytes > 0)
        wanted |= EPOLLOUT;
    if (wanted == slot->armed)
        return;
    struct epoll_event event = {.events = wanted, .data.u32 = slot->nth};
    epoll_ctl(crew->epoll, EPOLL_CTL_MOD, slot->fd, &event);
    slot->armed = wanted;
}

static int begin_connect(const struct hostile_crew *crew, int fd)
{
    int on = 1;
    socklen_t bytes;
    const struct sockaddr *address = load_address_chosen(crew->route.to, &bytes);
    const struct sockaddr_in *from = crew->route.from;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (from->sin_family != AF_UNSPEC) {
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(fd, (const struct sockaddr *)from, sizeof *from) != 0)
            return -errno;
    }
    return connect(fd, address, bytes) == 0 || errno == EINPROGRESS ? 0 : -errno;
}

/* Clears what belongs to the last connection. */
static void reset(struct hostile_slot *slot, int fd)
{
    *slot = (struct hostile_slot){.state = HOSTILE_OPENING,
                                  .fd = fd,
                                  .nth = slot->nth,
                                  .has_begun = slot->has_begun,
                                  .opened_us = times_now_us(),
                                  .opening = slot->opening};
}

static int build_opening(struct hostile_crew *crew, struct hostile_slot *slot)
{
    char user[HOSTILE_NAME_BYTES];
    if (slot->opening.data != NULL)
        return 0;
    hostile_plan_user(crew->plan, crew->run, slot->nth, user);
    return hostile_plan_build_opening(crew->plan, crew->route.to->text, user, &slot->opening);
}

int hostile_slot_open(struct hostile_crew *crew, struct hostile_slot *slot)
{
    ASSERT(slot->state == HOSTILE_CLOSED);
    int status = build_opening(crew, slot);
    if (status != 0)
        return status;
    int fd = socket(load_address_family(crew->route.to), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    status = begin_connect(crew, fd);
    if (status != 0) {
        close(fd);
        return status;
    }
    reset(slot, fd);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.u32 = slot->nth};
    if (epoll_ctl(crew->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        status = -errno;
        close(fd);
        slot->state = HOSTILE_CLOSED;
        return status;
    }
    slot->armed = event.events;
    return 0;
}

void hostile_slot_close(struct hostile_crew *crew, struct hostile_slot *slot)
{
    ASSERT(slot->state != HOSTILE_CLOSED && crew->closed_count < crew->slot_count);
    close(slot->fd); /* which removes it from epoll */
    slot->fd = -1;
    slot->state = HOSTILE_CLOSED;
    crew->closed[crew->closed_count++] = slot->nth;
}

/* The server pings silent connections. */
static void answer_pings(struct hostile_crew *crew, struct hostile_slot *slot, uint64_t pings_before)
{
    char pong[LOAD_WIRE_ROOM];
    bool is_between_frames = slot->block_at == crew->block.loop_at || slot->block_at == 0;
    if (crew->plan->is_half_closing || slot->counts.pings == pings_before || !is_between_frames
        || slot->opening_at < slot->opening.bytes)
        return;
    size_t bytes = load_wire_put_pong(pong, 0, (struct span){"", 0});
    (void)!send(slot->fd, pong, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The server has closed its end. The attack is about what the server keeps until this end closes too. */
static void hold(struct hostile_crew *crew, struct hostile_slot *slot)
{
    struct epoll_event event = {.events = 0, .data.u32 = slot->nth}; /* a reset is still reported */
    slot->state = HOSTILE_HELD;
    slot->armed = 0;
    epoll_ctl(crew->epoll, EPOLL_CTL_MOD, slot->fd, &event);
}

/* The server ended the connection, or what it sent did. */
static void end_by_server(struct hostile_crew *crew, struct hostile_slot *slot)
{
    crew->tally.ended_by_server++;
    if (slot->state == HOSTILE_OPENING && slot->scan.status == 503 && crew->plan->hold_ms > 0)
        hold(crew, slot);
    else
        hostile_slot_close(crew, slot);
}

/* Reads, then writes: 0 or -errno. */
static int take_turn(struct hostile_crew *crew, struct hostile_slot *slot, uint32_t events)
{
    int status = 0;
    uint64_t pings = slot->counts.pings;
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
        status = read_some(crew, slot);
    set_live_if_due(crew, slot);
    if (status != 0 || has_ended(crew, slot))
        return status;
    answer_pings(crew, slot, pings);
    status = write_some(crew, slot);
    set_live_if_due(crew, slot);
    return status;
}

void hostile_slot_on_ready(struct hostile_crew *crew, struct hostile_slot *slot, uint32_t events)
{
    if (slot->state == HOSTILE_CLOSED)
        return;
    if (slot->state == HOSTILE_HELD) {
        hostile_slot_close(crew, slot);
    } else if (take_turn(crew, slot, events) != 0) {
        end_by_server(crew, slot);
    } else if (has_ended(crew, slot)) {
        crew->tally.sessions++;
        hostile_slot_close(crew, slot);
    } else {
        arm(crew, slot);
    }
}
