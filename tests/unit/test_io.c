/* io.h on the kernel's own ring, with socket pairs and files. */
#include "shard/io.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURN_US 50000
#define BUFFER_BYTES 256u

struct fixture {
    struct io *io;
    struct io_socket socket;
    int peer;

    char got[1 << 20];
    size_t got_bytes;
    uint32_t recv_calls;
    int recv_end; /* 1: none yet */
    uint32_t sent_calls;
    int sent_result;
    bool is_closed;
    int released_fd;
    int accepted[4 * IO_ACCEPTS_MAX];
    uint32_t accepted_count;
    int written_result;
    uint32_t written_calls;
    bool close_on_recv;
    bool stop_on_recv;
};

static void on_accept(void *context, uint32_t listener, int fd)
{
    struct fixture *fixture = context;
    cr_assert_eq(listener, 5);
    fixture->accepted[fixture->accepted_count++] = fd;
}

static void on_recv(void *context, struct io_socket *socket, char *data, int result)
{
    struct fixture *fixture = context;
    fixture->recv_calls++;
    if (result <= 0) {
        fixture->recv_end = result;
        return;
    }
    memcpy(fixture->got + fixture->got_bytes, data, (size_t)result);
    fixture->got_bytes += (size_t)result;
    memset(data, 0xEE, (size_t)result); /* the bytes are ours until we return */
    if (fixture->close_on_recv)
        io_close(fixture->io, socket);
    if (fixture->stop_on_recv)
        io_recv_stop(fixture->io, socket);
}

static void on_sent(void *context, struct io_socket *socket, int result)
{
    struct fixture *fixture = context;
    (void)socket;
    fixture->sent_calls++;
    fixture->sent_result = result;
}

static void on_closed(void *context, struct io_socket *socket)
{
    struct fixture *fixture = context;
    cr_assert_eq(socket, &fixture->socket);
    fixture->is_closed = true;
}

static void on_released(void *context, struct io_socket *socket, int fd)
{
    struct fixture *fixture = context;
    cr_assert_eq(socket->fd, -1);
    fixture->released_fd = fd;
}

static void on_written(void *context, struct io_write *write, int result)
{
    struct fixture *fixture = context;
    (void)write;
    fixture->written_calls++;
    fixture->written_result = result;
}

static const struct io_handlers handlers = {on_accept, on_recv, on_sent, on_closed, on_released, on_written};

static struct fixture *fixture_make(uint32_t buffer_count, int fd, int peer)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct io_options options = {.recv_buffer_bytes = BUFFER_BYTES, .recv_buffer_count = buffer_count};
    fixture->recv_end = 1;
    fixture->released_fd = -1;
    cr_assert_eq(io_open(&fixture->io, &options, &handlers, fixture), 0);
    io_adopt(fixture->io, &fixture->socket, fd);
    fixture->peer = peer;
    return fixture;
}

static struct fixture *fixture_open(void)
{
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    return fixture_make(4, ends[0], ends[1]);
}

static int listen_somewhere(struct sockaddr_in *address_r)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t bytes = sizeof *address_r;
    *address_r = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    cr_assert_eq(bind(fd, (struct sockaddr *)address_r, sizeof *address_r), 0);
    cr_assert_eq(listen(fd, 16), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)address_r, &bytes), 0);
    return fd;
}

/* Two ends of a TCP connection, which takes more at once than a socket pair does. */
static struct fixture *fixture_open_tcp(uint32_t buffer_count)
{
    struct sockaddr_in address;
    int listener = listen_somewhere(&address);
    int peer = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(peer, (struct sockaddr *)&address, sizeof address), 0);
    int fd = accept(listener, NULL, NULL);
    cr_assert_geq(fd, 0);
    close(listener);
    return fixture_make(buffer_count, fd, peer);
}

/* Turns until `condition` holds; the test ends when it never does. */
#define TURN_UNTIL(fixture, condition)                                                                                 \
    do {                                                                                                               \
        for (int turn = 0; turn < 200 && !(condition); turn++)                                                         \
            cr_assert_geq(io_gather((fixture)->io, TURN_US), 0);                                                       \
        cr_assert(condition);                                                                                          \
    } while (0)

