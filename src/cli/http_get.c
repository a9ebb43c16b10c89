#include "cli/http_get.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "cli/client_url.h"

#define STEP_TIMEOUT_S 5
/* Reads that bring something: a server that gives a byte at a time is not waited for. */
#define READS_MAX 100000u

/* The connection, and what came. */
struct fetch {
    const struct http_get *request;
    struct client_url target;
    char *error;
    int fd;
    SSL_CTX *context;
    SSL *ssl; /* NULL: plain */
    char *data;
    size_t bytes;
    size_t room;
};

static int __attribute__((format(printf, 2, 3))) fail(const struct fetch *fetch, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(fetch->error, HTTP_GET_ERROR_BYTES, format, arguments);
    va_end(arguments);
    return -1;
}

/* -- the address -- */

static bool read_url(const char *url, struct client_url *target_r)
{
    return client_url_parse(url, "http", target_r) == NULL && target_r->path[0] == '\0';
}

bool http_get_is_url(const char *url)
{
    struct client_url target;
    return read_url(url, &target);
}

/* -- connecting -- */

static int connect_one(const struct addrinfo *address)
{
    const struct timeval timeout = {.tv_sec = STEP_TIMEOUT_S};
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, address->ai_protocol);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
        return fd;
    int error = errno == EINPROGRESS ? ETIMEDOUT : errno;
    close(fd);
    return -error;
}

static int open_connection(struct fetch *fetch)
{
    struct addrinfo *found;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    int status = getaddrinfo(fetch->target.host, fetch->target.port, &hints, &found);
    if (status != 0)
        return fail(fetch, "%s: the host is not found: %s: check --admin", fetch->request->url, gai_strerror(status));
    for (const struct addrinfo *at = found; at != NULL && fetch->fd < 0; at = at->ai_next)
        fetch->fd = connect_one(at);
    freeaddrinfo(found);
    if (fetch->fd >= 0)
        return 0;
    return fail(fetch, "%s cannot be reached: %s: is a server running there, with --admin?", fetch->request->url,
                strerror(-fetch->fd));
}

/* Why libssl failed, or the certificate was refused. */
static const char *tls_reason(const struct fetch *fetch)
{
    long verdict = fetch->ssl != NULL ? SSL_get_verify_result(fetch->ssl) : X509_V_OK;
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    if (verdict != X509_V_OK)
        return X509_verify_cert_error_string(verdict);
    return reason != NULL ? reason : "the connection ended";
}

/* An IP address is compared with the addresses of the certificate, a name with its names. */
static bool expect_host(SSL *ssl, const char *host)
{
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1)
        return true;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static int open_tls(struct fetch *fetch)
{
    const char *ca_file = fetch->request->ca_file;
    if (!fetch->target.is_tls)
        return 0;
    fetch->context = SSL_CTX_new(TLS_client_method());
    ASSERT(fetch->context != NULL);
    SSL_CTX_set_verify(fetch->context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_min_proto_version(fetch->context, TLS1_2_VERSION);
    if (ca_file != NULL ? SSL_CTX_load_verify_locations(fetch->context, ca_file, NULL) != 1
                        : SSL_CTX_set_default_verify_paths(fetch->context) != 1)
        return fail(fetch, "--ca-file %s has no certificates that can be read: give a PEM file",
                    ca_file != NULL ? ca_file : "");
    fetch->ssl = SSL_new(fetch->context);
    ASSERT(fetch->ssl != NULL);
    ERR_clear_error();
    if (!expect_host(fetch->ssl, fetch->target.host) || SSL_set_fd(fetch->ssl, fetch->fd) != 1
        || SSL_connect(fetch->ssl) != 1)
        return fail(fetch, "%s: TLS failed: %s: check --admin and --ca-file", fetch->request->url, tls_reason(fetch));
    return 0;
}

/* -- the request and its answer -- */

static bool write_all(const struct fetch *fetch, const char *data, size_t bytes)
{
    if (fetch->ssl != NULL)
        return SSL_write(fetch->ssl, data, (int)bytes) == (int)bytes;
    return send(fetch->fd, data, bytes, MSG_NOSIGNAL) == (ssize_t)bytes;
}

static int write_request(const struct fetch *fetch)
{
    char head[16384], host[CLIENT_URL_HOST_TEXT_BYTES];
    const char *token = fetch->request->token;
    client_url_host(&fetch->target, host);
    int bytes = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s%s%s\r\n",
                         fetch->request->path, host, token != NULL ? "Authorization: Bearer " : "",
                         token != NULL ? token : "", token != NULL ? "\r\n" : "");
    ASSERT(bytes > 0 && (size_t)bytes < sizeof head);
    if (write_all(fetch, head, (size_t)bytes))
        return 0;
    return fail(fetch, "%s took no request: %s", fetch->request->url, strerror(errno));
}

