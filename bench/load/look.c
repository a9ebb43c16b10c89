#include "load/look.h"

#include "load/run.h"
#include "load/session.h"
#include "load/text.h"
#include "load/wire.h"
#include "load/worker.h"

#define LOOK_ID 66u   /* behind those of the walks (history.c) */
#define LOOKS_MAX 16u /* of a worker: names of one prefix have one origin */

void load_look_ask(struct load_worker *worker, struct load_session *session)
{
    const struct load_options *options = &worker->run->options;
    if (session->base == 0 || load_options_is_silent(options) || options->scenario == LOAD_TYPING
        || worker->looks == LOOKS_MAX)
        return;
    char *out = load_session_room(worker, session, LOAD_WIRE_ROOM);
    session->out.bytes +=
        (uint32_t)load_wire_put_history(out, load_worker_mask(worker), LOOK_ID, 0, 1, (struct span){NULL, 0});
    session->is_looking = true;
    worker->looks++;
    worker->gauges.looking++;
}

void load_look_end(struct load_worker *worker, struct load_session *session)
{
    worker->gauges.looking -= session->is_looking;
    session->is_looking = false;
}

/* The text may be of any run, and of any length. */
static bool is_written_by_load(const struct load_worker *worker, const struct load_wire_object *message)
{
    struct load_text text;
    return load_text_read(message->text.data, (uint32_t)message->text.bytes, &worker->run->filler, &text);
}

bool load_look_take(struct load_worker *worker, struct load_session *session, const struct load_wire_object *reply)
{
    struct load_wire_object message;
    const char *at = NULL;
    bool is_broken;
    if (!session->is_looking || !reply->has_id || reply->id != LOOK_ID)
        return false;
    load_look_end(worker, session);
    if (load_wire_next_message(reply->messages, &at, &message, &is_broken) && !is_written_by_load(worker, &message)) {
        worker->gauges.strangers++;
        worker->gauges.stranger = session->user;
    }
    return true;
}
