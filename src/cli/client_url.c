#include "cli/client_url.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"

/* Reads the digits at *at, and moves *at behind them. */
static bool read_port(const char **at, char out[CLIENT_URL_PORT_BYTES])
{
    size_t bytes = strspn(*at, "0123456789");
    if (bytes == 0 || bytes >= CLIENT_URL_PORT_BYTES)
        return false;
    long port = strtol(*at, NULL, 10);
    (void)snprintf(out, CLIENT_URL_PORT_BYTES, "%u", (unsigned)(uint16_t)port);
    *at += bytes;
    return port >= 1 && port <= 65535;
}

static bool read_host(const char **at, char out[CLIENT_URL_HOST_BYTES])
{
    bool has_brackets = (*at)[0] == '[';
    *at += has_brackets;
    size_t bytes = strcspn(*at, has_brackets ? "]" : ":/?#");
    if (bytes == 0 || bytes >= CLIENT_URL_HOST_BYTES || strcspn(*at, " @\"\\<>") < bytes
        || (has_brackets && (*at)[bytes] != ']'))
        return false;
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)(*at)[i] <= ' ' || (unsigned char)(*at)[i] >= 0x7f)
            return false;
    memcpy(out, *at, bytes);
    out[bytes] = '\0';
    *at += bytes + has_brackets;
    return true;
}

/* A path goes into the head of a request as it is. */
static const char *read_path(const char *path, char out[CLIENT_URL_PATH_BYTES])
{
    if (path[0] != '\0' && path[0] != '/' && path[0] != '?')
        return "must be SCHEME://HOST[:PORT][/PATH]";
    for (const char *at = path; *at != '\0'; at++)
        if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f || *at == '#')
            return "has a path with a blank, a # or a character that is not ASCII: write it with %XX";
    if (strlen(path) + 2 > CLIENT_URL_PATH_BYTES)
        return "has a path that is too long";
    (void)snprintf(out, CLIENT_URL_PATH_BYTES, "%s%s", path[0] == '?' ? "/" : "", path);
    if (strcmp(out, "/") == 0)
        out[0] = '\0';
    return NULL;
}

const char *client_url_parse(const char *url, const char *plain, struct client_url *url_r)
{
    size_t bytes = strlen(plain);
    *url_r = (struct client_url){.is_tls = false};
    if (strncasecmp(url, plain, bytes) != 0)
        return "has another scheme, or none";
    url += bytes;
    url_r->is_tls = *url == 's' || *url == 'S';
    url += url_r->is_tls;
    if (strncmp(url, "://", 3) != 0)
        return "has another scheme, or none";
    url += 3;
    if (!read_host(&url, url_r->host))
        return "has no host that can be read";
    strcpy(url_r->port, url_r->is_tls ? "443" : "80");
    if (*url == ':' && (url++, !read_port(&url, url_r->port)))
        return "has a port that is not a whole number from 1 to 65535";
    return read_path(url, url_r->path);
}

void client_url_host(const struct client_url *url, char out[CLIENT_URL_HOST_TEXT_BYTES])
{
    ASSERT(url->host[0] != '\0' && url->port[0] != '\0');
    bool is_ipv6 = strchr(url->host, ':') != NULL;
    (void)snprintf(out, CLIENT_URL_HOST_TEXT_BYTES, "%s%s%s:%s", is_ipv6 ? "[" : "", url->host, is_ipv6 ? "]" : "",
                   url->port);
}
