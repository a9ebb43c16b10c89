/*
 * agree.h: whether both timelines of each message agree, in memory that does not grow with their number.
 *
 * Each copy of a message that two users share is hashed with all that both copies have in common (mid, both ts, both
 * names, text) under a key drawn for this run, to 128 bits; mid chooses one of 65,536 parts. In each part the hashes of
 * the senders' copies are added and those of the recipients' are subtracted: equal multisets give zero, in whatever
 * order they come, and others do with a chance of 2^-128. Where a part is not zero, a second walk gathers the copies of
 * some such parts and names the messages. Pure; one thread.
 */
#ifndef CHITCHAT_AGREE_H
#define CHITCHAT_AGREE_H

#include "storage/problems.h"
#include "storage/record.h"

struct agree;

/* 0, or -errno (no memory, no random numbers). */
int agree_open(struct agree **agree_r);
void agree_close(struct agree **agree);

/* One copy, in the timeline of its sender or recipient; a message to oneself counts, and has nothing to agree with. */
void agree_add(struct agree *agree, const struct message *message);
/* Messages so far, as their recipients have them. */
uint64_t agree_messages(const struct agree *agree);

/* How many parts do not agree. */
uint32_t agree_bad_parts(const struct agree *agree);
/* The second walk: every copy again. 0 or -ENOMEM. */
int agree_gather(struct agree *agree, const struct message *message);
/* Tells what the gathered copies lack. */
void agree_tell(struct agree *agree, struct problems *problems);

#endif
