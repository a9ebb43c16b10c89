/*
 * hostile_plan.h: the attacks as data. In an attack a number of connections do the same: each opens, writes its opening
 * (an upgrade, a login), waits until that has been answered, then writes one block of bytes again and again at the
 * plan's pace, until its end; then another connection takes its place. The bytes that a plan names are built here, in
 * memory that the caller frees. Pure. Any thread.
 */
#ifndef CHITCHAT_BENCH_HOSTILE_PLAN_H
#define CHITCHAT_BENCH_HOSTILE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOSTILE_NAME_BYTES 64u

enum hostile_opening {
    HOSTILE_OPENS_SILENT,     /* only connects */
    HOSTILE_OPENS_LOGIN,      /* the upgrade and the login, in one write */
    HOSTILE_OPENS_REPLAY,     /* the same, with `after` 0 */
    HOSTILE_OPENS_BAD_FRAMES, /* the upgrade, bad frames, the login, in one write */
};

enum hostile_block {
    HOSTILE_NOTHING,
    HOSTILE_SEND,         /* one send, to the first user */
    HOSTILE_HISTORY,      /* `pages` requests for pages with an unknown user */
    HOSTILE_PAGES_OF_ALL, /* `pages` requests for pages of a thousand entries */
    HOSTILE_KEYED,        /* sends with as many different keys as a key window has */
    HOSTILE_PONGS,
    HOSTILE_PINGS,
    HOSTILE_CONTINUATIONS, /* of a message that never ends */
    HOSTILE_TEXTS,         /* with the payload `text` */
    HOSTILE_HEAD,          /* 7 KB of an HTTP head that never ends */
    HOSTILE_GARBAGE,       /* bytes without a meaning */
    HOSTILE_HELLO,         /* a ClientHello of TLS */
    HOSTILE_LENGTH         /* the header of a frame of `declared` bytes, and 1,000 of its bytes */
};

enum hostile_pace {
    HOSTILE_ONCE,     /* one block, then nothing */
    HOSTILE_FLOOD,    /* as fast as the socket accepts them */
    HOSTILE_WINDOW,   /* up to `window` blocks unanswered; a refusal counts as an answer */
    HOSTILE_BYTEWISE, /* each byte in a write of its own */
};

enum hostile_end {
    HOSTILE_ENDS_NEVER,    /* until the server ends the connection */
    HOSTILE_ENDS_ANSWERED, /* when the opening has been answered */
    HOSTILE_ENDS_LIVE,     /* when the replay is over */
    HOSTILE_ENDS_FLIGHT    /* when a TLS server has answered anything */
};

/* What the rate of an attack counts. */
enum hostile_unit {
    HOSTILE_FRAMES,      /* written */
    HOSTILE_SENDS,       /* acknowledged */
    HOSTILE_PAGES,       /* received */
    HOSTILE_REFUSALS,    /* with 503 */
    HOSTILE_CONNECTIONS, /* opened */
    HOSTILE_LOGINS,      /* of connections that came to their end */
    HOSTILE_REPLAYS,     /* likewise */
    HOSTILE_FLIGHTS,     /* ClientHellos that a TLS server has answered */
    HOSTILE_UNITS
};

struct hostile_plan {
    const char *name;
    const char *about;
    enum hostile_unit unit;
    uint32_t connections;   /* at a time; fewer where the limit of open files is lower */
    uint32_t senders;       /* the connections that write blocks; the others only read; 0: all write */
    uint32_t user_sessions; /* connections of each user; 0: all belong to one user */
    uint32_t fill;          /* entries of the first user's timeline, written before the attack */
    enum hostile_opening opening;
    uint32_t bad_frames;
    enum hostile_block block;
    const char *text;       /* of HOSTILE_TEXTS */
    uint32_t payload_bytes; /* of HOSTILE_PINGS */
    uint32_t pages;         /* of HOSTILE_HISTORY and HOSTILE_PAGES_OF_ALL */
    uint64_t declared;      /* of HOSTILE_LENGTH */
    enum hostile_pace pace;
    uint32_t window;
    uint32_t block_answers; /* that one block gets */
    enum hostile_end end;
    uint32_t session_ms;  /* the connection is closed after this time; 0: never */
    uint32_t extra_per_s; /* connects a second once the server is full; 0: no limit */
    uint32_t hold_ms;     /* how long after its connect a refused connection stays open */
    bool is_deaf;         /* does not read after its login */
    bool is_half_closing; /* ends its side after its opening, and reads on */
    bool is_tls;          /* connects to the TLS address of the server, and takes what it answers as TLS */
    double least_s;       /* the attack lasts at least this long */
    bool is_about_memory; /* the server's memory is read again 10 s after the attack */
};

uint32_t hostile_plan_count(void);
const struct hostile_plan *hostile_plan_at(uint32_t index);
/* The index of the plan with this name of `bytes` bytes; UINT32_MAX: there is none. */
uint32_t hostile_plan_find(const char *name, size_t bytes);
/* The plan that writes the entries of `fill`. */
const struct hostile_plan *hostile_plan_filler(void);

/* The user of a connection. Different values of `run` keep the runs against one server apart. */
void hostile_plan_user(const struct hostile_plan *plan, const char *run, uint32_t nth, char name_r[HOSTILE_NAME_BYTES]);

/* Bytes to write. After its end a block goes on from `loop_at`; each unit of it has `unit_bytes`. */
struct hostile_bytes {
    char *data; /* owned */
    size_t bytes, loop_at, unit_bytes;
};
/* 0 or -ENOMEM. Empty if the plan has none; free with hostile_bytes_free. */
int hostile_plan_build_opening(const struct hostile_plan *plan, const char *host, const char *user,
                               struct hostile_bytes *opening_r);
int hostile_plan_build_block(const struct hostile_plan *plan, const char *host, const char *user,
                             struct hostile_bytes *block_r);
void hostile_bytes_free(struct hostile_bytes *bytes);
/* How many answers the opening gets. */
uint32_t hostile_plan_opening_answers(const struct hostile_plan *plan);

#endif