/* A few turns in which nothing is waited for. */
static void turn_some(struct fixture *fixture)
{
    for (int i = 0; i < 5; i++)
        cr_assert_geq(io_gather(fixture->io, 1000), 0);
}

static void fixture_close(struct fixture *fixture)
{
    if (fixture->socket.fd >= 0 && !fixture->is_closed) {
        io_close(fixture->io, &fixture->socket);
        TURN_UNTIL(fixture, fixture->is_closed);
    }
    io_close_loop(&fixture->io);
    cr_assert_null(fixture->io);
    close(fixture->peer);
    free(fixture);
}

/* How much of `bytes` the socket took. */
static size_t peer_writes_what_fits(struct fixture *fixture, const char *data, size_t bytes)
{
    ssize_t written = send(fixture->peer, data, bytes, MSG_DONTWAIT);
    cr_assert_geq(written, 1 << 17);
    return (size_t)written;
}

static void peer_write(struct fixture *fixture, const char *text)
{
    cr_assert_eq(write(fixture->peer, text, strlen(text)), (ssize_t)strlen(text));
}

Test(io, the_kernel_has_what_is_needed)
{
    char text[256] = "";
    cr_assert_eq(io_check_kernel(text, sizeof text), 0, "%s", text);
}

Test(io, a_receive_once_gives_one_piece_and_no_more)
{
    struct fixture *fixture = fixture_open();
    io_recv_once(fixture->io, &fixture->socket);
    peer_write(fixture, "first");
    TURN_UNTIL(fixture, fixture->recv_calls == 1);
    peer_write(fixture, "second");
    turn_some(fixture);
    cr_assert_eq(fixture->recv_calls, 1);
    io_recv_once(fixture->io, &fixture->socket);
    io_recv_once(fixture->io, &fixture->socket);
    TURN_UNTIL(fixture, fixture->recv_calls == 2);
    cr_assert_eq(fixture->got_bytes, 11);
    cr_assert_arr_eq(fixture->got, "firstsecond", 11);
    fixture_close(fixture);
}

Test(io, a_receive_goes_on_past_the_number_of_buffers_and_keeps_every_byte)
{
    struct fixture *fixture = fixture_open();
    char pattern[200000];
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (char)(i * 7 + i / 251);
    io_recv_start(fixture->io, &fixture->socket);
    for (size_t at = 0; at < sizeof pattern;) {
        ssize_t bytes = send(fixture->peer, pattern + at, sizeof pattern - at, MSG_DONTWAIT);
        if (bytes > 0)
            at += (size_t)bytes;
        cr_assert_geq(io_gather(fixture->io, 100), 0);
    }
    for (size_t i = 0; i < sizeof pattern / BUFFER_BYTES && fixture->got_bytes < sizeof pattern; i++)
        cr_assert_geq(io_gather(fixture->io, TURN_US), 0);
    TURN_UNTIL(fixture, fixture->got_bytes == sizeof pattern);
    cr_assert_arr_eq(fixture->got, pattern, sizeof pattern);
    fixture_close(fixture);
}

Test(io, the_end_of_the_peer_is_reported_once)
{
    struct fixture *fixture = fixture_open();
    io_recv_start(fixture->io, &fixture->socket);
    peer_write(fixture, "bye");
    shutdown(fixture->peer, SHUT_WR);
    TURN_UNTIL(fixture, fixture->recv_end == 0);
    turn_some(fixture);
    cr_assert_eq(fixture->recv_calls, 2);
    cr_assert_eq(fixture->got_bytes, 3);
    io_recv_start(fixture->io, &fixture->socket); /* nothing more can come: it is not armed */
    turn_some(fixture);
    cr_assert_eq(fixture->recv_calls, 2);
    fixture_close(fixture);
}

Test(io, a_stopped_receive_gives_nothing_until_it_is_started_again)
{
    struct fixture *fixture = fixture_open();
    io_recv_start(fixture->io, &fixture->socket);
    turn_some(fixture);
    io_recv_stop(fixture->io, &fixture->socket);
    turn_some(fixture);
    peer_write(fixture, "waits");
    turn_some(fixture);
    cr_assert_eq(fixture->recv_calls, 0);
    io_recv_start(fixture->io, &fixture->socket);
    TURN_UNTIL(fixture, fixture->got_bytes == 5);
    io_recv_stop(fixture->io, &fixture->socket);
    io_recv_start(fixture->io, &fixture->socket); /* before the old one has ended */
    peer_write(fixture, "again");
    TURN_UNTIL(fixture, fixture->got_bytes == 10);
    fixture_close(fixture);
}

