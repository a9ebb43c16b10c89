#include "hostile_options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "hostile_plan.h"
#include "hostile_probe.h"
#include "load/argument.h"

#define PROGRAM "hostile"

static const char help_text[] =
    "hostile: attacks a chitchat server, and measures another client meanwhile.\n"
    "\n"
    "Usage: hostile [options] ADDR:PORT      (127.0.0.1:8080, [::1]:8080, localhost:8080)\n"
    "\n"
    "  --attack NAME,...  only these (all); --list names them\n"
    "  --seconds S        of each attack, and of the client alone before it (5)\n"
    "  --rate N           sends a second of the client (200)\n"
    "  --window N         sends unanswered at most, 1 to 512 (256); 1: each waits for the one before it\n"
    "  --tls ADDR:PORT    where the server listens with TLS, for the attacks on that; without it they are left out\n"
    "  --from ADDR        the attackers' own address (127.0.0.2); the client keeps that of the system\n"
    "  --pid PID          report the CPU and memory of this process (the one that listens there, if it can be found)\n"
    "  --json FILE        the figures as JSON\n"
    "  --check            end with 1 if a verdict is not `kept`\n"
    "\n"
    "A well-behaved client sends to a partner at a steady rate; a latency counts from when the send was due. Its p99 "
    "is\n"
    "measured alone, under the attack, and from one second after the attack on. The verdict is `kept` if the p99 under "
    "the\n"
    "attack is at most 25 ms or four times that alone, whichever is more; `broken` if it is more; `lost` if the server "
    "closed\n"
    "the client's connection; `hung` if the server has answered nothing for 30 s: then the other attacks are left "
    "out.\n"
    "\n"
    "Pin the server to one core and this program to another (taskset). The client shares that core with the attackers "
    "and\n"
    "runs before them. What an attack needs of the server: history-with and replay a large --memtable-bytes and\n"
    "--checkpoint-s, full-refusals a --connections below 15,000, bad-frames --shards 2. Ends with 2 if the run was not "
    "possible.\n";

enum { HELP = 1000, LIST, ATTACK, SECONDS, RATE, WINDOW, TLS, FROM, PID, JSON, CHECK };

static const struct option long_options[] = {
    {"help", no_argument, NULL, HELP},           {"list", no_argument, NULL, LIST},
    {"attack", required_argument, NULL, ATTACK}, {"seconds", required_argument, NULL, SECONDS},
    {"rate", required_argument, NULL, RATE},     {"window", required_argument, NULL, WINDOW},
    {"tls", required_argument, NULL, TLS},       {"from", required_argument, NULL, FROM},
    {"pid", required_argument, NULL, PID},       {"json", required_argument, NULL, JSON},
    {"check", no_argument, NULL, CHECK},         {NULL, 0, NULL, 0},
};

static bool refuse(const char *name, const char *why)
{
    return load_argument_refuse(PROGRAM, name, why);
}

static bool whole(const char *name, const char *text, uint64_t max, uint32_t *number_r)
{
    uint64_t number = 0;
    bool is_good = load_argument_whole(PROGRAM, name, text, 1, max, &number);
    *number_r = (uint32_t)number;
    return is_good;
}

/* Names, separated by commas. */
static bool take_attacks(const char *text, struct hostile_options *options)
{
    options->attack_count = 0;
    for (const char *at = text;; at++) {
        size_t bytes = strcspn(at, ",");
        uint32_t index = hostile_plan_find(at, bytes);
        if (index == UINT32_MAX) {
            fprintf(stderr, "hostile: --attack %.*s names no attack; see --list\n", (int)bytes, at);
            return false;
        }
        if (options->attack_count == HOSTILE_ATTACKS_MAX)
            return refuse("--attack", "names too many");
        options->attacks[options->attack_count++] = index;
        at += bytes;
        if (*at == '\0')
            return true;
    }
}

static bool parse_address(const char *name, const char *text, struct load_address *address_r)
{
    const char *why = load_address_parse(address_r, text);
    return why == NULL || refuse(name, why);
}

static bool take_from(const char *text, struct sockaddr_in *from_r)
{
    from_r->sin_family = AF_INET;
    return inet_pton(AF_INET, text, &from_r->sin_addr) == 1 || refuse("--from", "is no IPv4 address");
}

static bool take_option(int option, const char *text, struct hostile_options *options)
{
    uint32_t pid = 0;
    switch (option) {
    case ATTACK: return take_attacks(text, options);
    case TLS: return parse_address("--tls", text, &options->tls_address);
    case FROM: return take_from(text, &options->from);
    case SECONDS: return load_argument_number(PROGRAM, "--seconds", text, 0.1, 3600, &options->seconds);
    case RATE: return whole("--rate", text, 10000, &options->rate);
    case WINDOW: return whole("--window", text, HOSTILE_WINDOW_MAX, &options->window);
    case JSON: options->json_path = text; return true;
    case CHECK: options->must_keep = true; return true;
    default: break;
    }
    bool is_good = whole("--pid", text, INT32_MAX, &pid);
    options->pid = (int)pid;
    return is_good;
}

static void list_attacks(void)
{
    for (uint32_t i = 0; i < hostile_plan_count(); i++)
        printf("%-16s %s\n", hostile_plan_at(i)->name, hostile_plan_at(i)->about);
}

/* Prints the text if the option asks for one. */
static bool serve_text(int option)
{
    if (option == HELP)
        fputs(help_text, stdout);
    else if (option == LIST)
        list_attacks();
    return option == HELP || option == LIST;
}

static bool take_address(int argc, char **argv, struct hostile_options *options)
{
    if (optind == argc)
        return refuse("ADDR:PORT", "of the server must come last");
    if (optind + 1 != argc)
        return refuse(argv[optind + 1], "is one too many");
    return parse_address(argv[optind], argv[optind], &options->address);
}

/* Without an address for them, the attacks on TLS are left out of all, and refused if they were named. */
static bool check_tls(struct hostile_options *options, bool is_named)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < options->attack_count; i++) {
        if (!hostile_plan_at(options->attacks[i])->is_tls || options->tls_address.count > 0)
            options->attacks[kept++] = options->attacks[i];
        else if (is_named)
            return refuse(hostile_plan_at(options->attacks[i])->name, "needs --tls ADDR:PORT");
    }
    options->attack_count = kept;
    return true;
}

int hostile_options_parse(struct hostile_options *options_r, int argc, char **argv)
{
    int option;
    bool is_named = false;
    *options_r =
        (struct hostile_options){.seconds = 5, .rate = 200, .window = 256, .attack_count = hostile_plan_count()};
    for (uint32_t i = 0; i < hostile_plan_count(); i++)
        options_r->attacks[i] = i;
    opterr = 0;
    optind = 0; /* glibc: starts again */
    while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        if (serve_text(option))
            return 1;
        if (option == '?' || option == ':') {
            refuse(argv[optind - 1], option == ':' ? "needs a value" : "is an unknown option (or is ambiguous)");
            return -1;
        }
        if (!take_option(option, optarg, options_r))
            return -1;
        is_named |= option == ATTACK;
    }
    return take_address(argc, argv, options_r) && check_tls(options_r, is_named) ? 0 : -1;
}
