/*
 * api.h: the handlers of the routes (http/routes.h). Each answers its request once: at once, or later when another
 * shard has answered. docs/openapi.yaml says what they take and answer. Shard's thread.
 */
#ifndef CHITCHAT_API_API_H
#define CHITCHAT_API_API_H

#include "http/exchange.h"
#include "http/routes.h"
#include "server/barrier.h"
#include "timeline/posts.h"

/* All routes. *count_r of them; static. */
const struct http_route *api_routes(uint32_t *count_r);

/* GET /livez: 200 while all shards take turns. */
void api_livez(struct core *core, struct exchange *exchange, const struct http_request *request);
/* GET /readyz, /healthz: 200 while messages can be stored, else 503 with the reason. */
void api_readyz(struct core *core, struct exchange *exchange, const struct http_request *request);
/* GET /metrics: for Prometheus (server/metrics_text.h). */
void api_metrics(struct core *core, struct exchange *exchange, const struct http_request *request);
/* GET /api/v1/users/{user}/connections. */
void api_connections(struct core *core, struct exchange *exchange, const struct http_request *request);
/* DELETE /api/v1/users/{user}/connections?code=: closes them. */
void api_disconnect(struct core *core, struct exchange *exchange, const struct http_request *request);
/* DELETE /api/v1/users/{user}: erases the user's timeline. */
void api_erase(struct core *core, struct exchange *exchange, const struct http_request *request);

/* POST /api/v1/messages: sends a message as any user. Answers when it is durable. */
void api_send_message(struct core *core, struct exchange *exchange, const struct http_request *request);
/* POST /api/v1/messages:batch (batches.h). */
void api_send_batch(struct core *core, struct exchange *exchange, const struct http_request *request);
/* GET /api/v1/users/{user}/messages?after=&before=&with=&limit=: a page of the timeline. */
void api_messages(struct core *core, struct exchange *exchange, const struct http_request *request);
/* GET /api/v1/users/{user}/export: all of the timeline, a message a line. */
void api_export(struct core *core, struct exchange *exchange, const struct http_request *request);

/* For both ways to send: writes what a stored message has at `at`, as `"ts":...,"mid":"..."` and, for one that was
 * stored before, `"dup":true`. Returns where it ends. At most API_RESULT_BYTES with what stands around it. */
#define API_RESULT_BYTES 128u
char *api_put_stored(char *at, const struct post *post);

/* For requests that wait for a barrier (server/barrier.h): what a request is answered that did not pass it. `end`
 * is not BARRIER_PASSED (asserted). */
void api_refuse_barrier(enum barrier_end end, enum error_code *code_r, const char **message_r,
                        uint32_t *retry_after_ms_r);

#endif
