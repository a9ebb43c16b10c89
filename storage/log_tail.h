/*
 * log_tail.h: the newest batch of a slot's log that a node knows to be committed, in a file of its data directory. The
 * runs know only what a checkpoint had. A log that has lost batches above that, while the node was down, is noticed by
 * this file: log_remote_seek is given what it says. It is written beside the path of a send, once a second, so the
 * batches of the last second are not covered. Blocks; one thread for a directory at a time.
 */
#ifndef CHITCHAT_STORAGE_LOG_TAIL_H
#define CHITCHAT_STORAGE_LOG_TAIL_H

#include "storage/log_ownership.h"

#define LOG_TAIL_NAME "log-tail"

/* Replaces the file in `dir`, which is the WAL's of a shard; durable when this returns 0. -errno: the old one stands.
 */
int log_tail_write(const char *dir, uint32_t slot, const struct ownership_mark *mark);
/* 0 and *mark_r, whose number is 0 if there is no file; -EBADMSG: it is damaged, or of another slot; or -errno. */
int log_tail_read(const char *dir, uint32_t slot, struct ownership_mark *mark_r);

#endif
