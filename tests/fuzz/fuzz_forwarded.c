/* The first address from the right that is no proxy, whatever stands left of it; lines are one list. An address that
 * was read, written again, is the same. With the first byte odd the header is Forwarded, else X-Forwarded-For. */
#include "fuzz.h"
#include "protocol/forwarded.h"

typedef void add_function(struct forwarded *forwarded, struct span line, const struct forwarded_proxies *proxies);

static const struct network networks[] = {
    {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10}}, 104}, /* 10.0.0.0/8 */
    {{{0xfd}}, 8},                                           /* fd00::/8 */
};
static const struct forwarded_proxies proxies = {networks, 2};

static struct forwarded read_lines(add_function *add, struct span text)
{
    struct forwarded forwarded = {.state = FORWARDED_ABSENT};
    for (bool more = true; more;) {
        const char *end = text.bytes == 0 ? NULL : memchr(text.data, '\n', text.bytes);
        size_t bytes = end == NULL ? text.bytes : (size_t)(end - text.data);
        char *line = fuzz_copy(text.data, bytes);
        add(&forwarded, (struct span){line, bytes}, &proxies);
        free(line);
        more = end != NULL;
        text.data += bytes + more;
        text.bytes -= bytes + more;
    }
    return forwarded;
}

static bool has_address(const struct forwarded *forwarded)
{
    return forwarded->state == FORWARDED_CLIENT || forwarded->state == FORWARDED_PROXIES;
}

static void check_same(const struct forwarded *a, const struct forwarded *b)
{
    ASSERT(a->state == b->state);
    if (has_address(a))
        ASSERT(address_equal(&a->address, &b->address));
}

static void check_address(const struct forwarded *forwarded)
{
    char text[ADDRESS_TEXT_BYTES];
    struct forwarded again = {.state = FORWARDED_ABSENT};
    bool is_proxy = networks_have(proxies.networks, proxies.count, &forwarded->address);
    ASSERT(is_proxy == (forwarded->state == FORWARDED_PROXIES));
    if (!address_is_known(&forwarded->address))
        return;
    address_write(&forwarded->address, text);
    forwarded_add_for(&again, span_of(text), &proxies);
    check_same(forwarded, &again);
}

/* Line ends become commas. A quoted string must not go over a line end, so without quotes only. */
static void check_one_line(add_function *add, struct span text, const struct forwarded *expected)
{
    char *line = fuzz_copy(text.data, text.bytes);
    for (size_t i = 0; i < text.bytes; i++)
        line[i] = line[i] == '\n' ? ',' : line[i];
    struct forwarded forwarded = read_lines(add, (struct span){line, text.bytes});
    check_same(expected, &forwarded);
    free(line);
}

/* A client may have sent anything. */
static void check_left(add_function *add, struct span text, const struct forwarded *expected)
{
    static const char left[] = "for=192.0.2.1, 192.0.2.2, for=unknown;;=, ,";
    char *longer = malloc(sizeof left + text.bytes);
    ASSERT(longer != NULL);
    memcpy(longer, left, sizeof left - 1);
    if (text.bytes > 0)
        memcpy(longer + sizeof left - 1, text.data, text.bytes);
    struct forwarded forwarded = read_lines(add, (struct span){longer, sizeof left - 1 + text.bytes});
    check_same(expected, &forwarded);
    free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1 || bytes > 8192)
        return 0;
    add_function *add = (data[0] & 1) != 0 ? forwarded_add : forwarded_add_for;
    struct span text = {(const char *)data + 1, bytes - 1};
    struct forwarded forwarded = read_lines(add, text);
    if (has_address(&forwarded))
        check_address(&forwarded);
    if (memchr(data + 1, '"', bytes - 1) == NULL) {
        check_one_line(add, text, &forwarded);
        if (forwarded.state == FORWARDED_CLIENT || forwarded.state == FORWARDED_HIDDEN)
            check_left(add, text, &forwarded);
    }
    return 0;
}
