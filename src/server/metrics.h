/*
 * metrics.h: what a server counts for its operator. Each shard has a struct metrics, the process a struct
 * server_metrics; metrics_text.h writes both for Prometheus. Nothing is counted by user.
 *
 * The first part of struct metrics are counters and histograms: written by the shard's thread when the event happens,
 * at the cost of a plain addition (base/metric.h). They take no time of their own: durations are of the clock as it was
 * read at the start of the turn, or of readings that are taken anyway. The second part are copies of the shard's state,
 * which metrics_tick makes once a second: up to a second old.
 *
 * To add a number: a field here, and a row in metrics_families.c. Shard's thread, but for struct server_metrics.
 */
#ifndef CHITCHAT_SERVER_METRICS_H
#define CHITCHAT_SERVER_METRICS_H

#include "base/metric.h"

struct core;

/* How a request to send ended. */
enum metrics_send {
    METRICS_SEND_STORED,    /* a new message is durable in both timelines */
    METRICS_SEND_DUPLICATE, /* its key was used before: nothing was stored again */
    METRICS_SEND_REFUSED,   /* an error was answered, and nothing was stored */
    METRICS_SEND_UNKNOWN,   /* a write to the WAL failed: the disk may have it or not */
    METRICS_SENDS
};

/* How a request `seen` ended. */
enum metrics_seen {
    METRICS_SEEN_STORED,    /* a mark is durable */
    METRICS_SEEN_UNCHANGED, /* nothing was new */
    METRICS_SEEN_REFUSED,   /* an error was answered, and nothing was stored */
    METRICS_SEEN_UNKNOWN,   /* a write to the WAL failed: the disk may have it or not */
    METRICS_SEENS
};

/* What became of a push, `msg`, `seen` or `seen_by`, for one connection. */
enum metrics_push {
    METRICS_PUSH_WRITTEN,
    METRICS_PUSH_SLOW,    /* too much output waited: the connection was closed with 4001 */
    METRICS_PUSH_DROPPED, /* the same while the shard's output memory was short: it was dropped at once */
    METRICS_PUSHES
};

/* What became of a `typing` on the sender's shard. */
enum metrics_typing {
    METRICS_TYPING_PASSED,
    METRICS_TYPING_LIMITED, /* one of the pair has passed within the second */
    METRICS_TYPING_DROPPED, /* the way to the recipient's shard had no room */
    METRICS_TYPINGS
};

/* What became of a push that may be lost, for one connection. */
enum metrics_ephemeral {
    METRICS_EPHEMERAL_WRITTEN,
    METRICS_EPHEMERAL_DROPPED, /* the connection had no room, or the turn no time */
    METRICS_EPHEMERALS
};

/* What became of a push of presence. */
enum metrics_presence {
    METRICS_PRESENCE_WRITTEN,
    METRICS_PRESENCE_DEFERRED, /* the connection had no room: it gets its state later */
    METRICS_PRESENCES
};

enum metrics_login {
    METRICS_LOGIN_OK,
    METRICS_LOGIN_RENEWED, /* a connection that is logged in came with a new token */
    METRICS_LOGIN_REFUSED,
    METRICS_LOGINS
};

/* How a connection ended: by a close frame with a code, or without one. */
enum metrics_close {
    METRICS_CLOSE_1000,
    METRICS_CLOSE_1001,
    METRICS_CLOSE_1002,
    METRICS_CLOSE_1003,
    METRICS_CLOSE_1007,
    METRICS_CLOSE_1009,
    METRICS_CLOSE_1011,
    METRICS_CLOSE_1013,
    METRICS_CLOSE_4001,
    METRICS_CLOSE_4002,
    METRICS_CLOSE_4003,
    METRICS_CLOSE_4101,
    METRICS_CLOSE_4201,
    METRICS_CLOSE_4203,
    METRICS_CLOSE_OTHER, /* a code that the peer chose */
    METRICS_CLOSE_HTTP,  /* after an answer of HTTP, or an alert of TLS */
    METRICS_CLOSE_NONE,  /* the peer was gone, or the connection was dropped */
    METRICS_CLOSES
};

/* Answers to requests of programs, by the first digit of their status. */
enum metrics_answer { METRICS_ANSWER_2XX, METRICS_ANSWER_4XX, METRICS_ANSWER_5XX, METRICS_ANSWERS };

/* Uses of memory that have a budget (budget.h), in bytes. */
enum metrics_memory {
    METRICS_MEMORY_RECORDS,
    METRICS_MEMORY_OUTPUT,
    METRICS_MEMORY_INPUT,
    METRICS_MEMORY_MESSAGES,
    METRICS_MEMORY_KEYS,
    METRICS_MEMORY_PRESENCE,
    METRICS_MEMORY_PROGRAMS, /* bodies of requests, and copies of the messages of batches */
    METRICS_MEMORIES
};

/* The same for what is counted in pieces. */
enum metrics_place {
    METRICS_PLACE_SENDS,    /* of this shard's users, not answered */
    METRICS_PLACE_ARRIVALS, /* to this shard's users, not given to all connections */
    METRICS_PLACE_PAGES,    /* requests for history */
    METRICS_PLACE_HEADS,    /* HTTP heads of which a part has come */
    METRICS_PLACES
};

#define METRICS_ACCEPTED_ADMIN 2u

enum metrics_result { METRICS_OK, METRICS_FAILED, METRICS_RESULTS };

