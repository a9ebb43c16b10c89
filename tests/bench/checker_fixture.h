/*
 * checker_fixture.h: a run of chitchat-load without sockets, and in the server's place a test, which hears what the
 * sessions say and answers what it likes: the truth, or a lie that the judge must find.
 *
 * A fixture has FIXTURE_SESSIONS sessions of one worker; session i is a connection of user i % users. It keeps what an
 * honest server would: clock and newest ts of each session's timeline. Nothing is ever sent: the io of the worker is a
 * double that does nothing, so a session that leaves is away with the next fixture_connect. Setting up fails the test
 * that calls.
 */
#ifndef CHITCHAT_TESTS_BENCH_CHECKER_FIXTURE_H
#define CHITCHAT_TESTS_BENCH_CHECKER_FIXTURE_H

#include "load/run.h"

#define FIXTURE_SESSIONS 3u
#define FIXTURE_BASE 7u           /* the newest ts of each timeline before the run */
#define FIXTURE_ABSENT UINT64_MAX /* for a number: the entry goes without it */

struct fixture {
    struct load_run run;
    struct load_worker *worker;
    uint64_t ts;                        /* the newest that was given */
    uint64_t cursors[FIXTURE_SESSIONS]; /* the newest that each session was told */
    char heard[8192];
};

/* A send, as the server has read it. */
struct fixture_sent {
    uint64_t id;
    uint32_t from, to; /* session, user */
    char text[128];
    char key[65];
};

/* A `msg` or an element of a page, to be changed before it is said; an empty string goes without. */
struct fixture_entry {
    uint64_t ts, prev;
    char mid[40], from[40], to[40], key[65], text[128];
};

/* Fields of `options` that are 0 get values for a test; all sessions are logged in then, but those of LOAD_NATS. */
struct fixture *fixture_open(struct load_options options);
/* Ends the test's run and frees it. */
void fixture_close(struct fixture *fixture);

/* Bytes, a text frame's payload, of the server to a session. */
void fixture_say(struct fixture *fixture, uint32_t session, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* All frames that the session has written since, unmasked, a line each; stands until the next call. */
const char *fixture_hear(struct fixture *fixture, uint32_t session);

/* The session's connection ends by itself if it has one, and a new one is upgraded: it has said its `login`. */
void fixture_connect(struct fixture *fixture, uint32_t session);
/* fixture_connect, and the answer to its `login`. */
void fixture_log_in(struct fixture *fixture, uint32_t session, uint64_t last);
/* To all sessions, as if the main thread had said so. */
void fixture_set_phase(struct fixture *fixture, enum load_phase phase);

/* Lets a session send, and reads what it says. */
struct fixture_sent fixture_send(struct fixture *fixture, uint32_t from, uint32_t to);
/* The send of a frame that fixture_hear gave. */
struct fixture_sent fixture_sent_of(const char *frame, uint32_t from, uint32_t to);
/* The honest `ok`, and the honest `msg` to the session of the user that it is to. */
void fixture_answer(struct fixture *fixture, const struct fixture_sent *sent);
void fixture_push(struct fixture *fixture, const struct fixture_sent *sent);

/* The same in steps: the next entry of a session's timeline; said. */
struct fixture_entry fixture_entry_of(struct fixture *fixture, uint32_t session, const struct fixture_sent *sent);
void fixture_push_entry(struct fixture *fixture, uint32_t session, const struct fixture_entry *entry);
/* The members of an entry, without braces; what stands in `room` bytes at `out` is returned. */
const char *fixture_write_entry(char *out, size_t room, const struct fixture_entry *entry);

/* How often a promise was found broken; all of them; what judge of the end says. */
uint64_t fixture_broken(const struct fixture *fixture, enum load_count what);
uint64_t fixture_broken_all(const struct fixture *fixture);
uint64_t fixture_check(const struct fixture *fixture);
/* Fails the test unless `what`, and nothing else, was found broken so often. */
void fixture_expect(const struct fixture *fixture, enum load_count what, uint64_t times);

#endif
