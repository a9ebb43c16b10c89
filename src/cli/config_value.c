#include "cli/config_value.h"

#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

bool config_value_number(const char *text, bool has_suffix, uint64_t *value_r)
{
    ASSERT(text != NULL);
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, (unsigned)(*at - '0'), &value))
            return false;
    if (at == text)
        return false;
    unsigned shift = 0;
    if (has_suffix && *at != '\0') {
        const char *suffixes = "KkMmGg";
        const char *suffix = strchr(suffixes, *at++);
        if (suffix == NULL)
            return false;
        shift = 10 * (1 + (unsigned)(suffix - suffixes) / 2);
    }
    if (*at != '\0' || value > UINT64_MAX >> shift)
        return false;
    *value_r = value << shift;
    return true;
}

static const struct {
    char unit;
    uint32_t seconds;
} duration_units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};

#define DURATION_UNITS (sizeof duration_units / sizeof duration_units[0])

bool config_value_duration(const char *text, uint64_t *seconds_r)
{
    char digits[24];
    size_t bytes = strlen(text);
    uint32_t unit_seconds = 1;
    if (bytes == 0 || bytes >= sizeof digits)
        return false;
    memcpy(digits, text, bytes + 1);
    for (size_t i = 0; i < DURATION_UNITS; i++)
        if (text[bytes - 1] == duration_units[i].unit) {
            unit_seconds = duration_units[i].seconds;
            digits[bytes - 1] = '\0';
        }
    return config_value_number(digits, false, seconds_r)
           && !__builtin_mul_overflow(*seconds_r, unit_seconds, seconds_r);
}

/* In the largest unit that leaves a whole number. */
static void write_duration(uint64_t seconds, char out[24])
{
    size_t i = DURATION_UNITS - 1;
    while (i > 0 && (seconds == 0 || seconds % duration_units[i].seconds != 0))
        i--;
    (void)snprintf(out, 24, "%llu%c", (unsigned long long)seconds / duration_units[i].seconds, duration_units[i].unit);
}

bool config_value_duration_within(const char *text, uint64_t min, uint64_t max, uint64_t *seconds_r,
                                  char wanted[CONFIG_VALUE_WANTED_BYTES])
{
    char least[24], most[24];
    ASSERT(min <= max);
    if (config_value_duration(text, seconds_r) && *seconds_r >= min && *seconds_r <= max)
        return true;
    write_duration(min, least);
    write_duration(max, most);
    (void)snprintf(wanted, CONFIG_VALUE_WANTED_BYTES, "must be a time from %s to %s, as 90s, 15m, 12h or 30d", least,
                   most);
    return false;
}

void config_value_write(uint64_t value, bool has_suffix, char out[24])
{
    static const char *const suffixes[] = {"", "K", "M", "G"};
    size_t suffix = 0;
    while (has_suffix && suffix < 3 && value != 0 && value % 1024 == 0) {
        value /= 1024;
        suffix++;
    }
    (void)snprintf(out, 24, "%llu%s", (unsigned long long)value, suffixes[suffix]);
}

static bool take_ipv4(const char *address, uint16_t port, struct config_listen *listen_r)
{
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&listen_r->address;
    if (inet_pton(AF_INET, address, &in->sin_addr) != 1)
        return false;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    listen_r->address_bytes = sizeof *in;
    (void)snprintf(listen_r->text, sizeof listen_r->text, "%s:%u", address, port);
    return true;
}

static bool take_ipv6(const char *address, uint16_t port, struct config_listen *listen_r)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&listen_r->address;
    if (inet_pton(AF_INET6, address, &in6->sin6_addr) != 1)
        return false;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    listen_r->address_bytes = sizeof *in6;
    (void)snprintf(listen_r->text, sizeof listen_r->text, "[%s]:%u", address, port);
    return true;
}

bool config_value_listen(const char *text, struct config_listen *listen_r)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (colon == NULL || !config_value_number(colon + 1, false, &port) || port > UINT16_MAX)
        return false;
    size_t bytes = (size_t)(colon - text);
    bool is_bracketed = bytes >= 2 && text[0] == '[' && colon[-1] == ']';
    if (is_bracketed) {
        text++;
        bytes -= 2;
    }
    char address[INET6_ADDRSTRLEN];
    if (bytes >= sizeof address)
        return false;
    memcpy(address, text, bytes);
    address[bytes] = '\0';
    memset(listen_r, 0, sizeof *listen_r);
    return is_bracketed ? take_ipv6(address, (uint16_t)port, listen_r) : take_ipv4(address, (uint16_t)port, listen_r);
}

bool config_value_origin(const char *text, struct origin *origin_r)
{
    return strlen(text) < CONFIG_ORIGIN_BYTES && origin_pattern_parse(span_of(text), origin_r);
}

bool config_value_host(const char *text, struct host *host_r)
{
    size_t bytes = strlen(text);
    if (bytes == 0 || bytes > HOST_TEXT_BYTES_MAX || text[bytes - 1] == ':')
        return false;
    return host_parse((struct span){text, bytes}, host_r) && (!host_r->has_port || host_r->port != 0);
}

bool config_value_is_loopback(const struct config_listen *listen)
{
    if (listen->address.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&listen->address;
        return ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    const struct in6_addr *address = &((const struct sockaddr_in6 *)(const void *)&listen->address)->sin6_addr;
    ASSERT(listen->address.ss_family == AF_INET6);
    return IN6_IS_ADDR_LOOPBACK(address) || (IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == IN_LOOPBACKNET);
}

bool config_value_is_mapped(const struct config_listen *listen)
{
    return listen->address.ss_family == AF_INET6
           && IN6_IS_ADDR_V4MAPPED(&((const struct sockaddr_in6 *)(const void *)&listen->address)->sin6_addr);
}

const char *config_value_environment(char *const *environment, const char *name)
{
    size_t bytes = strlen(name);
    for (; environment != NULL && *environment != NULL; environment++)
        if (strncmp(*environment, name, bytes) == 0 && (*environment)[bytes] == '=')
            return (*environment)[bytes + 1] != '\0' ? *environment + bytes + 1 : NULL;
    return NULL;
}

uint32_t config_value_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : (uint32_t)count > CONFIG_SHARDS_MAX ? CONFIG_SHARDS_MAX : (uint32_t)count;
}
