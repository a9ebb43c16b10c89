/* options.c: the command line of chitchat-load. */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

static const char help_text[] =
    "chitchat-load: load for a chitchat server, and a judge of what it delivers.\n"
    "\n"
    "  chitchat-load [options] ADDR:PORT\n"
    "\n"
    "  --scenario pairs|fanout|idle|history|replay|storm   (default pairs)\n"
    "      pairs    every connection is a user and sends to others\n"
    "      fanout   one sends, all the others are connections of its recipient\n"
    "      idle     connections log in and stay; what they cost is told\n"
    "      history  every connection pages backwards through its timeline of --fill messages\n"
    "      replay   every user is sent --fill messages, then all come back with after 0\n"
    "      storm    all connections drop and come back at once with their cursors\n"
    "  --connections N    (100)\n"
    "  --to random|partner   whom pairs send to (random)\n"
    "  --window N         sends unanswered on each connection: closed loop (1)\n"
    "  --rate N           sends a second over all, latency from the moment they were meant to leave: open loop\n"
    "  --text BYTES       (64; names of sender and time included)\n"
    "  --keys             each send carries a key\n"
    "  --fill N           (1000)   --limit N   messages of a history page (50)\n"
    "  --duration S       (10)     --warmup S  not counted (2)     --seed N (1)\n"
    "  --server-pid PID   its CPU and memory are told\n"
    "  --json FILE        the report once more\n"
    "\n"
    "It ends with 1 when anything was lost, repeated, out of order or not what was sent.\n";

enum { OPTION_SCENARIO = 256, OPTION_CONNECTIONS, OPTION_TO, OPTION_WINDOW, OPTION_RATE, OPTION_TEXT, OPTION_KEYS, OPTION_FILL,
       OPTION_LIMIT, OPTION_DURATION, OPTION_WARMUP, OPTION_SEED, OPTION_SERVER_PID, OPTION_JSON, OPTION_HELP };

static const struct option names[] = {
    {"scenario", required_argument, NULL, OPTION_SCENARIO}, {"connections", required_argument, NULL, OPTION_CONNECTIONS},
    {"to", required_argument, NULL, OPTION_TO},             {"window", required_argument, NULL, OPTION_WINDOW},
    {"rate", required_argument, NULL, OPTION_RATE},         {"text", required_argument, NULL, OPTION_TEXT},
    {"keys", no_argument, NULL, OPTION_KEYS},               {"fill", required_argument, NULL, OPTION_FILL},
    {"limit", required_argument, NULL, OPTION_LIMIT},       {"duration", required_argument, NULL, OPTION_DURATION},
    {"warmup", required_argument, NULL, OPTION_WARMUP},     {"seed", required_argument, NULL, OPTION_SEED},
    {"server-pid", required_argument, NULL, OPTION_SERVER_PID}, {"json", required_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, OPTION_HELP},               {NULL, 0, NULL, 0},
};

static bool complain(const char *name, const char *why)
{
    fprintf(stderr, "chitchat-load: %s %s; see --help\n", name, why);
    return false;
}

static bool take_number(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *value_r)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || value < min || value > max) {
        fprintf(stderr, "chitchat-load: --%s must be a number from %llu to %llu\n", name, (unsigned long long)min,
                (unsigned long long)max);
        return false;
    }
    *value_r = value;
    return true;
}

static bool take_word(const char *name, const char *text, const char *const *words, uint32_t *value_r)
{
    for (uint32_t i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], text) == 0) {
            *value_r = i;
            return true;
        }
    return complain(name, "is none of those known");
}

static bool take_address(const char *text, struct options *options)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (colon == NULL || (size_t)(colon - text) >= sizeof host)
        return complain(text, "is no ADDR:PORT");
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    if (!take_number("port", colon + 1, 1, 65535, &port))
        return false;
    options->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &options->address.sin_addr) != 1)
        return complain(text, "has no IPv4 address");
    snprintf(options->address_text, sizeof options->address_text, "%s", text);
    return true;
}

static bool take_option(int option, struct options *options)
{
    static const char *const scenarios[] = {"pairs", "fanout", "idle", "history", "replay", "storm", NULL};
    static const char *const targets[] = {"random", "partner", NULL};
    uint64_t value = 0;
    uint32_t word = 0;
    bool is_good = true;
    switch (option) {
    case OPTION_SCENARIO:
        is_good = take_word("--scenario", optarg, scenarios, &word);
        options->scenario = (enum scenario)word;
        return is_good;
    case OPTION_TO:
        is_good = take_word("--to", optarg, targets, &word);
        options->to = (enum target)word;
        return is_good;
    case OPTION_CONNECTIONS:
        is_good = take_number("connections", optarg, 2, 1000000, &value);
        options->connections = (uint32_t)value;
        return is_good;
    case OPTION_WINDOW:
        is_good = take_number("window", optarg, 1, SENDS_MAX, &value);
        options->window = (uint32_t)value;
        return is_good;
    case OPTION_RATE:
        is_good = take_number("rate", optarg, 1, 10000000, &value);
        options->rate = (uint32_t)value;
        return is_good;
    case OPTION_TEXT:
        is_good = take_number("text", optarg, 40, 16384, &value);
        options->text_bytes = (uint32_t)value;
        return is_good;
    case OPTION_FILL:
        is_good = take_number("fill", optarg, 1, 10000000, &value);
        options->fill = (uint32_t)value;
        return is_good;
    case OPTION_LIMIT:
        is_good = take_number("limit", optarg, 1, 1000, &value);
        options->history_limit = (uint32_t)value;
        return is_good;
    case OPTION_DURATION:
        is_good = take_number("duration", optarg, 1, 86400, &value);
        options->seconds = (uint32_t)value;
        return is_good;
    case OPTION_WARMUP:
        is_good = take_number("warmup", optarg, 0, 3600, &value);
        options->warmup_s = (uint32_t)value;
        return is_good;
    case OPTION_SEED: return take_number("seed", optarg, 1, UINT64_MAX / 2, &options->seed);
    case OPTION_SERVER_PID:
        is_good = take_number("server-pid", optarg, 1, INT32_MAX, &value);
        options->server_pid = (int)value;
        return is_good;
    case OPTION_KEYS: options->has_keys = true; return true;
    case OPTION_JSON: options->json_path = optarg; return true;
    default: return complain("an option", "is not known");
    }
}

bool options_parse(int argc, char **argv, struct options *options_r, bool *is_help_r)
{
    int option;
    *options_r = (struct options){.connections = 100,
                                  .window = 1,
                                  .text_bytes = 64,
                                  .seconds = 10,
                                  .warmup_s = 2,
                                  .history_limit = 50,
                                  .fill = 1000,
                                  .seed = 1};
    *is_help_r = false;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == OPTION_HELP) {
            *is_help_r = true;
            fputs(help_text, stdout);
            return true;
        }
        if (!take_option(option, options_r))
            return false;
    }
    if (optind + 1 != argc)
        return complain("ADDR:PORT", "of the server must come last");
    return take_address(argv[optind], options_r);
}
