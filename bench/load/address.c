#include "load/address.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"

/* Host, without brackets, and port; false if the text does not have both. */
static bool split(const char *text, char *host_r, char *port_r)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text)
        return false;
    size_t bytes = (size_t)(colon - text);
    bool has_brackets = text[0] == '[' && colon[-1] == ']' && bytes > 2;
    if (has_brackets) {
        text++;
        bytes -= 2;
    }
    if (bytes > LOAD_HOST_BYTES_MAX || strlen(colon + 1) > 5 || (!has_brackets && memchr(text, ':', bytes) != NULL))
        return false;
    memcpy(host_r, text, bytes);
    host_r[bytes] = '\0';
    strcpy(port_r, colon + 1);
    return true;
}

static bool read_port(const char *text, uint16_t *port_r)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    *port_r = (uint16_t)port;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && port > 0 && port <= UINT16_MAX;
}

const char *load_address_parse(struct load_address *address_r, const char *text)
{
    char port[6];
    struct addrinfo *found, hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    *address_r = (struct load_address){.count = 0};
    if (!split(text, address_r->host, port))
        return "must be ADDR:PORT, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080";
    if (!read_port(port, &address_r->port))
        return "must end in a port, a whole number from 1 to 65535";
    snprintf(address_r->text, sizeof address_r->text, "%s", text);
    int status = getaddrinfo(address_r->host, port, &hints, &found);
    if (status != 0)
        return gai_strerror(status);
    for (const struct addrinfo *one = found; one != NULL && address_r->count < LOAD_ADDRESSES_MAX; one = one->ai_next) {
        memcpy(&address_r->candidates[address_r->count], one->ai_addr, one->ai_addrlen);
        address_r->bytes[address_r->count++] = one->ai_addrlen;
    }
    freeaddrinfo(found);
    return NULL;
}

const struct sockaddr *load_address_chosen(const struct load_address *address, socklen_t *bytes_r)
{
    ASSERT(address->chosen < address->count);
    *bytes_r = address->bytes[address->chosen];
    return (const struct sockaddr *)&address->candidates[address->chosen];
}

int load_address_family(const struct load_address *address)
{
    ASSERT(address->chosen < address->count);
    return address->candidates[address->chosen].ss_family;
}

bool load_address_keep(struct load_address *address, int family)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < address->count; i++) {
        if (address->candidates[i].ss_family != family)
            continue;
        address->candidates[kept] = address->candidates[i];
        address->bytes[kept++] = address->bytes[i];
    }
    address->count = kept;
    return kept > 0;
}

static int probe(const struct load_address *address)
{
    socklen_t bytes;
    const struct sockaddr *at = load_address_chosen(address, &bytes);
    int fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int status = connect(fd, at, bytes) == 0 ? 0 : -errno;
    close(fd);
    return status;
}

int load_address_probe(struct load_address *address)
{
    int status = -EADDRNOTAVAIL;
    for (address->chosen = 0; address->chosen < address->count; address->chosen++)
        if ((status = probe(address)) == 0)
            return 0;
    address->chosen = 0;
    return status;
}
