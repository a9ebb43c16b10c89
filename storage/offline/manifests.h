/*
 * manifests.h: whether the manifests of a data directory can be read at all, and the runs opened. LMDB trusts its
 * pages: damaged ones may end the process that reads them. So a child process reads them first (apart.h).
 */
#ifndef CHITCHAT_STORAGE_OFFLINE_MANIFESTS_H
#define CHITCHAT_STORAGE_OFFLINE_MANIFESTS_H

#include "storage/datadir/datadir.h"

/* Reads the manifest of each shard, and opens its runs, in a child process. 0; or -EBADMSG: that ended the child, and
 * `error_r` says what is damaged and what to do; or -EINTR: a signal ended it from outside. 0 also if no child could be
 * made: then nothing is checked. An error that a reader returns is no error here: whoever reads the
 * manifest next reports it. Borrows all. One thread; blocks while it reads the manifests and the filters of all runs.
 */
int manifests_check(const struct datadir *datadir, struct datadir_error *error_r);

#endif
