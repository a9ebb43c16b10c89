#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

static const uint8_t ipv4_prefix[12] = {[10] = 0xff, [11] = 0xff};

struct address address_of(const struct sockaddr_storage *socket_address)
{
    struct address address = {{0}};
    if (socket_address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)socket_address;
        memcpy(address.bytes, &ipv6->sin6_addr, sizeof address.bytes);
    } else if (socket_address->ss_family == AF_INET) {
        const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)socket_address;
        memcpy(address.bytes, ipv4_prefix, sizeof ipv4_prefix);
        memcpy(address.bytes + sizeof ipv4_prefix, &ipv4->sin_addr, 4);
    }
    return address;
}

bool address_is_ipv4(const struct address *address)
{
    return memcmp(address->bytes, ipv4_prefix, sizeof ipv4_prefix) == 0;
}

bool address_is_known(const struct address *address)
{
    static const struct address unknown;
    return !address_equal(address, &unknown);
}

bool address_equal(const struct address *a, const struct address *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool address_is_loopback(const struct address *address)
{
    static const struct address ipv6_loopback = {{[15] = 1}};
    if (address_is_ipv4(address))
        return address->bytes[12] == 127;
    return address_equal(address, &ipv6_loopback);
}

void address_write(const struct address *address, char text[ADDRESS_TEXT_BYTES])
{
    const char *written;
    if (!address_is_known(address)) {
        (void)snprintf(text, ADDRESS_TEXT_BYTES, "unknown");
        return;
    }
    if (address_is_ipv4(address))
        written = inet_ntop(AF_INET, address->bytes + sizeof ipv4_prefix, text, ADDRESS_TEXT_BYTES);
    else
        written = inet_ntop(AF_INET6, address->bytes, text, ADDRESS_TEXT_BYTES);
    ASSERT(written != NULL);
}
