/*
 * nats.h: a session at a nats-server with JetStream, to compare with. Both functions are for the thread of the
 * session's worker.
 *
 * Each user is a subject load.N, to which its session subscribes. A send is a publish to the recipient's subject; a
 * stream of all these subjects stores it and acknowledges it in the session's inbox, under the id of the send. There
 * are no timelines and no `prev`; content, order, loss and duplicates are checked as ever. The sender's own copy counts
 * as received with the acknowledgement.
 */
#ifndef CHITCHAT_BENCH_LOAD_NATS_H
#define CHITCHAT_BENCH_LOAD_NATS_H

#include <stdint.h>

struct load_send;
struct load_session;
struct load_text;
struct load_worker;

/* Takes the messages that are complete; returns the bytes used. */
uint32_t load_nats_take(struct load_worker *worker, struct load_session *session, const char *data, uint32_t bytes);
/* Publishes `text`. */
void load_nats_send(struct load_worker *worker, struct load_session *session, const struct load_send *send,
                    const struct load_text *text);

#endif
