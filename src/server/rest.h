/*
 * rest.h: checks that a shard at rest has freed everything.
 *
 * When all connections are closed and nothing is in flight, every pool is empty, every count and budget is zero and
 * every list is empty; anything else was taken and not freed. The tests' harness asserts it when it has become idle.
 * The server logs it in debug lines (--log-level debug), with the longest turns:
 *
 *     event=turns shard=0 count=5512 longest_us=1804 longest_work_us=1211 most_work_us=2950    each second
 *     event=rest shard=0 at=idle connections=0 clean=yes left=""      each second without connections
 *     event=rest shard=0 at=end connections=0 clean=yes left=""       when the shard ends
 *
 * Shard's thread.
 */
#ifndef CHITCHAT_SERVER_REST_H
#define CHITCHAT_SERVER_REST_H

#include <stdbool.h>
#include <stddef.h>

struct core;

#define REST_TEXT_BYTES 512u

/* Whether all counts have their start values. If not, `text` lists those that have not, as `name=value` joined by
 * commas. After a failed WAL write sends stay pending for ever: then only connections and what belongs to them are
 * checked. */
bool rest_check(const struct core *core, char text[REST_TEXT_BYTES]);
/* Once a second: logs the debug lines. */
void rest_tick(struct core *core);
/* The shard ends: logs its last debug line. */
void rest_on_end(struct core *core);

#endif
