/*
 * metrics_text.h: all metrics of a server in the text format of Prometheus, version 0.0.4. Any thread: the numbers are
 * read while others write them. The shards of a standby do not run: nothing of them is written.
 *
 * Numbers in a struct core have the label `shard`. A histogram's `_count` and its bucket +Inf are the same reading; its
 * `_sum` may be of a moment later.
 */
#ifndef CHITCHAT_SERVER_METRICS_TEXT_H
#define CHITCHAT_SERVER_METRICS_TEXT_H

#include <stddef.h>

struct server;

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* A bound of the text's length, the same for the life of the server. */
size_t metrics_text_bytes_max(const struct server *server);
/* Writes the text to `out`, which has room for metrics_text_bytes_max. Returns its length; no NUL. */
size_t metrics_text_write(const struct server *server, char *out);

#endif
