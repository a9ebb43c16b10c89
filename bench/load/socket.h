/*
 * socket.h: a connection's socket, bound as --source-ips says, and connecting. If the machine allows none, says what to
 * do about it. Any thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_SOCKET_H
#define CHITCHAT_BENCH_LOAD_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load/options.h"

#define LOAD_OBSTACLE_BYTES 640u

enum load_socket_step { LOAD_SOCKET_OPEN, LOAD_SOCKET_BIND, LOAD_SOCKET_CONNECT };

/* Connects to the node. The file, or -errno; *step_r is the step that failed. The connect is begun without waiting;
 * then the socket is set to blocking, as the io wants it: the kernel sends as soon as it is connected. `nth` counts
 * connections, which take the source addresses in turn. */
int load_socket_open(const struct load_options *options, uint32_t node, uint32_t nth, enum load_socket_step *step_r);
/* Whether the error (an errno) comes from this machine, not from the server: trying again changes nothing. */
bool load_socket_is_hopeless(int error);
/* Writes to `out` what failed with the error, and what to do. */
void load_socket_explain(const struct load_options *options, uint32_t nth, enum load_socket_step step, int error,
                         char *out, size_t room);

#endif
