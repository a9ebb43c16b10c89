/* starting.h: health checks while the server reads its data. By TLS: test_tls_socket.c. */
#include "server/starting.h"

#include <stdio.h>

#include "server/core.h"
#include "starting_fixture.h"

static void has_a_right_length(const char *answer)
{
    const char *length = strstr(answer, "Content-Length: ");
    const char *body = strstr(answer, "\r\n\r\n");
    cr_assert(length != NULL && body != NULL, "%s", answer);
    cr_expect_eq((size_t)atoi(length + 16), strlen(body + 4), "%s", answer);
}

Test(starting, the_process_lives_and_is_not_ready)
{
    struct starting *starting;
    struct sockaddr_in first, second;
    int fds[] = {listen_at(&first), listen_at(&second)};
    cr_assert_eq(starting_open(&starting, fds, 2, (bool[]){false}, 1, NULL), 0);
    for (int i = 0; i < 3; i++) {
        const struct sockaddr_in *address = i % 2 == 0 ? &first : &second;
        const char *answer = ask_plainly(address, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
        cr_expect(strstr(answer, "HTTP/1.1 200 OK\r\n") == answer, "%s", answer);
        has_a_right_length(answer);
        answer = ask_plainly(address, "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n");
        cr_expect(strstr(answer, "HTTP/1.1 503 ") == answer, "%s", answer);
        cr_expect(strstr(answer, "{\"error\":\"starting\",") != NULL, "%s", answer);
        has_a_right_length(answer);
    }
    starting_close(&starting);
    cr_expect_null(starting);
    close(fds[0]);
    close(fds[1]);
}

Test(starting, head_is_answered_as_get_without_the_body)
{
    struct starting *starting;
    struct sockaddr_in address;
    int fd = listen_at(&address);
    cr_assert_eq(starting_open(&starting, &fd, 1, (bool[]){false}, 1, NULL), 0);
    const char *answer = ask_plainly(&address, "HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect(strstr(answer, "HTTP/1.1 200 OK\r\n") == answer, "%s", answer);
    cr_expect_not_null(strstr(answer, "\r\nContent-Length: 17\r\n"), "%s", answer);
    cr_expect_str_eq(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    answer = ask_plainly(&address, "HEAD /readyz HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect(strstr(answer, "HTTP/1.1 503 ") == answer, "%s", answer);
    cr_expect_str_eq(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    answer = ask_plainly(&address, "HEAD /livez/x HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect(strstr(answer, "HTTP/1.1 503 ") == answer, "%s", answer);
    starting_close(&starting);
    close(fd);
}

Test(starting, a_websocket_is_closed_with_the_address_of_the_owner)
{
    static const char owner[] = "\x88\x10\x03\xe9wss://north/ws";
    static const char unknown[] = "\x88\x2f\x03\xe9this node does not serve yet: reconnect later";
    struct starting *starting;
    struct sockaddr_in address;
    char too_long[200];
    int fd = listen_at(&address);
    cr_assert_eq(starting_open(&starting, &fd, 1, (bool[]){false}, 1, NULL), 0);
    const char *answer = ask_plainly(&address, UPGRADE "\r\n");
    cr_expect(strstr(answer, "HTTP/1.1 101 ") == answer, "%s", answer);
    cr_expect(strstr(answer, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") != NULL, "%s", answer);
    cr_expect_null(strstr(answer, "Protocol:"), "%s", answer);
    cr_expect_str_eq(strstr(answer, "\r\n\r\n") + 4, unknown);
    starting_say_owner(starting, "wss://north/ws");
    answer = ask_plainly(&address, UPGRADE "Sec-WebSocket-Protocol: other, chitchat.v1\r\n\r\n");
    cr_expect(strstr(answer, "\r\nSec-WebSocket-Protocol: chitchat.v1\r\n") != NULL, "%s", answer);
    cr_expect_str_eq(strstr(answer, "\r\n\r\n") + 4, owner);
    memset(too_long, 'a', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    starting_say_owner(starting, too_long);
    cr_expect_str_eq(strstr(ask_plainly(&address, UPGRADE "\r\n"), "\r\n\r\n") + 4, unknown);
    starting_close(&starting);
    close(fd);
}

Test(starting, a_standby_shows_its_metrics_and_who_is_the_owner)
{
    static struct server server;
    static struct cluster cluster;
    struct core *cores[] = {calloc(1, sizeof(struct core))};
    struct starting *starting;
    struct sockaddr_in address;
    int fd = listen_at(&address);
    server = (struct server){.core_count = 1, .cores = cores, .cluster = &cluster};
    cr_assert_eq(starting_open(&starting, &fd, 1, (bool[]){false}, 1, NULL), 0);
    static const char metrics[] = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    cr_expect(strstr(ask_plainly(&address, metrics), "HTTP/1.1 503 ") != NULL);
    starting_show_metrics(starting, &server);
    starting_say_owner(starting, "wss://north/ws");
    const char *answer = ask_plainly(&address, metrics);
    cr_expect(strstr(answer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4") == answer, "%s", answer);
    cr_expect(strstr(answer, "\nchitchat_cluster_owner 0\n") != NULL);
    has_a_right_length(answer);
    static const char *const refused[] = {
        "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://a\r\n\r\n",
    };
    for (int i = 0; i < 2; i++) {
        answer = ask_plainly(&address, refused[i]);
        cr_expect(strstr(answer, "HTTP/1.1 403 ") == answer && strstr(answer, "{\"error\":\"forbidden\",") != NULL,
                  "%s", answer);
    }
    answer = ask_plainly(&address, "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect(strstr(answer, "{\"error\":\"standby\",\"message\":\"standby, owner is wss://north/ws\"}\n") != NULL,
              "%s", answer);
    starting_close(&starting);
    close(fd);
    free(cores[0]);
}

Test(starting, a_connection_that_comes_later_waits)
{
    struct starting *starting;
    struct sockaddr_in address;
    int fd = listen_at(&address);
    cr_assert_eq(starting_open(&starting, &fd, 1, (bool[]){false}, 1, NULL), 0);
    starting_close(&starting);
    int later = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(connect(later, (struct sockaddr *)&address, sizeof address) == 0);
    int taken = accept(fd, NULL, NULL);
    cr_expect(taken >= 0, "nobody has taken it");
    close(taken);
    close(later);
    close(fd);
}

/* -- slow clients -- */

Test(starting, a_client_whose_bytes_come_slowly_is_closed_after_its_time)
{
    struct starting *starting;
    struct sockaddr_in address;
    struct dripper dripper;
    int fd = listen_at(&address);
    cr_assert_eq(starting_open(&starting, &fd, 1, (bool[]){false}, 1, NULL), 0);
    begin_to_drip(&dripper, &address, "");
    pthread_join(dripper.thread, NULL);
    cr_expect_lt(dripper.drips, DRIPS_MAX, "its time counts, not that between two bytes");
    close(dripper.fd);
    starting_close(&starting);
    close(fd);
}

Test(starting, a_client_whose_bytes_come_slowly_delays_neither_a_check_nor_the_end)
{
    struct starting *starting;
    struct sockaddr_in address;
    struct dripper dripper;
    int fd = listen_at(&address);
    cr_assert_eq(starting_open(&starting, &fd, 1, (bool[]){false}, 1, NULL), 0);
    begin_to_drip(&dripper, &address, "");
    const char *answer = ask_plainly(&address, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect(strstr(answer, "HTTP/1.1 200 OK\r\n") == answer, "%s", answer);
    starting_close(&starting);
    cr_expect_lt(dripper.drips, DRIPS_MAX);
    pthread_join(dripper.thread, NULL);
    close(dripper.fd);
    close(fd);
}

Test(starting, more_silent_clients_than_it_serves_leave_a_place_for_a_check)
{
    struct starting *starting;
    struct sockaddr_in address;
    int silent[STARTING_CLIENTS_MAX + 10];
    char byte;
    int fd = listen_at(&address);
    cr_assert_eq(starting_open(&starting, &fd, 1, (bool[]){false}, 1, NULL), 0);
    for (uint32_t i = 0; i < STARTING_CLIENTS_MAX + 10; i++)
        silent[i] = connect_to(&address);
    const char *answer = ask_plainly(&address, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect(strstr(answer, "HTTP/1.1 200 OK\r\n") == answer, "%s", answer);
    cr_expect_eq(recv(silent[0], &byte, 1, 0), 0, "the oldest is closed");
    starting_close(&starting);
    for (uint32_t i = 0; i < STARTING_CLIENTS_MAX + 10; i++)
        close(silent[i]);
    close(fd);
}
