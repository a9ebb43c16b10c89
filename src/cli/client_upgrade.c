#include "cli/client_upgrade.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

void client_upgrade_key(const uint8_t random[16], char out[CLIENT_UPGRADE_KEY_BYTES])
{
    int chars = EVP_EncodeBlock((unsigned char *)out, random, 16);
    ASSERT(chars == CLIENT_UPGRADE_KEY_BYTES - 1);
}

size_t client_upgrade_write(const struct client_url *url, const char *key, char out[CLIENT_UPGRADE_HEAD_BYTES])
{
    char host[CLIENT_URL_HOST_TEXT_BYTES];
    client_url_host(url, host);
    int bytes = snprintf(out, CLIENT_UPGRADE_HEAD_BYTES,
                         "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n"
                         "Sec-WebSocket-Protocol: chitchat.v1\r\n\r\n",
                         url->path[0] != '\0' ? url->path : "/ws", host, key);
    ASSERT(bytes > 0 && (size_t)bytes < CLIENT_UPGRADE_HEAD_BYTES);
    return (size_t)bytes;
}

/* RFC 6455, section 4.2.2. */
static void make_accept(const char *key, char out[CLIENT_UPGRADE_ACCEPT_BYTES])
{
    char text[CLIENT_UPGRADE_KEY_BYTES + 36];
    unsigned char digest[SHA_DIGEST_LENGTH];
    (void)snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    SHA1((const unsigned char *)text, strlen(text), digest);
    int chars = EVP_EncodeBlock((unsigned char *)out, digest, sizeof digest);
    ASSERT(chars == CLIENT_UPGRADE_ACCEPT_BYTES - 1);
}

/* The value of a header in `head`, whose lines end with \r\n; empty if there is none. */
static struct span find_header(struct span head, const char *name)
{
    size_t name_bytes = strlen(name);
    for (const char *line = head.data, *end = head.data + head.bytes; line < end;) {
        const char *stop = memmem(line, (size_t)(end - line), "\r\n", 2);
        stop = stop != NULL ? stop : end;
        if ((size_t)(stop - line) > name_bytes && line[name_bytes] == ':' && strncasecmp(line, name, name_bytes) == 0)
            return span_trim((struct span){line + name_bytes + 1, (size_t)(stop - line) - name_bytes - 1});
        line = stop + 2;
    }
    return (struct span){"", 0};
}

/* HTTP/1.1 101; 0: something else. */
static int read_status(struct span head)
{
    int status = 0;
    if (head.bytes < 12 || memcmp(head.data, "HTTP/1.", 7) != 0 || head.data[8] != ' ')
        return 0;
    for (int i = 9; i < 12; i++) {
        if (head.data[i] < '0' || head.data[i] > '9')
            return 0;
        status = 10 * status + head.data[i] - '0';
    }
    return status;
}

static uint64_t read_seconds(struct span text)
{
    uint64_t seconds = 0;
    for (size_t i = 0; i < text.bytes && text.data[i] >= '0' && text.data[i] <= '9' && seconds < 3600; i++)
        seconds = 10 * seconds + (uint64_t)(text.data[i] - '0');
    return seconds < 3600 ? seconds : 3600;
}

enum client_upgrade_verdict client_upgrade_read(struct span answer, const char *key, struct client_upgrade *upgrade_r)
{
    char accept[CLIENT_UPGRADE_ACCEPT_BYTES];
    size_t begin = answer.bytes < 5 ? answer.bytes : 5;
    *upgrade_r = (struct client_upgrade){.body = {"", 0}};
    if (memcmp(answer.data, "HTTP/", begin) != 0)
        return CLIENT_UPGRADE_REFUSED;
    const char *end = memmem(answer.data, answer.bytes, "\r\n\r\n", 4);
    if (end == NULL)
        return answer.bytes < CLIENT_UPGRADE_HEAD_BYTES ? CLIENT_UPGRADE_PART : CLIENT_UPGRADE_REFUSED;
    struct span head = {answer.data, (size_t)(end - answer.data)};
    upgrade_r->head_bytes = head.bytes + 4;
    upgrade_r->status = read_status(head);
    upgrade_r->retry_after_s = read_seconds(find_header(head, "Retry-After"));
    make_accept(key, accept);
    if (upgrade_r->status == 101 && span_equal(find_header(head, "Sec-WebSocket-Accept"), span_of(accept)))
        return CLIENT_UPGRADE_DONE;
    upgrade_r->body = (struct span){end + 4, answer.bytes - upgrade_r->head_bytes};
    const char *line_end = upgrade_r->body.bytes > 0 ? memchr(end + 4, '\n', upgrade_r->body.bytes) : NULL;
    if (line_end != NULL)
        upgrade_r->body.bytes = (size_t)(line_end - (end + 4));
    return CLIENT_UPGRADE_REFUSED;
}
