/* harness_double.h: what the doubles of io.h, shard.h and worker.h share. */
#ifndef CHITCHAT_TESTS_SIM_HARNESS_DOUBLE_H
#define CHITCHAT_TESTS_SIM_HARNESS_DOUBLE_H

#include "harness.h"
#include "shard/shard.h"

#define CLIENT_BYTES_MAX (8u << 20) /* received and not taken, or sent and not received */

struct client {
    struct client *next;
    struct harness *harness;
    int fd;        /* identifies the client in io.h: no descriptor of the system */
    struct io *io; /* the loop that has it, NULL: none */
    struct io_socket *socket;
    /* To the server. */
    char *out;
    size_t out_bytes;
    size_t out_taken;
    size_t out_room;
    /* From the server. */
    char *in;
    size_t in_bytes;
    size_t in_taken;
    size_t in_room;
    uint32_t pongs;
    uint32_t parts; /* calls of io_recv_in_turn */
    bool is_stalled;
    bool is_gone;
    bool has_ended; /* the peer ended its side */
    bool is_end_reported;
    bool is_shut;   /* the server ended its side */
    bool is_closed; /* the server closed it */
};

enum { SOCKET_RECV_ONCE = 1, SOCKET_RECV_MANY = 2, SOCKET_SENDING = 4, SOCKET_CLOSING = 8, SOCKET_RELEASING = 16 };

struct io {
    struct harness *harness;
    struct shard *shard;
    struct io_write *write;
    bool hold_writes;
    bool fail_writes;
};

struct worker {
    struct worker *next;
    struct shard *shard;
    char name[16];
    bool hold;
    bool hold_results;
    struct worker_job *jobs[4096];
    uint32_t begin, run, end; /* jobs from begin to run have been run */
};

struct letters {
    void **items;
    uint32_t begin, end, room;
    bool held;
};

struct shard {
    struct harness *harness;
    uint32_t index;
    struct io io;
    struct timers timers;
    struct worker *workers;
    void *context;
    bool is_started;
    bool is_finished;
    bool has_more;
    bool has_flushed; /* shard_flush was called in this turn */
    uint32_t signals;
    uint64_t activity;
};

/* The descriptor of a client at 192.0.2.H is above H times this, so that it tells the address. */
#define HARNESS_FDS_OF_HOST (1 << 20)

struct harness {
    struct clock clock;
    struct chaos *chaos;
    uint64_t wall_us;
    uint64_t monotonic_us;
    struct config config;
    struct datadir *datadir;
    struct server server;
    struct core *cores[HARNESS_SHARDS_MAX];
    struct shard shards[HARNESS_SHARDS_MAX];
    struct letters letters[HARNESS_SHARDS_MAX][HARNESS_SHARDS_MAX];
    struct client *clients;
    int next_fd;
    uint64_t activity;
    uint64_t turn_calls;         /* of the doubles, in the turn that runs */
    const struct shard *running; /* whose turn it is; NULL: nobody's, the test itself calls */
    char dir[64];
    bool owns_dir;
    char names[HARNESS_SHARDS_MAX][HARNESS_NAMES_MAX][16];
};

static inline bool harness_is_chaotic(const struct harness *harness)
{
    return harness->chaos != NULL && !harness->chaos->is_calm;
}

/* Counts a call of a double: a turn that makes too many of them does not end, so the test or run fails. */
void harness_count_call(struct harness *harness);

struct client *harness_client_of(struct harness *harness, int fd);
/* Adds to what the client has received. */
void harness_client_receive(struct client *client, const void *data, size_t bytes);
/* Takes the first `bytes` of what the client has sent and the server has not received. */
void harness_client_take(struct client *client, char *data, size_t bytes);
/* Completes what the loop has pending. */
void harness_io_turn(struct io *io);
void harness_workers_turn(struct shard *shard);

#endif
