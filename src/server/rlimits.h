/*
 * rlimits.h: the limits of the process that decide whether the server can do what its options say: open files, the size
 * of a file, address space, CPU time. Soft limits are raised to the hard ones. Main's thread, before the shards start.
 */
#ifndef CHITCHAT_SERVER_RLIMITS_H
#define CHITCHAT_SERVER_RLIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/config.h"

/* Raises the limit of open files. If it does not suffice for config->connections: lowers them, or, if they were asked
 * for, returns false, and `text` has one line that says what to do. So a full server can still accept and answer 503.
 */
bool rlimits_fit_connections(struct config *config, uint32_t shard_count, char *text, size_t text_bytes);

/* Raises the limits of file size, address space and CPU time. Warns of those that are not unlimited, and of connections
 * that were lowered. */
void rlimits_warn(const struct config *config, uint32_t shard_count);

#endif