static ssize_t read_some(struct fetch *fetch)
{
    ASSERT(fetch->bytes + 1 < fetch->room);
    size_t room = fetch->room - fetch->bytes - 1;
    if (fetch->ssl == NULL)
        return recv(fetch->fd, fetch->data + fetch->bytes, room, 0);
    int bytes = SSL_read(fetch->ssl, fetch->data + fetch->bytes, (int)room);
    return bytes > 0 || SSL_get_error(fetch->ssl, bytes) == SSL_ERROR_ZERO_RETURN ? bytes : -1;
}

/* Until the server ends the connection. */
static int read_all(struct fetch *fetch)
{
    for (uint32_t reads = 0; reads < READS_MAX; reads++) {
        if (fetch->room - fetch->bytes < 4096) {
            fetch->room = fetch->room == 0 ? 65536 : 2 * fetch->room;
            fetch->data = realloc(fetch->data, fetch->room);
            ASSERT(fetch->data != NULL);
        }
        ssize_t bytes = read_some(fetch);
        if (bytes < 0)
            return fail(fetch, "%s stopped in the middle of its answer: %s", fetch->request->url,
                        errno == EAGAIN ? "nothing came for 5 s" : strerror(errno));
        if (bytes == 0)
            return 0;
        fetch->bytes += (size_t)bytes;
        if (fetch->bytes > HTTP_GET_BODY_BYTES_MAX)
            break;
    }
    return fail(fetch, "%s answers too much or too slowly: check --admin", fetch->request->url);
}

/* What the server answered in place of 200, on one line. */
static int refuse_status(const struct fetch *fetch, int status, const char *body)
{
    const char *hint = status == 401   ? "give the server's token with --token-file"
                       : status == 404 ? "is this the address of --admin?"
                                       : "see the server's log";
    return fail(fetch, "%s refused with status %d: %s (%.*s)", fetch->request->url, status, hint,
                (int)strcspn(body, "\r\n"), body);
}

/* Takes the head off. The end of the connection is the end of the body, which must be as long as the head says. */
static int check_answer(const struct fetch *fetch, size_t *head_bytes_r)
{
    int status;
    ASSERT(fetch->bytes < fetch->room);
    fetch->data[fetch->bytes] = '\0';
    char *end = strstr(fetch->data, "\r\n\r\n");
    if (end == NULL || sscanf(fetch->data, "HTTP/1.%*1[01] %3d", &status) != 1)
        return fail(fetch, "%s does not speak HTTP: check --admin", fetch->request->url);
    *head_bytes_r = (size_t)(end - fetch->data) + 4;
    *end = '\0';
    const char *length = strcasestr(fetch->data, "\r\nContent-Length:");
    if (status != 200)
        return refuse_status(fetch, status, end + 4);
    if (length == NULL || strtoull(length + 17, NULL, 10) != fetch->bytes - *head_bytes_r)
        return fail(fetch, "%s ended its answer before all of it had come: try again", fetch->request->url);
    return 0;
}

int http_get(const struct http_get *request, char **body_r, size_t *bytes_r, char error[HTTP_GET_ERROR_BYTES])
{
    size_t head_bytes = 0;
    struct fetch fetch = {.request = request, .error = error, .fd = -1};
    bool is_url = read_url(request->url, &fetch.target);
    ASSERT(is_url);
    int status = open_connection(&fetch);
    if (status == 0)
        status = open_tls(&fetch);
    if (status == 0)
        status = write_request(&fetch);
    if (status == 0)
        status = read_all(&fetch);
    if (status == 0)
        status = check_answer(&fetch, &head_bytes);
    SSL_free(fetch.ssl);
    SSL_CTX_free(fetch.context);
    if (fetch.fd >= 0)
        close(fetch.fd);
    if (status == 0) {
        *bytes_r = fetch.bytes - head_bytes;
        memmove(fetch.data, fetch.data + head_bytes, *bytes_r + 1);
        *body_r = fetch.data;
        fetch.data = NULL;
    }
    free(fetch.data);
    return status;
}
