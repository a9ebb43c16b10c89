/*
 * cgroup.h: the memory limit of the control groups that this process is in, as a container or a systemd unit sets it:
 * of its own group and of all above it, version 2 (memory.max, memory.high) and version 1 (memory.limit_in_bytes). Any
 * thread.
 */
#ifndef CHITCHAT_SERVER_CGROUP_H
#define CHITCHAT_SERVER_CGROUP_H

#include <stdint.h>

#define CGROUP_PROC "/proc/self/cgroup"
#define CGROUP_ROOT "/sys/fs/cgroup"
#define CGROUP_PATH_BYTES 1024u

struct cgroup_limit {
    uint64_t bytes;                    /* 0: there is none */
    char file[CGROUP_PATH_BYTES + 32]; /* that says so */
};

/* The lowest limit. `proc` is the list of the process's groups (CGROUP_PROC), `root` where the file systems of the
 * groups are mounted (CGROUP_ROOT). What cannot be read counts as no limit. Inside a container the list may name groups
 * that are not visible; then the visible part of the path counts. */
void cgroup_memory_limit(const char *proc, const char *root, struct cgroup_limit *limit_r);

#endif
