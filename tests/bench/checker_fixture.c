#include "checker_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/frame.h"
#include "load/look.h"
#include "load/scenario.h"
#include "load/wire.h"

#define FRAME_BYTES_MAX 4096u

/* -- the double of shard/io.h: the linker finds these symbols first, and so leaves out the real ones -- */

int io_open(struct io **io_r, const struct io_options *options, const struct io_handlers *handlers, void *context)
{
    (void)io_r, (void)options, (void)handlers, (void)context;
    return -ENOSYS; /* nothing here may run a loop */
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

/* -- open and close -- */

struct fixture *fixture_open(struct load_options options)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    cr_assert_not_null(fixture);
    options.threads = 1;
    options.connections = FIXTURE_SESSIONS;
    options.users = options.users > 0 ? options.users : FIXTURE_SESSIONS;
    options.recipients = options.users;
    options.window = options.window > 0 ? options.window : 8;
    options.text_bytes = 64;
    options.limit = 50;
    strcpy(options.prefix, "load-");
    options.given |= LOAD_GIVEN_PREFIX;
    fixture->run.options = options;
    cr_assert_eq(load_run_open(&fixture->run), 0);
    fixture->worker = &fixture->run.workers[0];
    fixture->worker->now_us = 10;
    fixture->ts = 1000;
    for (uint32_t i = 0; i < FIXTURE_SESSIONS && options.protocol == LOAD_CHITCHAT; i++) {
        fixture_log_in(fixture, i, fixture->cursors[i] = FIXTURE_BASE);
        load_look_end(fixture->worker, &fixture->run.sessions[i]);
        fixture_hear(fixture, i);
    }
    return fixture;
}

void fixture_close(struct fixture *fixture)
{
    load_run_close(&fixture->run);
    free(fixture);
}

/* -- what the server sends and receives -- */

