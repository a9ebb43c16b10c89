/*
 * frame.h: one text frame of the server: what it is, and whether it keeps the protocol's promises. All functions are
 * for the thread of the session's worker, and borrow the frame.
 */
#ifndef CHITCHAT_BENCH_LOAD_FRAME_H
#define CHITCHAT_BENCH_LOAD_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct load_session;
struct load_text;
struct load_wire_object;
struct load_worker;

void load_frame_take(struct load_worker *worker, struct load_session *session, struct span frame);
/* Counts an entry as received, and checks that it follows the one before. */
void load_frame_take_entry(struct load_worker *worker, struct load_session *session,
                           const struct load_wire_object *entry, uint64_t hash, struct span frame);
/* Reads the text of a message, pushed or on a page. False if it is not what was sent, by that sender to that recipient;
 * then a promise is counted as broken. */
bool load_frame_read_text(struct load_worker *worker, const struct load_session *session,
                          const struct load_wire_object *message, struct span frame, struct load_text *text_r);

#endif
