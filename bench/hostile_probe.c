#include "hostile_probe.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "hostile_plan.h"
#include "load/wire.h"
#include "times.h"

#define PRIORITY 1
#define NICE (-10)
#define PING_EVERY 10u
#define HUNG_US (UINT64_C(1000000) * HOSTILE_HUNG_S)
#define LOGIN_ID 1u

enum beat_state { NOT_ANSWERED, REFUSED, ANSWERED };

/* Sends, or pings. Number n is due at begun_us + n * period_us. The id of a send is 2 * n, that of a ping 2 * n + 1. */
struct beat {
    uint64_t begun_us, period_us;
    uint32_t total, window;
    uint32_t next;     /* the first that has not been written */
    uint32_t answered; /* how many */
    uint32_t oldest;   /* all before it are answered */
    uint8_t *states;   /* owned; one beat_state for each */
    uint64_t again_us; /* when the refused ones are sent again; 0: there are none */
    bool is_ping;
    struct load_histogram *histogram;
};

struct measurement {
    struct beat beats[2]; /* sends, pings */
    uint64_t heard_us, end_us;
    struct hostile_figures *figures;
};

/* Lets this thread run before all others of the core, if that is permitted. */
static void hurry(bool is_on)
{
    struct sched_param wanted = {.sched_priority = is_on ? PRIORITY : 0};
    if (sched_setscheduler(0, is_on ? SCHED_FIFO : SCHED_OTHER, &wanted) != 0)
        (void)setpriority(PRIO_PROCESS, (id_t)gettid(), is_on ? NICE : 0);
}

static int connect_within(const struct load_address *address)
{
    int on = 1;
    socklen_t bytes;
    struct timeval limit = {.tv_sec = HOSTILE_HUNG_S};
    const struct sockaddr *at = load_address_chosen(address, &bytes);
    int fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, at, bytes) == 0)
        return fd;
    int status = errno == EINPROGRESS ? -ETIMEDOUT : -errno;
    close(fd);
    return status;
}

static int write_all(int fd, const char *data, size_t bytes)
{
    ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);
    return sent == (ssize_t)bytes ? 0 : sent < 0 ? -errno : -EIO;
}

/* Sends upgrade and login, and waits for the answers. Nothing else can come yet. */
static int log_in(struct hostile_probe *probe, int fd, const char *user)
{
    char out[2 * LOAD_WIRE_ROOM];
    struct hostile_scan scan;
    struct hostile_counts counts = {0};
    struct load_wire_login login = {.user = {user, strlen(user)}};
    size_t bytes = load_wire_put_upgrade(out, probe->address->text);
    bytes += load_wire_put_login(out + bytes, 0, LOGIN_ID, &login);
    int status = write_all(fd, out, bytes);
    hostile_scan_init(&scan);
    while (status == 0 && counts.oks == 0) {
        ssize_t got = recv(fd, probe->in, sizeof probe->in, 0);
        if (got <= 0)
            return got == 0 ? -ECONNRESET : errno == EAGAIN ? -ETIMEDOUT : -errno;
        status = hostile_scan_take(&scan, probe->in, (size_t)got, &counts);
        if (status == 0 && (counts.errors > 0 || counts.closes > 0 || (scan.status != 0 && scan.status != 101)))
            status = -ECONNREFUSED;
    }
    return status;
}

static int open_one(struct hostile_probe *probe, const char *which, int *fd_r, char user[HOSTILE_NAME_BYTES])
{
    snprintf(user, HOSTILE_NAME_BYTES, "probe-%s-%s", probe->run, which);
    *fd_r = connect_within(probe->address);
    return *fd_r < 0 ? *fd_r : log_in(probe, *fd_r, user);
}

int hostile_probe_open(struct hostile_probe *probe_r, const struct load_address *address, const char *run)
{
    char user[HOSTILE_NAME_BYTES];
    probe_r->address = address;
    probe_r->run = run;
    probe_r->fd = probe_r->partner_fd = -1;
    probe_r->in_bytes = 0;
    hostile_scan_init(&probe_r->partner_scan);
    /* The partner is already upgraded when this scan begins. */
    probe_r->partner_scan.line_end_bytes = 4;
    probe_r->partner_scan.is_upgraded = true;
    int status = open_one(probe_r, "b", &probe_r->partner_fd, user);
    if (status == 0)
        status = open_one(probe_r, "a", &probe_r->fd, user);
    if (status != 0)
        hostile_probe_close(probe_r);
    return status;
}

void hostile_probe_close(struct hostile_probe *probe)
{
    if (probe->fd >= 0)
        close(probe->fd);
    if (probe->partner_fd >= 0)
        close(probe->partner_fd);
    probe->fd = probe->partner_fd = -1;
}