/* What a turn takes in goes round after round, in which a receive that was stopped must have no part. */
static void stops_when_much_comes(bool is_there_already)
{
    struct fixture *fixture = fixture_open_tcp(64);
    char much[512 << 10] = {0};
    fixture->stop_on_recv = true;
    if (is_there_already)
        peer_writes_what_fits(fixture, much, sizeof much);
    io_recv_start(fixture->io, &fixture->socket);
    if (!is_there_already) {
        turn_some(fixture);
        peer_writes_what_fits(fixture, much, sizeof much);
    }
    TURN_UNTIL(fixture, fixture->got_bytes > 0);
    turn_some(fixture);
    cr_assert_leq(fixture->got_bytes, 64 * BUFFER_BYTES, "%zu bytes", fixture->got_bytes);
    fixture_close(fixture);
}

Test(io, a_receive_that_waited_is_stopped_at_once_when_much_comes)
{
    stops_when_much_comes(false);
}

Test(io, a_receive_of_much_that_is_there_already_is_stopped_at_once)
{
    stops_when_much_comes(true);
}

Test(io, a_receive_of_much_goes_on_where_it_was_stopped_and_keeps_every_byte)
{
    struct fixture *fixture = fixture_open_tcp(64);
    char much[256 << 10];
    for (size_t i = 0; i < sizeof much; i++)
        much[i] = (char)(i * 7 + i / 251);
    fixture->stop_on_recv = true;
    size_t written = peer_writes_what_fits(fixture, much, sizeof much);
    for (int turn = 0; turn < 5000 && fixture->got_bytes < written; turn++) {
        io_recv_start(fixture->io, &fixture->socket);
        cr_assert_geq(io_gather(fixture->io, TURN_US), 0);
    }
    cr_assert_eq(fixture->got_bytes, written);
    cr_assert_arr_eq(fixture->got, much, written);
    fixture_close(fixture);
}

Test(io, a_send_of_several_pieces_arrives_whole_and_is_reported_once)
{
    struct fixture *fixture = fixture_open();
    char big[300000], back[400000];
    memset(big, 'x', sizeof big);
    struct iovec vectors[] = {{(void *)"head", 4}, {big, sizeof big}, {(void *)"tail", 4}};
    io_send(fixture->io, &fixture->socket, vectors, 3);
    cr_assert(io_is_sending(&fixture->socket));
    size_t got = 0;
    while (got < sizeof big + 8) {
        cr_assert_geq(io_gather(fixture->io, 1000), 0);
        ssize_t bytes = recv(fixture->peer, back + got, sizeof back - got, MSG_DONTWAIT);
        got += bytes > 0 ? (size_t)bytes : 0;
    }
    TURN_UNTIL(fixture, fixture->sent_calls == 1);
    cr_assert_eq(fixture->sent_result, 0);
    cr_assert_not(io_is_sending(&fixture->socket));
    cr_assert_arr_eq(back, "head", 4);
    cr_assert_arr_eq(back + 4 + sizeof big, "tail", 4);
    fixture_close(fixture);
}

Test(io, a_send_to_a_peer_that_is_gone_fails)
{
    struct fixture *fixture = fixture_open();
    close(fixture->peer);
    struct iovec vector = {(void *)"x", 1};
    io_send(fixture->io, &fixture->socket, &vector, 1);
    TURN_UNTIL(fixture, fixture->sent_calls == 1);
    cr_assert_lt(fixture->sent_result, 0);
    fixture->peer = open("/dev/null", O_RDONLY);
    fixture_close(fixture);
}

