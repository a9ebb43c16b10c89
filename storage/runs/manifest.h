/*
 * manifest.h: `manifest.mdb`, the small LMDB environment that names a shard's live runs, the position of the WAL up to
 * which they have it, the newest ts, which files the next segments of the WAL have, and the cuts (cuts.h). A commit of
 * the manifest is the only point at which runs come and go. LMDB's default durability: a commit that returned 0 is on
 * the disk.
 *
 * A process that reads the manifest beside the server (manifest_read) has an entry in the lock file. Each commit
 * removes the entries of processes that were killed, which would keep old pages from being used again.
 *
 * Each value has a CRC32C. Any thread; the caller serialises commits. Blocks.
 */
#ifndef CHITCHAT_STORAGE_RUNS_MANIFEST_H
#define CHITCHAT_STORAGE_RUNS_MANIFEST_H

#include "storage/runs/cuts.h"
#include "storage/runs/store.h"
#include "storage/wal_assigned.h"

struct manifest;

/* One run, as the manifest records it. */
struct run_entry {
    uint64_t id;        /* of the file: run-NNNNNNNNNNNN.mdb */
    uint64_t seq_first; /* the numbers of the checkpoints in it, in order of time: runs do not overlap */
    uint64_t seq_last;
    uint64_t rows;    /* of timelines */
    uint64_t entries; /* all LMDB entries of the file: timelines, indexes, marks, filter, checksum */
    uint64_t ts_min;  /* of the rows of timelines */
    uint64_t ts_max;
    uint64_t file_bytes;
    uint64_t marks;         /* rows of marks */
    uint64_t marks_ts_max;  /* the greatest ts in them */
    uint64_t index_version; /* of its index by peer (peer_index.h); 0: a run of an older version, without one */
    uint32_t level;         /* 0: written by a checkpoint */
};

struct manifest_marks {
    struct store_position applied; /* all below it is in the runs */
    uint64_t last_ts;              /* the newest ts that the shard had given */
    uint64_t next_id;              /* for the next run */
    uint64_t next_seq;             /* for the next checkpoint */
};

/* What manifest_open and manifest_read read: `entries` ascend by seq_first. The caller calls manifest_state_fini. */
struct manifest_state {
    struct manifest_marks marks;
    struct wal_assigned assigned; /* count 0: the manifest has none */
    struct run_entry *entries;
    uint32_t count;
    struct cuts cuts; /* each is_saved */
};

void manifest_state_fini(struct manifest_state *state);

/* Makes a manifest with these marks and no runs at `path`, where no file is. LMDB does not write the first pages of a
 * file in a crash-safe order, so the caller makes it under another name and renames it. 0 or -errno: the file may be
 * anything. */
int manifest_make(const char *path, const struct manifest_marks *marks);

/* Opens the file at `path`, makes it durable and reads it. 0, and the caller closes *manifest_r; or -errno (-EBADMSG:
 * damage) with the reason in *error_r. On a disk without room even for LMDB's lock file it is opened for reading; each
 * commit then first tries to open it for writing. */
int manifest_open(struct manifest **manifest_r, const char *path, struct manifest_state *state_r,
                  struct store_error *error_r);
/* Only reads the file. `is_live`: a server may write it meanwhile, so the reader gets an entry in the lock file; else
 * no file is changed. 0 or -errno (-EBADMSG: damaged or missing) with the reason in *error_r. */
int manifest_read(const char *path, bool is_live, struct manifest_state *state_r, struct store_error *error_r);
/* Nulls *manifest; NULL is fine. */
void manifest_close(struct manifest **manifest);

/* One durable commit: sets the marks, adds the run `added` (may be NULL), removes `removed_count` runs. Borrows all. 0
 * or -errno: then nothing has changed, or the manifest is in doubt. */
int manifest_commit(struct manifest *manifest, const struct manifest_marks *marks, const struct run_entry *added,
                    const uint64_t *removed_ids, uint32_t removed_count);
/* One durable commit: replaces the files that are assigned to segments of the WAL. Borrows `assigned`. Returns as
 * manifest_commit. */
int manifest_assign(struct manifest *manifest, const struct wal_assigned *assigned);
/* One durable commit of the cuts that are not saved yet: sets their is_saved. Borrows `cuts`. Returns as
 * manifest_commit; nothing is written if all are saved. */
int manifest_save_cuts(struct manifest *manifest, struct cuts *cuts);
/* One durable commit: removes `cuts` (borrowed). Returns as manifest_commit; nothing is written if there are none. */
int manifest_drop_cuts(struct manifest *manifest, const struct cuts *cuts);
/* After a failed commit: whether the disk may or may not have it. Then no file may be changed until the next start, and
 * every later commit is -EIO. */
bool manifest_is_in_doubt(struct manifest *manifest);

/* A result of LMDB as 0 or -errno: damage is -EBADMSG, a full map is -ENOSPC. */
int manifest_errno(int lmdb_result);

#endif