static size_t put_send(const struct hostile_probe *probe, char *out, uint64_t id)
{
    char to[HOSTILE_NAME_BYTES], *text;
    snprintf(to, sizeof to, "probe-%s-b", probe->run);
    struct load_wire_send send = {.id = id, .to = {to, strlen(to)}, .text_bytes = 64};
    char *end = load_wire_begin_send(out, &send, &text);
    memset(text, 'p', send.text_bytes);
    return load_wire_end_send(out, end, 0x5a17c3e9);
}

static uint64_t due_us(const struct beat *beat, uint32_t nth)
{
    return beat->begun_us + nth * beat->period_us;
}

static int write_one(struct hostile_probe *probe, const struct beat *beat, uint32_t nth)
{
    char out[2 * LOAD_WIRE_ROOM];
    size_t bytes =
        beat->is_ping ? load_wire_put_ping(out, 0, 2 * (uint64_t)nth + 1) : put_send(probe, out, 2 * (uint64_t)nth);
    return write_all(probe->fd, out, bytes);
}

static bool may_write(const struct beat *beat)
{
    return beat->next < beat->total && beat->again_us == 0 && beat->next - beat->answered < beat->window;
}

static int write_refused(struct hostile_probe *probe, struct beat *beat)
{
    int status = 0;
    beat->again_us = 0;
    for (uint32_t i = beat->oldest; status == 0 && i < beat->next; i++) {
        if (beat->states[i] != REFUSED)
            continue;
        beat->states[i] = NOT_ANSWERED;
        status = write_one(probe, beat, i);
    }
    return status;
}

/* Writes what is due. While a refused send waits, the later ones wait too. */
static int write_due(struct hostile_probe *probe, struct beat *beat, uint64_t now)
{
    int status = beat->again_us != 0 && beat->again_us <= now ? write_refused(probe, beat) : 0;
    while (status == 0 && may_write(beat) && due_us(beat, beat->next) <= now)
        status = write_one(probe, beat, beat->next++);
    return status;
}

static void take_answer(struct measurement *measurement, const struct load_wire_object *object, uint64_t now)
{
    struct beat *beat = &measurement->beats[object->id % 2];
    uint64_t nth = object->id / 2;
    if (!object->has_id || nth >= beat->next || beat->states[nth] != NOT_ANSWERED)
        return;
    if (load_wire_is(object->op, "error")) {
        measurement->figures->refused++;
        beat->states[nth] = REFUSED;
        beat->again_us = now + object->retry_after * 1000;
        return;
    }
    load_histogram_add(beat->histogram, now - due_us(beat, (uint32_t)nth));
    beat->states[nth] = ANSWERED;
    beat->answered++;
    while (beat->oldest < beat->next && beat->states[beat->oldest] == ANSWERED)
        beat->oldest++;
}

static int take_frame(struct hostile_probe *probe, struct measurement *measurement, const struct load_wire_frame *frame,
                      uint64_t now)
{
    char pong[LOAD_WIRE_ROOM];
    struct load_wire_object object;
    const char *end = frame->payload.data + frame->payload.bytes;
    if (frame->opcode == LOAD_WIRE_PING)
        return write_all(probe->fd, pong, load_wire_put_pong(pong, 0, frame->payload));
    if (frame->opcode == LOAD_WIRE_CLOSE)
        return -ECONNRESET;
    if (frame->opcode != LOAD_WIRE_TEXT || load_wire_read_object(frame->payload.data, end, &object) != end)
        return -EPROTO;
    take_answer(measurement, &object, now);
    return 0;
}

static int read_answers(struct hostile_probe *probe, struct measurement *measurement)
{
    ssize_t got = recv(probe->fd, probe->in + probe->in_bytes, sizeof probe->in - probe->in_bytes, MSG_DONTWAIT);
    uint64_t now = times_now_us();
    if (got <= 0)
        return got == 0 ? -ECONNRESET : errno == EAGAIN ? 0 : -errno;
    measurement->heard_us = now;
    probe->in_bytes += (uint32_t)got;
    uint32_t at = 0;
    int status = 0;
    while (status == 0) {
        struct load_wire_frame frame;
        int64_t took = load_wire_read_frame(probe->in + at, probe->in_bytes - at, &frame);
        if (took <= 0) {
            status = took < 0 ? -EPROTO : 0;
            break;
        }
        at += (uint32_t)took;
        status = take_frame(probe, measurement, &frame, now);
    }
    memmove(probe->in, probe->in + at, probe->in_bytes - at);
    probe->in_bytes -= at;
    return status;
}