Test(io, closing_breaks_off_what_is_in_flight_and_is_reported_last)
{
    struct fixture *fixture = fixture_open();
    const size_t big = 4 << 20;
    struct iovec vector = {calloc(1, big), big};
    cr_assert_neq(vector.iov_base, NULL);
    io_recv_start(fixture->io, &fixture->socket);
    io_send(fixture->io, &fixture->socket, &vector, 1); /* nobody reads it */
    turn_some(fixture);
    cr_assert(io_is_sending(&fixture->socket));
    io_close(fixture->io, &fixture->socket);
    (void)!send(fixture->peer, "ignored", 7, MSG_NOSIGNAL);
    TURN_UNTIL(fixture, fixture->is_closed);
    cr_assert_eq(fixture->sent_calls, 0);
    cr_assert_eq(fixture->recv_calls, 0);
    fixture_close(fixture);
    free(vector.iov_base);
}

Test(io, a_socket_may_be_closed_from_within_its_callback)
{
    struct fixture *fixture = fixture_open();
    fixture->close_on_recv = true;
    io_recv_start(fixture->io, &fixture->socket);
    peer_write(fixture, "x");
    TURN_UNTIL(fixture, fixture->is_closed);
    cr_assert_eq(fixture->recv_calls, 1);
    fixture_close(fixture);
}

Test(io, a_released_socket_is_quiet_and_goes_on_elsewhere_without_losing_a_byte)
{
    struct fixture *fixture = fixture_open();
    io_recv_start(fixture->io, &fixture->socket);
    peer_write(fixture, "before ");
    TURN_UNTIL(fixture, fixture->got_bytes == 7);
    peer_write(fixture, "while ");
    io_release(fixture->io, &fixture->socket);
    TURN_UNTIL(fixture, fixture->released_fd >= 0);
    peer_write(fixture, "after");
    struct io_socket old = fixture->socket;
    cr_assert_eq(old.fd, -1);
    io_adopt(fixture->io, &fixture->socket, fixture->released_fd);
    io_recv_start(fixture->io, &fixture->socket);
    TURN_UNTIL(fixture, fixture->got_bytes == 18);
    cr_assert_arr_eq(fixture->got, "before while after", 18);
    fixture_close(fixture);
}

Test(io, closing_may_still_come_after_releasing)
{
    struct fixture *fixture = fixture_open();
    io_recv_start(fixture->io, &fixture->socket);
    turn_some(fixture);
    io_release(fixture->io, &fixture->socket);
    io_close(fixture->io, &fixture->socket);
    TURN_UNTIL(fixture, fixture->is_closed);
    cr_assert_eq(fixture->released_fd, -1);
    fixture_close(fixture);
}

Test(io, ending_our_side_lets_the_peer_read_to_the_end)
{
    struct fixture *fixture = fixture_open();
    char back[8];
    struct iovec vector = {(void *)"last", 4};
    io_send(fixture->io, &fixture->socket, &vector, 1);
    io_shutdown_send(fixture->io, &fixture->socket);
    TURN_UNTIL(fixture, fixture->sent_calls == 1);
    cr_assert_eq(read(fixture->peer, back, sizeof back), 4);
    cr_assert_eq(read(fixture->peer, back, sizeof back), 0);
    fixture_close(fixture);
}

Test(io, accepts_until_it_is_stopped)
{
    struct fixture *fixture = fixture_open();
    struct sockaddr_in address;
    int listener = listen_somewhere(&address);
    int clients[3];
    io_accept_start(fixture->io, 5, listener);
    cr_assert(io_is_accepting(fixture->io));
    for (int i = 0; i < 3; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM, 0);
        cr_assert_eq(connect(clients[i], (struct sockaddr *)&address, sizeof address), 0);
    }
    TURN_UNTIL(fixture, fixture->accepted_count == 3);
    io_accept_stop(fixture->io);
    TURN_UNTIL(fixture, !io_is_accepting(fixture->io));
    close(listener);
    for (int i = 0; i < 3; i++) {
        close(clients[i]);
        close(fixture->accepted[i]);
    }
    fixture_close(fixture);
}

