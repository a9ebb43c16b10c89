/*
 * cross_check.h: whether the two timelines of each message have equal copies of it, in memory that does not grow with
 * the number of messages.
 *
 * Each copy of a message between two users is hashed to 128 bits, with all that both copies have in common (mid, both
 * ts, both names, text), under random keys drawn by cross_check_open. The mid chooses one of 65,536 parts. Each part
 * adds the hashes of the senders' copies and subtracts those of the recipients': equal multisets give zero, in whatever
 * order they come, and others do so with a chance of 2^-128. Where a part is not zero, a second walk gathers the copies
 * of some such parts, and cross_check_report names the messages. One thread.
 */
#ifndef CHITCHAT_CLI_CROSS_CHECK_H
#define CHITCHAT_CLI_CROSS_CHECK_H

#include "storage/problems.h"
#include "storage/record.h"

struct cross_check;

/* 0, or -errno (no memory, no random numbers). */
int cross_check_open(struct cross_check **check_r);
void cross_check_close(struct cross_check **check);

/* Takes one copy, in the timeline of its sender or recipient. A message to oneself is counted; it has one copy, so
 * there is nothing to compare. `is_alone`: the other copy is cut (storage/runs/cuts.h), so there is nothing either. */
void cross_check_add(struct cross_check *check, const struct message *message, bool is_alone);
/* Messages so far: the copies of recipients, and messages to oneself. */
uint64_t cross_check_messages(const struct cross_check *check);

/* How many parts are not zero. */
uint32_t cross_check_bad_parts(const struct cross_check *check);
/* Whether the part of this copy is not zero: so the other copy may be missing. False of a message to oneself. */
bool cross_check_is_bad(const struct cross_check *check, const struct message *message);
/* The second walk: takes every copy again. 0 or -ENOMEM. */
int cross_check_gather(struct cross_check *check, const struct message *message);
/* Adds a problem for each gathered message whose copies are missing, too many or different. */
void cross_check_report(struct cross_check *check, struct problems *problems);
/* The same where each message stands for what one of two users says of a mark (mark_check.h): `to` has seen the
 * messages of `from` up to a ts; ROLE_SENT: as `from` says. */
void cross_check_report_marks(struct cross_check *check, struct problems *problems);

#endif
