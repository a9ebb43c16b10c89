#include "durability/group_commit.h"

#include "base/assert.h"

#define TOGETHER_FALLS_BY 16u

/* Whether most of the records are of connections that have one send outstanding at a time. */
static bool are_mostly_only_outstanding(uint32_t records, uint32_t only_outstanding)
{
    return only_outstanding >= records / 2;
}

uint64_t group_commit_wait_us(struct group_commit *commit, uint32_t records, uint32_t only_outstanding, uint64_t now_us)
{
    ASSERT(records > 0);
    ASSERT(only_outstanding <= records);
    ASSERT(now_us > 0);
    ASSERT(now_us >= commit->since_us);
    uint64_t limit_us = commit->write_us / 2;
    if (limit_us > GROUP_COMMIT_WAIT_US_MAX)
        limit_us = GROUP_COMMIT_WAIT_US_MAX;
    if (!are_mostly_only_outstanding(records, only_outstanding) || commit->records[0] < GROUP_COMMIT_RECORDS_MIN
        || records >= commit->records[0] + commit->records[1] || records >= commit->together)
        return 0;
    if (commit->since_us == 0)
        commit->since_us = now_us;
    uint64_t waited_us = now_us - commit->since_us;
    return waited_us < limit_us ? limit_us - waited_us : 0;
}

bool group_commit_is_half(const struct group_commit *commit, uint32_t records, uint32_t only_outstanding)
{
    ASSERT(only_outstanding <= records);
    uint32_t recent = commit->records[0] + commit->records[1];
    return recent >= GROUP_COMMIT_HALVED_RECORDS_MIN && records >= recent / 2
           && !are_mostly_only_outstanding(records, only_outstanding);
}

void group_commit_on_turn(struct group_commit *commit, uint32_t records)
{
    if (commit->unanswered + records > commit->together)
        commit->together = commit->unanswered + records;
    if (!commit->is_writing)
        commit->unanswered = 0;
}

void group_commit_on_write(struct group_commit *commit, uint32_t records)
{
    commit->together -= commit->together / TOGETHER_FALLS_BY;
    commit->records[1] = commit->records[0];
    commit->records[0] = records;
    commit->unanswered = records;
    commit->is_writing = true;
    commit->since_us = 0;
}

void group_commit_on_written(struct group_commit *commit, uint64_t took_us)
{
    commit->is_writing = false;
    commit->write_us = took_us;
}
