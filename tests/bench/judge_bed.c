#include "judge_bed.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_BYTES_MAX 4096u

/* -- the double of shard/io.h; its symbols come first, so that the real ones are left out of the link -- */

int io_open(struct io **io_r, const struct io_options *options, const struct io_handlers *handlers, void *context)
{
    (void)io_r, (void)options, (void)handlers, (void)context;
    return -ENOSYS; /* a bed has no loop */
}

void io_close_loop(struct io **io)
{
    (void)io;
}

int io_wait(struct io *io, uint64_t wait_us)
{
    (void)io, (void)wait_us;
    return -ENOSYS;
}

int io_gather(struct io *io, uint64_t wait_us)
{
    (void)io, (void)wait_us;
    return -ENOSYS;
}

void io_adopt(struct io *io, struct io_socket *socket, int fd)
{
    (void)io, (void)socket, (void)fd;
}

void io_recv_start(struct io *io, struct io_socket *socket)
{
    (void)io, (void)socket;
}

bool io_is_sending(const struct io_socket *socket)
{
    (void)socket;
    return false;
}

void io_send(struct io *io, struct io_socket *socket, const struct iovec *vectors, uint32_t count)
{
    (void)io, (void)socket, (void)vectors, (void)count;
}

void io_close(struct io *io, struct io_socket *socket)
{
    (void)io, (void)socket;
}

/* -- opened and closed -- */

struct bed *bed_open(struct load_options options)
{
    struct bed *bed = calloc(1, sizeof *bed);
    cr_assert_not_null(bed);
    options.threads = 1;
    options.connections = BED_SEATS;
    options.users = options.users > 0 ? options.users : BED_SEATS;
    options.recipients = options.users;
    options.window = options.window > 0 ? options.window : 8;
    options.text_bytes = 64;
    options.limit = 50;
    strcpy(options.prefix, "load-");
    bed->run.options = options;
    cr_assert_eq(load_run_open(&bed->run), 0);
    bed->worker = &bed->run.workers[0];
    bed->worker->now_us = 10;
    bed->ts = 1000;
    for (uint32_t i = 0; i < BED_SEATS && options.protocol == LOAD_CHITCHAT; i++)
        bed_log_in(bed, i, bed->cursors[i] = BED_BASE);
    return bed;
}

void bed_close(struct bed *bed)
{
    load_run_close(&bed->run);
    free(bed);
}

/* -- said and heard -- */

