/*
 * manifest.h: the small LMDB environment that names a shard's live runs and says where log and clock stood:
 * `manifest.mdb`. Its commit is the one point at which runs come and go. LMDB's default durability: a commit that
 * returned is on the disk.
 *
 * Who reads it beside the server (manifest_read) has a place in the lock file; the place of a process that was killed
 * is found and given up at each commit, so that it holds no old pages.
 *
 * Each value carries a CRC32C. Commits are serialised by the caller; any thread.
 */
#ifndef CHITCHAT_STORAGE_RUNS_MANIFEST_H
#define CHITCHAT_STORAGE_RUNS_MANIFEST_H

#include "storage/runs/store.h"

struct manifest;

/* One run, as the manifest knows it. */
struct run_entry {
    uint64_t id;        /* of the file: run-NNNNNNNNNNNN.mdb */
    uint64_t seq_first; /* the checkpoints that went into it, in order of time: runs are disjoint */
    uint64_t seq_last;
    uint64_t rows;    /* of timelines */
    uint64_t entries; /* all rows of the file: timelines, key index, filter */
    uint64_t ts_min;  /* over timeline rows */
    uint64_t ts_max;
    uint64_t file_bytes;
    uint32_t level; /* 0: of a checkpoint */
};

struct manifest_marks {
    struct store_position applied;
    uint64_t last_ts;
    uint64_t next_id;
    uint64_t next_seq;
};

/* What manifest_open read: entries malloc'ed, by seq_first; the caller frees them. */
struct manifest_state {
    struct manifest_marks marks;
    struct run_entry *entries;
    uint32_t count;
};

/* Makes a manifest with these marks and no runs at `path`, where there is none. LMDB writes its first pages without a
 * care for a power cut: until it returns 0 there may be anything, so it is made under another name. 0 or -errno. */
int manifest_make(const char *path, const struct manifest_marks *marks);

/* Opens the file at `path` and reads it; what was read is on the disk. 0 or -errno (-EBADMSG: damage) with *error_r
 * told. */
int manifest_open(struct manifest **manifest_r, const char *path, struct manifest_state *state_r,
                  struct store_error *error_r);
/* Only reads it. `is_live`: a server may be writing it, so the reader is entered in the lock file beside it; else
 * nothing is touched. 0 or -errno (-EBADMSG: damaged, or not there) with *error_r told. */
int manifest_read(const char *path, bool is_live, struct manifest_state *state_r, struct store_error *error_r);
/* Nulls *manifest; NULL is fine. */
void manifest_close(struct manifest **manifest);

/* One durable commit: the marks, one run more (may be NULL), `removed_count` runs fewer. 0 or -errno. */
int manifest_commit(struct manifest *manifest, const struct manifest_marks *marks, const struct run_entry *added,
                    const uint64_t *removed_ids, uint32_t removed_count);
/* After a failed commit: whether LMDB cannot say what is on the disk, so that no file may be touched till the next
 * start. */
bool manifest_is_in_doubt(struct manifest *manifest);

/* LMDB's results as -errno: damage is -EBADMSG, a full map -ENOSPC. */
int manifest_errno(int lmdb_result);

#endif
