/*
 * hostile_options.h: the command line of hostile. Main thread.
 */
#ifndef CHITCHAT_BENCH_HOSTILE_OPTIONS_H
#define CHITCHAT_BENCH_HOSTILE_OPTIONS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "load/address.h"

#define HOSTILE_ATTACKS_MAX 64u

struct hostile_options {
    struct load_address address;
    struct load_address tls_address;       /* of the attacks by TLS; no candidates: not given */
    struct sockaddr_in from;               /* of the attackers' connections; AF_UNSPEC: the system chooses */
    uint32_t attacks[HOSTILE_ATTACKS_MAX]; /* indices of plans, in the order to run them */
    uint32_t attack_count;
    double seconds;
    uint32_t rate, window;
    int pid; /* 0: not given */
    bool must_keep;
    const char *json_path;
};

/* 0: go on; 1: --help or --list has been printed; -1: refused, with a line on stderr. json_path borrows argv. */
int hostile_options_parse(struct hostile_options *options_r, int argc, char **argv);

#endif
