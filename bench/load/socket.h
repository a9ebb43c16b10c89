/*
 * load_socket.h: a connection's socket, bound where --source-ips says and connecting; and where there can be none, what
 * to do about it. Any thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_SOCKET_H
#define CHITCHAT_BENCH_LOAD_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load/options.h"

#define LOAD_OBSTACLE_BYTES 640u

enum load_socket_step { LOAD_SOCKET_OPEN, LOAD_SOCKET_BIND, LOAD_SOCKET_CONNECT };

/* The file, or -errno, and at which step. Blocking for the loop's sake, but connected without waiting: the kernel sends
 * when it is connected. `nth` counts connections, which take the source addresses in turn. */
int load_socket_open(const struct load_options *options, uint32_t nth, enum load_socket_step *step_r);
/* Whether this machine refuses what the server was not even asked for: trying again changes nothing. */
bool load_socket_is_hopeless(int error);
/* In words: what failed, and what to do. */
void load_socket_explain(const struct load_options *options, uint32_t nth, enum load_socket_step step, int error,
                         char *out, size_t room);

#endif
