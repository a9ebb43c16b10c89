/*
 * load_server.h: the server as our own child, so that it can be killed in the middle of everything and started again.
 * Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_SERVER_H
#define CHITCHAT_BENCH_LOAD_SERVER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

/* Runs the shell command, in a process group of its own, and waits until something listens at `address`; *pid_r is the
 * shell's, which the command replaces. 0 or -errno (-ETIMEDOUT: nobody listens after 60 s; -ECHILD: it ended). */
int load_server_start(const char *command, const struct sockaddr_in *address, int *pid_r);
/* 0 if something listens there, else -errno. */
int load_server_probe(const struct sockaddr_in *address);
/* Whether it has ended, though nobody told it to; collects it and says in `why` how. */
bool load_server_has_ended(int pid, char *why, size_t room);
/* SIGKILL, to all of its group, and collects it. */
void load_server_kill(int pid);
/* SIGTERM, and SIGKILL if it goes on for 20 s. */
void load_server_stop(int pid);

#endif
