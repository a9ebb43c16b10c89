/*
 * rest.h: what a shard keeps count of, and whether it is all back where it began.
 *
 * When everybody has left and nothing is in flight, every pool is empty, every count and budget at zero and every list
 * empty; whatever is not was taken and never given back. The simulator asserts it whenever a harness has come to rest;
 * the server says it in debug lines (--log-level debug), beside the longest turns:
 *
 *     event=turns shard=0 count=5512 longest_us=1804 longest_work_us=1211 most_work_us=2950    each second
 *     event=rest shard=0 at=idle connections=0 clean=yes left=""      when the server has no connection, until clean
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

/* What a shard keeps of it. */
struct rest {
    bool is_logged; /* while the server has no connection: that all is given back */
};

/* Whether all is at its start value; else `text` names what is not, as `name=value` joined by commas. What is pending
 * for ever after a failed log write does not count: then only connections do. */
bool rest_check(const struct core *core, char text[REST_TEXT_BYTES]);
/* Once a second: the debug lines. */
void rest_tick(struct core *core);
/* The shard ends. */
void rest_on_end(struct core *core);

#endif
