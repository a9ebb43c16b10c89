/*
 * health.h: whether the process turns, and whether it takes messages: for health checks. Each shard writes its state
 * into atomics once a second; any shard reads those of all of them, without a lock and without a letter. So an answer
 * costs some loads, and says what was true a second ago.
 */
#ifndef CHITCHAT_SERVER_HEALTH_H
#define CHITCHAT_SERVER_HEALTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct core;
struct server;

enum health_state {
    HEALTH_STARTING, /* recovery runs, or the shard's first turn has not come */
    HEALTH_READY,
    HEALTH_DRAINING, /* the server stops */
    HEALTH_FULL,     /* there is no room for the WAL */
    HEALTH_BEHIND,   /* sends were refused for HEALTH_BEHIND_TICKS: the disk is slow, or has no room for checkpoints */
    HEALTH_LOG_BEHIND, /* the same, since the log of the cluster does not answer */
    HEALTH_FAILED,     /* a write of the WAL has failed, or the log of the cluster is damaged */
    HEALTH_STATES
};

#define HEALTH_BEHIND_TICKS 3u
/* A shard that has taken no turn for so long does not live. */
#define HEALTH_TURN_S 15u

/* A shard's state of this module. */
struct health {
    /* Owned by the shard's thread. */
    uint32_t refusing_ticks; /* in a row, at which sends were refused (core_refuses_sends) */
    uint32_t refused_s;      /* monotonic, when one was last; 0: never */

    /* Written by the shard's thread, read by all. */
    atomic_uint state;    /* enum health_state */
    atomic_uint turned_s; /* monotonic */
};

struct health_report {
    enum health_state state; /* the worst of all shards */
    const char *name;        /* as "ready", "full_disk". Static */
    const char *message;     /* what it means and what to do. Static */
};

/* All messages can be read again: until the first ticks of the shards, which follow at once, the server counts as
 * ready. Main's thread, before the threads start. */
void health_on_recovered(struct server *server);
/* Once a second, and when something changed at once. Shard's thread. */
void health_tick(struct core *core);
/* Any thread. */
struct health_report health_report(const struct server *server);
/* For the public /healthz (protocol/http.h): `server` is a struct server. NULL: ready; else one line. Shard's thread.
 */
const char *health_not_ready(const void *server);
/* Whether all shards have taken a turn lately; if not, *shard_r is one that has not. `now_s`: monotonic. Any thread. */
bool health_is_alive(const struct server *server, uint32_t now_s, uint32_t *shard_r);

#endif
