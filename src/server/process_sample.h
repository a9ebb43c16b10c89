/*
 * process_sample.h: what the kernel says about the process and its disk, copied into server->metrics about once a
 * second, by main's thread: some of it means reading files or many directory entries, for which no shard may wait.
 */
#ifndef CHITCHAT_SERVER_PROCESS_SAMPLE_H
#define CHITCHAT_SERVER_PROCESS_SAMPLE_H

struct server;

/* Takes the first sample, and the next ones with server->reloads. Main's thread, when the shards have started. What
 * cannot be read is left as it was. */
void process_sample_start(struct server *server);

#endif
