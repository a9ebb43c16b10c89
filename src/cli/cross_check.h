/*
 * check.h: whether both timelines of each message agree, in memory that does not grow with their number.
 *
 * Each copy of a message that two users share is hashed with all that both copies have in common (mid, both ts, both
 * names, text) under a key drawn for this run, to 128 bits; mid chooses one of 65,536 parts. In each part the hashes of
 * the senders' copies are added and those of the recipients' are subtracted: equal multisets give zero, in whatever
 * order they come, and others do with a chance of 2^-128. Where a part is not zero, a second walk gathers the copies of
 * some such parts and names the messages. Pure; one thread.
 */
#ifndef CHITCHAT_CLI_CROSS_CHECK_H
#define CHITCHAT_CLI_CROSS_CHECK_H

#include "storage/problems.h"
#include "storage/record.h"

struct cross_check;

/* 0, or -errno (no memory, no random numbers). */
int cross_check_open(struct cross_check **check_r);
void cross_check_close(struct cross_check **check);

/* One copy, in the timeline of its sender or recipient; a message to oneself counts, and has nothing to agree with. */
void cross_check_add(struct cross_check *check, const struct message *message);
/* Messages so far, as their recipients have them. */
uint64_t cross_check_messages(const struct cross_check *check);

/* How many parts do not agree. */
uint32_t cross_check_bad_parts(const struct cross_check *check);
/* The second walk: every copy again. 0 or -ENOMEM. */
int cross_check_gather(struct cross_check *check, const struct message *message);
/* Tells what the gathered copies lack. */
void cross_check_report(struct cross_check *check, struct problems *problems);

#endif
