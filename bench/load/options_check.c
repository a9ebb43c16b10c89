#include "load/options_check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "load/argument.h"

#define SEEN_SHARE_OF_PEERS 0.1 /* so that `peers` has marks, and unseen messages, to be checked */

static bool refuse(const char *name, const char *why)
{
    return load_argument_refuse("chitchat-load", name, why);
}

static bool has_senders(const struct load_options *options)
{
    return options->scenario == LOAD_PAIRS || options->scenario == LOAD_FANOUT || options->scenario == LOAD_CHURN
           || options->scenario == LOAD_STORM || options->scenario == LOAD_TYPING;
}

static bool has_pages(const struct load_options *options)
{
    return options->scenario == LOAD_HISTORY || options->scenario == LOAD_PEERS;
}

static bool check_users(struct load_options *options)
{
    bool is_fanout = options->scenario == LOAD_FANOUT;
    if (options->users == 0)
        options->users = is_fanout ? 1 : options->connections;
    if (is_fanout && options->connections / 2 < options->users)
        return refuse("--scenario fanout",
                      "needs two --connections for each of --users: one that sends, one that receives");
    if (options->users > options->connections)
        return refuse("--users", "must be at most --connections; more names to send to: --recipients");
    if (options->recipients == 0)
        options->recipients = options->users;
    else if (is_fanout || load_options_is_silent(options) || options->to == LOAD_TO_PARTNER)
        return refuse("--recipients", "is for --to random or zipf:S, and not for --scenario fanout, idle or logins");
    return options->recipients >= options->users
           || refuse("--recipients", "must be at least --users, which are the first of them");
}

static bool check_server(const struct load_options *options)
{
    char path[64];
    if (!load_options_kills(options) && options->kill_every_s > 0)
        return refuse("--kill-every", "needs --kill-server CMD");
    if (load_options_kills(options) && options->server_pid != 0)
        return refuse("--server-pid", "must be left out with --kill-server, which starts the server");
    if (load_options_kills(options) && options->kill_count != options->node_count)
        return refuse("--kill-server", "must be given once for each ADDR:PORT, in their order");
    if (load_options_has_pair(options) && options->server_pid != 0)
        return refuse("--server-pid", "is for one server, not for two nodes");
    snprintf(path, sizeof path, "/proc/%d/stat", options->server_pid);
    return options->server_pid == 0 || access(path, R_OK) == 0
           || refuse("--server-pid", "must be the id of a running process");
}

static bool check_security(const struct load_options *options)
{
    bool is_returning =
        load_options_comes_back(options) || options->scenario == LOAD_REPLAY || options->scenario == LOAD_LOGINS_AGAIN;
    if (options->protocol != LOAD_CHITCHAT && (options->has_tls || load_options_has_tokens(options)))
        return refuse(options->has_tls               ? "--tls"
                      : options->secret_path != NULL ? "--token-secret-file"
                                                     : "--token-file",
                      options->protocol == LOAD_NATS ? "is for chitchat, not for --protocol nats"
                                                     : "is for WebSockets, not for --protocol http");
    if (options->secret_path != NULL && options->tokens_path != NULL)
        return refuse("--token-file", "must be left out with --token-secret-file, by which the run makes tokens");
    if (options->tokens_path != NULL && load_options_marks(options) && (options->given & LOAD_GIVEN_PREFIX) == 0)
        return refuse("--token-file", "needs --prefix here: without it the names of the users hold the run's number");
    if (!options->has_tls && (options->tls_ca_path != NULL || options->is_tls_insecure || options->has_tls_resume))
        return refuse(options->tls_ca_path != NULL ? "--tls-ca"
                      : options->is_tls_insecure   ? "--tls-insecure"
                                                   : "--tls-resume",
                      "needs --tls");
    if (options->tls_ca_path != NULL && options->is_tls_insecure)
        return refuse("--tls-ca", "has no effect with --tls-insecure, which checks no certificate");
    if (options->has_tls && load_options_has_pair(options)
        && strcmp(options->addresses[0].host, options->addresses[1].host) != 0)
        return refuse("--tls", "needs two nodes of the same host: the certificate is checked for one");
    return !options->has_tls_resume || is_returning
           || refuse("--tls-resume", "is for connections that come back: logins, replay, churn, storm, --kill-server");
}

/* Checked before the run, not after it. */
static bool is_writable(const char *name, const char *path)
{
    FILE *file = path != NULL ? fopen(path, "a") : NULL;
    if (path == NULL || (file != NULL && fclose(file) == 0))
        return true;
    fprintf(stderr, "chitchat-load: %s %s: %s\n", name, path, strerror(errno));
    return false;
}

static bool needs(const struct load_options *options, enum load_given given, bool is_used, const char *name,
                  const char *why)
{
    return (options->given & given) == 0 || is_used || refuse(name, why);
}

