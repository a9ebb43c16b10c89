/*
 * judge_bed.h: a run of chitchat-load without sockets, and in the server's place a test, which hears what the seats say
 * and answers what it likes: the truth, or a lie that the judge must find.
 *
 * A bed has BED_SEATS seats of one worker; seat i is a connection of user i % users. It keeps what an honest server
 * would: clock and newest ts of each seat's timeline. Nothing is ever sent: the io of the worker is a double that does
 * nothing, so a seat that leaves is away with the next bed_connect. Setting up fails the test that calls.
 */
#ifndef CHITCHAT_TESTS_BENCH_JUDGE_BED_H
#define CHITCHAT_TESTS_BENCH_JUDGE_BED_H

#include "load_run.h"

#define BED_SEATS 3u
#define BED_BASE 7u           /* the newest ts of each timeline before the run */
#define BED_ABSENT UINT64_MAX /* for a number: the entry goes without it */

struct bed {
    struct load_run run;
    struct load_worker *worker;
    uint64_t ts;                 /* the newest that was given */
    uint64_t cursors[BED_SEATS]; /* the newest that each seat was told */
    char heard[8192];
};

/* A send, as the server has read it. */
struct bed_sent {
    uint64_t id;
    uint32_t from, to; /* seat, user */
    char text[128];
    char key[65];
};

/* A `msg` or an element of a page, to be changed before it is said; an empty string goes without. */
struct bed_entry {
    uint64_t ts, prev;
    char mid[40], from[40], to[40], key[65], text[128];
};

/* Fields of `options` that are 0 get values for a test; all seats are logged in then, but those of LOAD_NATS. */
struct bed *bed_open(struct load_options options);
/* Ends the test's run and frees it. */
void bed_close(struct bed *bed);

/* Bytes, a text frame's payload, of the server to a seat. */
void bed_say(struct bed *bed, uint32_t seat, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* All frames that the seat has written since, unmasked, a line each; stands until the next call. */
const char *bed_hear(struct bed *bed, uint32_t seat);

/* The seat's connection ends by itself if it has one, and a new one is upgraded: it has said its `login`. */
void bed_connect(struct bed *bed, uint32_t seat);
/* bed_connect, and the answer to its `login`. */
void bed_log_in(struct bed *bed, uint32_t seat, uint64_t last);
/* To all seats, as if the main thread had said so. */
void bed_set_phase(struct bed *bed, enum load_phase phase);

/* Lets a seat send, and reads what it says. */
struct bed_sent bed_send(struct bed *bed, uint32_t from, uint32_t to);
/* The send of a frame that bed_hear gave. */
struct bed_sent bed_sent_of(const char *frame, uint32_t from, uint32_t to);
/* The honest `ok`, and the honest `msg` to the seat of the user that it is to. */
void bed_answer(struct bed *bed, const struct bed_sent *sent);
void bed_push(struct bed *bed, const struct bed_sent *sent);

/* The same in steps: the next entry of a seat's timeline; said. */
struct bed_entry bed_entry_of(struct bed *bed, uint32_t seat, const struct bed_sent *sent);
void bed_push_entry(struct bed *bed, uint32_t seat, const struct bed_entry *entry);
/* The members of an entry, without braces; what stands in `room` bytes at `out` is returned. */
const char *bed_write_entry(char *out, size_t room, const struct bed_entry *entry);

/* How often a promise was found broken; all of them; what judge of the end says. */
uint64_t bed_broken(const struct bed *bed, enum load_count what);
uint64_t bed_broken_all(const struct bed *bed);
uint64_t bed_judge(const struct bed *bed);
/* Fails the test unless `what`, and nothing else, was found broken so often. */
void bed_expect(const struct bed *bed, enum load_count what, uint64_t times);

#endif
