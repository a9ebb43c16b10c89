/*
 * recovery_standby.h: a node of a cluster until it owns the slots. It follows the logs of all slots, and puts what is
 * committed into memtables and runs, as recovery does. When the logs are silent, or it was the owner when it ended, it
 * tries to take over (src/cluster/election.h). That is a part of recovery: only when the node owns all slots do the
 * shards start. A node that was deposed waits for a log that does not answer; any other start is refused then. Main's
 * thread; blocks.
 */
#ifndef CHITCHAT_DURABILITY_RECOVERY_STANDBY_H
#define CHITCHAT_DURABILITY_RECOVERY_STANDBY_H

#include "durability/recovery_private.h"

/* Follows until this node owns all slots, and all before its TAKEs is applied. 0; -ERESTART: another node was faster
 * after this one had begun to take slots, so recovery has to begin anew; -EINTR: the server was asked to stop; or
 * -errno, after recovery_refuse. */
int recovery_standby(struct recovery *recovery);

#endif
