#include "load/options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "load/argument.h"
#include "load/help.h"
#include "load/options_check.h"
#include "load/text.h"

#define PROGRAM "chitchat-load"

enum {
    KEYS = 1000, /* above all characters */
    HELP,
    SCENARIO,
    CONNECTIONS,
    USERS,
    RECIPIENTS,
    RAMP,
    TO,
    WINDOW,
    RATE,
    TEXT,
    DURATION,
    WARMUP,
    FILL,
    LIMIT,
    CHURN,
    STORMS,
    THREADS,
    SOURCE_IPS,
    SEED,
    PREFIX,
    SERVER_PID,
    KILL_SERVER,
    KILL_EVERY,
    JSON,
    HTML,
    PROTOCOL,
    TLS,
    TLS_CA,
    TLS_INSECURE,
    TLS_RESUME,
    TOKEN_SECRET_FILE,
    TOKEN_FILE,
    PROGRESS,
    CSV,
    FAIL_IF,
    COMPARE,
    VERSION,
    SEEN,
    WITH
};

static const struct option long_options[] = {
    {"keys", no_argument, NULL, KEYS},
    {"help", no_argument, NULL, HELP},
    {"scenario", required_argument, NULL, SCENARIO},
    {"connections", required_argument, NULL, CONNECTIONS},
    {"users", required_argument, NULL, USERS},
    {"recipients", required_argument, NULL, RECIPIENTS},
    {"ramp", required_argument, NULL, RAMP},
    {"to", required_argument, NULL, TO},
    {"window", required_argument, NULL, WINDOW},
    {"rate", required_argument, NULL, RATE},
    {"text", required_argument, NULL, TEXT},
    {"duration", required_argument, NULL, DURATION},
    {"warmup", required_argument, NULL, WARMUP},
    {"fill", required_argument, NULL, FILL},
    {"limit", required_argument, NULL, LIMIT},
    {"churn", required_argument, NULL, CHURN},
    {"storms", required_argument, NULL, STORMS},
    {"threads", required_argument, NULL, THREADS},
    {"source-ips", required_argument, NULL, SOURCE_IPS},
    {"seed", required_argument, NULL, SEED},
    {"prefix", required_argument, NULL, PREFIX},
    {"server-pid", required_argument, NULL, SERVER_PID},
    {"kill-server", required_argument, NULL, KILL_SERVER},
    {"kill-every", required_argument, NULL, KILL_EVERY},
    {"json", required_argument, NULL, JSON},
    {"html", required_argument, NULL, HTML},
    {"protocol", required_argument, NULL, PROTOCOL},
    {"tls", no_argument, NULL, TLS},
    {"tls-ca", required_argument, NULL, TLS_CA},
    {"tls-insecure", no_argument, NULL, TLS_INSECURE},
    {"tls-resume", no_argument, NULL, TLS_RESUME},
    {"token-secret-file", required_argument, NULL, TOKEN_SECRET_FILE},
    {"token-file", required_argument, NULL, TOKEN_FILE},
    {"progress", no_argument, NULL, PROGRESS},
    {"csv", required_argument, NULL, CSV},
    {"fail-if", required_argument, NULL, FAIL_IF},
    {"compare", required_argument, NULL, COMPARE},
    {"seen", required_argument, NULL, SEEN},
    {"with", no_argument, NULL, WITH},
    {"version", no_argument, NULL, VERSION},
    {NULL, 0, NULL, 0},
};

static const char *const scenario_names[] = {"pairs", "fanout", "idle",   "history", "replay",
                                             "churn", "storm",  "logins", "peers",   "typing"};

static const char *const protocol_names[] = {[LOAD_CHITCHAT] = "chitchat", [LOAD_NATS] = "nats", [LOAD_HTTP] = "http"};

static bool refuse(const char *name, const char *why)
{
    return load_argument_refuse(PROGRAM, name, why);
}

static bool number(const char *name, const char *text, double min, double max, double *number_r)
{
    return load_argument_number(PROGRAM, name, text, min, max, number_r);
}

static bool whole_number(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *number_r)
{
    return load_argument_whole(PROGRAM, name, text, min, max, number_r);
}

static bool whole(const char *name, const char *text, uint32_t min, uint32_t max, uint32_t *number_r)
{
    uint64_t value;
    bool is_good = whole_number(name, text, min, max, &value);
    *number_r = (uint32_t)value;
    return is_good;
}

static bool take_scenario(const char *text, struct load_options *options)
{
    for (uint32_t i = 0; i < sizeof scenario_names / sizeof scenario_names[0]; i++)
        if (strcmp(text, scenario_names[i]) == 0) {
            options->scenario = (enum load_scenario)i;
            return true;
        }
    return refuse("--scenario", "must be pairs, fanout, idle, history, replay, churn, storm, logins, peers or typing");
}

static bool take_protocol(const char *text, struct load_options *options)
{
    for (uint32_t i = 0; i < sizeof protocol_names / sizeof protocol_names[0]; i++)
        if (strcmp(text, protocol_names[i]) == 0) {
            options->protocol = (enum load_protocol)i;
            return true;
        }
    return refuse("--protocol", "must be chitchat, nats or http");
}

