/*
 * harness.h: all shards of a server in one thread, under the control of a test. The test decides when a WAL write
 * becomes durable, when a letter arrives, when a worker's job is done, and what time it is. The code under test is that
 * of the server; only io.h, shard.h, worker.h and the clock are doubles (harness_io.c, harness_shard.c). Files are
 * real.
 *
 * Nothing happens unless harness_turn or harness_run_until_idle is called. What is held waits until the test releases
 * it. A turn that does not end and a harness that does not become idle end the test: both are counted in work, not in
 * time.
 *
 * A crash in a rule test is a fork: the child is the life before the crash and ends with _exit; the parent opens the
 * same directory.
 */
#ifndef CHITCHAT_TESTS_SIM_HARNESS_H
#define CHITCHAT_TESTS_SIM_HARNESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/core.h"

#define HARNESS_SHARDS_MAX 8u
#define HARNESS_NAMES_MAX 32u /* of one shard, see harness_name */

struct harness;
struct client;

/* Ends the process with a message: in a unit test, the test. */
_Noreturn void harness_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define HARNESS_MUST(condition) ((condition) ? (void)0 : harness_fail("does not hold: %s", #condition))

/* Random decisions, for the simulator. NULL in the rule tests, where all that is not held happens at once. */
struct chaos {
    uint64_t state;    /* of the random numbers */
    bool is_calm;      /* at present all happens at once, as in the rule tests */
    uint32_t job_odds; /* a step of a worker's job is done once in so many turns */
    void (*on_durable)(struct chaos *chaos, const char *data, size_t bytes); /* bytes of a WAL are on the disk */
    uint64_t turns;                                                          /* of all shards so far */
    bool is_beside;          /* a worker's job, or recovery, is running (disk.h) */
    struct harness *opening; /* the newest harness, also before harness_open returns it */
};
/* A number below `bound`; true with a chance of one in `in`. */
uint32_t chaos_below(struct chaos *chaos, uint32_t bound);
bool chaos_hits(struct chaos *chaos, uint32_t in);

struct harness_options {
    uint32_t shards;
    const char *dir;                             /* NULL: a new one under /tmp, removed by harness_close */
    uint64_t memtable_bytes;                     /* 0: 1 MiB */
    uint32_t output_bytes;                       /* of one connection, before it is cut off; 0: as configured */
    uint32_t frame_rate;                         /* of one connection; 0: no limit */
    uint32_t history_rate;                       /* of one connection; 0: no limit */
    uint32_t retention_s;                        /* 0: none */
    uint32_t erase_within_s;                     /* 0: at once */
    uint32_t connections;                        /* 0: 1000 */
    enum config_presence presence;               /* 0: peers */
    const struct address_limits *address_limits; /* NULL: the defaults, but for failed logins: no limit */
    const char *token_secrets;                   /* a file, for --auth token; NULL: --auth none */
    struct chaos *chaos;                         /* borrowed; NULL: none */
    uint64_t wall_us;                            /* 0: what the system's clock says */
};

/* Recovers and starts; ends the test if that fails. */
struct harness *harness_open(const struct harness_options *options);
/* The same; if recovery refuses: NULL, and the reason, in static memory. */
struct harness *harness_try_open(const struct harness_options *options, const char **refusal_r);
/* Does what SIGTERM does: the shards begin to stop with their next turns. */
void harness_stop(struct harness *harness);
/* Does what SIGTERM does with --drain-s: connections are closed over so many microseconds, from the next turns on. */
void harness_drain(struct harness *harness, uint64_t duration_us);
/* Stops all shards, waits until they have ended, frees. */
void harness_close(struct harness *harness);
/* To be called when nobody is connected and nothing is pending: ends the test if something was taken and not given back
 * (rest.h). */
void harness_check_rest(struct harness *harness);
/* A crash of the process: a WAL write in flight leaves nothing, all, or any of its sectors, by chance. The memory of
 * the harness is not freed. */
void harness_crash(struct harness *harness);
/* The same, for a crash inside a job or in recovery: the stores stay open. */
void harness_crash_inside(struct harness *harness);
/* Why recovery refuses a directory; NULL if it does not. Static memory. */
const char *harness_refusal(const char *dir, uint32_t shards);

/* What a life before a crash leaves for the test after it. */
struct legacy {
    uint64_t ts[16];
    char mid[24];
};
/* Runs `life` in a process of its own, which then ends at once, as by kill -9; ends the test if it ends otherwise. The
 * result is valid until the test ends. */
struct legacy *harness_live_and_die(const char *dir, void (*life)(const char *dir, struct legacy *legacy));

/* A directory of its own, removed with harness_dir_remove. */
void harness_dir_make(char out[64]);
void harness_dir_remove(const char *dir);

struct core *harness_core(struct harness *harness, uint32_t shard);
/* The `n`th name of a user that shard `shard` owns, n < HARNESS_NAMES_MAX. Valid until harness_close. */
const char *harness_name(struct harness *harness, uint32_t shard, uint32_t n);
uint64_t harness_now(const struct harness *harness);
uint64_t harness_monotonic(const struct harness *harness);
/* The wall clock leaps; the monotonic clock does not. */
void harness_leap(struct harness *harness, int64_t us);
void harness_advance(struct harness *harness, int64_t us); /* wall time may step back, monotonic does not */

/* One turn of one shard: handles what has arrived and is not held. */
void harness_turn(struct harness *harness, uint32_t shard);
/* Turns of all shards until nothing happens any more. */
void harness_run_until_idle(struct harness *harness);

/* Holding. */
void harness_hold_writes(struct harness *harness, uint32_t shard, bool held);
void harness_fail_writes(struct harness *harness, uint32_t shard); /* from now on they end with -EIO, nothing written */
void harness_hold_letters(struct harness *harness, uint32_t from, uint32_t to, bool held);
enum harness_worker { HARNESS_READER, HARNESS_CHECKPOINT, HARNESS_MERGE, HARNESS_RECYCLER };
/* Jobs are not run. */
void harness_hold_jobs(struct harness *harness, uint32_t shard, enum harness_worker worker, bool held);
/* Jobs are run, but their results are not returned to the shard. */
void harness_hold_results(struct harness *harness, uint32_t shard, enum harness_worker worker, bool held);
/* Letters that have not arrived yet. */
uint32_t harness_letters(const struct harness *harness, uint32_t from, uint32_t to);

/* A connection accepted by `shard`, upgraded. Owned by the harness. */
struct client *client_connect(struct harness *harness, uint32_t shard);
/* A client frame of text, formatted. */
void client_send(struct client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* First bytes of frames: final, or begun and to be continued. */
enum {
    FRAME_TEXT = 0x81,
    FRAME_PING = 0x89,
    FRAME_PONG = 0x8a,
    FRAME_TEXT_BEGUN = 0x01,
    FRAME_MORE = 0x00,
    FRAME_LAST = 0x80
};
/* A client frame of any kind; `payload` is copied. */
void client_send_frame(struct client *client, uint8_t first_byte, const char *payload, size_t bytes);
/* The next frame that was received, NULL if there is none: the caller owns it. A close frame comes as {"close":code}.
 */
json_t *client_next(struct client *client);
/* The same, not read: the payload of a text, which the caller may change and has until the client receives more; or the
 * code of a close frame. */
enum client_frame { CLIENT_NOTHING, CLIENT_TEXT, CLIENT_CLOSE };
enum client_frame client_next_frame(struct client *client, char **data_r, size_t *bytes_r, int *code_r);
/* What the client has sent and the server has not yet received. */
size_t client_bytes_left(const struct client *client);
/* Pong frames that client_next has skipped. */
uint32_t client_pongs(const struct client *client);
/* How often the server has let the connection receive in its turn, since it had given a part. */
uint32_t client_parts(const struct client *client);
/* The client stops reading, so that the sends of the server do not complete; or reads again. */
void client_stall(struct client *client, bool stalled);
void client_end(struct client *client);     /* the peer ends its side, and still reads */
void client_drop(struct client *client);    /* the peer is gone: the connection is reset */
void clients_drop(struct harness *harness); /* all peers are gone, stalled ones too */
/* Accepted by `shard`, from one of a few addresses; nothing is sent. */
struct client *client_accept(struct harness *harness, uint32_t shard);
/* The same, from 192.0.2.`host`. */
struct client *client_accept_from(struct harness *harness, uint32_t shard, uint8_t host);
void client_send_bytes(struct client *client, const char *data, size_t bytes);
/* Whether a 503 is the answer. */
bool client_is_refused(const struct client *client);
/* Accepted by `shard`, with the head of its upgrade sent. The answer is taken off by client_take_head. */
struct client *client_begin(struct harness *harness, uint32_t shard);
/* The same, from 192.0.2.`host`. */
struct client *client_begin_from(struct harness *harness, uint32_t shard, uint8_t host);
/* Takes the head of the answer off; false if it is not complete. */
bool client_take_head(struct client *client);
/* Frees a client that is closed, or whose harness has crashed. Nulls *client. */
void client_free(struct client **client);
bool client_is_closed(const struct client *client);

/* Connects, logs in (extra: further fields, such as ",\"after\":0") and runs until idle; the reply is taken off and
 * must be `ok`. */
struct client *client_login(struct harness *harness, uint32_t shard, const char *user, const char *extra);
/* Takes frames off until one has `op`; ends the test if there is none. The caller owns it. */
json_t *client_expect(struct client *client, const char *op);
uint64_t frame_number(const json_t *frame, const char *field);
const char *frame_text(const json_t *frame, const char *field);
/* Asks for a page of history with further fields; the texts of its messages, joined by blanks. Static memory. */
const char *history_texts(struct client *client, const char *fields);

#endif
