/*
 * http.h: a session of a program, which sends by POST /api/v1/messages (docs/HTTP_API.md) over a connection that stays
 * open, to an admin address. All functions are for the thread of the session's worker.
 *
 * A session asks for /readyz first, and is live when the server is ready. It sends as its user, one message at a time:
 * an answer of HTTP has no id. What is checked is each answer: its status, its mid, and that `ts` rises from one
 * message of the session to the next. Nothing is pushed to such a connection, so who received what is not checked.
 */
#ifndef CHITCHAT_BENCH_LOAD_HTTP_H
#define CHITCHAT_BENCH_LOAD_HTTP_H

#include <stdint.h>

struct load_send;
struct load_session;
struct load_text;
struct load_worker;

/* Writes the first request of a new connection. */
void load_http_begin(struct load_worker *worker, struct load_session *session);
/* Takes the answers that are complete; returns the bytes used. */
uint32_t load_http_take(struct load_worker *worker, struct load_session *session, const char *data, uint32_t bytes);
/* Posts `text`. */
void load_http_send(struct load_worker *worker, struct load_session *session, const struct load_send *send,
                    const struct load_text *text);

#endif
