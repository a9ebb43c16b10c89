/*
 * group_commit.h: when the WAL's filling batch is written, once the write before it is done. Pure. Shard's thread.
 *
 * As a rule, at once. But where many connections wait for an answer, their next sends follow soon after it. If the
 * batch were written at the first of them, two half batches would take turns: twice the writes, and more sends on the
 * sockets, since fewer answers to a connection fall together. So after a write of GROUP_COMMIT_RECORDS_MIN records the
 * next batch waits until it has as many records as the last two writes together, but never longer than half of what the
 * last write took, nor than GROUP_COMMIT_WAIT_US_MAX. A sender who is alone does not wait. Where all senders are in one
 * batch already, it leaves with the last of them: nobody is left to wait for, and the last two writes had each of them
 * twice. How many they are is known by the records without an answer, in the write and behind it.
 *
 * Where connections have many sends outstanding, their answers fall together anyway. Two half batches in turns are
 * better then: the server works on one while the disk has the other. So nothing waits (measured: 10 connections with 64
 * unanswered sends each, 231 -> 290 k sends/s; with one each, waiting takes 13 % less CPU a send). By themselves all
 * these connections would fall into step, in one batch, and the server would be idle while the disk has it. So a batch
 * is written in the middle of a turn when it has half of the records of the last two writes (measured, in turns, on a
 * noisy machine: 100 connections with 16 unanswered sends each, 5 to 22 % more sends/s; 10 with 64, 8 to 14 %; with a
 * third instead of half, 11 and -2 %).
 */
#ifndef CHITCHAT_DURABILITY_GROUP_COMMIT_H
#define CHITCHAT_DURABILITY_GROUP_COMMIT_H

#include <stdbool.h>
#include <stdint.h>

/* After a smaller write the next batch is written at once. */
#define GROUP_COMMIT_RECORDS_MIN 16u
#define GROUP_COMMIT_WAIT_US_MAX 150u
/* With fewer records in the last two writes together, halves are not worth a write each. The simulator, which is built
 * with faults, has few sends outstanding, and its runs should reach this code too. */
#ifdef CHITCHAT_FAULTS
#define GROUP_COMMIT_HALVED_RECORDS_MIN 8u
#else
#define GROUP_COMMIT_HALVED_RECORDS_MIN 256u
#endif

/* Zeroed: no write yet. */
struct group_commit {
    uint32_t records[2]; /* of the last two writes, the newer one first */
    uint32_t together;   /* the most records without an answer at a time; falls by a sixteenth with each write */
    uint32_t unanswered; /* records of the newest write, until the turn in which it is done has ended */
    bool is_writing;
    uint64_t write_us; /* what the last one that is done took */
    uint64_t since_us; /* when the batch could have been written, monotonic; 0: it has not waited */
};

/* How long a batch of `records` (at least 1: asserted) should still wait at `now_us` (monotonic, not 0: asserted); 0:
 * write it now. `only_outstanding` of the records are of connections that had nothing else unanswered when they sent
 * them. */
uint64_t group_commit_wait_us(struct group_commit *commit, uint32_t records, uint32_t only_outstanding,
                              uint64_t now_us);
/* Whether a batch of `records` has half of what the last two writes had, and should not wait for the turn's end. */
bool group_commit_is_half(const struct group_commit *commit, uint32_t records, uint32_t only_outstanding);
/* At the end of a turn, before its answers leave, the batch has `records`. */
void group_commit_on_turn(struct group_commit *commit, uint32_t records);
/* A write of `records` was submitted. */
void group_commit_on_write(struct group_commit *commit, uint32_t records);
/* The write is done, after `took_us`. */
void group_commit_on_written(struct group_commit *commit, uint64_t took_us);

#endif
