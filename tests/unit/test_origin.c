#include "protocol/origin.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* Whether --origin `pattern`, which must be one, allows `text`; both copied, so that a read past them is noticed. */
static bool allows(const char *pattern_text, const char *text)
{
    struct origin pattern, origin;
    size_t bytes = strlen(text);
    char *copy = malloc(bytes + (bytes == 0));
    memcpy(copy, text, bytes);
    cr_assert(origin_pattern_parse(span_of(pattern_text), &pattern), "%s", pattern_text);
    (void)origin_parse((struct span){copy, bytes}, &origin);
    bool is_allowed = origin_matches(&pattern, &origin);
    free(copy);
    return is_allowed;
}

Test(origin, scheme_and_host_are_compared_in_any_case_and_default_ports_filled_in)
{
    const struct {
        const char *pattern, *origin;
        bool is_allowed;
    } cases[] = {
        {"https://example.org", "https://example.org", true},
        {"HTTPS://Example.ORG", "https://example.org", true},
        {"https://example.org", "Https://EXAMPLE.org", true},
        {"https://example.org", "https://example.org:443", true},
        {"https://example.org:443", "https://example.org", true},
        {"http://example.org:80", "http://example.org", true},
        {"https://example.org", "https://example.org.", true},
        {"https://example.org", "http://example.org", false},
        {"https://example.org", "https://example.org:80", false},
        {"https://example.org:8443", "https://example.org:8443", true},
        {"https://example.org:8443", "https://example.org", false},
        {"https://example.org", "https://www.example.org", false},
        {"https://example.org", "https://example.org.evil", false},
        {"https://example.org", "null", false},
        {"https://example.org", "", false},
        {"http://192.0.2.1:8080", "http://192.0.2.1:8080", true},
        {"http://[2001:DB8::0:1]", "http://[2001:db8::1]:80", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        cr_assert_eq(allows(cases[i].pattern, cases[i].origin), cases[i].is_allowed, "%s by %s", cases[i].origin,
                     cases[i].pattern);
}

Test(origin, pages_without_a_host_and_of_other_schemes_are_allowed_by_name)
{
    const struct {
        const char *pattern, *origin;
        bool is_allowed;
    } cases[] = {
        {"file://", "file://", true},
        {"File://", "fILE://", true},
        {"file://", "null", false},
        {"file://", "content://", false},
        {"file://", "file://host", false},
        {"null", "null", true},
        {"null", "file://", false},
        {"null", "NULL", false},
        {"capacitor://localhost", "capacitor://localhost", true},
        {"capacitor://localhost", "Capacitor://LocalHost", true},
        {"capacitor://localhost", "ionic://localhost", false},
        {"capacitor://localhost", "http://localhost", false},
        {"capacitor://localhost", "capacitor://localhost:80", false},
        {"app+x-1.0://a_b:7", "app+x-1.0://a_b:7", true},
        {"chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop", true},
        {"*", "null", true},
        {"*", "https://evil.example", true},
        {"*", "nonsense", true},
        {"*", "", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        cr_assert_eq(allows(cases[i].pattern, cases[i].origin), cases[i].is_allowed, "%s by %s", cases[i].origin,
                     cases[i].pattern);
}

Test(origin, a_wildcard_is_one_label_or_more_and_not_the_bare_domain)
{
    const struct {
        const char *pattern, *origin;
        bool is_allowed;
    } cases[] = {
        {"https://*.example.org", "https://a.example.org", true},
        {"https://*.example.org", "https://a.b.c.example.org", true},
        {"HTTPS://*.Example.Org", "https://A.EXAMPLE.ORG:443", true},
        {"https://*.example.org:8443", "https://a.example.org:8443", true},
        {"https://*.example.org:8443", "https://a.example.org", false},
        {"https://*.example.org", "https://a.example.org:8443", false},
        {"https://*.example.org", "https://example.org", false},
        {"https://*.example.org", "https://.example.org", false},
        {"https://*.example.org", "https://evilexample.org", false},
        {"https://*.example.org", "https://example.org.evil", false},
        {"https://*.example.org", "https://a.example.org.evil", false},
        {"https://*.example.org", "http://a.example.org", false},
        {"https://*.example.org", "https://*.example.org", false},
        {"https://*.example.org", "https://evil@a.example.org", false},
        {"https://*.example.org", "https://evil.example/.example.org", false},
        {"app://*.local", "app://one.local", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        cr_assert_eq(allows(cases[i].pattern, cases[i].origin), cases[i].is_allowed, "%s by %s", cases[i].origin,
                     cases[i].pattern);
}

Test(origin, what_is_no_pattern_is_refused)
{
    const char *const bad[] = {"",
                               "example.org",
                               "//example.org",
                               "://example.org",
                               "https:example.org",
                               "https:/example.org",
                               "https://",
                               "http://",
                               "HTTPS://",
                               "https://example.org/",
                               "https://example.org/path",
                               "https://example.org?x",
                               "https://user@example.org",
                               "https://example.org:",
                               "https://example.org:0",
                               "https://example.org:65536",
                               "https://example.org:http",
                               "https://a b",
                               "https://*",
                               "https://*.",
                               "https://*example.org",
                               "https://a.*.org",
                               "https://*.*.org",
                               "https://*.192.0.2.1",
                               "https://*.[::1]",
                               "*.example.org",
                               "*://example.org",
                               "**",
                               "Null",
                               "ws://example.org",
                               "WSS://example.org",
                               "wss://",
                               "1a://host",
                               "file:///",
                               "file:///index.html",
                               "https://example..org"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct origin pattern;
        cr_assert_not(origin_pattern_parse(span_of(bad[i]), &pattern), "%s", bad[i]);
        cr_assert_eq(pattern.kind, ORIGIN_NONE);
    }
}

Test(origin, of_a_page_has_no_wildcard)
{
    const char *const bad[] = {"*", "https://*.example.org", "https://*"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct origin origin;
        cr_assert_not(origin_parse(span_of(bad[i]), &origin), "%s", bad[i]);
    }
}

Test(origin, http_and_https_of_a_host_can_be_the_servers_own)
{
    const char *const own[] = {"http://a", "https://a:1", "HTTPS://[::1]"};
    const char *const others[] = {"null", "file://", "capacitor://localhost", "ws://a", "ftp://a"};
    struct origin origin;
    for (size_t i = 0; i < COUNT(own); i++)
        cr_assert(origin_parse(span_of(own[i]), &origin) && origin_is_http(&origin), "%s", own[i]);
    for (size_t i = 0; i < COUNT(others); i++)
        cr_assert(origin_parse(span_of(others[i]), &origin) && !origin_is_http(&origin), "%s", others[i]);
}
