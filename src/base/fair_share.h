/*
 * fair_share.h: whose sends are refused first when something of which a shard has a limited amount is nearly used up:
 * memory for recent messages, sends in flight. A reserve, the last part of each, is for those who have taken little.
 * There a send is taken if what its user has taken (their cost) is at most what is left. So those with the highest cost
 * are refused first, and a user who sends little goes on until nothing is left.
 *
 * What a message costs is its bytes times the requests that were unanswered on its connection when it came. Clients
 * that wait for answers have a few; those that send all that they can have hundreds, and the more they are, the less
 * each of them sends. So cost tells them apart where bytes alone do not. What is in flight has the square of these
 * requests as its cost: the same sum, without the bytes.
 *
 * The cost of what was stored is counted in the memtable (memtable_user_cost), so it begins anew with each generation,
 * and takes no memory of its own. Another shard gets it as a power of two, the share, in the letter of the send.
 *
 * Pure.
 */
#ifndef CHITCHAT_BASE_FAIR_SHARE_H
#define CHITCHAT_BASE_FAIR_SHARE_H

#include <stdbool.h>
#include <stdint.h>

/* The reserve: this part of the whole. */
#define FAIR_SHARE_RESERVE 8u
/* The same of a generation that will be exchanged at once, so that nobody need be refused. */
#define FAIR_SHARE_RESERVE_SMALL 32u
/* A message makes an entry in two timelines. */
#define FAIR_SHARE_ENTRIES 2u
/* The entries of a message that is not stored yet, for its cost. */
#define FAIR_SHARE_MESSAGE_BYTES 256u
/* Of a user who has taken more than anybody: refused in the whole reserve. */
#define FAIR_SHARE_MOST 63u

/* The cost of `unanswered` requests that are in flight on one connection. */
static inline uint64_t fair_share_in_flight(uint32_t unanswered)
{
    return (uint64_t)unanswered * unanswered;
}

/* `cost` as a share, 0 to FAIR_SHARE_MOST: the least power of two that is above it; 0 for no cost. */
static inline uint8_t fair_share_of(uint64_t cost)
{
    uint32_t share = cost == 0 ? 0 : 64 - (uint32_t)__builtin_clzll(cost);
    return (uint8_t)(share < FAIR_SHARE_MOST ? share : FAIR_SHARE_MOST);
}

/* The cost that a share stands for. */
static inline uint64_t fair_share_cost(uint8_t share)
{
    return share == 0 ? 0 : UINT64_C(1) << share;
}

/* Whether somebody with `cost` may take some of what is left, `room`, of which the last `reserve` is for those who have
 * taken little. Without room only those who have taken nothing may. */
static inline bool fair_share_admits(uint64_t cost, uint64_t room, uint64_t reserve)
{
    return room >= reserve || cost <= room;
}

#endif
