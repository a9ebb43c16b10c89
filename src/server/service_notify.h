/*
 * service_notify.h: reports to the service manager (systemd, or what made NOTIFY_SOCKET) how the server is. Main's
 * thread. Without NOTIFY_SOCKET all of it does nothing.
 *
 * Once a second service_notify_look sends a new STATUS= if the health has changed. Where the manager watches the server
 * (WATCHDOG_USEC), it also sends WATCHDOG=1, but only while all shards take turns (health_is_alive): the manager
 * restarts a server of which one shard is stuck.
 */
#ifndef CHITCHAT_SERVER_SERVICE_NOTIFY_H
#define CHITCHAT_SERVER_SERVICE_NOTIFY_H

#include "server/reload.h"

struct server;

/* The server serves: READY=1. Registers the look, if somebody listens. `server` outlives the reloads. */
void service_notify_ready(struct server *server);
/* A standby of a cluster follows: READY=1, with who owns the slots as its status. It serves when it is the owner, which
 * may never be: the manager does not wait for that. */
void service_notify_standby(struct server *server, const char *owner, const char *address);
/* A node that was deposed has begun anew, and does not know the owner yet. For the manager it is started. */
void service_notify_follows(struct server *server);
/* A standby takes turns: WATCHDOG=1. Once a second. */
void service_notify_alive(const struct server *server);
/* The process begins anew as a standby, so for the manager the service does not end. */
void service_notify_deposed(void);
/* Around the functions that SIGHUP calls: RELOADING=1, then READY=1. */
void service_notify_reloading(void);
void service_notify_reloaded(void);
/* The server stops: STOPPING=1, and it may take so many seconds, which the manager waits if its own time is shorter. */
void service_notify_stopping(uint64_t most_s);

/* A reload_function; `context` is the server. */
void service_notify_look(void *context, enum reload_cause cause);

#endif
