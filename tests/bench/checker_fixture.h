/*
 * checker_fixture.h: a run of chitchat-load without sockets. The test takes the server's part: it reads what the
 * sessions send, and answers as it likes: the truth, or a lie that the checks must find.
 *
 * A fixture has FIXTURE_SESSIONS sessions of one worker; session i is a connection of user i % users. The fixture keeps
 * what an honest server would: a clock, and the newest ts of each session's timeline. Nothing is ever sent: the
 * worker's io is a double that does nothing, so a session that leaves is away with the next fixture_connect. If a
 * fixture cannot be set up, the test that calls fails.
 */
#ifndef CHITCHAT_TESTS_BENCH_CHECKER_FIXTURE_H
#define CHITCHAT_TESTS_BENCH_CHECKER_FIXTURE_H

#include "load/options.h"
#include "load/run.h"
#include "load/send.h"
#include "load/session.h"
#include "load/stats.h"
#include "load/worker.h"

#define FIXTURE_SESSIONS 3u
#define FIXTURE_BASE 7u           /* the newest ts of each timeline before the run */
#define FIXTURE_ABSENT UINT64_MAX /* for a number: the entry does not have it */

struct fixture {
    struct load_run run;
    struct load_worker *worker;
    uint64_t ts;                        /* the newest that the fixture has used */
    uint64_t cursors[FIXTURE_SESSIONS]; /* the newest of each session's timeline */
    char heard[8192];
};

/* A send as the server reads it. */
struct fixture_sent {
    uint64_t id;
    uint32_t from, to; /* session, user */
    char text[128];
    char key[65];
};

/* A `msg` or an element of a page, which the test may change before it is sent; an empty string is left out. */
struct fixture_entry {
    uint64_t ts, prev;
    char mid[40], from[40], to[40], key[65], text[128];
};

/* Fields of `options` that are 0 get values for a test. Then all sessions are logged in, except those of LOAD_NATS. */
struct fixture *fixture_open(struct load_options options);
/* Closes the run and frees the fixture. */
void fixture_close(struct fixture *fixture);

/* The server sends a text frame with this payload to a session. */
void fixture_say(struct fixture *fixture, uint32_t session, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* All frames that the session has sent since the last call, unmasked, a line each; valid until the next call. */
const char *fixture_hear(struct fixture *fixture, uint32_t session);

/* Ends the session's connection if it has one; the next one is upgraded, and the session has sent its `login`. */
void fixture_connect(struct fixture *fixture, uint32_t session);
/* fixture_connect, and then the answer to the `login`. */
void fixture_log_in(struct fixture *fixture, uint32_t session, uint64_t last);
/* Sets the phase of all sessions, as the main thread does. */
void fixture_set_phase(struct fixture *fixture, enum load_phase phase);

/* Lets a session send, and reads the send. */
struct fixture_sent fixture_send(struct fixture *fixture, uint32_t from, uint32_t to);
/* Reads a send in a frame that fixture_hear returned. */
struct fixture_sent fixture_sent_of(const char *frame, uint32_t from, uint32_t to);
/* The honest `ok`; and the honest `msg` to the session of the recipient, whose index is that of the user. */
void fixture_answer(struct fixture *fixture, const struct fixture_sent *sent);
void fixture_push(struct fixture *fixture, const struct fixture_sent *sent);

/* fixture_push in two steps: makes the next entry of a session's timeline; sends it. */
struct fixture_entry fixture_entry_of(struct fixture *fixture, uint32_t session, const struct fixture_sent *sent);
void fixture_push_entry(struct fixture *fixture, uint32_t session, const struct fixture_entry *entry);
/* Writes the members of an entry, without braces, to `out` of `room` bytes; returns them. */
const char *fixture_write_entry(char *out, size_t room, const struct fixture_entry *entry);

/* How often a promise was found broken; the same of all promises; the result of load_run_check. */
uint64_t fixture_broken(const struct fixture *fixture, enum load_count what);
uint64_t fixture_broken_all(const struct fixture *fixture);
uint64_t fixture_check(const struct fixture *fixture);
/* Fails the test unless `what` was found broken `times` times, and nothing else was. */
void fixture_expect(const struct fixture *fixture, enum load_count what, uint64_t times);

#endif