void bed_say(struct bed *bed, uint32_t seat, const char *format, ...)
{
    char frame[FRAME_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(frame, sizeof frame, format, arguments);
    va_end(arguments);
    cr_assert_lt(bytes, (int)sizeof frame);
    load_frame_take(bed->worker, &bed->run.seats[seat], (struct span){frame, (size_t)bytes});
    load_worker_settle_order(bed->worker);
}

/* A masked frame at `data`; its payload, as a line, is added to `out`. Returns the bytes of the frame. */
static uint32_t unmask(const char *data, char **out)
{
    const uint8_t *head = (const uint8_t *)data;
    uint32_t bytes = head[1] & 127, header_bytes = 6;
    if (bytes == 126) {
        bytes = (uint32_t)head[2] << 8 | head[3];
        header_bytes = 8;
    }
    for (uint32_t i = 0; i < bytes; i++)
        *(*out)++ = (char)(data[header_bytes + i] ^ data[header_bytes - 4 + i % 4]);
    *(*out)++ = '\n';
    return header_bytes + bytes;
}

const char *bed_hear(struct bed *bed, uint32_t seat)
{
    struct load_buffer *said = &bed->run.seats[seat].out;
    char *out = bed->heard;
    cr_assert_lt(said->bytes, sizeof bed->heard);
    for (uint32_t at = 0; at < said->bytes;)
        at += unmask(said->data + at, &out);
    *out = '\0';
    said->bytes = 0;
    return bed->heard;
}

/* -- seats -- */

void bed_connect(struct bed *bed, uint32_t index)
{
    static const char upgraded[] = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
    struct load_seat *seat = &bed->run.seats[index];
    load_seat_leave(bed->worker, seat, 0);
    if (seat->state == LOAD_SEAT_LEAVING)
        load_seat_on_closed(bed->worker, seat);
    list_remove(&seat->wait_link);
    seat->begun_us = bed->worker->now_us;
    seat->state = LOAD_SEAT_UPGRADING;
    bed->worker->connecting++;
    load_seat_take(bed->worker, seat, upgraded, sizeof upgraded - 1);
    cr_assert_eq(seat->state, LOAD_SEAT_LOGGING_IN);
}

void bed_log_in(struct bed *bed, uint32_t seat, uint64_t last)
{
    bed_connect(bed, seat);
    bed_hear(bed, seat);
    bed_say(bed, seat, "{\"op\":\"ok\",\"id\":1,\"user\":\"load-%u\",\"last\":%llu,\"epoch\":\"e\"}",
            bed->run.seats[seat].user, (unsigned long long)last);
}

void bed_set_phase(struct bed *bed, enum load_phase phase)
{
    bed->worker->phase = phase;
    load_scenario_on_phase(bed->worker);
}

/* -- sends and entries -- */

static void copy_field(const char *frame, const char *name, char *out, size_t room)
{
    const char *at = strstr(frame, name);
    out[0] = '\0';
    if (at != NULL)
        snprintf(out, room, "%.*s", (int)strcspn(at + strlen(name), "\""), at + strlen(name));
}

struct bed_sent bed_sent_of(const char *frame, uint32_t from, uint32_t to)
{
    struct bed_sent sent = {.from = from, .to = to};
    const char *id = strstr(frame, "\"op\":\"send\",\"id\":");
    cr_assert_not_null(id, "no send: %s", frame);
    sent.id = strtoull(id + strlen("\"op\":\"send\",\"id\":"), NULL, 10);
    copy_field(id, "\"text\":\"", sent.text, sizeof sent.text);
    copy_field(id, "\"key\":\"", sent.key, sizeof sent.key);
    return sent;
}

struct bed_sent bed_send(struct bed *bed, uint32_t from, uint32_t to)
{
    bed_hear(bed, from);
    load_send_new(bed->worker, &bed->run.seats[from], to, 5);
    return bed_sent_of(bed_hear(bed, from), from, to);
}

void bed_answer(struct bed *bed, const struct bed_sent *sent)
{
    uint64_t ts = ++bed->ts, prev = bed->cursors[sent->from];
    bed->cursors[sent->from] = ts;
    bed_say(bed, sent->from, "{\"op\":\"ok\",\"id\":%llu,\"ts\":%llu,\"prev\":%llu,\"mid\":\"m%llu-%u\"}",
            (unsigned long long)sent->id, (unsigned long long)ts, (unsigned long long)prev,
            (unsigned long long)sent->id, sent->from);
}

void bed_push(struct bed *bed, const struct bed_sent *sent)
{
    struct bed_entry entry = bed_entry_of(bed, sent->to, sent);
    bed_push_entry(bed, sent->to, &entry);
}

struct bed_entry bed_entry_of(struct bed *bed, uint32_t seat, const struct bed_sent *sent)
{
    struct bed_entry entry = {.ts = ++bed->ts, .prev = bed->cursors[seat]};
    uint32_t from = bed->run.seats[sent->from].user;
    bed->cursors[seat] = entry.ts;
    snprintf(entry.mid, sizeof entry.mid, "m%llu-%u", (unsigned long long)sent->id, sent->from);
    snprintf(entry.from, sizeof entry.from, "load-%u", from);
    snprintf(entry.to, sizeof entry.to, "load-%u", sent->to);
    snprintf(entry.text, sizeof entry.text, "%s", sent->text);
    if (bed->run.seats[seat].user == from)
        snprintf(entry.key, sizeof entry.key, "%s", sent->key);
    return entry;
}

static size_t write_string(char *out, size_t room, const char *name, const char *value)
{
    return value[0] == '\0' ? 0 : (size_t)snprintf(out, room, ",\"%s\":\"%s\"", name, value);
}

static size_t write_number(char *out, size_t room, const char *name, uint64_t value)
{
    return value == BED_ABSENT ? 0 : (size_t)snprintf(out, room, ",\"%s\":%llu", name, (unsigned long long)value);
}

const char *bed_write_entry(char *out, size_t room, const struct bed_entry *entry)
{
    size_t used = write_number(out, room, "ts", entry->ts);
    used += write_number(out + used, room - used, "prev", entry->prev);
    used += write_string(out + used, room - used, "mid", entry->mid);
    used += write_string(out + used, room - used, "from", entry->from);
    used += write_string(out + used, room - used, "to", entry->to);
    used += write_string(out + used, room - used, "key", entry->key);
    used += write_string(out + used, room - used, "text", entry->text);
    cr_assert_lt(used, room);
    return out + 1; /* the first comma */
}

void bed_push_entry(struct bed *bed, uint32_t seat, const struct bed_entry *entry)
{
    char members[512];
    bed_say(bed, seat, "{\"op\":\"msg\",%s}", bed_write_entry(members, sizeof members, entry));
}

/* -- what was found -- */

uint64_t bed_broken(const struct bed *bed, enum load_count what)
{
    return bed->worker->stats.counts[what];
}

uint64_t bed_broken_all(const struct bed *bed)
{
    return load_stats_broken(&bed->worker->stats);
}

uint64_t bed_judge(const struct bed *bed)
{
    char text[200];
    return load_run_judge(&bed->run, text, sizeof text);
}

void bed_expect(const struct bed *bed, enum load_count what, uint64_t times)
{
    cr_expect_eq(bed_broken(bed, what), times, "%s: found %llu times, expected %llu; first: %s",
                 load_stats_count_text(what), (unsigned long long)bed_broken(bed, what), (unsigned long long)times,
                 bed->worker->first_broken);
    cr_expect_eq(bed_broken_all(bed), bed_broken(bed, what), "something else was found too; first: %s",
                 bed->worker->first_broken);
}