Test(io, a_gather_accepts_a_few_and_leaves_the_rest_to_the_next_ones)
{
    struct fixture *fixture = fixture_open();
    struct sockaddr_in address;
    int listener = listen_somewhere(&address);
    int clients[2 * IO_ACCEPTS_MAX];
    for (uint32_t i = 0; i < 2 * IO_ACCEPTS_MAX; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM, 0);
        cr_assert_eq(connect(clients[i], (struct sockaddr *)&address, sizeof address), 0);
    }
    io_accept_start(fixture->io, 5, listener);
    for (uint32_t gathers = 1; fixture->accepted_count < 2 * IO_ACCEPTS_MAX; gathers++) {
        cr_assert_geq(io_gather(fixture->io, TURN_US), 0);
        cr_assert_leq(fixture->accepted_count, gathers * IO_ACCEPTS_MAX);
        cr_assert_leq(gathers, 200);
    }
    io_accept_stop(fixture->io);
    TURN_UNTIL(fixture, !io_is_accepting(fixture->io));
    close(listener);
    for (uint32_t i = 0; i < 2 * IO_ACCEPTS_MAX; i++) {
        close(clients[i]);
        close(fixture->accepted[i]);
    }
    fixture_close(fixture);
}

Test(io, a_write_of_the_wal_is_reported_with_its_bytes_and_a_failed_one_with_its_error)
{
    struct fixture *fixture = fixture_open();
    char path[] = "/tmp/chitchat-io-XXXXXX", back[8] = "";
    int fd = mkstemp(path);
    struct io_write write = {.fd = fd, .data = "durable", .bytes = 7, .offset = 100};
    io_write_submit(fixture->io, &write);
    TURN_UNTIL(fixture, fixture->written_calls == 1);
    cr_assert_eq(fixture->written_result, 7);
    cr_assert_eq(pread(fd, back, 7, 100), 7);
    cr_assert_arr_eq(back, "durable", 7);
    int read_only = open(path, O_RDONLY);
    write.fd = read_only;
    io_write_submit(fixture->io, &write);
    TURN_UNTIL(fixture, fixture->written_calls == 2);
    cr_assert_eq(fixture->written_result, -EBADF);
    close(read_only);
    close(fd);
    unlink(path);
    fixture_close(fixture);
}

static void *wake_soon(void *argument)
{
    usleep(20000);
    io_wake_from_thread(argument);
    return NULL;
}

/* Without the wake-up the loop would sleep for a minute, longer than the test may take. */
Test(io, a_thread_wakes_a_loop_that_sleeps, .timeout = 30)
{
    struct fixture *fixture = fixture_open();
    pthread_t thread;
    cr_assert_geq(io_gather(fixture->io, 0), 0);
    for (int i = 0; i < 3; i++) {
        pthread_create(&thread, NULL, wake_soon, fixture->io);
        cr_assert_geq(io_gather(fixture->io, 60000000), 0);
        pthread_join(thread, NULL);
    }
    fixture_close(fixture);
}

static void *sleep_long(void *argument)
{
    struct io *io = argument;
    cr_assert_geq(io_gather(io, 60000000), 0);
    return NULL;
}

Test(io, a_loop_wakes_another_that_sleeps, .timeout = 30)
{
    struct fixture *fixture = fixture_open();
    struct io_options options = {.recv_buffer_bytes = 256, .recv_buffer_count = 4};
    struct io *other;
    pthread_t thread;
    cr_assert_eq(io_open(&other, &options, &handlers, fixture), 0);
    pthread_create(&thread, NULL, sleep_long, other);
    usleep(20000);
    io_wake(fixture->io, other);
    cr_assert_geq(io_gather(fixture->io, 0), 0);
    pthread_join(thread, NULL);
    io_close_loop(&other);
    fixture_close(fixture);
}

Test(io, more_than_the_queue_has_entries_may_be_asked_for_in_one_turn)
{
    enum { WRITES = 5000 };
    struct fixture *fixture = fixture_open();
    int wall[2];
    cr_assert_eq(pipe(wall), 0);
    struct io_write *writes = calloc(WRITES, sizeof *writes);
    turn_some(fixture);
    for (uint32_t i = 0; i < WRITES; i++) {
        writes[i] = (struct io_write){.fd = wall[1], .data = "x", .bytes = 1, .offset = (uint64_t)-1};
        io_write_submit(fixture->io, &writes[i]);
    }
    TURN_UNTIL(fixture, fixture->written_calls == WRITES);
    free(writes);
    close(wall[0]);
    close(wall[1]);
    fixture_close(fixture);
}
