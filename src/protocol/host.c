#include "protocol/host.h"

#include <arpa/inet.h>
#include <strings.h>

#include "base/assert.h"

static bool parse_port(struct span text, struct host *host)
{
    uint32_t port = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        port = port * 10 + (uint32_t)(text.data[i] - '0');
        if (port > UINT16_MAX)
            return false;
    }
    host->has_port = text.bytes > 0;
    host->port = (uint16_t)port;
    return true;
}

static bool parse_address(int family, struct span text, uint8_t address[16])
{
    char copy[INET6_ADDRSTRLEN];
    if (text.bytes >= sizeof copy || memchr(text.data, '\0', text.bytes) != NULL)
        return false;
    memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    return inet_pton(family, copy, address) == 1;
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool parse_name(struct span text, struct span *name_r)
{
    if (text.bytes > 1 && text.data[text.bytes - 1] == '.')
        text.bytes--;
    if (text.bytes == 0 || text.bytes > HOST_NAME_BYTES_MAX)
        return false;
    bool is_in_label = false;
    for (size_t i = 0; i < text.bytes; i++) {
        if (!is_name_char(text.data[i]) && !(text.data[i] == '.' && is_in_label))
            return false;
        is_in_label = text.data[i] != '.';
    }
    *name_r = text;
    return is_in_label;
}

static enum host_kind parse_host(struct span text, struct host *host)
{
    if (text.bytes >= 2 && text.data[0] == '[' && text.data[text.bytes - 1] == ']') {
        struct span inside = {text.data + 1, text.bytes - 2};
        return parse_address(AF_INET6, inside, host->address) ? HOST_IPV6 : HOST_NONE;
    }
    if (parse_address(AF_INET, text, host->address))
        return HOST_IPV4;
    return parse_name(text, &host->name) ? HOST_NAME : HOST_NONE;
}

/* The colon before the port, after the brackets of an IPv6 address. NULL: there is none. */
static const char *find_colon(struct span text)
{
    const char *from = text.data;
    const char *end = text.data + text.bytes;
    if (text.bytes > 0 && text.data[0] == '[')
        from = memchr(text.data, ']', text.bytes);
    return from == NULL || from == end ? NULL : memchr(from, ':', (size_t)(end - from));
}

bool host_parse(struct span text, struct host *host_r)
{
    ASSERT(text.data != NULL);
    struct host host = {.kind = HOST_NONE};
    const char *colon = find_colon(text);
    *host_r = host;
    if (colon != NULL) {
        struct span port = {colon + 1, (size_t)(text.data + text.bytes - colon - 1)};
        if (!parse_port(port, &host))
            return false;
        text.bytes = (size_t)(colon - text.data);
    }
    host.kind = parse_host(text, &host);
    if (host.kind != HOST_NONE)
        *host_r = host;
    return host.kind != HOST_NONE;
}

bool host_equal(const struct host *a, const struct host *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case HOST_NAME:
        return a->name.bytes == b->name.bytes && strncasecmp(a->name.data, b->name.data, a->name.bytes) == 0;
    case HOST_IPV4: return memcmp(a->address, b->address, 4) == 0;
    case HOST_IPV6: return memcmp(a->address, b->address, 16) == 0;
    case HOST_NONE: break;
    }
    return false;
}