/* Each option that was given has an effect. */
static bool check_given(const struct load_options *options)
{
    bool is_filled = load_options_fills(options);
    bool is_sending = has_senders(options) || is_filled;
    return needs(options, LOAD_GIVEN_WINDOW, has_senders(options) || has_pages(options), "--window",
                 "is for scenarios that send, and for history and peers: an idle connection asks for nothing, one of "
                 "replay for "
                 "one "
                 "replay at a time")
           && needs(options, LOAD_GIVEN_TEXT, is_sending, "--text", "changes nothing: idle connections send nothing")
           && needs(options, LOAD_GIVEN_KEYS, is_sending, "--keys", "changes nothing: idle connections send nothing")
           && needs(options, LOAD_GIVEN_TO, is_sending && options->scenario != LOAD_FANOUT, "--to",
                    "is for all scenarios but idle, which sends nothing, and fanout, whose senders have a user each")
           && needs(options, LOAD_GIVEN_FILL, is_filled, "--fill", "needs --scenario history, replay or peers")
           && needs(options, LOAD_GIVEN_LIMIT, has_pages(options), "--limit", "needs --scenario history or peers")
           && needs(options, LOAD_GIVEN_SEEN, options->scenario == LOAD_PAIRS || options->scenario == LOAD_PEERS,
                    "--seen", "needs --scenario pairs or peers")
           && needs(options, LOAD_GIVEN_PREFIX, options->protocol != LOAD_NATS, "--prefix",
                    "is for chitchat: a nats-server has subjects, not users");
}

/* A ratio is one to an earlier run. */
static bool check_thresholds(const struct load_options *options)
{
    for (uint32_t i = 0; i < options->threshold_count; i++)
        if (options->thresholds[i].is_ratio && options->compare_path == NULL) {
            fprintf(stderr, "chitchat-load: --fail-if %s: a limit that ends with x needs --compare FILE; see --help\n",
                    options->thresholds[i].text);
            return false;
        }
    return true;
}

static bool check_protocol(struct load_options *options)
{
    bool is_alone = !load_options_kills(options) && !load_options_has_pair(options);
    if (options->protocol == LOAD_NATS
        && (options->scenario > LOAD_IDLE || options->scenario == LOAD_FANOUT || options->users < options->connections
            || options->has_keys || !is_alone))
        return refuse(
            "--protocol nats",
            "is for --scenario pairs or idle, one connection a user, one server, no --keys, no --kill-server");
    if (options->protocol == LOAD_HTTP
        && (options->scenario != LOAD_PAIRS || options->window > 1 || options->seen_share > 0 || !is_alone))
        return refuse("--protocol http",
                      "is for --scenario pairs, a --window of 1, one server, no --seen, no --kill-server");
    return true;
}

bool load_options_check(struct load_options *options)
{
    if (!check_users(options) || !check_server(options) || !check_given(options) || !check_security(options))
        return false;
    for (uint32_t i = 0; i < options->node_count; i++)
        if (options->source_count > 0 && !load_address_keep(&options->addresses[i], AF_INET))
            return refuse("--source-ips", "are IPv4 addresses, so the server's must be one too");
    if (!check_protocol(options))
        return false;
    if (options->threads > options->connections)
        return refuse("--threads", "must be at most --connections");
    if (options->rate > 0 && !has_senders(options))
        return refuse("--rate", "is for scenarios that send: pairs, fanout, churn, storm, typing");
    if (options->churn > 0 && options->scenario != LOAD_CHURN)
        return refuse("--churn", "needs --scenario churn");
    if (options->storms > 0 && options->scenario != LOAD_STORM)
        return refuse("--storms", "needs --scenario storm");
    if (options->churn == 0)
        options->churn = options->connections >= 10 ? options->connections / 10 : 1;
    if (options->storms == 0)
        options->storms = 1;
    if (options->kill_every_s == 0)
        options->kill_every_s = 3;
    if (has_pages(options) && options->window > LOAD_WALKS_MAX)
        return refuse("--window", "of --scenario history and peers must be at most 64 pages");
    if (options->has_with && options->scenario != LOAD_HISTORY)
        return refuse("--with", "needs --scenario history");
    if (options->scenario == LOAD_PEERS && (options->given & LOAD_GIVEN_SEEN) == 0)
        options->seen_share = SEEN_SHARE_OF_PEERS;
    if (options->window == 0)
        options->window = options->rate > 0 && options->protocol != LOAD_HTTP ? LOAD_WINDOW_MAX : 1;
    if (load_options_comes_back(options))
        options->has_keys = true;
    return check_thresholds(options) && is_writable("--json", options->json_path)
           && is_writable("--html", options->html_path) && is_writable("--csv", options->csv_path);
}