static bool take_target(const char *text, struct load_options *options)
{
    if (strcmp(text, "random") == 0 || strcmp(text, "partner") == 0) {
        options->to = text[0] == 'r' ? LOAD_TO_RANDOM : LOAD_TO_PARTNER;
        return true;
    }
    options->to = LOAD_TO_ZIPF;
    if (strncmp(text, "zipf:", 5) != 0)
        return refuse("--to", "must be random, partner or zipf:S");
    return number("the exponent of --to zipf:S", text + 5, 0, 10, &options->zipf);
}

static bool take_source(const char *text, struct load_options *options)
{
    char first[INET_ADDRSTRLEN] = "127.0.0.2";
    const char *plus = strchr(text, '+');
    if (strchr(text, '.') != NULL) {
        size_t bytes = plus != NULL ? (size_t)(plus - text) : strlen(text);
        if (bytes >= sizeof first)
            return refuse("--source-ips", "must be N or FIRST+N");
        memcpy(first, text, bytes);
        first[bytes] = '\0';
        text = plus != NULL ? plus + 1 : "1";
    }
    if (inet_pton(AF_INET, first, &options->source_first) != 1)
        return refuse("--source-ips", "must be N or FIRST+N, with an IPv4 address");
    return whole("N of --source-ips", text, 1, 65536, &options->source_count);
}

static bool take_prefix(const char *text, struct load_options *options)
{
    bool is_name = *text != '\0' && strlen(text) <= LOAD_PREFIX_BYTES_MAX;
    for (const char *at = text; *at != '\0'; at++)
        is_name &= *at > ' ' && *at <= '~' && *at != '"' && *at != '\\';
    if (!is_name)
        return refuse("--prefix", "must be 1 to 32 characters of a user name");
    snprintf(options->prefix, sizeof options->prefix, "%s", text);
    return true;
}

static bool take_address(const char *text, struct load_options *options)
{
    const char *why = load_address_parse(&options->addresses[options->node_count++], text);
    return why == NULL || refuse(text, why);
}

static bool take_threshold(const char *text, struct load_options *options)
{
    if (options->threshold_count == LOAD_THRESHOLDS_MAX)
        return refuse("--fail-if", "may be given 64 times at most");
    return load_threshold_parse(&options->thresholds[options->threshold_count++], text);
}

static bool take_sizes(int option, const char *text, struct load_options *options)
{
    uint32_t pid = 0;
    switch (option) {
    case CONNECTIONS: return whole("--connections", text, 1, LOAD_SESSIONS_MAX - 1, &options->connections);
    case USERS: return whole("--users", text, 1, LOAD_SESSIONS_MAX - 1, &options->users);
    case RECIPIENTS: return whole("--recipients", text, 2, LOAD_SESSIONS_MAX - 1, &options->recipients);
    case RAMP: return whole("--ramp", text, 1, 10000000, &options->ramp);
    case WINDOW: return whole("--window", text, 1, LOAD_WINDOW_MAX, &options->window);
    case RATE: return whole("--rate", text, 1, 100000000, &options->rate);
    case TEXT: return whole("--text", text, LOAD_TEXT_BYTES_MIN, LOAD_TEXT_BYTES_MAX, &options->text_bytes);
    case DURATION: return number("--duration", text, LOAD_DURATION_S_MIN, 864000, &options->duration_s);
    case WARMUP: return number("--warmup", text, 0, 86400, &options->warmup_s);
    case FILL: return whole("--fill", text, 1, 100000000, &options->fill);
    case LIMIT: return whole("--limit", text, 1, 1000, &options->limit);
    case CHURN: return whole("--churn", text, 1, 1000000, &options->churn);
    case STORMS: return whole("--storms", text, 1, 1000, &options->storms);
    case THREADS: return whole("--threads", text, 1, LOAD_THREADS_MAX, &options->threads);
    case SEEN: return number("--seen", text, 0, 1, &options->seen_share);
    case KILL_EVERY: return number("--kill-every", text, 0.1, 86400, &options->kill_every_s);
    case SEED: return whole_number("--seed", text, 0, UINT64_C(9000000000000000), &options->seed);
    case SERVER_PID:
        if (!whole("--server-pid", text, 1, INT32_MAX, &pid))
            return false;
        options->server_pid = (int)pid;
        return true;
    default: return refuse("an option", "is unknown");
    }
}

static bool take_kill(char *text, struct load_options *options)
{
    if (options->kill_count == LOAD_NODES_MAX)
        return refuse("--kill-server", "may be given twice, once for each node");
    options->kill_commands[options->kill_count++] = text;
    return true;
}

