/*
 * hostile_plan.h: the attacks as data. Each is a number of connections that live alike: one opens, writes its opening
 * (an upgrade, a login), waits until that has been answered, then writes one block of bytes again and again at its
 * pace, until its end; then another takes its place. What a plan names is built here, into memory that the caller
 * frees. Pure. Any thread.
 */
#ifndef CHITCHAT_BENCH_HOSTILE_PLAN_H
#define CHITCHAT_BENCH_HOSTILE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOSTILE_NAME_BYTES 64u

enum hostile_opening {
    HOSTILE_OPENS_SILENT,     /* connects, no more */
    HOSTILE_OPENS_LOGIN,      /* the upgrade and the login, in one write */
    HOSTILE_OPENS_REPLAY,     /* the same, with `after` 0 */
    HOSTILE_OPENS_BAD_FRAMES, /* the upgrade, bad frames, the login, in one write */
};

enum hostile_block {
    HOSTILE_NOTHING,
    HOSTILE_SEND,    /* one, to the first user */
    HOSTILE_HISTORY, /* a thousand pages with somebody whom nobody knows */
    HOSTILE_PONGS,
    HOSTILE_PINGS,
    HOSTILE_CONTINUATIONS, /* of a message that does not end */
    HOSTILE_TEXTS,         /* what `text` says */
    HOSTILE_HEAD           /* 7 KB of a head that has no end */
};

enum hostile_pace {
    HOSTILE_ONCE,     /* one block, and that is held */
    HOSTILE_FLOOD,    /* as fast as the socket takes them */
    HOSTILE_WINDOW,   /* as many blocks as `window` unanswered; what is refused is tried again at once */
    HOSTILE_BYTEWISE, /* each byte in a write of its own */
};

enum hostile_end {
    HOSTILE_ENDS_NEVER,    /* before the server ends it */
    HOSTILE_ENDS_ANSWERED, /* when the opening has been answered */
    HOSTILE_ENDS_LIVE      /* when the replay is over */
};

/* What the rate of an attack counts. */
enum hostile_unit {
    HOSTILE_FRAMES,      /* written */
    HOSTILE_SENDS,       /* acknowledged */
    HOSTILE_PAGES,       /* received */
    HOSTILE_REFUSALS,    /* with 503 */
    HOSTILE_CONNECTIONS, /* opened */
    HOSTILE_LOGINS,      /* of sessions that came to their end */
    HOSTILE_REPLAYS,     /* of the same */
    HOSTILE_UNITS
};

struct hostile_plan {
    const char *name;
    const char *about;
    enum hostile_unit unit;
    uint32_t connections;   /* at a time; fewer where the limit of open files is lower */
    uint32_t senders;       /* those that write blocks, the others only read; 0: all */
    uint32_t user_sessions; /* connections of one user; 0: all are one's */
    uint32_t fill;          /* entries of the first user's timeline, before all else */
    enum hostile_opening opening;
    uint32_t bad_frames;
    enum hostile_block block;
    const char *text;       /* of HOSTILE_TEXTS */
    uint32_t payload_bytes; /* of HOSTILE_PINGS */
    enum hostile_pace pace;
    uint32_t window;
    uint32_t block_answers; /* that a block gets */
    enum hostile_end end;
    uint32_t session_ms;  /* a connection is given up after this; 0: never */
    uint32_t extra_per_s; /* connects until the server is full, then so many more a second; 0: connects at once */
    uint32_t hold_ms;     /* who was turned away keeps its end open, until so long after its connect */
    bool is_deaf;         /* does not read once it has logged in */
    double least_s;       /* lasts at least so long */
    bool tells_memory;    /* what matters is the server's memory, also 10 s later */
};

uint32_t hostile_plan_count(void);
const struct hostile_plan *hostile_plan_at(uint32_t index);
/* By a name of so many bytes; UINT32_MAX: there is none. */
uint32_t hostile_plan_find(const char *name, size_t bytes);
/* What puts the entries of `fill` there. */
const struct hostile_plan *hostile_plan_filler(void);

/* The user of a connection: `run` sets runs against the same server apart. */
void hostile_plan_user(const struct hostile_plan *plan, const char *run, uint32_t nth, char name_r[HOSTILE_NAME_BYTES]);

/* Bytes to write. A block that has no end goes on from `loop_at`; each unit of it has unit_bytes. */
struct hostile_bytes {
    char *data; /* owned */
    size_t bytes, loop_at, unit_bytes;
};
/* 0 or -ENOMEM. Empty where the plan has none. */
int hostile_plan_build_opening(const struct hostile_plan *plan, const char *host, const char *user,
                               struct hostile_bytes *opening_r);
int hostile_plan_build_block(const struct hostile_plan *plan, const char *host, const char *user,
                             struct hostile_bytes *block_r);
void hostile_bytes_free(struct hostile_bytes *bytes);
/* The answers that end the opening. */
uint32_t hostile_plan_opening_answers(const struct hostile_plan *plan);

#endif
