/*
 * origin.h: the origin of a web page, as a browser sends it and as --origin allows it. Pure; any thread.
 *
 * An origin is SCHEME://HOST with or without a port, SCHEME:// alone for pages that have no host (file://), or null,
 * which browsers send for pages that have no origin to name. Schemes and hosts are compared in any case, hosts as in
 * host.h, ports with those of http (80) and https (443) filled in. Other schemes have no default port: a port that is
 * left out equals only a port that is left out.
 */
#ifndef CHITCHAT_PROTOCOL_ORIGIN_H
#define CHITCHAT_PROTOCOL_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "protocol/host.h"

enum origin_kind {
    ORIGIN_NONE,
    ORIGIN_ANY,      /* of a pattern: * */
    ORIGIN_NULL,     /* null */
    ORIGIN_HOSTLESS, /* SCHEME:// */
    ORIGIN_HOST,     /* SCHEME://HOST or SCHEME://HOST:PORT */
    ORIGIN_BELOW,    /* of a pattern: the same with `*.` before HOST: each name below HOST, not HOST itself */
};

struct origin {
    enum origin_kind kind;
    struct span scheme; /* not of ORIGIN_ANY and ORIGIN_NULL; borrowed from the text */
    struct host host;   /* ORIGIN_HOST, ORIGIN_BELOW; borrows the text */
    uint16_t port;      /* the default one filled in; 0: neither given nor known */
};

/* Reads the value of a header Origin. False: `text` is no origin, and the kind of *origin_r is ORIGIN_NONE. */
bool origin_parse(struct span text, struct origin *origin_r);

/* Reads what --origin takes: an origin, *, or one with *. before its name. An origin of ws or wss is refused, since no
 * page has one. False as above. */
bool origin_pattern_parse(struct span text, struct origin *pattern_r);

/* Whether `pattern` allows `origin`. */
bool origin_matches(const struct origin *pattern, const struct origin *origin);

/* Whether `origin` is http or https: only those may be the server's own. */
bool origin_is_http(const struct origin *origin);

/* 80 or 443; 0: its scheme has none. */
uint16_t origin_default_port(const struct origin *origin);

#endif
