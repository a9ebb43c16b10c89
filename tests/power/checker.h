/*
 * judge.h: starts a server on a directory as a power cut may have left it, asks it for every timeline, and holds what
 * it says against what was claimed before the cut. The server is that of tests/sim/harness.h: recovery, store, log,
 * replay and delivery are the real ones; sockets and threads are doubles.
 */
#ifndef CHITCHAT_TESTS_POWER_CHECKER_H
#define CHITCHAT_TESTS_POWER_CHECKER_H

#include "claims.h"

enum verdict {
    VERDICT_GOOD,
    VERDICT_REFUSED,    /* it does not start: a power cut is taken for damage */
    VERDICT_LOST,       /* a claim does not hold: no such entry, or another mid, text, prev */
    VERDICT_DUPLICATED, /* a message stands twice in a timeline, or a resend with its key stored it again */
    VERDICT_REORDERED,  /* ts or prev out of order, or sends of one user to another */
    VERDICT_ONE_SIDED,  /* in one timeline, not in the other */
    VERDICT_INVENTED,   /* in no journal, or changed */
    VERDICT_DIED,       /* the server, or the judge, ended otherwise */
    VERDICT_COUNT
};

struct result {
    enum verdict verdict;
    bool is_open; /* recovery is over */
    char text[600];
};

struct judge_options {
    uint32_t shards;
    bool twice; /* kills it after the result, starts it again and judges again */
};

/* In a process of its own, which it may end: *result lies in shared memory. */
void judge(const char *dir, const struct claims *claims, const struct judge_options *options, struct result *result);

#endif
