/*
 * checker.h: starts a server on a directory as a power cut may have left it, reads every timeline, and compares them
 * with what the server had reported before the cut (claims.h). The server is that of tests/sim/harness.h: recovery,
 * store, WAL, replay and delivery are the real ones; sockets and threads are doubles.
 */
#ifndef CHITCHAT_TESTS_POWER_CHECKER_H
#define CHITCHAT_TESTS_POWER_CHECKER_H

#include "claims.h"

enum verdict {
    VERDICT_GOOD,
    VERDICT_REFUSED,    /* the server does not start: recovery takes a power cut for damage */
    VERDICT_UNDONE,     /* a user has entries that were erased, by a smaller `first` than was reported */
    VERDICT_LOST,       /* a claim does not hold: no such entry, or another mid, text, prev */
    VERDICT_DUPLICATED, /* a message stands twice in a timeline, or a resend with its key stored it again */
    VERDICT_REORDERED,  /* ts or prev out of order, or sends of one user to another */
    VERDICT_ONE_SIDED,  /* in one timeline, not in the other */
    VERDICT_INVENTED,   /* in no journal, or changed */
    VERDICT_DIED,       /* the server, or the checker, ended otherwise */
    VERDICT_COUNT
};

struct result {
    enum verdict verdict;
    bool is_open; /* recovery is over */
    char text[600];
};

struct checker_options {
    uint32_t shards;
    bool twice; /* after the check: kills the server, starts it again and checks again */
};

/* In a process of its own, which this may end: *result lies in shared memory. */
void checker_run(const char *dir, const struct claims *claims, const struct checker_options *options,
                 struct result *result);

#endif
