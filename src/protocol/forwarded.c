#include "protocol/forwarded.h"

#include "base/assert.h"

static struct span skip(struct span text, size_t bytes)
{
    ASSERT(bytes <= text.bytes);
    return (struct span){text.data + bytes, text.bytes - bytes};
}

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
           || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* A port, or a name that a proxy made up for one. */
static bool is_port(struct span text)
{
    bool is_name = text.bytes > 1 && text.data[0] == '_';
    if (text.bytes == 0 || (!is_name && text.bytes > 5))
        return false;
    for (size_t i = 0; i < text.bytes; i++)
        if (!(text.data[i] >= '0' && text.data[i] <= '9') && !(is_name && is_token_char(text.data[i])))
            return false;
    return true;
}

/* Divides NODE:PORT. An IPv6 address has a port only after brackets. False: what follows the node is no port. */
static bool divide_node(struct span text, struct span *host_r)
{
    if (text.bytes > 0 && text.data[0] == '[') {
        const char *end = memchr(text.data, ']', text.bytes);
        if (end == NULL)
            return false;
        *host_r = (struct span){text.data + 1, (size_t)(end - text.data) - 1};
        struct span rest = skip(text, host_r->bytes + 2);
        return rest.bytes == 0 || (rest.data[0] == ':' && is_port(skip(rest, 1)));
    }
    const char *colon = text.bytes == 0 ? NULL : memchr(text.data, ':', text.bytes);
    *host_r = text;
    if (colon == NULL || memchr(colon + 1, ':', (size_t)(text.data + text.bytes - colon - 1)) != NULL)
        return true;
    host_r->bytes = (size_t)(colon - text.data);
    return is_port(skip(text, host_r->bytes + 1));
}

/* One entry, as if it were the only one. */
static struct forwarded read_node(struct span text, const struct forwarded_proxies *proxies)
{
    struct forwarded node = {.state = FORWARDED_MALFORMED};
    struct span host;
    if (!divide_node(text, &host))
        return node;
    if (span_equal_any_case(host, SPAN_LITERAL("unknown")) || (host.bytes > 1 && host.data[0] == '_'))
        node.state = FORWARDED_HIDDEN;
    else if (network_parse_address(host, &node.address) && address_is_known(&node.address))
        node.state =
            networks_have(proxies->networks, proxies->count, &node.address) ? FORWARDED_PROXIES : FORWARDED_CLIENT;
    return node;
}

/* Reads NAME=VALUE at the begin of *text and advances it. A quoted value is given without its quotes; it may not have a
 * backslash, since neither an address nor a host needs one. */
static bool take_parameter(struct span *text, struct span *name_r, struct span *value_r)
{
    size_t bytes = 0;
    while (bytes < text->bytes && is_token_char(text->data[bytes]))
        bytes++;
    *name_r = (struct span){text->data, bytes};
    if (bytes == 0 || bytes == text->bytes || text->data[bytes] != '=')
        return false;
    *text = skip(*text, bytes + 1);
    bool is_quoted = text->bytes > 0 && text->data[0] == '"';
    if (is_quoted)
        *text = skip(*text, 1);
    bytes = 0;
    while (bytes < text->bytes && (is_quoted ? text->data[bytes] != '"' : text->data[bytes] != ';'))
        bytes++;
    *value_r = (struct span){text->data, bytes};
    if (is_quoted && (bytes == text->bytes || memchr(text->data, '\\', bytes) != NULL))
        return false;
    *text = span_trim(skip(*text, bytes + is_quoted));
    return true;
}

/* The element's parameter `for`. False: the element is malformed. Without `for`: true, and *node_r is `unknown`. */
static bool find_node(struct span element, struct span *node_r)
{
    bool is_found = false;
    *node_r = SPAN_LITERAL("unknown");
    for (element = span_trim(element); element.bytes > 0; element = span_trim(skip(element, element.bytes > 0))) {
        struct span name, value;
        if (element.data[0] == ';')
            continue;
        if (!take_parameter(&element, &name, &value))
            return false;
        if (span_equal_any_case(name, SPAN_LITERAL("for"))) {
            if (is_found)
                return false;
            is_found = true;
            *node_r = span_trim(value);
        }
        if (element.bytes > 0 && element.data[0] != ';')
            return false;
    }
    return true;
}

static struct forwarded read_element(struct span element, const struct forwarded_proxies *proxies)
{
    struct span node;
    if (!find_node(element, &node))
        return (struct forwarded){.state = FORWARDED_MALFORMED};
    return read_node(node, proxies);
}

static bool is_escaped(struct span text, size_t at)
{
    size_t backslashes = 0;
    while (backslashes < at && text.data[at - 1 - backslashes] == '\\')
        backslashes++;
    return backslashes % 2 == 1;
}

/* Where the last entry of the list begins. From the right, so that an open quote of the client changes no entry of a
 * proxy. */
static size_t last_begin(struct span list, bool has_quotes)
{
    bool is_quoted = false;
    size_t at = list.bytes;
    for (; at > 0; at--) {
        char c = list.data[at - 1];
        if (has_quotes && c == '"' && !is_escaped(list, at - 1))
            is_quoted = !is_quoted;
        else if (c == ',' && !is_quoted)
            break;
    }
    return at;
}

typedef struct forwarded read_function(struct span entry, const struct forwarded_proxies *proxies);

static void add(struct forwarded *forwarded, struct span line, const struct forwarded_proxies *proxies,
                read_function *read, bool has_quotes)
{
    struct forwarded leftmost = {.state = FORWARDED_ABSENT};
    while (line.bytes > 0) {
        size_t begin = last_begin(line, has_quotes);
        struct span entry = span_trim(skip(line, begin));
        line.bytes = begin > 0 ? begin - 1 : 0;
        if (entry.bytes == 0)
            continue;
        leftmost = read(entry, proxies);
        if (leftmost.state != FORWARDED_PROXIES)
            break;
    }
    /* A line of trusted proxies alone leaves the decision to the lines before it. */
    if (leftmost.state > FORWARDED_PROXIES || forwarded->state == FORWARDED_ABSENT)
        *forwarded = leftmost;
}

void forwarded_add_for(struct forwarded *forwarded, struct span line, const struct forwarded_proxies *proxies)
{
    add(forwarded, line, proxies, read_node, false);
}

void forwarded_add(struct forwarded *forwarded, struct span line, const struct forwarded_proxies *proxies)
{
    add(forwarded, line, proxies, read_element, true);
}