void fixture_say(struct fixture *fixture, uint32_t session, const char *format, ...)
{
    char frame[FRAME_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(frame, sizeof frame, format, arguments);
    va_end(arguments);
    cr_assert_lt(bytes, (int)sizeof frame);
    load_frame_take(fixture->worker, &fixture->run.sessions[session], (struct span){frame, (size_t)bytes});
    load_worker_end_order_checks(fixture->worker);
}

/* Adds the payload of the masked frame at `data` to `out`, as a line. Returns the bytes of the frame. */
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

const char *fixture_hear(struct fixture *fixture, uint32_t session)
{
    struct buffer *said = &fixture->run.sessions[session].out;
    char *out = fixture->heard;
    cr_assert_lt(said->bytes, sizeof fixture->heard);
    for (uint32_t at = 0; at < said->bytes;)
        at += unmask(said->data + at, &out);
    *out = '\0';
    said->bytes = 0;
    return fixture->heard;
}

/* -- sessions -- */

void fixture_connect(struct fixture *fixture, uint32_t index)
{
    static const char upgraded[] = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
    struct load_session *session = &fixture->run.sessions[index];
    load_session_leave(fixture->worker, session, 0);
    if (session->state == LOAD_SESSION_LEAVING)
        load_session_on_closed(fixture->worker, session);
    list_remove(&session->wait_link);
    session->begun_us = fixture->worker->now_us;
    session->state = LOAD_SESSION_UPGRADING;
    fixture->worker->connecting++;
    load_session_take(fixture->worker, session, upgraded, sizeof upgraded - 1);
    cr_assert_eq(session->state, LOAD_SESSION_LOGGING_IN);
}

void fixture_log_in(struct fixture *fixture, uint32_t session, uint64_t last)
{
    fixture_connect(fixture, session);
    fixture_hear(fixture, session);
    fixture_say(fixture, session, "{\"op\":\"ok\",\"id\":1,\"user\":\"load-%u\",\"last\":%llu,\"epoch\":\"e\"}",
                fixture->run.sessions[session].user, (unsigned long long)last);
}

void fixture_set_phase(struct fixture *fixture, enum load_phase phase)
{
    fixture->worker->phase = phase;
    load_scenario_on_phase(fixture->worker);
}

/* -- sends and entries -- */

static void copy_field(const char *frame, const char *name, char *out, size_t room)
{
    const char *at = strstr(frame, name);
    out[0] = '\0';
    if (at != NULL)
        snprintf(out, room, "%.*s", (int)strcspn(at + strlen(name), "\""), at + strlen(name));
}

struct fixture_sent fixture_sent_of(const char *frame, uint32_t from, uint32_t to)
{
    struct fixture_sent sent = {.from = from, .to = to};
    const char *id = strstr(frame, "\"op\":\"send\",\"id\":");
    cr_assert_not_null(id, "no send: %s", frame);
    sent.id = strtoull(id + strlen("\"op\":\"send\",\"id\":"), NULL, 10);
    copy_field(id, "\"text\":\"", sent.text, sizeof sent.text);
    copy_field(id, "\"key\":\"", sent.key, sizeof sent.key);
    return sent;
}

struct fixture_sent fixture_send(struct fixture *fixture, uint32_t from, uint32_t to)
{
    fixture_hear(fixture, from);
    load_send_new(fixture->worker, &fixture->run.sessions[from], to, 5);
    return fixture_sent_of(fixture_hear(fixture, from), from, to);
}

void fixture_answer(struct fixture *fixture, const struct fixture_sent *sent)
{
    uint64_t ts = ++fixture->ts, prev = fixture->cursors[sent->from];
    fixture->cursors[sent->from] = ts;
    fixture_say(fixture, sent->from, "{\"op\":\"ok\",\"id\":%llu,\"ts\":%llu,\"prev\":%llu,\"mid\":\"m%llu-%u\"}",
                (unsigned long long)sent->id, (unsigned long long)ts, (unsigned long long)prev,
                (unsigned long long)sent->id, sent->from);
}

void fixture_push(struct fixture *fixture, const struct fixture_sent *sent)
{
    struct fixture_entry entry = fixture_entry_of(fixture, sent->to, sent);
    fixture_push_entry(fixture, sent->to, &entry);
}

struct fixture_entry fixture_entry_of(struct fixture *fixture, uint32_t session, const struct fixture_sent *sent)
{
    struct fixture_entry entry = {.ts = ++fixture->ts, .prev = fixture->cursors[session]};
    uint32_t from = fixture->run.sessions[sent->from].user;
    fixture->cursors[session] = entry.ts;
    snprintf(entry.mid, sizeof entry.mid, "m%llu-%u", (unsigned long long)sent->id, sent->from);
    snprintf(entry.from, sizeof entry.from, "load-%u", from);
    snprintf(entry.to, sizeof entry.to, "load-%u", sent->to);
    snprintf(entry.text, sizeof entry.text, "%s", sent->text);
    if (fixture->run.sessions[session].user == from)
        snprintf(entry.key, sizeof entry.key, "%s", sent->key);
    return entry;
}

static size_t write_string(char *out, size_t room, const char *name, const char *value)
{
    return value[0] == '\0' ? 0 : (size_t)snprintf(out, room, ",\"%s\":\"%s\"", name, value);
}

static size_t write_number(char *out, size_t room, const char *name, uint64_t value)
{
    return value == FIXTURE_ABSENT ? 0 : (size_t)snprintf(out, room, ",\"%s\":%llu", name, (unsigned long long)value);
}

const char *fixture_write_entry(char *out, size_t room, const struct fixture_entry *entry)
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

void fixture_push_entry(struct fixture *fixture, uint32_t session, const struct fixture_entry *entry)
{
    char members[512];
    fixture_say(fixture, session, "{\"op\":\"msg\",%s}", fixture_write_entry(members, sizeof members, entry));
}

/* -- what the checks have found -- */

uint64_t fixture_broken(const struct fixture *fixture, enum load_count what)
{
    return fixture->worker->stats.counts[what];
}

uint64_t fixture_broken_all(const struct fixture *fixture)
{
    return load_stats_broken(&fixture->worker->stats);
}

uint64_t fixture_check(const struct fixture *fixture)
{
    char text[200];
    return load_run_check(&fixture->run, text, sizeof text);
}

void fixture_expect(const struct fixture *fixture, enum load_count what, uint64_t times)
{
    cr_expect_eq(fixture_broken(fixture, what), times, "%s: found %llu times, expected %llu; first: %s",
                 load_stats_count_text(what), (unsigned long long)fixture_broken(fixture, what),
                 (unsigned long long)times, fixture->worker->first_broken);
    cr_expect_eq(fixture_broken_all(fixture), fixture_broken(fixture, what), "something else was found too; first: %s",
                 fixture->worker->first_broken);
}