/* The partner reads what it gets, and answers pings. */
static int read_partner(struct hostile_probe *probe)
{
    char in[16384], pong[LOAD_WIRE_ROOM];
    struct hostile_counts counts = {0};
    ssize_t got = recv(probe->partner_fd, in, sizeof in, MSG_DONTWAIT);
    if (got <= 0)
        return got == 0 ? -ECONNRESET : errno == EAGAIN ? 0 : -errno;
    int status = hostile_scan_take(&probe->partner_scan, in, (size_t)got, &counts);
    if (counts.closes > 0)
        return -ECONNRESET;
    if (status == 0 && counts.pings > 0)
        status = write_all(probe->partner_fd, pong, load_wire_put_pong(pong, 0, (struct span){"", 0}));
    return status;
}

static bool is_over(const struct measurement *measurement)
{
    return measurement->beats[0].answered == measurement->beats[0].total
           && measurement->beats[1].answered == measurement->beats[1].total;
}

/* The time until a send or ping is due; a second at most. */
static struct timespec until_due(const struct measurement *measurement, uint64_t now)
{
    uint64_t until = now + 1000000;
    for (uint32_t i = 0; i < 2; i++) {
        const struct beat *beat = &measurement->beats[i];
        uint64_t due = beat->again_us != 0 ? beat->again_us : may_write(beat) ? due_us(beat, beat->next) : until;
        until = due < until ? due : until;
    }
    return times_of_us(until > now ? until - now : 0);
}

/* Writes what is due, waits, and reads what comes: 0 or -errno. */
static int take_turn(struct hostile_probe *probe, struct measurement *measurement)
{
    uint64_t now = times_now_us();
    int status = write_due(probe, &measurement->beats[0], now);
    if (status == 0)
        status = write_due(probe, &measurement->beats[1], now);
    if (status != 0)
        return status;
    struct pollfd files[2] = {{.fd = probe->fd, .events = POLLIN}, {.fd = probe->partner_fd, .events = POLLIN}};
    struct timespec wait = until_due(measurement, now);
    if (ppoll(files, 2, &wait, NULL) < 0)
        return errno == EINTR ? 0 : -errno;
    if (files[0].revents != 0)
        status = read_answers(probe, measurement);
    if (status == 0 && files[1].revents != 0)
        status = read_partner(probe);
    return status;
}

/* Counts what has not been answered with the time that has passed: it took at least that. */
static void charge_unanswered(const struct beat *beat, struct hostile_figures *figures)
{
    uint64_t now = times_now_us();
    for (uint32_t i = 0; i < beat->total && due_us(beat, i) < now; i++) {
        if (beat->states[i] == ANSWERED)
            continue;
        load_histogram_add(beat->histogram, now - due_us(beat, i));
        figures->unanswered++;
    }
}

static enum hostile_fate run_until_end(struct hostile_probe *probe, struct measurement *measurement)
{
    while (!is_over(measurement)) {
        if (take_turn(probe, measurement) != 0)
            return HOSTILE_LOST;
        uint64_t now = times_now_us();
        if (now > measurement->heard_us + HUNG_US)
            return HOSTILE_HUNG;
        if (now > measurement->end_us + HUNG_US)
            return HOSTILE_CUT;
    }
    return HOSTILE_SERVED;
}

static bool init_beat(struct beat *beat_r, bool is_ping, const struct hostile_rhythm *rhythm, uint64_t now,
                      struct load_histogram *histogram)
{
    uint32_t send_us = 1000000 / rhythm->rate, period_us = is_ping ? PING_EVERY * send_us : send_us;
    *beat_r = (struct beat){.begun_us = now + (is_ping ? send_us / 2 : 0),
                            .period_us = period_us,
                            .total = (uint32_t)(rhythm->seconds * 1e6 / period_us) + 1,
                            .window = rhythm->window,
                            .is_ping = is_ping,
                            .histogram = histogram};
    beat_r->states = calloc(beat_r->total, sizeof *beat_r->states);
    return beat_r->states != NULL;
}

void hostile_probe_run(struct hostile_probe *probe, const struct hostile_rhythm *rhythm,
                       struct hostile_figures *figures_r)
{
    uint64_t now = times_now_us();
    struct measurement measurement = {
        .heard_us = now, .end_us = now + (uint64_t)(rhythm->seconds * 1e6), .figures = figures_r};
    ASSERT(rhythm->rate > 0 && rhythm->window > 0 && rhythm->window <= HOSTILE_WINDOW_MAX);
    struct beat *sends = &measurement.beats[0], *pings = &measurement.beats[1];
    memset(figures_r, 0, sizeof *figures_r);
    figures_r->fate = HOSTILE_LOST;
    if (init_beat(sends, false, rhythm, now, &figures_r->send) && init_beat(pings, true, rhythm, now, &figures_r->ping)
        && probe->fd >= 0) {
        hurry(true);
        figures_r->fate = run_until_end(probe, &measurement);
        hurry(false);
        charge_unanswered(sends, figures_r);
        charge_unanswered(pings, figures_r);
    }
    free(sends->states);
    free(pings->states);
}
