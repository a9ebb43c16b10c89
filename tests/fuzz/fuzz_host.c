/* A host written again is the same host. What it is agrees with inet_pton: an address in brackets is IPv6, and each
 * IPv4 address that inet_pton takes is one. */
#include <arpa/inet.h>
#include <stdio.h>

#include "fuzz.h"
#include "protocol/host.h"

/* A name gets a final dot: without it 1.2.3.4. would be an address. `text` has room for HOST_TEXT_BYTES_MAX and a NUL.
 */
static void write_host(const struct host *host, char *text)
{
    char address[INET6_ADDRSTRLEN];
    size_t room = HOST_TEXT_BYTES_MAX + 1;
    size_t used = 0;
    if (host->kind == HOST_NAME)
        used = (size_t)snprintf(text, room, "%.*s.", (int)host->name.bytes, host->name.data);
    else if (host->kind == HOST_IPV4)
        used = (size_t)snprintf(text, room, "%s", inet_ntop(AF_INET, host->address, address, sizeof address));
    else
        used = (size_t)snprintf(text, room, "[%s]", inet_ntop(AF_INET6, host->address, address, sizeof address));
    if (host->has_port)
        used += (size_t)snprintf(text + used, room - used, ":%u", host->port);
    ASSERT(used < room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct host host, again;
    char text[HOST_TEXT_BYTES_MAX + 1];
    uint8_t address[4];
    char *copy = fuzz_copy(data, bytes);
    bool is_host = host_parse((struct span){copy, bytes}, &host);
    ASSERT(is_host == (host.kind != HOST_NONE));
    ASSERT(is_host || !host_equal(&host, &host));
    if (bytes < INET_ADDRSTRLEN && memchr(copy, 0, bytes) == NULL) {
        snprintf(text, sizeof text, "%.*s", (int)bytes, copy);
        if (inet_pton(AF_INET, text, address) == 1)
            ASSERT(host.kind == HOST_IPV4 && memcmp(address, host.address, 4) == 0 && !host.has_port);
    }
    if (is_host) {
        write_host(&host, text);
        ASSERT(host_parse(span_of(text), &again));
        ASSERT(host_equal(&host, &again) && host_equal(&again, &host));
        ASSERT(host.has_port == again.has_port && host.port == again.port);
    }
    free(copy);
    return 0;
}
