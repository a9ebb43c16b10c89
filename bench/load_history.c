/* load_history.c: walks backwards through a timeline, page by page; at its start it must have seen just what the seat
 * had got. */
#include "load_run.h"

#define HISTORY_ID 2u

void load_history_ask(struct load_worker *worker, struct load_seat *seat)
{
    char *out = load_seat_room(worker, seat, LOAD_WIRE_ROOM);
    uint32_t mask = (uint32_t)load_random_next(&worker->random);
    seat->asked_us = worker->now_us;
    seat->out.bytes +=
        (uint32_t)load_wire_put_history(out, mask, HISTORY_ID, seat->page_before, worker->run->options.limit);
}

/* Entries of earlier runs lie below `base`: there the walk ends. */
static void take_message(struct load_worker *worker, struct load_seat *seat, const struct load_wire_object *message,
                         struct span frame)
{
    struct load_text text;
    worker->stats.counts[LOAD_PAGE_MESSAGES]++;
    if (message->ts <= seat->base || !load_frame_read_text(worker, seat, message, frame, &text))
        return;
    seat->walk_count++;
    seat->walk_sum += load_text_hash(text.from, text.seq, message->mid.data, (uint32_t)message->mid.bytes);
}

/* All messages of a page; the first one's ts, 0 if there is none. False if they are not in order or not in bounds. */
static bool take_messages(struct load_worker *worker, struct load_seat *seat, struct span messages, uint64_t *first_r)
{
    struct load_wire_object message;
    const char *at = NULL, *begin;
    uint64_t last = 0;
    bool is_broken, is_good = true;
    *first_r = 0;
    for (begin = messages.data; load_wire_next_message(messages, &at, &message, &is_broken); begin = at) {
        is_good &= message.ts > last && (seat->page_before == 0 || message.ts < seat->page_before);
        last = message.ts;
        *first_r = *first_r == 0 ? message.ts : *first_r;
        take_message(worker, seat, &message, (struct span){begin, (size_t)(at - begin)});
    }
    return is_good && !is_broken;
}

static void end_walk(struct load_worker *worker, struct load_seat *seat, struct span frame)
{
    if (seat->walk_count != seat->full_count || seat->walk_sum != seat->full_sum)
        load_worker_broken(worker, LOAD_BROKEN_HISTORY, "the pages together are not what the connection got", frame);
    seat->walk_count = seat->walk_sum = seat->page_before = 0;
}

void load_history_take(struct load_worker *worker, struct load_seat *seat, const struct load_wire_object *page,
                       struct span frame)
{
    uint64_t first = 0;
    if (!page->has_id || page->id != HISTORY_ID || seat->asked_us == 0) {
        load_worker_broken(worker, LOAD_BROKEN_REPLY, "a page that was not asked for", frame);
        return;
    }
    worker->stats.counts[LOAD_PAGES]++;
    load_histogram_add(&worker->stats.latencies[LOAD_PAGE], worker->now_us - seat->asked_us);
    seat->asked_us = 0;
    if (!take_messages(worker, seat, page->messages, &first) || (page->more && (!page->has_next || first == 0)))
        load_worker_broken(worker, LOAD_BROKEN_HISTORY, "a page out of order or bounds, or more without next", frame);
    seat->page_before = page->next;
    if (!page->more || first <= seat->base)
        end_walk(worker, seat, frame);
    load_scenario_on_answer(worker, seat);
}
