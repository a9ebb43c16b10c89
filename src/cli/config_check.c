/* config_check.c: what depends on several options, options that repeat, and texts (config_command.h). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "cli/client_url.h"
#include "cli/config_command.h"
#include "cli/config_value.h"
#include "cli/http_get.h"
#include "protocol/request.h"

#define CLAIM_BYTES_MAX (CONFIG_CLAIM_BYTES - 1)

/* What is wrong with the value of an option that takes text; static. NULL: it fits. */
static const char *text_wrong(const struct option *option, const char *given)
{
    if (option->kind == OPTION_DIR)
        return given[0] == '\0' ? "must name a directory" : NULL;
    if (option->kind == OPTION_FILE)
        return given[0] == '\0' ? "must name a file" : NULL;
    if (option->kind == OPTION_USER)
        return request_is_user_name(span_of(given)) ? NULL
                                                    : "must be a user name: 1 to 128 printable ASCII characters, no "
                                                      "blanks, quotes or backslashes";
    if (option->kind == OPTION_ANY)
        return given[0] == '\0' ? "must not be empty" : NULL;
    ASSERT(option->kind == OPTION_TEXT || option->kind == OPTION_TOKEN_AUDIENCE);
    return given[0] == '\0' || strlen(given) > CLAIM_BYTES_MAX ? "must be a text of 1 to 256 bytes" : NULL;
}

const char *config_take_text(struct config *config, const struct option *option, const char *given)
{
    const char *wrong = text_wrong(option, given);
    if (wrong != NULL)
        return wrong;
    if (option->kind != OPTION_TOKEN_AUDIENCE) {
        memcpy((char *)config + option->offset, &given, sizeof given);
        return NULL;
    }
    if (config->token_audience_count == CONFIG_TOKEN_AUDIENCES_MAX)
        return "is one audience too many: 8 at most";
    char *text = config->token_audience_texts[config->token_audience_count];
    memcpy(text, given, strlen(given) + 1);
    config->token_audiences[config->token_audience_count++] = text;
    return NULL;
}

/* Drops the addresses of one kind; the others keep their order. */
static void forget_listens(struct config_listen *listens, uint32_t *count, bool is_tls)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *count; i++)
        if (listens[i].is_tls != is_tls)
            listens[kept++] = listens[i];
    *count = kept;
}

void config_forget(struct config *config, const struct option *option)
{
    if (option->kind == OPTION_LISTEN || option->kind == OPTION_LISTEN_TLS)
        forget_listens(config->listens, &config->listen_count, option->kind == OPTION_LISTEN_TLS);
    if (option->kind == OPTION_ADMIN || option->kind == OPTION_ADMIN_TLS)
        forget_listens(config->admins, &config->admin_count, option->kind == OPTION_ADMIN_TLS);
    if (option->kind == OPTION_HOST)
        config->host_count = 0;
    if (option->kind == OPTION_TOKEN_KEYS)
        config->token_key_count = 0;
    if (option->kind == OPTION_TOKEN_AUDIENCE)
        config->token_audience_count = 0;
    if (option->kind == OPTION_ORIGIN)
        config->origin_count = 0;
    if (option->kind == OPTION_NETWORK)
        config->proxy_count = config->network_count = 0;
}

bool config_is_repeatable(const struct option *option)
{
    return option->kind == OPTION_LISTEN || option->kind == OPTION_LISTEN_TLS || option->kind == OPTION_ADMIN
           || option->kind == OPTION_ADMIN_TLS || option->kind == OPTION_ORIGIN || option->kind == OPTION_HOST
           || option->kind == OPTION_NETWORK || option->kind == OPTION_TOKEN_KEYS
           || option->kind == OPTION_TOKEN_AUDIENCE;
}

void config_complete(struct config *config)
{
    if (config->listen_count > 0)
        return;
    bool is_good = config_value_listen("127.0.0.1:8080", &config->listens[config->listen_count++]);
    ASSERT(is_good);
}

