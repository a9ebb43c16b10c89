/* api_barrier.c: requests that a node of a cluster cannot answer, since it does not know whether it owns the slot. */
#include "api/api.h"
#include "base/assert.h"

#define RETRY_MS 1000u

void api_refuse_barrier(enum barrier_end end, enum error_code *code_r, const char **message_r,
                        uint32_t *retry_after_ms_r)
{
    ASSERT(end != BARRIER_PASSED);
    bool is_late = end == BARRIER_LATE;
    *code_r = is_late ? ERROR_BUSY : ERROR_UNAVAILABLE;
    *message_r = is_late ? "the log of the cluster does not answer: wait and send it again"
                         : "this node does not own the log of the cluster any more: ask the node that does";
    *retry_after_ms_r = is_late ? RETRY_MS : 0;
}
