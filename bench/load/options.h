/*
 * options.h: the command line of chitchat-load. The main thread parses it once; then any thread may read it.
 */
#ifndef CHITCHAT_BENCH_LOAD_OPTIONS_H
#define CHITCHAT_BENCH_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "load/address.h"
#include "load/threshold.h"

enum load_scenario {
    LOAD_PAIRS,
    LOAD_FANOUT,
    LOAD_IDLE,
    LOAD_HISTORY,
    LOAD_REPLAY,
    LOAD_CHURN,
    LOAD_STORM,
    LOAD_LOGINS_AGAIN,
    LOAD_PEERS,
    LOAD_TYPING,
};
/* Options that not every scenario uses, as bits: whether the command line names them. */
enum load_given {
    LOAD_GIVEN_TO = 1,
    LOAD_GIVEN_WINDOW = 2,
    LOAD_GIVEN_TEXT = 4,
    LOAD_GIVEN_KEYS = 8,
    LOAD_GIVEN_FILL = 16,
    LOAD_GIVEN_LIMIT = 32,
    LOAD_GIVEN_PREFIX = 64,
    LOAD_GIVEN_SEEN = 128,
};
enum load_protocol { LOAD_CHITCHAT, LOAD_NATS, LOAD_HTTP };
enum load_target { LOAD_TO_RANDOM, LOAD_TO_PARTNER, LOAD_TO_ZIPF };

#define LOAD_NODES_MAX 2u
#define LOAD_WINDOW_MAX 1024u /* requests that the protocol allows a connection unanswered */
#define LOAD_WALKS_MAX 64u    /* the window of history */
#define LOAD_THREADS_MAX 64u
#define LOAD_SESSIONS_MAX (1u << 24)
#define LOAD_PREFIX_BYTES_MAX 32u
#define LOAD_DURATION_S_MIN 0.1

struct load_options {
    struct load_address addresses[LOAD_NODES_MAX]; /* of the server, or of the nodes of a cluster */
    uint32_t node_count;
    uint32_t given; /* of enum load_given */
    enum load_scenario scenario;
    enum load_protocol protocol;
    enum load_target to;
    double zipf;
    uint32_t threads;
    uint32_t connections;
    uint32_t users; /* 0: one for each connection; of fanout: pairs of sender and recipient */
    uint32_t
        recipients; /* names that random and zipf draw from; the users with connections are the first `users` of them */
    uint32_t ramp;  /* connections a second; 0: as fast as they are answered */
    uint32_t rate;  /* sends a second over all, open loop; 0: closed loop */
    uint32_t window;
    uint32_t text_bytes;
    double duration_s;
    double warmup_s;
    bool has_keys;
    uint64_t seed;
    char prefix[LOAD_PREFIX_BYTES_MAX + 1];
    struct in_addr source_first;
    uint32_t source_count; /* 0: the kernel chooses */
    uint32_t fill;         /* messages sent by each connection before history and replay */
    uint32_t limit;        /* of a page of history or of conversations */
    double seen_share;     /* of the messages that a connection receives: it marks them as seen */
    bool has_with;         /* pages of history are those of one conversation */
    uint32_t churn;        /* connections a second that leave and come back */
    uint32_t storms;
    const char *kill_commands[LOAD_NODES_MAX]; /* one for each address; NULL: the run does not start the server */
    uint32_t kill_count;
    double kill_every_s;
    int server_pid; /* 0: not known, or there are two */
    bool has_tls;
    bool is_tls_insecure;    /* checks no certificate */
    bool has_tls_resume;     /* connections that come back resume their TLS session */
    const char *tls_ca_path; /* NULL: what OpenSSL trusts by default */
    const char *secret_path; /* NULL: no tokens are signed */
    const char *tokens_path; /* NULL: no tokens are given */
    const char *json_path;
    const char *html_path;
    const char *csv_path;
    const char *compare_path; /* an earlier report of --json; NULL: none */
    bool has_progress;        /* shows the progress where stderr is no terminal too */
    struct load_threshold thresholds[LOAD_THRESHOLDS_MAX];
    uint32_t threshold_count;
    char *const *words; /* the command line, its options first */
    int word_count;
};

/* 0: go on; 1: the help or the version was printed; -1: refused, with a line on stderr. Paths, command and words borrow
 * argv. */
int load_options_parse(struct load_options *options_r, int argc, char **argv);
/* The scenario's name. */
const char *load_options_scenario(const struct load_options *options);
/* The protocol's name. */
const char *load_options_protocol(const struct load_options *options);
/* Whether the server is a pair of nodes, of which one serves. */
bool load_options_has_pair(const struct load_options *options);
/* Whether the run starts and kills the server. */
bool load_options_kills(const struct load_options *options);
/* Whether connections of this run may end and come back, so that sends need keys. */
bool load_options_comes_back(const struct load_options *options);
/* Whether nothing is sent, so that all connections only log in. */
bool load_options_is_silent(const struct load_options *options);
/* Whether users log in with tokens. */
bool load_options_has_tokens(const struct load_options *options);
/* Whether timelines are filled before the measured time. */
bool load_options_fills(const struct load_options *options);
/* Whether the sessions keep their conversations (talk.h). */
bool load_options_talks(const struct load_options *options);
/* Whether marks and `peers` are compared with what the sessions know: that needs users without earlier entries. */
bool load_options_marks(const struct load_options *options);
/* The users that have connections. */
uint32_t load_options_connected_users(const struct load_options *options);

#endif
