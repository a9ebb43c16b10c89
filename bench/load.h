/*
 * load.h: chitchat-load: many connections that speak PROTOCOL to a server, as fast as asked, and check all that they get. One
 * thread and one io_uring (shard/io.h, the server's own loop); pin it with taskset.
 *
 * Each connection is a user of its own (but in `fanout`), sends to others, and keeps the cursor of its timeline: a lost, repeated
 * or reordered entry breaks the `prev` chain and is counted. Texts name sender, place and time of sending.
 */
#ifndef CHITCHAT_BENCH_LOAD_H
#define CHITCHAT_BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "histogram.h"
#include "shard/io.h"

enum scenario { SCENARIO_PAIRS, SCENARIO_FANOUT, SCENARIO_IDLE, SCENARIO_HISTORY, SCENARIO_REPLAY, SCENARIO_STORM };
enum target { TARGET_RANDOM, TARGET_PARTNER };

struct options {
    struct sockaddr_in address;
    char address_text[64];
    enum scenario scenario;
    enum target to;
    uint32_t connections;
    uint32_t window;
    uint32_t rate;      /* sends a second over all, 0: closed loop */
    uint32_t text_bytes;
    uint32_t seconds;
    uint32_t warmup_s;
    uint32_t history_limit;
    uint32_t fill;      /* messages that history and replay are about, for each user */
    bool has_keys;
    uint64_t seed;
    int server_pid;     /* 0: not known */
    const char *json_path;
};

/* True; or false, told on stderr. `*is_help_r`: the help was asked for and printed. */
bool options_parse(int argc, char **argv, struct options *options_r, bool *is_help_r);

#define SENDS_MAX 4096u /* the largest window */

struct peer {
    struct io_socket socket;
    uint32_t index;
    uint32_t user;
    bool has_upgraded;
    bool is_logged_in;
    bool is_live;       /* after a login with `after` */
    bool is_gone;
    char *in;
    uint32_t in_bytes;
    uint32_t in_room;
    char *out;
    char *flying;
    uint32_t out_bytes;
    uint32_t out_room;
    uint32_t flying_room;
    struct list flush_link;
    uint64_t cursor;
    uint32_t sent;      /* sends so far: the next one's number and id */
    uint32_t unanswered;
    uint64_t *sent_at_us; /* by id modulo the window's power of two */
    uint32_t sent_mask;
    uint64_t login_at_us;
    uint64_t asked_at_us; /* history */
    uint64_t next_before;
};

struct counts {
    uint64_t acknowledged;
    uint64_t delivered;
    uint64_t pages;
    uint64_t page_messages;
    uint64_t busy;
    uint64_t errors;
    uint64_t broken; /* promises: order, prev, content */
};

struct load {
    struct options options;
    struct io *io;
    struct peer *peers;
    struct list flush;
    uint64_t random;
    uint32_t open_count;
    uint32_t live_count;
    bool is_measuring;
    bool is_ending;     /* nothing new is sent */
    uint64_t now_us;
    uint64_t next_due_us_x1000; /* open loop: when the next send is meant */
    struct counts all;      /* since the start */
    struct counts measured; /* while measuring */
    uint64_t *sent_to;      /* by user: acknowledged sends */
    uint64_t *got_by;       /* by user */
    struct histogram ok;
    struct histogram delivery;
    struct histogram login;
    struct histogram page;
    char first_broken[256];
};

uint64_t load_now_us(void);
uint32_t load_below(struct load *load, uint32_t bound);

/* Connections (peer.c). */
int peer_connect(struct load *load, struct peer *peer);
void peer_login(struct load *load, struct peer *peer);
/* Sends one message to `to`, meant to leave at `intended_us`. */
void peer_send(struct load *load, struct peer *peer, uint32_t to, uint64_t intended_us);
void peer_ask_page(struct load *load, struct peer *peer);
void peer_flush_all(struct load *load);
const struct io_handlers *peer_handlers(void);
/* What a scenario does when a send of `peer` has been answered, or it is ready (load.c). */
void load_on_ready(struct load *load, struct peer *peer);
void load_on_answer(struct load *load, struct peer *peer);
void load_on_page(struct load *load, struct peer *peer);

/* What the server uses (proc.c); zeros if the process cannot be read. */
struct usage {
    double cpu_s;
    uint64_t rss_bytes;
};
struct usage usage_of(int pid);
uint64_t socket_memory_bytes(void);

/* report.c */
struct report {
    double seconds;
    double own_cpu_s;
    double server_cpu_s;
    uint64_t server_rss_bytes;
    uint64_t server_rss_idle_bytes; /* before the connections */
    uint64_t socket_bytes;
    uint64_t missing; /* acknowledged and never delivered */
};
void report_print(const struct load *load, const struct report *report);
bool report_write_json(const struct load *load, const struct report *report);

#endif