void config_make_one_line(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

struct writer {
    char *text;
    size_t bytes;
};

static bool refuse(const struct writer *writer, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool refuse(const struct writer *writer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(writer->text, writer->bytes, format, arguments);
    va_end(arguments);
    return false;
}

/* The first address that other machines may reach; NULL: none. */
static const struct config_listen *open_address(const struct config *config)
{
    for (uint32_t i = 0; i < config->listen_count; i++)
        if (!config_value_is_loopback(&config->listens[i]))
            return &config->listens[i];
    return NULL;
}

/* With --auth none there is nothing that a token could be for. */
static bool check_none(const struct config *config, const struct writer *writer)
{
    const struct config_listen *address = open_address(config);
    const char *unused = config->token_secrets != NULL            ? "--token-secrets"
                         : config->token_key_count > 0            ? "--token-keys"
                         : config->token_audience_count > 0       ? "--token-audience"
                         : config->token_issuer != NULL           ? "--token-issuer"
                         : config_is_given(config, "token-claim") ? "--token-claim"
                                                                  : NULL;
    if (unused != NULL)
        return refuse(writer, "chitchat: %s is used with --auth token only: give that too, or leave it out", unused);
    if (address != NULL && config->allows_anyone == 0)
        return refuse(
            writer,
            "chitchat: --listen%s %s: with --auth none, whoever reaches this address could log in as any user: "
            "give --auth token, listen on a loopback address as 127.0.0.1:8080, or, if all who reach it are "
            "trusted, give --allow-anyone",
            address->is_tls ? "-tls" : "", address->text);
    return true;
}

static bool has_public_tls(const struct config *config)
{
    for (uint32_t i = 0; i < config->listen_count; i++)
        if (config->listens[i].is_tls)
            return true;
    return false;
}

/* Files of TLS without an address for it are refused, lest the operator believes that TLS is spoken. */
static bool check_tls(const struct config *config, const struct writer *writer)
{
    bool has_tls = config_has_tls(config);
    if (has_tls && (config->tls_cert == NULL || config->tls_key == NULL))
        return refuse(writer,
                      "chitchat: %s needs --tls-cert F and --tls-key F: give the files of the certificate and its key",
                      has_public_tls(config) ? "--listen-tls" : "--admin-tls");
    if (!has_tls && config_is_given(config, "tls-handshakes"))
        return refuse(writer, "chitchat: --tls-handshakes is used with --listen-tls and --admin-tls only: give one, or "
                              "leave it out");
    if (!has_tls && (config->tls_cert != NULL || config->tls_key != NULL))
        return refuse(writer, "chitchat: --tls-cert and --tls-key are of no use without --listen-tls ADDR:PORT or "
                              "--admin-tls ADDR:PORT: give one, or leave them out");
    return true;
}

/* Who reaches an admin address may read all messages and send as anybody. */
static bool check_admin(const struct config *config, const struct writer *writer)
{
    if (config->admin_token_file != NULL && config->admin_count == 0)
        return refuse(writer,
                      "chitchat: --admin-token-file is of no use without --admin ADDR:PORT: give that, or leave "
                      "it out");
    for (uint32_t i = 0; i < config->admin_count && config->admin_token_file == NULL; i++)
        if (!config_value_is_loopback(&config->admins[i]))
            return refuse(writer,
                          "chitchat: --admin%s %s: whoever reaches this address could send as any user: give "
                          "--admin-token-file F (`openssl rand -hex 32` makes a token), or a loopback address as "
                          "127.0.0.1:8081",
                          config->admins[i].is_tls ? "-tls" : "", config->admins[i].text);
    return true;
}

/* 1 to 32 characters: a to z, 0 to 9, - . and _. */
static bool is_node_name(const char *name)
{
    size_t bytes = strlen(name);
    return bytes >= 1 && bytes <= 32 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-._") == bytes;
}

/* Of the reason of a close frame, in which a standby names it to clients. */
#define ADVERTISE_BYTES_MAX (CONFIG_ADDRESS_BYTES - 1)

/* What is added to a URL without a path, so that the path is /ws. */
static const char *missing_path(const char *url, const struct client_url *parts)
{
    return parts->path[0] != '\0' ? "" : url[strlen(url) - 1] == '/' ? "ws" : "/ws";
}

void config_address(const struct config *config, char out[CONFIG_ADDRESS_BYTES])
{
    struct client_url url;
    out[0] = '\0';
    if (config->advertise == NULL)
        return;
    const char *wrong = client_url_parse(config->advertise, "ws", &url);
    ASSERT(wrong == NULL);
    (void)snprintf(out, CONFIG_ADDRESS_BYTES, "%s%s", config->advertise, missing_path(config->advertise, &url));
}

static bool check_advertise(const struct config *config, const struct writer *writer)
{
    struct client_url url;
    if (config->advertise == NULL)
        return true;
    if (strlen(config->advertise) > ADVERTISE_BYTES_MAX)
        return refuse(writer, "chitchat: --advertise is over %u bytes: give a shorter URL", ADVERTISE_BYTES_MAX);
    const char *wrong = client_url_parse(config->advertise, "ws", &url);
    if (wrong != NULL)
        return refuse(writer, "chitchat: --advertise %s %s: give ws://HOST[:PORT] or wss://HOST[:PORT]",
                      config->advertise, wrong);
    return strlen(config->advertise) + strlen(missing_path(config->advertise, &url)) <= ADVERTISE_BYTES_MAX
           || refuse(writer,
                     "chitchat: --advertise is over %u bytes with the path /ws that it gets: give a shorter URL",
                     ADVERTISE_BYTES_MAX);
}

static bool check_node(const struct config *config, const struct writer *writer)
{
    if (config->log_uris == NULL && (config->node != NULL || config->advertise != NULL))
        return refuse(writer, "chitchat: --node and --advertise are of a node of a cluster: give --cluster URI, too");
    if (config->log_uris == NULL)
        return true;
    if (config->node == NULL)
        return refuse(writer, "chitchat: --cluster needs --node NAME, which no other node of the cluster has");
    if (!is_node_name(config->node))
        return refuse(writer, "chitchat: --node must be 1 to 32 characters of a to z, 0 to 9, - . and _");
    if (config->shards != 0)
        return refuse(writer, "chitchat: --shards is of no use with --cluster: a node has a shard for each slot of the "
                              "cluster, which `chitchat cluster init --slots` has fixed");
    if (config->log_keep_max_s < config->log_keep_s)
        return refuse(writer, "chitchat: --log-keep-max must not be shorter than --log-keep");
    return check_advertise(config, writer);
}

static bool check_serve(const struct config *config, const struct writer *writer)
{
    if (!check_tls(config, writer) || !check_admin(config, writer) || !check_node(config, writer))
        return false;
    if (config->auth == CONFIG_AUTH_NONE)
        return check_none(config, writer);
    if (config->allows_anyone != 0)
        return refuse(writer, "chitchat: --allow-anyone contradicts --auth token: leave one of them out");
    if (config->token_secrets == NULL && config->token_key_count == 0)
        return refuse(writer, "chitchat: --auth token needs keys: give --token-secrets F (`chitchat token --new-secret "
                              "F` makes it) or --token-keys F");
    return true;
}

static bool check_token(const struct config *config, const struct writer *writer)
{
    bool has_secret = config->secret_file != NULL, has_key = config->key_file != NULL;
    if (config->new_secret != NULL && (has_secret || has_key || config->user != NULL))
        return refuse(writer, "chitchat: --new-secret makes a file and no token: give it alone");
    if (config->new_secret != NULL)
        return true;
    if (has_secret == has_key)
        return refuse(writer, "chitchat: token needs --secret-file F or --key-file F, %s: see `chitchat token --help`",
                      has_key ? "and not both" : "or --new-secret F");
    if (config->user == NULL)
        return refuse(writer, "chitchat: token needs --user U: see `chitchat token --help`");
    return true;
}

static bool check_status(const struct config *config, const struct writer *writer)
{
    return http_get_is_url(config->admin_url)
           || refuse(writer, "chitchat: --admin %s must be http://HOST:PORT or https://HOST:PORT", config->admin_url);
}

static bool check_reshard(const struct config *config, const struct writer *writer)
{
    if (config->to_dir == NULL)
        return refuse(writer, "chitchat: reshard needs --to DIR2: see `chitchat reshard --help`");
    if (config->shards == 0)
        return refuse(writer, "chitchat: reshard needs --shards N: see `chitchat reshard --help`");
    return true;
}

static bool check_cluster(const struct config *config, const struct writer *writer)
{
    const char *verb = config->cluster_verb != NULL ? config->cluster_verb : "";
    if (strcmp(verb, "init") != 0 && config->from_dir != NULL)
        return refuse(writer, "chitchat: --from is of cluster init: see `chitchat cluster --help`");
    if (strcmp(verb, "status") == 0)
        return true;
    if (strcmp(verb, "join") == 0 || strcmp(verb, "leave") == 0) {
        if (config->node == NULL)
            return refuse(writer, "chitchat: cluster %s needs --node NAME: see `chitchat cluster --help`", verb);
        if (!is_node_name(config->node))
            return refuse(writer, "chitchat: --node must be 1 to 32 characters of a to z, 0 to 9, - . and _");
        return check_advertise(config, writer);
    }
    if (strcmp(verb, "init") != 0)
        return refuse(writer, "chitchat: cluster needs what to do, which is init, join, leave or status: see `chitchat "
                              "cluster --help`");
    if (config->slots == 0 && config->from_dir == NULL)
        return refuse(writer, "chitchat: cluster init needs --slots N, or --from DIR: see `chitchat cluster --help`");
    return true;
}

static bool check_talk(const struct config *config, enum config_action action, const struct writer *writer)
{
    const char *name = action == CONFIG_CHAT ? "chat" : action == CONFIG_SEND ? "send" : "history";
    if (config->user == NULL && config->token_file == NULL)
        return refuse(writer, "chitchat: %s needs --user U, or --token-file F whose token names the user", name);
    if (action == CONFIG_SEND && config->to_user == NULL)
        return refuse(writer, "chitchat: send needs --to U: see `chitchat send --help`");
    return true;
}

bool config_check(const struct config *config, enum config_action action, char *text, size_t text_bytes)
{
    struct writer writer = {text, text_bytes};
    if (action == CONFIG_SERVE)
        return check_serve(config, &writer);
    if (action == CONFIG_STATUS)
        return check_status(config, &writer);
    if (action == CONFIG_CLUSTER)
        return check_cluster(config, &writer);
    if (action == CONFIG_RESHARD)
        return check_reshard(config, &writer);
    if (action == CONFIG_CHAT || action == CONFIG_SEND || action == CONFIG_HISTORY)
        return check_talk(config, action, &writer);
    return action != CONFIG_TOKEN || check_token(config, &writer);
}
