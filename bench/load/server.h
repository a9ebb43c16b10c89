/*
 * server.h: the server as a child process (--kill-server), so that it can be killed under load and started again. The
 * command is a shell command. It runs in a process group of its own, which is ended as a whole; if the process that
 * listens has another group, that is ended too. Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_SERVER_H
#define CHITCHAT_BENCH_LOAD_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "load/address.h"

#define LOAD_SERVER_START_S 60u

/* All 0: there is none. */
struct load_server {
    int shell; /* leads the group */
    int pid;   /* the process that listens; the shell, if that process cannot be found */
    int group; /* of the process that listens: most often the shell's */
};

/* Runs the shell command and waits until a process listens at `address`. 0 or -errno (-ETIMEDOUT: none listens after
 * LOAD_SERVER_START_S; -ECHILD: the command ended); after an error none of its processes runs. */
int load_server_start(struct load_server *server_r, const char *command, struct load_address *address);
/* Whether it has ended by itself; then `why` says how, and nothing of it runs any more. */
bool load_server_has_ended(struct load_server *server, char *why, size_t room);
/* Sends SIGKILL; returns when all its processes have ended. */
void load_server_kill(struct load_server *server);
/* Sends SIGTERM, and SIGKILL if it still runs after 20 s. Does nothing if there is none. */
void load_server_stop(struct load_server *server);

#endif
