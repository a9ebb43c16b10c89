/* Options that depend on each other: who may log in, TLS, and the command that makes tokens. */
#include <criterion/criterion.h>

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

Test(config_check, without_tokens_the_server_listens_on_loopback_only_unless_anyone_is_allowed)
{
    static const struct {
        const char *address;
        bool is_loopback;
    } cases[] = {{"127.0.0.1:1", true},  {"127.8.9.10:1", true}, {"[::1]:1", true},
                 {"0.0.0.0:1", false},   {"[::]:1", false},      {"192.168.1.1:1", false},
                 {"[fe80::1]:1", false}, {"128.0.0.1:1", false}, {"[::127.0.0.1]:1", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[128];
        (void)snprintf(line, sizeof line, "serve --listen 127.0.0.1:2 --listen %s", cases[i].address);
        if (cases[i].is_loopback)
            cr_assert_eq(parse(line), CONFIG_SERVE, "%s", text);
        else
            assert_error(line, cases[i].address, "--allow-anyone");
        strcat(line, " --allow-anyone");
        cr_assert_eq(parse(line), CONFIG_SERVE, "%s", text);
    }
    cr_assert_eq(parse("serve --listen 0.0.0.0:1 --auth token --token-secrets s"), CONFIG_SERVE, "%s", text);
    assert_error("serve --listen 0.0.0.0:1 --allow-anyone=no", "--listen 0.0.0.0:1", "--auth token");
    assert_error("serve --listen-tls 0.0.0.0:1 --tls-cert c.pem --tls-key k.pem", "--listen-tls 0.0.0.0:1",
                 "--allow-anyone");
    assert_error("serve --allow-anyone=1", "--allow-anyone", "yes or no");
}

Test(config_check, the_options_of_tokens_reach_their_fields)
{
    cr_assert_eq(parse("serve --auth token --token-secrets /s --token-keys /a --token-keys /b --token-claim name "
                       "--token-audience chat --token-audience=phone --token-issuer https://i"),
                 CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.auth, CONFIG_AUTH_TOKEN);
    cr_assert_str_eq(config.token_secrets, "/s");
    cr_assert_eq(config.token_key_count, 2);
    cr_assert_str_eq(config.token_keys[1], "/b");
    cr_assert_str_eq(config.token_claim, "name");
    cr_assert_eq(config.token_audience_count, 2);
    cr_assert_str_eq(config.token_audiences[0], "chat");
    cr_assert_str_eq(config.token_audiences[1], "phone");
    cr_assert_str_eq(config.token_issuer, "https://i");
    char *const environment[] = {"CHITCHAT_AUTH=token", "CHITCHAT_TOKEN_KEYS=/a,/b,/c",
                                 "CHITCHAT_TOKEN_AUDIENCE=web,phone", NULL};
    cr_assert_eq(parse_in(environment, "serve"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.token_key_count, 3);
    cr_assert_str_eq(config.token_keys[2], "/c");
    cr_assert_eq(config.token_audience_count, 2);
    cr_assert_str_eq(config.token_audiences[0], "web");
    cr_assert_str_eq(config.token_audiences[1], "phone");
    cr_assert_null(config.token_secrets);
    cr_assert_eq(parse_in(environment, "serve --token-keys /d"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.token_key_count, 1);
    cr_assert_eq(parse("serve"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.auth, CONFIG_AUTH_NONE);
    cr_assert_str_eq(config.token_claim, "sub");
}

Test(config_check, options_of_tokens_that_do_not_fit_each_other_are_refused)
{
    assert_error("serve --auth token", "--token-secrets", "--token-keys");
    assert_error("serve --auth some", "--auth some", "none or token");
    assert_error("serve --auth token --token-secrets s --allow-anyone", "--allow-anyone", "--auth token");
    assert_error("serve --token-secrets s", "--token-secrets", "--auth token");
    assert_error("serve --token-keys k", "--token-keys", "--auth token");
    assert_error("serve --token-audience a", "--token-audience", "--auth token");
    assert_error("serve --token-issuer i", "--token-issuer", "--auth token");
    assert_error("serve --auth token --token-secrets=", "--token-secrets", "file");
    assert_error("serve --auth token --token-secrets s --token-audience=", "--token-audience", "1 to 256 bytes");
    assert_error("serve --auth token --token-secrets s --token-audience 1 --token-audience 2 --token-audience 3 "
                 "--token-audience 4 --token-audience 5 --token-audience 6 --token-audience 7 --token-audience 8 "
                 "--token-audience 9",
                 "--token-audience 9", "8 at most");
}

Test(config_check, the_token_command_signs_with_one_key_or_makes_a_secret)
{
    cr_assert_eq(parse("token --secret-file /s --user alice"), CONFIG_TOKEN, "%s", text);
    cr_assert_eq(config.for_s, 3600);
    cr_assert_str_eq(config.secret_file, "/s");
    cr_assert_eq(parse("token --key-file /k --user alice --for 30d --kid 7 --claim c --audience a --issuer i"),
                 CONFIG_TOKEN, "%s", text);
    cr_assert_eq(config.for_s, 30u * 86400);
    cr_assert_str_eq(config.kid, "7");
    cr_assert_eq(parse("token --new-secret /s"), CONFIG_TOKEN, "%s", text);
    assert_error("token", "--secret-file", "--new-secret");
    assert_error("token --secret-file /s", "--user", "--help");
    assert_error("token --secret-file /s --key-file /k --user alice", "not both", "--key-file");
    assert_error("token --new-secret /s --user alice", "--new-secret", "alone");
    assert_error("token --secret-file /s --user alice --for 0s", "--for", "from 1s to 36600d, as 90s, 15m");
    assert_error("token --secret-file /s --user alice --for h", "--for", "15m");
    assert_error("token --secret-file /s --user alice --for 1w", "--for", "15m");
    assert_error("token --secret-file /s --user alice --for 99999999999h", "--for", "15m");
}

Test(config_check, a_time_out_of_range_names_the_range)
{
    assert_error("serve --erase-within 23h", "--erase-within 23h", "from 1d to 3660d");
    assert_error("serve --log-keep-max 59", "--log-keep-max 59", "from 1m to 366d");
    assert_error("serve --retention 1.5d", "--retention 1.5d", "from 0s to 36600d");
}

Test(config_check, a_time_has_a_unit_or_is_in_seconds)
{
    uint64_t seconds;
    cr_assert(config_value_duration("90", &seconds) && seconds == 90);
    cr_assert(config_value_duration("90s", &seconds) && seconds == 90);
    cr_assert(config_value_duration("15m", &seconds) && seconds == 900);
    cr_assert(config_value_duration("2h", &seconds) && seconds == 7200);
    cr_assert(config_value_duration("1d", &seconds) && seconds == 86400);
    cr_assert_not(config_value_duration("", &seconds) || config_value_duration("s", &seconds)
                  || config_value_duration("-1s", &seconds) || config_value_duration("1.5h", &seconds)
                  || config_value_duration("1hh", &seconds)
                  || config_value_duration("18446744073709551615d", &seconds));
}

#define TLS_FILES " --tls-cert c.pem --tls-key k.pem"

Test(config_check, addresses_with_tls_stand_beside_plain_ones_or_alone)
{
    cr_assert_eq(parse("serve --listen 127.0.0.1:1 --listen-tls 127.0.0.2:2 --listen [::1]:3" TLS_FILES), CONFIG_SERVE,
                 "%s", text);
    cr_assert_eq(config.listen_count, 3);
    cr_assert(!config.listens[0].is_tls && config.listens[1].is_tls && !config.listens[2].is_tls);
    cr_assert_str_eq(config.listens[1].text, "127.0.0.2:2");
    cr_assert_str_eq(config.tls_cert, "c.pem");
    cr_assert_str_eq(config.tls_key, "k.pem");
    cr_assert_eq(config.tls_handshakes, 256);
    cr_assert_eq(parse("serve --listen-tls 127.0.0.2:2" TLS_FILES), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.listen_count, 1, "there is no default address then");
    cr_assert(config.listens[0].is_tls);
    cr_assert_eq(parse("serve"), CONFIG_SERVE);
    cr_assert(!config.listens[0].is_tls && config.tls_cert == NULL);
}

Test(config_check, tls_needs_its_files_and_files_need_tls)
{
    assert_error("serve --listen-tls 127.0.0.1:1", "--tls-cert F", "--tls-key F");
    assert_error("serve --listen-tls 127.0.0.1:1 --tls-key k.pem", "--tls-cert F", "--tls-key F");
    assert_error("serve --tls-cert c.pem --tls-key k.pem", "--tls-cert", "--listen-tls ADDR:PORT");
    assert_error("serve --listen-tls here" TLS_FILES, "--listen-tls", "[::1]:8080");
    assert_error("serve --listen-tls 127.0.0.1:1 --tls-key k.pem --tls-cert=", "--tls-cert", "must name a file");
}

Test(config_check, addresses_of_one_kind_replace_those_of_the_environment)
{
    char *environment[] = {"CHITCHAT_LISTEN=127.0.0.1:1,127.0.0.1:2", "CHITCHAT_LISTEN_TLS=127.0.0.2:1,127.0.0.2:2",
                           "CHITCHAT_TLS_CERT=c.pem", "CHITCHAT_TLS_KEY=k.pem", NULL};
    cr_assert_eq(parse_in(environment, "serve --listen-tls 127.0.0.3:3"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(config.listen_count, 3);
    cr_assert_str_eq(config.listens[0].text, "127.0.0.1:1");
    cr_assert_str_eq(config.listens[1].text, "127.0.0.1:2");
    cr_assert_str_eq(config.listens[2].text, "127.0.0.3:3");
    cr_assert(config.listens[2].is_tls);
}

Test(config_check, what_only_tokens_or_tls_use_is_refused_without_them)
{
    assert_error("serve --token-claim name", "--token-claim", "--auth token");
    assert_error("serve --tls-handshakes 256", "--tls-handshakes", "--listen-tls");
    cr_assert_eq(parse("serve --auth token --token-secrets s --token-claim name"), CONFIG_SERVE, "%s", text);
    cr_assert_eq(parse("serve --listen-tls 127.0.0.1:1 --tls-cert c --tls-key k --tls-handshakes 9"), CONFIG_SERVE,
                 "%s", text);
}

Test(config_check, an_ipv4_address_in_the_form_of_ipv6_is_refused)
{
    assert_error("serve --listen [::ffff:127.0.0.1]:0", "--listen [::ffff:127.0.0.1]:0", "write it as 127.0.0.1:8080");
    assert_error("serve --listen [::ffff:a00:1]:0 --allow-anyone", "is an IPv4 address", "form of IPv6");
}

Test(config_check, the_cluster_command_makes_logs)
{
    cr_assert_eq(parse("cluster init --slots 4 --log postgresql://db/chat"), CONFIG_CLUSTER, "%s", text);
    cr_assert_str_eq(config.log_uris, "postgresql://db/chat");
    cr_assert_str_eq(config.cluster_name, "chitchat");
    cr_assert_eq(config.slots, 4);
    cr_assert_eq(config.log_durability, CONFIG_LOG_STANDBY);
    cr_assert_eq(parse("cluster init --slots 4 --log a --name chat_2 --log-durability single"), CONFIG_CLUSTER);
    cr_assert_str_eq(config.cluster_name, "chat_2");
    cr_assert_eq(config.log_durability, CONFIG_LOG_SINGLE);
    assert_error("cluster init --slots 4", "cluster needs --log", "--help");
    assert_error("cluster init --log a", "cluster init needs --slots N, or --from DIR", "--help");
    assert_error("cluster --log a --slots 4", "needs what to do", "init");
    assert_error("cluster begin --log a --slots 4", "needs what to do", "init");
    assert_error("cluster init --log a --slots 4 --log-durability most", "--log-durability most", "standby or single");
}

Test(config_check, a_node_of_a_cluster_has_a_name_and_no_shards_of_its_own)
{
    cr_assert_eq(parse("serve --cluster postgresql://db/chat --node n1"), CONFIG_SERVE, "%s", text);
    cr_assert_str_eq(config.log_uris, "postgresql://db/chat");
    cr_assert_str_eq(config.node, "n1");
    cr_assert_eq(config.log_keep_s, 86400);
    cr_assert_null(config.advertise);
    assert_error("serve --cluster postgresql://db/chat", "--cluster needs --node", "no other node");
    assert_error("serve --cluster postgresql://db/chat --node N1", "--node must be 1 to 32", "a to z");
    assert_error("serve --cluster postgresql://db/chat --node n1 --shards 2", "--shards is of no use", "--slots");
    assert_error("serve --node n1", "are of a node of a cluster", "--cluster");
    assert_error("serve --advertise wss://a", "are of a node of a cluster", "--cluster");
}

#define CHARACTERS_56 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CHARACTERS_58 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ADDRESS_123 "ws://b/" CHARACTERS_58 CHARACTERS_58
#define HOST_114 CHARACTERS_56 CHARACTERS_58

Test(config_check, the_address_of_a_node_is_a_url_of_a_websocket_that_fits_into_a_close_frame)
{
    cr_assert_eq(parse("serve --cluster a --node n1 --advertise wss://chat-1.example.org/ws"), CONFIG_SERVE, "%s",
                 text);
    cr_assert_eq(parse("cluster join --log a --node n1 --advertise ws://[::1]:8080"), CONFIG_CLUSTER, "%s", text);
    cr_assert_eq(parse("serve --cluster a --node n1 --advertise " ADDRESS_123), CONFIG_SERVE, "%s", text);
    assert_error("serve --cluster a --node n1 --advertise " ADDRESS_123 "a", "over 123 bytes", "shorter");
    assert_error("serve --cluster a --node n1 --advertise wss://a" HOST_114, "over 123 bytes with the path /ws",
                 "shorter");
    assert_error("serve --cluster a --node n1 --advertise chat-1", "--advertise chat-1 ", "give ws://HOST[:PORT]");
    assert_error("cluster join --log a --node n1 --advertise https://b", "--advertise https://b ", "wss://HOST[:PORT]");
}

static const char *advertised(const char *url)
{
    static char address[CONFIG_ADDRESS_BYTES];
    char words[256];
    (void)snprintf(words, sizeof words, "serve --cluster a --node n1 %s %s", url[0] != '\0' ? "--advertise" : "", url);
    cr_assert_eq(parse(words), CONFIG_SERVE, "%s", text);
    config_address(&config, address);
    return address;
}

Test(config_check, the_address_of_a_node_without_a_path_gets_that_of_the_websocket)
{
    cr_expect_str_eq(advertised("wss://chat-1.example.org"), "wss://chat-1.example.org/ws");
    cr_expect_str_eq(advertised("ws://[::1]:8080/"), "ws://[::1]:8080/ws");
    cr_expect_str_eq(advertised("wss://b/chat/ws"), "wss://b/chat/ws");
    cr_expect_str_eq(advertised("wss://b?a=/"), "wss://b?a=/");
    cr_expect_str_eq(advertised("wss://" HOST_114), "wss://" HOST_114 "/ws");
    cr_expect_str_eq(advertised(""), "");
}