/* The bit of an option that not every scenario uses. */
static uint32_t given_of(int option)
{
    switch (option) {
    case TO: return LOAD_GIVEN_TO;
    case WINDOW: return LOAD_GIVEN_WINDOW;
    case TEXT: return LOAD_GIVEN_TEXT;
    case KEYS: return LOAD_GIVEN_KEYS;
    case FILL: return LOAD_GIVEN_FILL;
    case LIMIT: return LOAD_GIVEN_LIMIT;
    case PREFIX: return LOAD_GIVEN_PREFIX;
    case SEEN: return LOAD_GIVEN_SEEN;
    default: return 0;
    }
}

static bool take_option(int option, char *text, struct load_options *options)
{
    options->given |= given_of(option);
    switch (option) {
    case KEYS: options->has_keys = true; return true;
    case SCENARIO: return take_scenario(text, options);
    case PROTOCOL: return take_protocol(text, options);
    case TO: return take_target(text, options);
    case SOURCE_IPS: return take_source(text, options);
    case PREFIX: return take_prefix(text, options);
    case KILL_SERVER: return take_kill(text, options);
    case JSON: options->json_path = text; return true;
    case HTML: options->html_path = text; return true;
    case TLS: options->has_tls = true; return true;
    case TLS_CA: options->tls_ca_path = text; return true;
    case TLS_INSECURE: options->is_tls_insecure = true; return true;
    case TLS_RESUME: options->has_tls_resume = true; return true;
    case TOKEN_SECRET_FILE: options->secret_path = text; return true;
    case TOKEN_FILE: options->tokens_path = text; return true;
    case WITH: options->has_with = true; return true;
    case PROGRESS: options->has_progress = true; return true;
    case CSV: options->csv_path = text; return true;
    case FAIL_IF: return take_threshold(text, options);
    case COMPARE: options->compare_path = text; return true;
    default: return take_sizes(option, text, options);
    }
}

/* In one line: getopt's own message is turned off. */
static bool refuse_unknown(int option, char **argv)
{
    const char *word = argv[optind - 1];
    return option == ':' ? refuse(word, "needs a value")
                         : refuse(word, "is an unknown option (or is ambiguous, or takes no value)");
}

int load_options_parse(struct load_options *options_r, int argc, char **argv)
{
    int option;
    *options_r = (struct load_options){.threads = 1,
                                       .connections = 100,
                                       .text_bytes = 64,
                                       .duration_s = 10,
                                       .warmup_s = 2,
                                       .seed = 1,
                                       .prefix = "load-",
                                       .fill = 500,
                                       .limit = 50,
                                       .words = argv,
                                       .word_count = argc};
    opterr = 0;
    optind = 0; /* glibc: starts again */
    while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        if (option == HELP)
            load_help_print(stdout);
        if (option == VERSION)
            puts("chitchat-load " CHITCHAT_VERSION);
        if (option == HELP || option == VERSION)
            return 1;
        if (option == '?' || option == ':' ? !refuse_unknown(option, argv) : !take_option(option, optarg, options_r))
            return -1;
    }
    if (optind == argc || optind + (int)LOAD_NODES_MAX < argc) {
        refuse(optind == argc ? "ADDR:PORT" : argv[optind + (int)LOAD_NODES_MAX],
               optind == argc ? "of the server must come last"
                              : "is one too many: a server has one, a pair of nodes two");
        return -1;
    }
    for (; optind < argc; optind++)
        if (!take_address(argv[optind], options_r))
            return -1;
    return load_options_check(options_r) ? 0 : -1;
}

const char *load_options_scenario(const struct load_options *options)
{
    ASSERT((uint32_t)options->scenario < sizeof scenario_names / sizeof scenario_names[0]);
    return scenario_names[options->scenario];
}

const char *load_options_protocol(const struct load_options *options)
{
    ASSERT((uint32_t)options->protocol < sizeof protocol_names / sizeof protocol_names[0]);
    return protocol_names[options->protocol];
}

bool load_options_has_pair(const struct load_options *options)
{
    return options->node_count > 1;
}

bool load_options_kills(const struct load_options *options)
{
    return options->kill_count > 0;
}

bool load_options_comes_back(const struct load_options *options)
{
    return options->scenario == LOAD_CHURN || options->scenario == LOAD_STORM || load_options_kills(options)
           || load_options_has_pair(options);
}

bool load_options_is_silent(const struct load_options *options)
{
    return options->scenario == LOAD_IDLE || options->scenario == LOAD_LOGINS_AGAIN;
}

bool load_options_has_tokens(const struct load_options *options)
{
    return options->secret_path != NULL || options->tokens_path != NULL;
}

bool load_options_fills(const struct load_options *options)
{
    return options->scenario == LOAD_HISTORY || options->scenario == LOAD_REPLAY || options->scenario == LOAD_PEERS;
}

bool load_options_marks(const struct load_options *options)
{
    return options->scenario == LOAD_PEERS || options->seen_share > 0;
}

bool load_options_talks(const struct load_options *options)
{
    return load_options_marks(options) || options->scenario == LOAD_TYPING || options->has_with;
}

uint32_t load_options_connected_users(const struct load_options *options)
{
    return options->scenario == LOAD_FANOUT ? 2 * options->users : options->users;
}
