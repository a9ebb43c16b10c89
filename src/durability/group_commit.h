/*
 * group_commit.h: when the log's batch leaves, once the write before it is done. Pure; the shard's thread.
 *
 * At once, as a rule. But where many are waiting for an answer, their next sends follow soon after it: a batch that
 * leaves at the first of them makes two half batches go round in turns, with twice the writes and, since fewer answers
 * to a connection fall together, more sends on the sockets. So after a write of some size the next batch waits until it
 * holds as many records as the last two writes together, but never longer than half of what a write takes: a lone
 * sender does not wait, and nobody waits longer than he would have for a disk half as fast again.
 *
 * Where connections have many sends on their way, their answers fall together anyhow, and two half batches in turns are
 * better: the server works on one while the disk has the other. Then nothing waits (measured: 10 connections with 64
 * unanswered sends each, 231 -> 290 k sends/s; with one each, waiting takes 13 % less CPU a send). Left alone, all of
 * them fall into step, in one batch: while the disk has it nobody has anything to do. So a batch leaves in the midst of
 * a turn when it holds half of what the last two writes did (measured, in turns, on a noisy machine: 100 connections
 * with 16 unanswered sends each, 5 to 22 % more sends/s; 10 with 64, 8 to 14 %; with a third of it, 11 and -2 %).
 */
#ifndef CHITCHAT_DURABILITY_GROUP_COMMIT_H
#define CHITCHAT_DURABILITY_GROUP_COMMIT_H

#include <stdbool.h>
#include <stdint.h>

/* After a smaller write the next batch leaves at once. */
#define GROUP_COMMIT_RECORDS_MIN 16u
#define GROUP_COMMIT_WAIT_US_MAX 150u
/* The last two writes together: with less on its way, halves are not worth a write each. The simulator, which is built
 * with faults, has few sends on their way, and is to come by here too. */
#ifdef CHITCHAT_FAULTS
#define GROUP_COMMIT_HALVED_RECORDS_MIN 8u
#else
#define GROUP_COMMIT_HALVED_RECORDS_MIN 256u
#endif

struct group_commit {
    uint32_t records[2]; /* of the last two writes, the newer one first */
    uint64_t write_us;   /* what the last one took */
    uint64_t since_us;   /* when the batch could have left; 0: it has not waited */
};

/* How long a batch of `records` (at least 1) should still wait at `now_us` (monotonic, not 0); 0: it leaves now.
 * `soles` of the records are of connections that had nothing else unanswered when they sent it. */
uint64_t group_commit_wait_us(struct group_commit *commit, uint32_t records, uint32_t only_outstanding,
                              uint64_t now_us);
/* Whether a batch of `records` is half of what is on its way, and need not wait for the turn's end. */
bool group_commit_is_half(const struct group_commit *commit, uint32_t records, uint32_t only_outstanding);
/* A write of `records` was given to the kernel. */
void group_commit_on_write(struct group_commit *commit, uint32_t records);
/* It is done, after `took_us`. */
void group_commit_on_written(struct group_commit *commit, uint64_t took_us);

#endif
