#include "load/typing.h"

#include "load/run.h"
#include "load/session.h"
#include "load/stats.h"
#include "load/talk.h"
#include "load/wire.h"
#include "load/worker.h"

/* Pushes of one pair that may have come by now: one a second, and one each for the begin of the first second and for
 * threads that begin a little earlier. */
static uint64_t allowed(const struct load_worker *worker)
{
    return 2 + (worker->now_us - worker->typing_us) / 1000000;
}

void load_typing_take(struct load_worker *worker, struct load_session *session, const struct load_wire_object *push,
                      struct span frame)
{
    uint32_t from;
    const char *why = NULL;
    struct load_talk *talk = NULL;
    worker->stats.counts[LOAD_TYPING_PUSHES]++;
    if (worker->run->options.scenario != LOAD_TYPING)
        why = "nobody has typed";
    else if (!load_run_user_number(worker->run, push->from, &from))
        why = "a user of no run";
    else if (from == session->user)
        why = "this user themselves";
    else
        talk = load_talk_with(session, from);
    if (talk != NULL && ++talk->typing > allowed(worker))
        why = "more than one a second";
    if (why != NULL)
        load_worker_broken(worker, LOAD_BROKEN_TYPING, why, frame);
}
