#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/listen.h"

static struct config_listen loopback(void)
{
    struct config_listen listen_at = {.address_bytes = sizeof(struct sockaddr_in), .text = "127.0.0.1:0"};
    struct sockaddr_in *address = (struct sockaddr_in *)(void *)&listen_at.address;
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return listen_at;
}

Test(listen, an_accepted_socket_has_a_small_receive_buffer)
{
    struct config_listen listen_at = loopback();
    char text[256];
    int fd, bytes = 0;
    socklen_t size = sizeof bytes;
    cr_assert_eq(listen_open(&listen_at, 1, 1, &fd, text, sizeof text), 0, "%s", text);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(client, (struct sockaddr *)&listen_at.address, listen_at.address_bytes), 0);
    int accepted = accept(fd, NULL, NULL);
    cr_assert_geq(accepted, 0);
    cr_assert_eq(getsockopt(accepted, SOL_SOCKET, SO_RCVBUF, &bytes, &size), 0);
    cr_assert_eq(bytes, 65536);
    close(accepted);
    close(client);
    listen_close(&fd, 1);
}

Test(listen, shards_share_a_port_and_a_port_in_use_is_an_error)
{
    struct config_listen listen_at = loopback(), first = loopback();
    char text[256];
    int fds[2], more;
    cr_assert_eq(listen_open(&listen_at, 1, 2, fds, text, sizeof text), 0, "%s", text);
    struct sockaddr_storage *address = &listen_at.address;
    cr_assert_neq(((struct sockaddr_in *)(void *)address)->sin_port, 0);
    first.address = *address;
    cr_assert_lt(listen_probe(&first, 1, text, sizeof text), 0);
    cr_assert(strstr(text, "is in use") != NULL, "%s", text);
    first.address_bytes = 1;
    cr_assert_lt(listen_open(&first, 1, 1, &more, text, sizeof text), 0);
    cr_assert_eq(more, -1);
    listen_close(fds, 2);
    cr_assert_eq(fds[0], -1);
}
