#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "cli/config.h"
#include "cli/config_value.h"

#define ARGUMENTS_MAX 128

static struct config config;
static char text[CONFIG_TEXT_BYTES];

/* Parses `chitchat` and the words of `line`, which are divided by blanks, under `environment`. */
static enum config_action parse_in(char *const *environment, const char *line)
{
    static char words[4096];
    char *argv[ARGUMENTS_MAX] = {"chitchat"};
    int argc = 1;
    (void)snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    memset(&config, 0xa5, sizeof config);
    return config_parse(argc, argv, environment, &config, text, sizeof text);
}

static enum config_action parse(const char *line)
{
    return parse_in(NULL, line);
}

static void assert_error(const char *line, const char *said, const char *also_said)
{
    cr_assert_eq(parse(line), CONFIG_ERROR, "%s", line);
    cr_assert_not_null(strstr(text, said), "%s", text);
    cr_assert_not_null(strstr(text, also_said), "%s", text);
    cr_assert_null(strchr(text, '\n'), "one line");
}

Test(config, without_options_all_defaults_stand)
{
    cr_assert_eq(parse("serve"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.listen_count, 1);
    cr_assert_str_eq(config.listens[0].text, "127.0.0.1:8080");
    cr_assert_str_eq(config.data_dir, "./data");
    cr_assert_eq(config.shards, 0);
    cr_assert_eq(config.origin_count, 0);
    cr_assert_eq(config.host_count, 0);
    cr_assert_eq(config.address_connections, 10000);
    cr_assert_eq(config.address_rate, 1000);
    cr_assert_eq(config.address_login_rate, 100);
    cr_assert_eq(config.limit_loopback, 0);
    cr_assert_eq(config.frame_rate, 5000);
    cr_assert_eq(config.send_rate, 1000);
    cr_assert_eq(config.history_rate, 100);
    cr_assert_eq(config.user_connections, 1024);
    cr_assert_eq(config.login_time_s, 10);
    cr_assert_eq(config.ping_s, 25);
    cr_assert_eq(config.output_bytes, 4u << 20);
    cr_assert_eq(config.memory_bytes, 0, "as budget.h says");
    cr_assert_eq(config.memtable_bytes, 192u << 20);
    cr_assert_eq(config.checkpoint_s, 60);
    cr_assert_eq(config.wal_segment_bytes, 32u << 20);
    cr_assert_eq(config.connections, 100000);
    cr_assert_eq(config.stop_time_s, 5);
    cr_assert_eq(config.drain_s, 5);
}

Test(config, every_option_reaches_its_field)
{
    cr_assert_eq(
        parse("serve --listen 10.1.2.3:99 --allow-anyone --data /srv/chat --shards 7 --origin https://a.example --host "
              "b.example --trust-proxy 10.0.0.0/8 --frame-rate 11 "
              "--send-rate 12 --user-connections 13 --login-time-s 14 --ping-s 15 --output-bytes 128K "
              "--memory 12G --memtable-bytes 5G --checkpoint-s 16 --wal-segment-bytes 8M --connections 17 "
              "--stop-time-s 18 --address-connections 19 --address-rate 20 --address-login-rate 21 "
              "--limit-loopback 1 --history-rate 22 --drain-s 23"),
        CONFIG_SERVE, "%s", text);
    cr_assert_str_eq(config.listens[0].text, "10.1.2.3:99");
    cr_assert_str_eq(config.data_dir, "/srv/chat");
    cr_assert_eq(config.shards, 7);
    cr_assert_eq(config.origin_count, 1);
    cr_assert(span_equal(config.origins[0].host.name, SPAN_LITERAL("a.example")));
    cr_assert_eq(config.network_count, 1);
    cr_assert_eq(config.networks[0].prefix_bits, 104);
    cr_assert_eq(config.host_count, 1);
    cr_assert(span_equal(config.hosts[0].name, SPAN_LITERAL("b.example")));
    cr_assert_eq(config.frame_rate, 11);
    cr_assert_eq(config.send_rate, 12);
    cr_assert_eq(config.user_connections, 13);
    cr_assert_eq(config.login_time_s, 14);
    cr_assert_eq(config.ping_s, 15);
    cr_assert_eq(config.output_bytes, 128u << 10);
    cr_assert_eq(config.memory_bytes, UINT64_C(12) << 30);
    cr_assert_eq(config.memtable_bytes, UINT64_C(5) << 30);
    cr_assert_eq(config.checkpoint_s, 16);
    cr_assert_eq(config.wal_segment_bytes, 8u << 20);
    cr_assert_eq(config.connections, 17);
    cr_assert_eq(config.stop_time_s, 18);
    cr_assert_eq(config.address_connections, 19);
    cr_assert_eq(config.address_rate, 20);
    cr_assert_eq(config.address_login_rate, 21);
    cr_assert_eq(config.limit_loopback, 1);
    cr_assert_eq(config.history_rate, 22);
    cr_assert_eq(config.drain_s, 23);
}

Test(config, the_log_has_a_level_a_format_and_a_file)
{
    cr_assert_eq(parse("serve"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.log_level, LOG_INFO);
    cr_assert_eq(config.log_format, LOG_LOGFMT);
    cr_assert_null(config.log_file);
    cr_assert_eq(parse("serve --log-level error --log-format json --log-file /var/log/chat"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.log_level, LOG_ERROR);
    cr_assert_eq(config.log_format, LOG_JSON);
    cr_assert_str_eq(config.log_file, "/var/log/chat");
    cr_assert_eq(parse("serve --log-level warn --log-format logfmt"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.log_level, LOG_WARN);
    cr_assert_eq(config.log_format, LOG_LOGFMT);
    assert_error("serve --log-level verbose", "--log-level verbose", "must be error, warn, info or debug");
    assert_error("serve --log-format xml", "--log-format xml", "must be logfmt or json");
    assert_error("serve --log-file=", "--log-file", "must name a file");
}

Test(config, what_was_given_is_known_wherever_it_stood)
{
    char *environment[] = {"CHITCHAT_MEMORY=4G", NULL};
    cr_assert_eq(parse_in(environment, "serve --connections 100000"), CONFIG_SERVE, "%s", text);
    cr_assert(config_is_given(&config, "connections"), "also as its default");
    cr_assert(config_is_given(&config, "memory"));
    cr_assert_not(config_is_given(&config, "memtable-bytes"));
}

Test(config, a_value_may_follow_an_equals_sign_and_the_last_one_counts)
{
    cr_assert_eq(parse("serve --ping-s=5 --data=/a=b --ping-s 6"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.ping_s, 6);
    cr_assert_str_eq(config.data_dir, "/a=b");
}

Test(config, addresses_replace_the_default_and_add_up)
{
    cr_assert_eq(parse("serve --allow-anyone --listen 0.0.0.0:1 --listen [::1]:65535 --listen 127.0.0.1:0"),
                 CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.listen_count, 3);
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&config.listens[0].address;
    cr_assert_eq(in->sin_family, AF_INET);
    cr_assert_eq(ntohs(in->sin_port), 1);
    cr_assert_eq(in->sin_addr.s_addr, INADDR_ANY);
    cr_assert_eq(config.listens[0].address_bytes, sizeof *in);
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&config.listens[1].address;
    cr_assert_eq(in6->sin6_family, AF_INET6);
    cr_assert_eq(ntohs(in6->sin6_port), 65535);
    cr_assert(IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr));
    cr_assert_eq(config.listens[1].address_bytes, sizeof *in6);
    cr_assert_str_eq(config.listens[1].text, "[::1]:65535");
    cr_assert_str_eq(config.listens[2].text, "127.0.0.1:0");
}

Test(config, what_is_no_address_is_refused_with_how_it_looks)
{
    const char *const bad[] = {"8080",        "localhost:80", "127.0.0.1",  "127.0.0.1:",     "127.0.0.1:65536",
                               "::1:80",      "[::1]",        "[::1]80",    "[127.0.0.1]:80", "1.2.3:80",
                               ":80",         "[]:80",        "1.2.3.4:-1", "1.2.3.4:+1",     "1.2.3.4:1x",
                               "[::1%lo]:80", "[:80",         "]:80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "serve --listen %s", bad[i]);
        assert_error(line, "--listen", "[::1]:8080");
        cr_assert_not_null(strstr(text, bad[i]), "%s", text);
    }
}

Test(config, sixteen_addresses_origins_and_hosts_are_the_most)
{
    char line[2048] = "serve --allow-anyone";
    for (int i = 0; i < 16; i++)
        (void)snprintf(line + strlen(line), sizeof line - strlen(line),
                       " --listen 1.2.3.4:%d --origin http://h%d --host h%d", i, i, i);
    cr_assert_eq(parse(line), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.listen_count, 16);
    cr_assert_eq(config.origin_count, 16);
    cr_assert(span_equal(config.origins[15].host.name, SPAN_LITERAL("h15")));
    cr_assert_eq(config.host_count, 16);
    cr_assert(span_equal(config.hosts[15].name, SPAN_LITERAL("h15")));
    size_t used = strlen(line);
    (void)snprintf(line + used, sizeof line - used, " --listen 1.2.3.4:17");
    assert_error(line, "--listen", "16");
    (void)snprintf(line + used, sizeof line - used, " --origin http://h17");
    assert_error(line, "--origin", "16");
    (void)snprintf(line + used, sizeof line - used, " --host h17");
    assert_error(line, "--host", "16");
}

Test(config, bounds_are_allowed_and_one_past_them_is_not)
{
    const struct {
        const char *option, *low, *below, *high, *above;
    } cases[] = {
        {"--shards", "1", "0", "64", "65"},
        {"--ping-s", "1", "0", "3600", "3601"},
        {"--frame-rate", "0", "-1", "1000000", "1000001"},
        {"--history-rate", "0", "-1", "1000000", "1000001"},
        {"--address-rate", "0", "-1", "1000000", "1000001"},
        {"--address-login-rate", "0", "-1", "1000000", "1000001"},
        {"--address-connections", "0", "-1", "10000000", "10000001"},
        {"--limit-loopback", "0", "-1", "1", "2"},
        {"--output-bytes", "64K", "65535", "1G", "1073741825"},
        {"--memtable-bytes", "1M", "1023K", "64G", "65G"},
        {"--wal-segment-bytes", "4M", "4095K", "1048576K", "1025M"},
        {"--connections", "1", "0", "10000000", "10000001"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "serve %s %s", cases[i].option, cases[i].low);
        cr_assert_eq(parse(line), CONFIG_SERVE, "%s", text);
        (void)snprintf(line, sizeof line, "serve %s %s", cases[i].option, cases[i].high);
        cr_assert_eq(parse(line), CONFIG_SERVE, "%s", text);
        (void)snprintf(line, sizeof line, "serve %s %s", cases[i].option, cases[i].below);
        assert_error(line, cases[i].option, cases[i].below);
        (void)snprintf(line, sizeof line, "serve %s %s", cases[i].option, cases[i].above);
        assert_error(line, cases[i].option, cases[i].above);
    }
}

Test(config, an_error_of_a_number_names_what_is_allowed)
{
    assert_error("serve --shards 65", "--shards 65", "from 1 to 64");
    assert_error("serve --memtable-bytes 12X", "--memtable-bytes 12X", "from 1M to 64G");
    assert_error("serve --wal-segment-bytes 4194305", "--wal-segment-bytes", "multiple of 4096");
    assert_error("serve --ping-s 5K", "--ping-s 5K", "from 1 to 3600");
    assert_error("serve --ping-s 1.5", "--ping-s 1.5", "whole number");
    assert_error("serve --ping-s 18446744073709551617", "--ping-s", "whole number");
}

Test(config, what_is_unknown_or_incomplete_is_named)
{
    assert_error("serve --pings 5", "unknown option --pings", "--help");
    assert_error("serve -p", "unknown option -p", "--help");
    assert_error("serve here", "unknown option here", "--help");
    assert_error("serve --", "unknown option --", "--help");
    assert_error("serve --ping-s", "--ping-s", "needs a value");
    assert_error("serve --data=", "--data", "must name a directory");
    assert_error("sing", "unknown command sing", "chitchat serve");
    assert_error("", "no command", "chitchat serve");
}

Test(config, an_error_stays_one_line_whatever_was_given)
{
    char *argv[] = {"chitchat", "serve", "--ping-s", "a\nb\x1b[2J", NULL};
    cr_assert_eq(config_parse(4, argv, NULL, &config, text, sizeof text), CONFIG_ERROR);
    cr_assert_null(strchr(text, '\n'));
    cr_assert_null(strchr(text, 0x1b));
    char small[16];
    cr_assert_eq(config_parse(4, argv, NULL, &config, small, sizeof small), CONFIG_ERROR);
    cr_assert_lt(strlen(small), sizeof small);
}

Test(config, origins_are_taken_as_browsers_write_them_with_a_wildcard_for_names)
{
    const enum origin_kind kinds[] = {ORIGIN_HOST,     ORIGIN_HOST, ORIGIN_ANY,  ORIGIN_NULL,
                                      ORIGIN_HOSTLESS, ORIGIN_HOST, ORIGIN_BELOW};
    cr_assert_eq(parse("serve --origin https://a.example --origin http://localhost:3000 --origin * --origin null "
                       "--origin file:// --origin capacitor://localhost --origin https://*.example.org:8443"),
                 CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.origin_count, 7);
    for (size_t i = 0; i < 7; i++)
        cr_assert_eq(config.origins[i].kind, kinds[i]);
    cr_assert_eq(config.origins[1].port, 3000);
    cr_assert_eq(config.origins[6].port, 8443);
}

Test(config, what_is_no_origin_is_refused_with_what_one_is)
{
    const char *const bad[] = {"example.org", "://a",          "https://",        "https://a@b",
                               "https://*",   "*.example.org", "wss://a.example", "https://a.example:0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "serve --origin %s", bad[i]);
        assert_error(line, "--origin", "SCHEME://HOST");
        cr_assert_not_null(strstr(text, bad[i]), "%s", text);
        cr_assert_not_null(strstr(text, "https://*.example.org"), "%s", text);
    }
    assert_error("serve --origin https://a.example/", "--origin", "without a path");
    assert_error("serve --origin=", "--origin \"\"", "SCHEME://HOST");
    char line[400] = "serve --origin http://";
    memset(line + strlen(line), 'a', 249);
    assert_error(line, "--origin", "SCHEME://HOST");
}

Test(config, proxies_are_networks_addresses_or_loopback)
{
    const char *const in[] = {"10.255.0.1", "fd12::1", "192.0.2.7", "127.0.0.1", "::1", "2001:db8::5"};
    const char *const out[] = {"11.0.0.1", "fe00::1", "192.0.2.8", "128.0.0.1", "::2", "2001:db8::6"};
    struct address address;
    cr_assert_eq(parse("serve --trust-proxy 10.0.0.0/8 --trust-proxy fd00::/8 --trust-proxy 192.0.2.7 "
                       "--trust-proxy loopback --trust-proxy 2001:db8::5/128"),
                 CONFIG_SERVE, "%s", text);
    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++) {
        cr_assert(network_parse_address(span_of(in[i]), &address));
        cr_assert(networks_have(config.networks, config.network_count, &address), "%s", in[i]);
        cr_assert(network_parse_address(span_of(out[i]), &address));
        cr_assert_not(networks_have(config.networks, config.network_count, &address), "%s", out[i]);
    }
    cr_assert_eq(parse("serve"), CONFIG_SERVE);
    cr_assert_eq(config.network_count, 0, "none is trusted");
    char *const environment[] = {"CHITCHAT_TRUST_PROXY=loopback,10.0.0.0/8", NULL};
    cr_assert_eq(parse_in(environment, "serve"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.network_count, 3);
    cr_assert_eq(parse_in(environment, "serve --trust-proxy 192.0.2.7"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.network_count, 1);
}

Test(config, what_is_no_network_is_refused)
{
    char line[2048] = "serve";
    assert_error("serve --trust-proxy localhost", "--trust-proxy localhost", "10.0.0.0/8");
    assert_error("serve --trust-proxy 10.0.0.0/33", "--trust-proxy", "10.0.0.0/8");
    assert_error("serve --trust-proxy=", "--trust-proxy \"\"", "10.0.0.0/8");
    assert_error("serve --trust-proxy 10.0.0.1/8", "--trust-proxy", "after the prefix");
    for (int i = 0; i < 16; i++)
        (void)snprintf(line + strlen(line), sizeof line - strlen(line), " --trust-proxy loopback");
    cr_assert_eq(parse(line), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.network_count, 32);
    (void)snprintf(line + strlen(line), sizeof line - strlen(line), " --trust-proxy ::1");
    assert_error(line, "--trust-proxy", "16");
}

Test(config, hosts_are_taken_with_and_without_a_port)
{
    char line[400] = "serve --host chat.example.org --host CHAT.example.org.:8443 --host [::1]:80 --host ";
    size_t used = strlen(line);
    memset(line + used, 'a', 253);
    cr_assert_eq(parse(line), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.host_count, 4);
    cr_assert(span_equal(config.hosts[0].name, SPAN_LITERAL("chat.example.org")));
    cr_assert_not(config.hosts[0].has_port);
    cr_assert(host_equal(&config.hosts[0], &config.hosts[1]));
    cr_assert_eq(config.hosts[1].port, 8443);
    cr_assert_eq(config.hosts[2].kind, HOST_IPV6);
    cr_assert_eq(config.hosts[3].name.bytes, 253);
    line[used + 253] = 'a';
    assert_error(line, "--host", "must be a host name");
}

Test(config, what_is_no_host_is_refused_with_how_it_looks)
{
    const char *const bad[] = {"https://chat.example.org",
                               "chat.example.org/",
                               "*",
                               "*.example.org",
                               "chat.example.org:0",
                               "chat.example.org:65536",
                               "chat.example.org:",
                               "chat.example.org:https",
                               "u@chat.example.org",
                               "::1",
                               "a,b",
                               "."};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "serve --host %s", bad[i]);
        assert_error(line, "--host", "chat.example.org:8443; no URL and no wildcard");
        cr_assert_not_null(strstr(text, bad[i]), "%s", text);
    }
    assert_error("serve --host=", "--host \"\"", "must be a host name");
}

Test(config, the_environment_gives_hosts_between_commas_and_cuts_none_to_one_that_fits)
{
    char *const two[] = {"CHITCHAT_HOST=a.example,b.example:8443", NULL};
    cr_assert_eq(parse_in(two, "serve"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.host_count, 2);
    cr_assert(span_equal(config.hosts[0].name, SPAN_LITERAL("a.example")));
    cr_assert_eq(config.hosts[1].port, 8443);
    cr_assert_eq(parse_in(two, "serve --host c.example"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.host_count, 1, "the command line wins");
    cr_assert(span_equal(config.hosts[0].name, SPAN_LITERAL("c.example")));
    static char variable[400] = "CHITCHAT_HOST=";
    memset(variable + strlen(variable), 'a', 253);
    strcat(variable, ".:65535,b");
    char *const longest[] = {variable, NULL};
    cr_assert_eq(parse_in(longest, "serve"), CONFIG_SERVE, "%s", text);
    *strchr(variable, ',') = '5';
    cr_assert_eq(parse_in(longest, "serve"), CONFIG_ERROR);
    char *const empty[] = {"CHITCHAT_HOST=a.example,", NULL};
    cr_assert_eq(parse_in(empty, "serve"), CONFIG_ERROR);
    cr_assert_not_null(strstr(text, "CHITCHAT_HOST"), "%s", text);
}

Test(config, the_environment_gives_every_option)
{
    char *const environment[] = {"PATH=/bin",
                                 "CHITCHAT_LISTEN=1.2.3.4:5,[::]:6",
                                 "CHITCHAT_ALLOW_ANYONE=yes",
                                 "CHITCHAT_DATA=/srv/x",
                                 "CHITCHAT_ORIGIN=https://a.example,https://b.example",
                                 "CHITCHAT_WAL_SEGMENT_BYTES=16M",
                                 "CHITCHAT_USER_CONNECTIONS=3",
                                 "CHITCHAT_PING_S=",
                                 NULL};
    cr_assert_eq(parse_in(environment, "serve"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.listen_count, 2);
    cr_assert_str_eq(config.listens[1].text, "[::]:6");
    cr_assert_str_eq(config.data_dir, "/srv/x");
    cr_assert_eq(config.origin_count, 2);
    cr_assert(span_equal(config.origins[0].host.name, SPAN_LITERAL("a.example")));
    cr_assert(span_equal(config.origins[1].host.name, SPAN_LITERAL("b.example")));
    cr_assert_eq(config.wal_segment_bytes, 16u << 20);
    cr_assert_eq(config.user_connections, 3);
    cr_assert_eq(config.ping_s, 25, "set to nothing is not set");
}

Test(config, the_command_line_wins_over_the_environment)
{
    char *const environment[] = {"CHITCHAT_LISTEN=1.2.3.4:5,1.2.3.4:6", "CHITCHAT_ORIGIN=https://a.example",
                                 "CHITCHAT_PING_S=7", "CHITCHAT_DATA=/srv/x", NULL};
    cr_assert_eq(parse_in(environment, "serve --listen 9.9.9.9:9 --allow-anyone --origin https://b.example --ping-s 8"),
                 CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.listen_count, 1);
    cr_assert_str_eq(config.listens[0].text, "9.9.9.9:9");
    cr_assert_eq(config.origin_count, 1);
    cr_assert(span_equal(config.origins[0].host.name, SPAN_LITERAL("b.example")));
    cr_assert_eq(config.ping_s, 8);
    cr_assert_str_eq(config.data_dir, "/srv/x");
}

Test(config, a_bad_value_in_the_environment_is_reported_by_its_name_there)
{
    char *const number[] = {"CHITCHAT_PING_S=often", NULL};
    cr_assert_eq(parse_in(number, "serve"), CONFIG_ERROR);
    cr_assert_not_null(strstr(text, "CHITCHAT_PING_S often"), "%s", text);
    char *const list[] = {"CHITCHAT_LISTEN=1.2.3.4:5,,1.2.3.4:6", NULL};
    cr_assert_eq(parse_in(list, "serve"), CONFIG_ERROR);
    cr_assert_not_null(strstr(text, "CHITCHAT_LISTEN"), "%s", text);
    char *const trailing[] = {"CHITCHAT_LISTEN=1.2.3.4:5,", NULL};
    cr_assert_eq(parse_in(trailing, "serve"), CONFIG_ERROR);
}

Test(config, other_names_in_the_environment_change_nothing_and_are_noted_to_be_warned_of)
{
    char *const environment[] = {"CHITCHAT_PORT=tcp://10.0.0.1:80",
                                 "CHITCHAT_PING=3",
                                 "CHITCHATTY=1",
                                 "CHITCHAT_DATA=/d",
                                 "CHITCHAT_PING_SS=x",
                                 "CHITCHAT_USER=u",
                                 "CHITCHAT_STOP_TIME_S=",
                                 NULL};
    cr_assert_eq(parse_in(environment, "serve"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.ping_s, 25);
    cr_assert_eq(config.unknown_count, 4);
    cr_assert_str_eq(config.unknown[0], "CHITCHAT_PORT=tcp://10.0.0.1:80");
    cr_assert_str_eq(config.unknown[1], "CHITCHAT_PING=3");
    cr_assert_str_eq(config.unknown[2], "CHITCHAT_PING_SS=x");
    cr_assert_str_eq(config.unknown[3], "CHITCHAT_USER=u");
}

Test(config, each_command_takes_its_own_options)
{
    cr_assert_eq(parse("verify"), CONFIG_VERIFY, "%s", text);
    cr_assert_str_eq(config.data_dir, "./data");
    cr_assert_eq(parse("verify --data=/v"), CONFIG_VERIFY, "%s", text);
    cr_assert_str_eq(config.data_dir, "/v");
    cr_assert_eq(parse("dump --data /d --user alice"), CONFIG_DUMP, "%s", text);
    cr_assert_str_eq(config.user, "alice");
    cr_assert_eq(parse("dump"), CONFIG_DUMP);
    cr_assert_null(config.user);
    cr_assert_eq(parse("backup --to /b --data /d"), CONFIG_BACKUP, "%s", text);
    cr_assert_str_eq(config.to_dir, "/b");
    cr_assert_eq(parse("restore --from=/b --data /d"), CONFIG_RESTORE, "%s", text);
    cr_assert_str_eq(config.from_dir, "/b");
    assert_error("verify --user alice", "unknown option --user", "chitchat verify --help");
    assert_error("dump --shards 2", "unknown option --shards", "chitchat dump --help");
    assert_error("serve --to /b", "unknown option --to", "chitchat serve --help");
    assert_error("backup --data /d", "backup needs --to DIR2", "chitchat backup --help");
    assert_error("restore", "restore needs --from DIR2", "chitchat restore --help");
    assert_error("backup --to", "--to", "needs a value");
    assert_error("backup --to=", "--to", "must name a directory");
    assert_error("dump --user=", "--user", "must be a user name");
    assert_error("dump --user a\\b", "--user a\\b", "must be a user name");
    char line[200] = "dump --user ";
    memset(line + strlen(line), 'a', 129);
    assert_error(line, "--user", "1 to 128");
}

Test(config, of_the_environment_the_other_commands_take_only_the_data_directory)
{
    char *const environment[] = {"CHITCHAT_DATA=/e", "CHITCHAT_USER=eve", "CHITCHAT_PING_S=often", NULL};
    cr_assert_eq(parse_in(environment, "dump"), CONFIG_DUMP, "%s", text);
    cr_assert_str_eq(config.data_dir, "/e");
    cr_assert_null(config.user);
    cr_assert_eq(parse_in(environment, "dump --data /d"), CONFIG_DUMP, "%s", text);
    cr_assert_str_eq(config.data_dir, "/d");
}

Test(config, each_command_has_a_help_of_its_own)
{
    const char *const lines[][3] = {{"verify --help", "chitchat verify", "--data"},
                                    {"dump --user x --help", "chitchat dump", "--user U"},
                                    {"backup --help", "chitchat backup", "--to DIR2"},
                                    {"restore --help", "chitchat restore", "--from DIR2"}};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        cr_assert_eq(parse(lines[i][0]), CONFIG_HELP);
        cr_assert_not_null(strstr(text, lines[i][1]), "%s", text);
        cr_assert_not_null(strstr(text, lines[i][2]), "%s", text);
        cr_assert_null(strstr(text, "--ping-s"), "%s", text);
        cr_assert_eq(parse("--help"), CONFIG_HELP);
        cr_assert_not_null(strstr(text, lines[i][1]), "%s", text);
    }
}

Test(config, help_names_every_option_within_the_width_of_a_terminal)
{
    const char *const names[] = {"--listen",
                                 "--data",
                                 "--listen-tls",
                                 "--tls-cert",
                                 "--tls-key",
                                 "--tls-handshakes",
                                 "--shards",
                                 "--origin",
                                 "--host",
                                 "--frame-rate",
                                 "--address-connections",
                                 "--address-rate",
                                 "--address-login-rate",
                                 "--limit-loopback",
                                 "--history-rate",
                                 "--send-rate",
                                 "--user-connections",
                                 "--login-time-s",
                                 "--ping-s",
                                 "--output-bytes",
                                 "--memtable-bytes",
                                 "--checkpoint-s",
                                 "--wal-segment-bytes",
                                 "--connections",
                                 "--stop-time-s",
                                 "--help",
                                 "--version",
                                 "CHITCHAT_",
                                 "\n  --log-durability standby|single\n",
                                 "\n  chitchat reshard --from DIR --to DIR2 --shards N\n"};
    cr_assert_eq(parse("--help"), CONFIG_HELP);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        cr_assert_not_null(strstr(text, names[i]), "%s", names[i]);
    cr_assert_eq(text[strlen(text) - 1], '\n');
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1)
        cr_assert_leq(strcspn(line, "\n"), 110, "%.120s", line);
}

Test(config, help_and_version_come_in_their_usual_forms)
{
    cr_assert_eq(parse("help"), CONFIG_HELP);
    cr_assert_eq(parse("-h"), CONFIG_HELP);
    cr_assert_eq(parse("serve --help"), CONFIG_HELP);
    cr_assert_eq(parse("serve --shards 99 --help"), CONFIG_HELP, "help is given also to whom something went wrong");
    cr_assert_eq(parse("--version"), CONFIG_VERSION);
    cr_assert_str_eq(text, "chitchat " CHITCHAT_VERSION "\n");
    cr_assert_eq(parse("version"), CONFIG_VERSION);
    cr_assert_eq(parse("-V"), CONFIG_VERSION);
}

Test(config_value, numbers_are_read_to_their_last_bit)
{
    uint64_t value;
    cr_assert(config_value_number("18446744073709551615", false, &value) && value == UINT64_MAX);
    cr_assert_not(config_value_number("18446744073709551616", false, &value));
    cr_assert(config_value_number("17179869183G", true, &value) && value == UINT64_C(17179869183) << 30);
    cr_assert_not(config_value_number("17179869184G", true, &value));
    cr_assert(config_value_number("3k", true, &value) && value == 3072);
    cr_assert_not(config_value_number("3k", false, &value));
    const char *const bad[] = {"", "K", "-1", "+1", " 1", "1 ", "0x10", "1KK", "1KB", "1T", "1e3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_not(config_value_number(bad[i], true, &value), "%s", bad[i]);
}

Test(config_value, numbers_are_written_with_the_largest_suffix)
{
    char out[24];
    config_value_write(0, true, out);
    cr_assert_str_eq(out, "0");
    config_value_write(64u << 10, true, out);
    cr_assert_str_eq(out, "64K");
    config_value_write(UINT64_C(1) << 40, true, out);
    cr_assert_str_eq(out, "1024G");
    config_value_write(1025, true, out);
    cr_assert_str_eq(out, "1025");
    config_value_write(1024, false, out);
    cr_assert_str_eq(out, "1024");
    config_value_write(UINT64_MAX, true, out);
    cr_assert_str_eq(out, "18446744073709551615");
}
