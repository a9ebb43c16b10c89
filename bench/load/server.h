/*
 * load_server.h: the server as our own child, so that it can be killed in the middle of everything and started again.
 * The command is the shell's, whatever it is made of: it runs in a process group of its own, which is ended as a whole,
 * and so is the group of the process that listens, if that has another. Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_SERVER_H
#define CHITCHAT_BENCH_LOAD_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "load/address.h"

#define LOAD_SERVER_START_S 60u

/* All 0: none. */
struct load_server {
    int shell; /* leads the group */
    int pid;   /* listens; the shell, if nobody is found who does */
    int group; /* of the one that listens: most often the shell's */
};

/* Runs the shell command and waits until something listens at `address`. 0 or -errno (-ETIMEDOUT: nobody listens after
 * LOAD_SERVER_START_S; -ECHILD: it ended), and then nothing of it runs. */
int load_server_start(struct load_server *server_r, const char *command, struct load_address *address);
/* Whether it has ended, though nobody told it to; collects it and says in `why` how. Then there is none. */
bool load_server_has_ended(struct load_server *server, char *why, size_t room);
/* SIGKILL; returns when it is gone. */
void load_server_kill(struct load_server *server);
/* SIGTERM, and SIGKILL if it goes on for 20 s. Nothing if there is none. */
void load_server_stop(struct load_server *server);

#endif
