#include "server/call.h"

#include "server/core.h"

void call_post(struct core *core, uint32_t to, struct call *call)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(call->run != NULL && call->done != NULL);
    ASSERT(core->calls.out < CALLS_OUT_MAX);
    core->calls.out++;
    call->letter.kind = LETTER_CALL;
    call->from = core->index;
    shard_post(core->shard, to, &call->letter);
}

void call_return(struct core *core, struct call *call)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(call->letter.kind == LETTER_CALL);
    call->letter.kind = LETTER_CALL_RETURNED;
    shard_post(core->shard, call->from, &call->letter);
}

void call_run(struct core *core, struct call *call)
{
    call->run(core, call);
}

void call_done(struct core *core, struct call *call)
{
    ASSERT(core->calls.out > 0);
    ASSERT(call->from == core->index);
    core->calls.out--;
    call->done(core, call);
}
