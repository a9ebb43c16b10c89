/*
 * chat_talks.h: the conversations of a user, as a terminal shows them: how many messages are unseen, who is typing, how
 * far the other has seen. Pure; one thread.
 */
#ifndef CHITCHAT_CLI_CHAT_TALKS_H
#define CHITCHAT_CLI_CHAT_TALKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/list.h"
#include "cli/client.h"

/* Where the server counts no further. */
#define CHAT_UNSEEN_MAX 1000u
#define CHAT_TYPING_MS 6000u

struct chat_talk {
    struct list link;
    char user[LIMIT_USER_BYTES + 1];
    uint32_t unseen;
    uint64_t received_ts; /* the newest message from them; 0: none is known */
    uint64_t sent_ts;     /* the newest message to them */
    uint64_t seen_by_ts;  /* how far they have seen those */
    uint64_t shown_seen_ts;
    uint64_t oldest_ts;       /* the oldest message that was shown; 0: none was */
    uint64_t typing_until_ms; /* 0: they are not */
};

struct chat_talks {
    struct list all; /* that with the newest message first */
};

void chat_talks_init(struct chat_talks *talks);
void chat_talks_fini(struct chat_talks *talks);
/* Makes it if there is none, at the end. `user` is a user name: asserted to be short enough. */
struct chat_talk *chat_talks_take(struct chat_talks *talks, const char *user);
/* The next one behind `talk`, or the first (NULL); NULL: there is none. */
struct chat_talk *chat_talks_next(const struct chat_talks *talks, const struct chat_talk *talk);

/* A message came, or was sent, with this talk; the talk moves to the front. */
void chat_talks_note(struct chat_talks *talks, struct chat_talk *talk, const struct client_message *message,
                     bool is_sent, bool is_shown);
/* Takes a page of `peers`: what the server counts is right. */
void chat_talks_take_page(struct chat_talks *talks, const json_t *peers);
/* The user has seen this conversation up to `ts`, on another connection. */
void chat_talk_seen(struct chat_talk *talk, uint64_t ts);
/* The other has seen up to `ts`. Whether that is worth a line: they have seen the newest message to them, which no line
 * has said yet. */
bool chat_talk_seen_by(struct chat_talk *talk, uint64_t ts);
/* What the timeline lost, or all that is known is void. */
void chat_talks_reset(struct chat_talks *talks);

#endif
