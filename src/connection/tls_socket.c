#include "connection/tls_socket.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "connection/tls_context.h"

static SSL *open_ssl(int fd, struct tls_context *tls)
{
    SSL_CTX *context = tls_context_take(tls);
    SSL *ssl = SSL_new(context);
    SSL_CTX_free(context);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_accept_state(ssl);
    /* Without it a call reads on and on while records without data come. */
    SSL_clear_mode(ssl, SSL_MODE_AUTO_RETRY);
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
    return ssl;
}

bool tls_socket_open(struct tls_socket *connection, int fd, struct tls_context *tls)
{
    ASSERT(fd >= 0);
    *connection = (struct tls_socket){.fd = fd};
    if (tls == NULL)
        return true;
    connection->ssl = open_ssl(fd, tls);
    if (connection->ssl == NULL)
        close(fd);
    ERR_clear_error();
    return connection->ssl != NULL;
}

void tls_socket_close(struct tls_socket *connection)
{
    SSL_free(connection->ssl);
    connection->ssl = NULL;
    close(connection->fd);
}

/* Of a call on the socket that returned less than 0. */
static ssize_t failed(void)
{
    return errno == EINTR || errno == EAGAIN ? -EAGAIN : -errno;
}

static ssize_t read_failed(struct tls_socket *connection, int result)
{
    int reason = ERR_GET_REASON(ERR_peek_error());
    switch (SSL_get_error(connection->ssl, result)) {
    case SSL_ERROR_WANT_READ: return -EAGAIN;
    case SSL_ERROR_WANT_WRITE: connection->waits_to_write = true; return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SSL: break;
    default: return -EIO;
    }
    if (reason != SSL_R_HTTP_REQUEST || SSL_is_init_finished(connection->ssl))
        return reason == SSL_R_UNEXPECTED_EOF_WHILE_READING ? 0 : -EIO;
    SSL_free(connection->ssl);
    connection->ssl = NULL;
    return -EPROTO;
}

ssize_t tls_socket_read(struct tls_socket *connection, char *data, size_t bytes)
{
    ASSERT(bytes > 0);
    if (connection->ssl == NULL) {
        ssize_t taken = recv(connection->fd, data, bytes, MSG_DONTWAIT);
        return taken < 0 ? failed() : taken;
    }
    ERR_clear_error();
    connection->waits_to_write = false;
    int taken = SSL_read(connection->ssl, data, (int)bytes);
    ssize_t result = taken > 0 ? taken : read_failed(connection, taken);
    ERR_clear_error();
    return result;
}

ssize_t tls_socket_write(struct tls_socket *connection, const char *data, size_t bytes)
{
    ASSERT(bytes > 0);
    if (connection->ssl == NULL) {
        ssize_t taken = send(connection->fd, data, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        return taken < 0 ? failed() : taken;
    }
    ERR_clear_error();
    int taken = SSL_write(connection->ssl, data, (int)bytes);
    bool is_later = taken <= 0 && SSL_get_error(connection->ssl, taken) == SSL_ERROR_WANT_WRITE;
    ERR_clear_error();
    return taken > 0 ? taken : is_later ? -EAGAIN : -EIO;
}

bool tls_socket_end(struct tls_socket *connection)
{
    ERR_clear_error();
    int result = connection->ssl != NULL ? SSL_shutdown(connection->ssl) : 1;
    bool is_later = result < 0 && SSL_get_error(connection->ssl, result) == SSL_ERROR_WANT_WRITE;
    ERR_clear_error();
    if (!is_later)
        (void)shutdown(connection->fd, SHUT_WR);
    return !is_later;
}
