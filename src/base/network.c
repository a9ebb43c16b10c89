#include "base/network.h"

#include <arpa/inet.h>

#include "base/assert.h"

#define IPV4_PREFIX_BITS 96u

bool network_parse_address(struct span text, struct address *address_r)
{
    char copy[INET6_ADDRSTRLEN];
    struct address address = {{0}};
    *address_r = address;
    if (text.bytes == 0 || text.bytes >= sizeof copy || memchr(text.data, '\0', text.bytes) != NULL)
        return false;
    memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    bool is_ipv4 = inet_pton(AF_INET, copy, address.bytes + IPV4_PREFIX_BITS / 8) == 1;
    if (is_ipv4)
        address.bytes[10] = address.bytes[11] = 0xff;
    else if (inet_pton(AF_INET6, copy, address.bytes) != 1)
        return false;
    *address_r = address;
    return true;
}

/* A whole number of at most three digits. */
static bool parse_bits(struct span text, uint32_t max, uint32_t *bits_r)
{
    uint32_t bits = 0;
    if (text.bytes == 0 || text.bytes > 3)
        return false;
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        bits = bits * 10 + (uint32_t)(text.data[i] - '0');
    }
    *bits_r = bits;
    return bits <= max;
}

static bool bit_of(const struct address *address, uint32_t bit)
{
    return (address->bytes[bit / 8] >> (7 - bit % 8) & 1) != 0;
}

enum network_verdict network_parse(struct span text, struct network *network_r)
{
    const char *slash = text.bytes == 0 ? NULL : memchr(text.data, '/', text.bytes);
    struct span host = {text.data, slash == NULL ? text.bytes : (size_t)(slash - text.data)};
    struct network network;
    if (!network_parse_address(host, &network.address))
        return NETWORK_NOT_ONE;
    uint32_t before = memchr(host.data, ':', host.bytes) == NULL ? IPV4_PREFIX_BITS : 0;
    uint32_t bits = 128 - before;
    if (slash != NULL && !parse_bits((struct span){slash + 1, text.bytes - host.bytes - 1}, 128 - before, &bits))
        return NETWORK_NOT_ONE;
    network.prefix_bits = (uint8_t)(before + bits);
    for (uint32_t bit = network.prefix_bits; bit < 128; bit++)
        if (bit_of(&network.address, bit))
            return NETWORK_LOOSE;
    *network_r = network;
    return NETWORK_GOOD;
}

bool network_is_everything(const struct network *network)
{
    static const struct address ipv4_first = {{[10] = 0xff, [11] = 0xff}};
    return network->prefix_bits <= IPV4_PREFIX_BITS && network_has(network, &ipv4_first);
}

bool network_has(const struct network *network, const struct address *address)
{
    ASSERT(network->prefix_bits <= 128);
    uint32_t whole = network->prefix_bits / 8;
    if (memcmp(network->address.bytes, address->bytes, whole) != 0)
        return false;
    for (uint32_t bit = whole * 8; bit < network->prefix_bits; bit++)
        if (bit_of(&network->address, bit) != bit_of(address, bit))
            return false;
    return true;
}

bool networks_have(const struct network *networks, uint32_t count, const struct address *address)
{
    if (!address_is_known(address))
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (network_has(&networks[i], address))
            return true;
    return false;
}
