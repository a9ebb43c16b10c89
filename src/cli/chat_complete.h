/*
 * chat_complete.h: what the tab key adds to a line: the rest of a word, of those that may stand there. Pure.
 */
#ifndef CHITCHAT_CLI_CHAT_COMPLETE_H
#define CHITCHAT_CLI_CHAT_COMPLETE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/span.h"

/* Words that are named when several fit. */
#define CHAT_FITTING_MAX 20u

struct chat_completion {
    uint32_t count;                        /* of the words that fit */
    const char *fitting[CHAT_FITTING_MAX]; /* the first of them; borrowed from the caller of chat_complete_add */
    size_t stem_bytes;
    char common[LIMIT_USER_BYTES + 1]; /* what all that fit begin with; it begins with the stem, if one fits */
};

/* `stem`: what stands there already (copied; longer than LIMIT_USER_BYTES: nothing fits). */
void chat_complete_begin(struct chat_completion *completion, struct span stem);
/* A word that may stand there: each once. Borrowed while `fitting` is used. */
void chat_complete_add(struct chat_completion *completion, struct span stem, const char *word);
/* What is to be inserted behind the stem; no bytes: nothing. Borrowed. */
struct span chat_complete_rest(const struct chat_completion *completion);

#endif