enum metrics_letter { METRICS_LETTER_SEND, METRICS_LETTER_HANDOVER, METRICS_LETTER_OTHER, METRICS_LETTERS };

#define METRICS_REQUESTS 8u /* enum request_op */
#define METRICS_ERRORS 12u  /* enum error_code */

struct metrics {
    /* -- counters and histograms -- */
    struct metric
        accepted[METRICS_ACCEPTED_ADMIN + 1]; /* connections: plain, TLS, of both kinds to the admin addresses */
    struct metric closes[METRICS_CLOSES];
    struct metric handshakes[METRICS_RESULTS]; /* of TLS */
    struct metric logins[METRICS_LOGINS];
    struct metric requests[METRICS_REQUESTS];
    struct metric sends[METRICS_SENDS];
    struct metric seens[METRICS_SEENS];
    struct metric pushes[METRICS_PUSHES];
    struct metric typings[METRICS_TYPINGS];
    struct metric ephemeral[METRICS_EPHEMERALS];
    struct metric presences[METRICS_PRESENCES];
    struct metric replayed;        /* entries that replays wrote */
    struct metric history_pages;   /* answered */
    struct metric history_entries; /* in them */
    struct metric peers_pages;     /* pages of conversations, answered */
    struct metric errors[METRICS_ERRORS];
    struct metric answers[METRICS_ANSWERS];
    struct metric letters[METRICS_LETTERS]; /* that came to this shard */
    struct metric wal_bytes;
    struct metric wal_failures;
    struct metric checkpoints[METRICS_RESULTS];
    struct metric merges[METRICS_RESULTS];
    struct metric segment_failures; /* files of the WAL that could not be made */
    struct histogram send_to_ok;    /* us */
    struct histogram send_to_push;  /* us */
    struct histogram wal_write;     /* us */
    struct histogram batch_records;
    struct histogram batch_bytes;
    struct histogram turn;       /* us */
    struct histogram checkpoint; /* us, of writing the run */
    struct histogram merge;      /* us */

    /* -- copies of state -- */
    struct metric open[2];    /* connections: plain, TLS */
    struct metric admin_open; /* of these, to the admin addresses */
    struct metric handshakes_open;
    struct metric users;
    struct metric turns;
    struct metric turn_longest; /* us, since the start */
    struct metric memory_used[METRICS_MEMORIES];
    struct metric memory_max[METRICS_MEMORIES];
    struct metric places_used[METRICS_PLACES];
    struct metric places_max[METRICS_PLACES];
    struct metric output_level; /* 0: calm, 1: tight, 2: full (connection/backpressure.h) */
    struct metric letters_out;
    struct metric wal_segments[2]; /* live, spare */
    struct metric wal_segment_bytes;
    struct metric memtable_bytes;
    struct metric memtable_max;
    struct metric memtable_entries;
    struct metric rounds;
    struct metric round_age; /* us, since the last round began */
    struct metric checkpoint_retries;
    struct metric merge_retries;
    struct metric runs;
    struct metric runs_max;
    struct metric run_rows;
    struct metric checkpoint_bytes;
    struct metric merge_bytes;
    struct metric takes_sends;       /* 1: those of everybody are accepted */
    struct metric clock_floor_ahead; /* us by which new stamps are ahead of the wall clock */
};

static const struct histogram_shape metrics_delay_shape = {.first = 6, .bounds = 19}; /* 64 us to 16.8 s */
static const struct histogram_shape metrics_write_shape = {.first = 4, .bounds = 20}; /* 16 us to 8.4 s */
static const struct histogram_shape metrics_records_shape = {.first = 0, .bounds = 14};
static const struct histogram_shape metrics_bytes_shape = {.first = 12, .bounds = 9}; /* 4 KiB to 1 MiB */
static const struct histogram_shape metrics_turn_shape = {.first = 4, .bounds = 17};  /* 16 us to 1 s */
static const struct histogram_shape metrics_job_shape = {.first = 12, .bounds = 20};  /* 4 ms to 36 minutes */

/* -- events that have no counter at hand -- */
void metrics_on_close(struct core *core, uint16_t code);
/* `kind`: enum letter_kind. */
void metrics_on_letter(struct core *core, uint8_t kind);

/* Once a second: copies the state. */
void metrics_tick(struct core *core);

/* -- of the process: main's thread writes, any thread reads -- */

/* Files that are read again while the server runs. */
enum metrics_reload { METRICS_RELOAD_TLS, METRICS_RELOAD_TOKEN_KEYS, METRICS_RELOADS };

struct server_metrics {
    struct metric start_time; /* us since the Unix epoch */
    struct metric cpu;        /* us of user and system time */
    struct metric resident_bytes;
    struct metric virtual_bytes;
    struct metric anonymous_bytes;
    struct metric memory_max;
    struct metric connections_max;
    struct metric open_fds;
    struct metric max_fds;
    struct metric disk_free_bytes; /* of the file system of the data directory, for this user */
    struct metric disk_bytes;
    struct metric certificate_expiry; /* us since the Unix epoch; 0: no TLS */
    struct metric token_keys;
    struct metric reload_failed[METRICS_RELOADS]; /* 1: the last reading failed, and what was read before counts */
    struct metric store_failed;
    struct metric draining; /* 1: a signal came, and the server stops */
    struct metric log_dropped;
    struct metric samples; /* of process_sample.c */
};

#endif
